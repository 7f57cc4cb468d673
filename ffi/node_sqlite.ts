/**
 * `node:sqlite`, as Deno and Node have it.
 *
 * @module
 */
import process from "node:process";

/** The part of it used here. */
interface NodeSqlite {
  DatabaseSync: new (path: string, options: { allowExtension: true }) => {
    loadExtension(path: string): void;
    close(): void;
  };
}

/**
 * It is not imported, for Node 22 warns, once, that it is experimental, and a program that was
 * bundled may run in a Bun that does not have it. Node 22 has it without a flag from 22.13 on;
 * before 22.15 it takes no URIs, and before 22.16 it doesn't tell whether a transaction is open.
 */
function load(): NodeSqlite {
  const found = (process as unknown as {
    getBuiltinModule?: (name: string) => NodeSqlite | undefined;
  }).getBuiltinModule?.("node:sqlite");
  if (found !== undefined) return found;
  throw new Error(`this Node, ${process.version}, has no node:sqlite: use 22.16 or a later one`);
}

/** Load the library at a path as an extension, or throw. */
export function loadExtension(path: string): void {
  const { DatabaseSync } = load();
  const database = new DatabaseSync(":memory:", { allowExtension: true });
  try {
    database.loadExtension(path);
  } finally {
    database.close();
  }
}
