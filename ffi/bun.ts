/**
 * Bun: `bun:ffi` and `bun:sqlite`.
 *
 * Of the two modules the few types used here are described, for tools that don't know them.
 *
 * @module
 */
import process from "node:process";
import { isMainThread } from "node:worker_threads";
import { listenToProcess } from "./process_methods.ts";
import type { Runtime } from "./runtime.ts";
import { type NativeFunctions, type NativeType, symbols } from "./symbols.ts";

declare const Bun: { gc(synchronously: boolean): void };

interface BunFfi {
  dlopen(
    path: string,
    symbols: Record<string, { args: readonly NativeType[]; returns: NativeType }>,
  ): { symbols: unknown };
}

interface BunDatabase {
  loadExtension(path: string): void;
  close(): void;
}

interface BunSqlite {
  Database: { new (path: string): BunDatabase; prototype: BunDatabase };
}

/**
 * A module that only Bun has. It is neither imported nor required, for whatever follows imports
 * would look for it, too, and not find it.
 */
function bunModule<Module>(name: string): Module {
  return (process as unknown as { getBuiltinModule(name: string): Module }).getBuiltinModule(name);
}

/** The Bun runtime. */
export const runtime: Runtime = {
  open(path: string): NativeFunctions {
    const signatures = Object.entries(symbols).map(([name, { parameters, result }]) => {
      return [name, { args: parameters, returns: result }];
    });
    const { dlopen } = bunModule<BunFfi>("bun:ffi");
    return dlopen(path, Object.fromEntries(signatures)).symbols as NativeFunctions;
  },

  checkExtensions(): void {}, // it does

  loadExtension(path: string): void {
    const { Database } = bunModule<BunSqlite>("bun:sqlite");
    const database = new Database(":memory:");
    try {
      database.loadExtension(path);
    } finally {
      database.close();
    }
  },

  keepsSignalHandlers: false,

  claimSignals(): void {}, // it has none

  onExit(listener: () => void): void {
    if (isMainThread) process.on("exit", listener);
  },

  onReplace: listenToProcess,

  keptConnections: () => [bunModule<BunSqlite>("bun:sqlite").Database.prototype],

  collect(): void {
    Bun.gc(true);
  },

  ownStores(): string[] {
    return []; // it has none
  },

  environment(name: string): string | undefined {
    return process.env[name];
  },
};
