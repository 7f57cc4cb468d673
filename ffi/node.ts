/**
 * Node: Node-API and `node:sqlite`, from Node 22.16 on, with no flag. Under its
 * permission model it lets no SQLite load an extension.
 *
 * @module
 */
import process from "node:process";
import { loadAddon } from "./addon.ts";
import type { Runtime } from "./runtime.ts";
import type { NativeFunctions } from "./symbols.ts";

/** The part of `node:sqlite` used here. */
interface NodeSqlite {
  DatabaseSync: new (path: string, options: { allowExtension: true }) => {
    loadExtension(path: string): void;
    close(): void;
  };
}

/**
 * `node:sqlite`, loaded when it is needed, for Node 22 warns at that, once, that it is
 * experimental. 22 has it without a flag from 22.13 on; before 22.15 it takes no URIs, and before
 * 22.16 it doesn't tell whether a transaction is open.
 */
function loadSqlite(): NodeSqlite {
  const found = (process as unknown as {
    getBuiltinModule?: (name: string) => NodeSqlite | undefined;
  }).getBuiltinModule?.("node:sqlite");
  if (found !== undefined) return found;
  throw new Error(`this Node, ${process.version}, has no node:sqlite: use 22.16 or a later one`);
}

/** The Node runtime. */
export const runtime: Runtime = {
  open(path: string): NativeFunctions {
    return loadAddon(path);
  },

  loadExtension(path: string): void {
    const { DatabaseSync } = loadSqlite();
    const database = new DatabaseSync(":memory:", { allowExtension: true });
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
