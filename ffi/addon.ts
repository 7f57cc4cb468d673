/**
 * The library as a Node-API addon, which its file is too. See csrc/addon.c.
 *
 * @module
 */
import process from "node:process";
import { AsyncVfsError } from "./errors.ts";
import type { NativeFunctions } from "./symbols.ts";

/** What the addon exports: the functions of symbols.ts, and being woken. */
export interface Addon extends NativeFunctions {
  /**
   * Have `wake` called, on this thread, after something happened that is worth a look. Returns
   * the function that sets how much this environment cares; see wake.ts.
   */
  subscribe(wake: () => void): (interest: number) => void;
}

/**
 * Load the library as an addon, into this environment (the main thread or a Worker). However
 * often that is done, the file has one instance in the process.
 *
 * @param path The library's absolute path.
 * @throws {AsyncVfsError} If the runtime has not all of Node-API that the library wants. Whatever
 * the runtime throws if it cannot load the file.
 */
export function loadAddon(path: string): Addon {
  const module: { exports: Partial<Addon> } = { exports: {} };
  process.dlopen(module, path);
  if (module.exports.subscribe === undefined) {
    const message = `Cannot load "${path}" as an addon: it exports nothing of sqlite3async's, ` +
      "or this runtime has no Node-API of version 8";
    throw new AsyncVfsError(message, { codeName: "SQLITE_ERROR", operation: "install", path });
  }
  return module.exports as Addon;
}
