/**
 * The WAL databases that commit workloads write to: made new for each round,
 * and at its end proved to be what was asked for, by what SQLite tells of them.
 *
 * @module
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type Connection, open, type Row, type Statement, type Value } from "../examples/sqlite.ts";
import type { AsyncVfs } from "../mod.ts";

const PAGE_SIZE = 4096;
/** The numbers that `PRAGMA synchronous` reads back. */
const SYNCHRONOUS = { OFF: 0, NORMAL: 1, FULL: 2 } as const;

/** A way to keep a database. */
export interface Way {
  name: string;
  synchronous: keyof typeof SYNCHRONOUS;
  /** Through the VFS. Without it SQLite as it is. */
  vfs?: AsyncVfs;
  /** In memory alone, which leaves nothing to journal. */
  inMemory?: boolean;
}

/** A new database kept in that way, with the commit workloads' table and nothing in it. */
export interface Database {
  way: Way;
  path: string;
  connection: Connection;
  /** Inserts one row, in a transaction of its own; takes the name. */
  insert: Statement;
}

/** What to insert, made before anything is measured. */
export function rowNames(rows: number): string[] {
  return Array.from({ length: rows }, (_, row) => `a row to commit, number ${row}`);
}

/**
 * Make a database, settled, with or without an index on the name; it is in WAL mode unless
 * it is in memory.
 */
export async function create(folder: string, way: Way, indexed = true): Promise<Database> {
  const path = join(folder, `${way.name.replaceAll(/\W+/g, "-")}.db`);
  const name = way.vfs?.uri(path) ?? path;
  const connection = open(way.inMemory ? ":memory:" : name);
  try {
    connection.exec(`PRAGMA page_size = ${PAGE_SIZE}`);
    if (!way.inMemory) connection.exec("PRAGMA journal_mode = WAL");
    connection.exec(`PRAGMA synchronous = ${way.synchronous}`);
    connection.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT)");
    if (indexed) connection.exec("CREATE INDEX i ON t(name)");
    const insert = connection.prepare("INSERT INTO t(name) VALUES (?)");
    await settle(way);
    return { way, path, connection, insert };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Wait until all that was committed is on disk. */
export async function settle({ vfs }: Way): Promise<void> {
  await vfs?.flush();
}

/**
 * Verify the modes and that all rows are there, also for plain SQLite once all
 * is closed; then delete the database.
 */
export async function finish(database: Database, rows: number): Promise<void> {
  const { way, path, connection } = database;
  try {
    await settle(way);
    verifyModes(database);
    verifyRows(way, connection, rows);
  } finally {
    connection.close();
  }
  await settle(way);
  if (way.inMemory) return;
  {
    using plain = open(path);
    plain.exec("PRAGMA busy_timeout = 10000");
    verifyRows(way, plain, rows);
  }
  for (const suffix of ["", "-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
}

function verifyModes({ way, connection }: Database): void {
  const wanted: Record<string, Value> = {
    journal_mode: way.inMemory ? "memory" : "wal",
    synchronous: SYNCHRONOUS[way.synchronous],
    page_size: PAGE_SIZE,
    // Through the VFS it is the checkpointer who checkpoints.
    wal_autocheckpoint: way.vfs === undefined ? 1000 : 0,
  };
  for (const [pragma, value] of Object.entries(wanted)) {
    verify(way, pragma, only(connection.all(`PRAGMA ${pragma}`)), value);
  }
}

function verifyRows(way: Way, connection: Connection, rows: number): void {
  // Once by the table's tree, once by the index's, if there is one.
  verify(way, "rows", only(connection.all("SELECT count(*) FROM t NOT INDEXED")), rows);
  if (only(connection.all("SELECT count(*) FROM sqlite_schema WHERE name = 'i'")) === 1) {
    verify(
      way,
      "rows of the index",
      only(connection.all("SELECT count(*) FROM t INDEXED BY i")),
      rows,
    );
  }
  verify(way, "quick_check", only(connection.all("PRAGMA quick_check")), "ok");
}

/** The value of a query for a single one. */
function only(rows: Row[]): unknown {
  return Object.values(rows[0] ?? {})[0];
}

function verify(way: Way, what: string, found: unknown, wanted: Value): void {
  if (found === wanted) return;
  throw new Error(`${way.name}: ${what}: found "${found}" instead of "${wanted}"`);
}
