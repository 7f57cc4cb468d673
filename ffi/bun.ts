/**
 * Bun: `bun:ffi` and `bun:sqlite`.
 *
 * The two modules are named by variables and described by the few types used
 * here, so that tools which don't know the `bun:` scheme can check this file.
 *
 * @module
 */
import process from "node:process";
import type { Runtime } from "./runtime.ts";
import { type NativeFunctions, type NativeType, symbols } from "./symbols.ts";

interface BunFfi {
  dlopen(
    path: string,
    symbols: Record<string, { args: readonly NativeType[]; returns: NativeType }>,
  ): { symbols: unknown };
}

interface BunSqlite {
  Database: new (path: string) => { loadExtension(path: string): void; close(): void };
}

const ffiModule: string = "bun:ffi";
const sqliteModule: string = "bun:sqlite";

/** The Bun runtime. */
export async function loadRuntime(): Promise<Runtime> {
  const { dlopen } = await import(ffiModule) as BunFfi;
  const { Database } = await import(sqliteModule) as BunSqlite;

  return {
    open(path: string): NativeFunctions {
      const signatures = Object.entries(symbols).map(([name, { parameters, result }]) => {
        return [name, { args: parameters, returns: result }];
      });
      return dlopen(path, Object.fromEntries(signatures)).symbols as NativeFunctions;
    },

    loadExtension(path: string): void {
      const database = new Database(":memory:");
      try {
        database.loadExtension(path);
      } finally {
        database.close();
      }
    },

    claimSignals(): void {}, // it has none

    environment(name: string): string | undefined {
      return process.env[name];
    },
  };
}
