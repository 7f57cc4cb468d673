/**
 * The ways to keep a database that commit workloads compare.
 *
 * @module
 */
import { join } from "node:path";
import { type Connection, open } from "../examples/sqlite.ts";
import type { AsyncVfs } from "../mod.ts";

/** One way, with its database open. */
export interface Contender extends Disposable {
  name: string;
  connection: Connection;
  /** Wait until all that was committed is on disk. */
  settle(): Promise<void>;
}

const DELETE_FULL = "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;";

/** SQLite as it is, on rollback journals. */
export function plainDelete(folder: string): Contender {
  const connection = open(join(folder, "plain.db"));
  connection.exec(DELETE_FULL);
  return {
    name: "plain DELETE/FULL",
    connection,
    settle: () => Promise.resolve(),
    [Symbol.dispose]: () => connection.close(),
  };
}

/** The same through the VFS. */
export function asyncDelete(folder: string, vfs: AsyncVfs): Contender {
  const connection = open(vfs.uri(join(folder, "async.db")));
  connection.exec(DELETE_FULL);
  return {
    name: "sqlite3async DELETE/FULL",
    connection,
    settle: () => vfs.flush(),
    [Symbol.dispose]: () => connection.close(),
  };
}
