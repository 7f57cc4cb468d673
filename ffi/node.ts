/**
 * Node: Node-API and `node:sqlite`, from Node 22.13 on.
 *
 * Node needs no flag for it, but for its permission model, which wants
 * `--allow-addons`.
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
 * `node:sqlite`, loaded when it is needed: Node before 26 warns at that, once, that it is
 * experimental, and 22 has it from 22.13 on.
 */
function loadSqlite(): NodeSqlite {
  const found = (process as unknown as {
    getBuiltinModule?: (name: string) => NodeSqlite | undefined;
  }).getBuiltinModule?.("node:sqlite");
  if (found !== undefined) return found;
  throw new Error(`this Node, ${process.version}, has no node:sqlite: use 22.13 or a later one`);
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
