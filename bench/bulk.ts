/**
 * What the workloads on many rows share: databases that are opened with the same page
 * cache, rows that are run without a pause between, and how a contender makes durable
 * what it has committed.
 *
 * @module
 */
import { statSync } from "node:fs";
import { type Connection, open } from "../examples/sqlite.ts";
import { type Contender, settle, type Statement, type Store, type Value } from "./contender.ts";
import { only, removeDatabase, verify, verifyModes } from "./databases.ts";

/** For all: 16,000 KiB, which is better-sqlite3's default. SQLite's own is 2,000. */
const CACHE_SIZE = -16_000;
/** What {@linkcode Statement.runMany} is given at a time. */
const ROWS_AT_ONCE = 1000;

/** Open or make a database, and verify that its modes and its cache are as they should be. */
export async function openBulk(contender: Contender, path: string): Promise<Store> {
  const store = await contender.open(path);
  try {
    await store.exec(`PRAGMA cache_size = ${CACHE_SIZE}`);
    verify(contender, "cache_size", await only(store, "PRAGMA cache_size"), CACHE_SIZE);
    await verifyModes(contender, store);
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Run it for each row, one after the other, or for many at once where a driver can. */
export async function runAll(statement: Statement, rows: Value[][]): Promise<void> {
  if (statement.runMany !== undefined) return await runMany(statement, rows);
  for (const row of rows) {
    const done = statement.run(...row);
    if (done instanceof Promise) await done;
  }
}

async function runMany(statement: Statement, rows: Value[][]): Promise<void> {
  for (let row = 0; row < rows.length; row += ROWS_AT_ONCE) {
    await statement.runMany!(rows.slice(row, row + ROWS_AT_ONCE));
  }
}

/** Do it in a transaction. */
export async function transaction(store: Store, work: () => Promise<void>): Promise<void> {
  await store.exec("BEGIN");
  await work();
  await store.exec("COMMIT");
}

/**
 * Make durable what is committed, by the means that the contender has: flush(), nothing if
 * commits are durable anyway, or else a checkpoint. Returns false if it has none.
 */
export async function makeDurable(contender: Contender, store: Store): Promise<boolean> {
  const { survives, vfs } = contender;
  if (vfs !== undefined) await settle(contender);
  else if (survives.power === "a prefix") await checkpoint(contender, store);
  else return survives.power === "all";
  return true;
}

async function checkpoint(contender: Contender, store: Store): Promise<void> {
  const [row] = await (await store.prepare("PRAGMA wal_checkpoint")).all();
  verify(contender, "frames that a checkpoint left", Number(row!["log"]), row!["checkpointed"]);
}

/**
 * Close it, and wait until that is done on disk as well. Returns whether all is now in the
 * database's file, and synced: some drivers leave a WAL behind.
 */
export async function closeBulk(
  contender: Contender,
  store: Store,
  path: string,
): Promise<boolean> {
  await store.close();
  await settle(contender);
  if (contender.journalMode === "memory" || contender.synchronous === "OFF") return false;
  return (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) === 0;
}

/** Let plain SQLite look at a closed database, then delete it. */
export function inspect(
  contender: Contender,
  path: string,
  look: (connection: Connection, one: (sql: string) => unknown) => void,
): void {
  if (contender.journalMode === "memory") return;
  {
    using plain = open(path);
    plain.exec("PRAGMA busy_timeout = 10000");
    look(plain, (sql) => Object.values(plain.all(sql)[0] ?? {})[0]);
  }
  removeDatabase(path);
}
