/**
 * For tests/kill.test.ts: a process that commits transactions that can be told from
 * one another, as fast as it can, until it is killed; and how to find out which of them
 * a database has. Number n adds `rowsOf(n)` rows, and a line to the log with a sum over
 * all numbers so far.
 *
 * @module
 */
import assert from "node:assert/strict";
import { writeSync } from "node:fs";
import process from "node:process";
import { setImmediate } from "node:timers";
import { type Connection, open } from "../../examples/sqlite.ts";
import { install } from "../../mod.ts";
import { Random } from "./random.ts";

/** What one process does. */
export interface Plan {
  path: string;
  seed: number;
  /** The number of the last transaction in the database. */
  last: number;
  /** Connections for each thread. */
  connections: number;
  /** Threads besides the main one. */
  workers: number;
  synchronous: string;
  pageSize: number;
  /** Transactions it makes at most before it does something else. */
  burst: number;
  /** Does it ever wait for the disk? */
  waits: boolean;
  /** Parameters of the VFS. */
  parameters: Record<string, number>;
}

/** How many rows transaction n adds: mostly few. */
export function rowsOf(n: number): number {
  return n % 50 === 0 ? 40 : n % 3;
}

/** What is in its i-th row. */
export function textOf(n: number, i: number): string {
  return `${n}.${i};`.repeat(1 + (n * 7 + i * 13) % 60);
}

/** The sum that goes with transaction n, from that of the one before. */
export function sumAfter(sum: number, n: number): number {
  return (sum * 31 + n * 17 + 1) % 1_000_003;
}

/** Check that plain SQLite finds exactly the transactions from 1 to some number: that number. */
export function lastIn(path: string): number {
  using connection = open(path);
  assert.equal(connection.all("PRAGMA integrity_check")[0]?.integrity_check, "ok");
  const [counter] = connection.all("SELECT n, sum FROM counter");
  const last = Number(counter?.n);
  const log = connection.all("SELECT n, sum FROM log ORDER BY n");
  assert.equal(log.length, last, "the log is not of the counter's transaction");
  let sum = 0;
  for (const [index, line] of log.entries()) {
    sum = sumAfter(sum, index + 1);
    assert.deepEqual({ ...line }, { n: index + 1, sum });
  }
  assert.equal(counter?.sum, sum);
  const rows = connection.all("SELECT n, i, text FROM row ORDER BY n, i");
  let at = 0;
  for (let n = 1; n <= last; n++) {
    for (let i = 0; i < rowsOf(n); i++) {
      assert.deepEqual({ ...rows[at++] }, { n, i, text: textOf(n, i) });
    }
  }
  assert.equal(at, rows.length, "rows of no transaction");
  return last;
}

// ---- The process ----

/** Out before the next step. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}

/** What makes one transaction on a connection, and returns its number. */
function prepare(connection: Connection) {
  const get = connection.prepare("SELECT n, sum FROM counter");
  const set = connection.prepare("UPDATE counter SET n = ?, sum = ?");
  const log = connection.prepare("INSERT INTO log VALUES (?, ?)");
  const row = connection.prepare("INSERT INTO row VALUES (?, ?, ?)");
  return (): number => {
    connection.exec("BEGIN IMMEDIATE");
    const last = get.all()[0]!;
    const n = Number(last.n) + 1;
    const sum = sumAfter(Number(last.sum), n);
    set.run(n, sum);
    log.run(n, sum);
    for (let i = 0; i < rowsOf(n); i++) row.run(n, i, textOf(n, i));
    connection.exec("COMMIT");
    return n;
  };
}

/** Commit transactions until the process is killed, and say which of them are durable. */
export async function run(plan: Plan): Promise<void> {
  const vfs = await install();
  const random = new Random(plan.seed);
  const commits = Array.from({ length: plan.connections }, () => {
    const connection = open(vfs.uri(plan.path));
    connection.exec(`PRAGMA busy_timeout = 20000; PRAGMA synchronous = ${plan.synchronous}`);
    // With a small one, large transactions write to the WAL before they commit.
    connection.exec(`PRAGMA cache_size = ${random.pick(5, 2000)}`);
    return { connection, commit: prepare(connection) };
  });
  for (;;) {
    const { connection, commit } = commits[random.below(commits.length)]!;
    const way = random.below(60) + (plan.waits ? 0 : 4);
    if (way === 0) {
      const n = commit();
      await vfs.flush({ path: plan.path });
      say(`durable ${n}`);
    } else if (way === 1) {
      const n = commit();
      vfs.flushSync();
      say(`durable ${n}`);
    } else if (way < 4) {
      say(`durable ${await vfs.durable(commit)}`);
    } else if (way < 9) {
      const n = commit();
      vfs.flush().then(() => say(`durable ${n}`)); // while others commit
    } else if (way < 13) {
      connection.all(`PRAGMA wal_checkpoint(${random.pick("PASSIVE", "RESTART", "TRUNCATE")})`);
    } else if (way === 13) {
      connection.exec("BEGIN IMMEDIATE; UPDATE counter SET n = n + 1; DELETE FROM log; ROLLBACK");
    } else {
      for (let i = random.below(plan.burst); i > 0; i--) commit();
      await new Promise((resolve) => setImmediate(resolve)); // let flushes resolve
    }
  }
}

/** The same, on a database that is made, or that an earlier process left, and in more threads. */
export async function begin(plan: Plan): Promise<void> {
  const vfs = await install();
  Object.assign(vfs, plan.parameters);
  using connection = open(vfs.uri(plan.path));
  if (plan.last === 0) connection.exec(`PRAGMA page_size = ${plan.pageSize}`);
  connection.exec(`PRAGMA busy_timeout = 20000; PRAGMA synchronous = ${plan.synchronous}`);
  const mode = connection.all("PRAGMA journal_mode = WAL")[0]?.journal_mode;
  if (mode !== "wal") throw new Error(`journal_mode is ${mode}`);
  if (plan.last === 0) {
    connection.exec(`
      BEGIN;
      CREATE TABLE IF NOT EXISTS counter(n INTEGER, sum INTEGER);
      CREATE TABLE IF NOT EXISTS log(n INTEGER PRIMARY KEY, sum INTEGER);
      CREATE TABLE IF NOT EXISTS row(n INTEGER, i INTEGER, text TEXT, PRIMARY KEY(n, i));
      INSERT INTO counter SELECT 0, 0 WHERE NOT EXISTS (SELECT * FROM counter);
      COMMIT;
    `);
    await vfs.flush();
  }
  // What a crash left is found by us as by plain SQLite.
  const found = connection.all("SELECT n FROM counter")[0]?.n;
  if (found !== plan.last) throw new Error(`found ${found}, not ${plan.last}`);
  const sound = connection.all("PRAGMA integrity_check")[0]?.integrity_check;
  if (sound !== "ok") throw new Error(String(sound));
  say("ready");
  for (let i = 1; i <= plan.workers; i++) {
    const worker = new Worker(new URL("./kill_worker.ts", import.meta.url), { type: "module" });
    worker.onerror = (event) => {
      say(`failed ${event.message}`);
      process.exit(1);
    };
    worker.postMessage({ ...plan, seed: plan.seed + i });
  }
  await run(plan);
}
