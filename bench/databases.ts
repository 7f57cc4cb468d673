/**
 * The databases that commit workloads write to: made new for each turn, and at
 * its end proved to be what was asked for, by what SQLite tells of them.
 *
 * @module
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type Connection, open } from "../examples/sqlite.ts";
import { type Contender, settle, type Statement, type Store, SYNCHRONOUS } from "./contender.ts";

const PAGE_SIZE = 4096;

/** A new database kept in that way, with the commit workloads' table and nothing in it. */
export interface Database {
  contender: Contender;
  path: string;
  store: Store;
  /** Inserts one row, in a transaction of its own; takes the name. */
  insert: Statement;
}

/** Inserts one row; takes the name. */
export const INSERT = "INSERT INTO t(name) VALUES (?)";

/** What to insert, made before anything is measured. */
export function rowNames(rows: number): string[] {
  return Array.from({ length: rows }, (_, row) => `a row to commit, number ${row}`);
}

/** The path of a contender's database in the folder. */
export function pathOf(folder: string, { name }: Contender): string {
  return join(folder, `${name.replaceAll(/\W+/g, "-")}.db`);
}

/** Make a database, settled, with or without an index on the name. */
export async function create(
  folder: string,
  contender: Contender,
  indexed = true,
): Promise<Database> {
  const path = pathOf(folder, contender);
  const store = await contender.open(path);
  try {
    await store.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT)");
    if (indexed) await store.exec("CREATE INDEX i ON t(name)");
    const insert = await store.prepare(INSERT);
    await settle(contender);
    return { contender, path, store, insert };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** The value of a query for a single one. */
export async function only(store: Store, sql: string): Promise<unknown> {
  const rows = await (await store.prepare(sql)).all();
  return Object.values(rows[0] ?? {})[0];
}

/**
 * Verify the modes and that all rows are there, for plain SQLite once all is
 * closed; then delete the database.
 */
export async function finish(
  { contender, path, store }: Database,
  rows: number,
  verifyMore: (connection: Connection) => void = () => {},
): Promise<void> {
  try {
    await verifyModes(contender, store);
    if (contender.journalMode === "memory") {
      verify(contender, "rows", await only(store, "SELECT count(*) FROM t"), rows);
    }
  } finally {
    await store.close();
  }
  await settle(contender);
  if (contender.journalMode !== "memory") verifyClosed({ contender, path }, rows, verifyMore);
}

/** Verify, by plain SQLite, that all rows are in a database that is closed; then delete it. */
export function verifyClosed(
  { contender, path }: Pick<Database, "contender" | "path">,
  rows: number,
  verifyMore: (connection: Connection) => void = () => {},
): void {
  {
    using plain = open(path);
    plain.exec("PRAGMA busy_timeout = 10000");
    verifyRows(contender, plain, rows);
    verifyMore(plain);
  }
  removeDatabase(path);
}

/** Delete a database that is closed. */
export function removeDatabase(path: string): void {
  for (const suffix of ["", "-wal", "-shm", "-journal"]) {
    rmSync(`${path}${suffix}`, { force: true });
  }
}

/** Throws unless the connection is in the modes that the contender stands for. */
export async function verifyModes(contender: Contender, store: Store): Promise<void> {
  const wanted = {
    journal_mode: contender.journalMode,
    synchronous: SYNCHRONOUS[contender.synchronous],
    page_size: PAGE_SIZE,
  };
  for (const [pragma, value] of Object.entries(wanted)) {
    verify(contender, pragma, await only(store, `PRAGMA ${pragma}`), value);
  }
}

/** Rows of t, once by the table's tree, and by its index's if there is one. */
function verifyRows(contender: Contender, connection: Connection, rows: number): void {
  const one = (sql: string) => Object.values(connection.all(sql)[0] ?? {})[0];
  verify(contender, "rows", one("SELECT count(*) FROM t NOT INDEXED"), rows);
  if (one("SELECT count(*) FROM sqlite_schema WHERE name = 'i'") === 1) {
    verify(contender, "rows of the index", one("SELECT count(*) FROM t INDEXED BY i"), rows);
  }
  verify(contender, "quick_check", one("PRAGMA quick_check"), "ok");
}

/** Throws unless it is so. */
export function verify({ name }: Contender, what: string, found: unknown, wanted: unknown): void {
  if (found === wanted) return;
  throw new Error(`${name}: ${what}: found "${found}" instead of "${wanted}"`);
}
