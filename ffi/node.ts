/**
 * Node: Node-API and `node:sqlite`, from Node 22.16 on, with no flag. Under its
 * permission model it lets no SQLite load an extension.
 *
 * @module
 */
import process from "node:process";
import { isMainThread } from "node:worker_threads";
import { loadAddon } from "./addon.ts";
import { AsyncVfsError } from "./errors.ts";
import { loadExtension } from "./node_sqlite.ts";
import { listenToProcess } from "./process_methods.ts";
import type { Runtime } from "./runtime.ts";
import type { NativeFunctions } from "./symbols.ts";

/** The Node runtime. */
export const runtime: Runtime = {
  open(path: string): NativeFunctions {
    return loadAddon(path);
  },

  checkExtensions(): void {
    // Undefined without the permission model; not all declarations of process know it.
    if ((process as { permission?: unknown }).permission === undefined) return;
    const message =
      "Cannot install sqlite3async: under Node's permission model, node:sqlite loads " +
      "no extension, whatever is allowed; run it without --permission";
    throw new AsyncVfsError(message, { codeName: "SQLITE_PERM", operation: "install" });
  },

  loadExtension,

  keepsSignalHandlers: false,

  claimSignals(): void {}, // it has none

  onExit(listener: () => void): void {
    if (isMainThread) process.on("exit", listener);
  },

  onReplace: listenToProcess,

  keptConnections: () => [], // its close() finalizes them

  collect(): void {
    (globalThis as { gc?: () => void }).gc?.(); // with V8's flag --expose-gc
  },

  ownStores(): string[] {
    // Its localStorage is in the file of this flag.
    const flags = [...process.execArgv, process.env.NODE_OPTIONS ?? ""].join(" ");
    const file = /--localstorage-file[= ]("[^"]*"|\S+)/.exec(flags)?.[1];
    return file === undefined ? [] : [file.replaceAll('"', "")];
  },

  environment(name: string): string | undefined {
    return process.env[name];
  },
};
