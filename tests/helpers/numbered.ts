/**
 * Transactions that can be told from one another, and how to find out which of them a
 * database has. Number n adds `rowsOf(n)` rows, and a line to the log with a sum over all
 * numbers so far. With a second database attached, most of them write to both.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type Connection, open } from "../../examples/sqlite.ts";

/** Schema names by the index of a database. */
export const SCHEMAS = ["main", "other"] as const;

/** Does transaction n write to the database with that index? */
export function belongs(n: number, index: number): boolean {
  return index === 0 || n % 3 !== 0;
}

/** The `back`-th last transaction of a database among those up to n; 0: none. */
export function lastBefore(n: number, index: number, back: number = 0): number {
  let left = back;
  for (let at = n; at > 0; at--) {
    if (belongs(at, index) && left-- === 0) return at;
  }
  return 0;
}

/** How many rows transaction n adds: mostly few. */
function rowsOf(n: number): number {
  return n % 50 === 0 ? 40 : n % 3;
}

/** What is in its i-th row. */
function textOf(n: number, i: number): string {
  return `${n}.${i};`.repeat(1 + (n * 7 + i * 13) % 60);
}

/** The sum that goes with transaction n, from that of the one before. */
function sumAfter(sum: number, n: number): number {
  return (sum * 31 + n * 17 + 1) % 1_000_003;
}

/** Make the tables of each database, if they are not there, in one transaction. */
export function createTables(connection: Connection, databases: number): void {
  connection.exec("BEGIN IMMEDIATE");
  for (const schema of SCHEMAS.slice(0, databases)) {
    connection.exec(`CREATE TABLE IF NOT EXISTS ${schema}.counter(n INTEGER, sum INTEGER)`);
    connection.exec(`
      CREATE TABLE IF NOT EXISTS ${schema}.log(n INTEGER PRIMARY KEY, sum INTEGER)
    `);
    connection.exec(`
      CREATE TABLE IF NOT EXISTS ${schema}.row(n INTEGER, i INTEGER, text TEXT, PRIMARY KEY(n, i))
    `);
    connection.exec(`
      INSERT INTO ${schema}.counter SELECT 0, 0 WHERE NOT EXISTS (SELECT * FROM ${schema}.counter)
    `);
  }
  connection.exec("COMMIT");
}

function prepareWrite(connection: Connection, schema: string) {
  const get = connection.prepare(`SELECT n, sum FROM ${schema}.counter`);
  const set = connection.prepare(`UPDATE ${schema}.counter SET n = ?, sum = ?`);
  const log = connection.prepare(`INSERT INTO ${schema}.log VALUES (?, ?)`);
  const row = connection.prepare(`INSERT INTO ${schema}.row VALUES (?, ?, ?)`);
  return (n: number): void => {
    const sum = sumAfter(Number(get.all()[0]!.sum), n);
    set.run(n, sum);
    log.run(n, sum);
    for (let i = 0; i < rowsOf(n); i++) row.run(n, i, textOf(n, i));
  };
}

/** Makes numbered transactions on a connection. */
export class Numbered {
  readonly connection: Connection;
  readonly #get: () => number;
  readonly #writes: ((n: number) => void)[];

  constructor(connection: Connection, databases: number) {
    this.connection = connection;
    const get = connection.prepare("SELECT n FROM main.counter");
    this.#get = () => Number(get.all()[0]!.n);
    this.#writes = SCHEMAS.slice(0, databases).map((schema) => prepareWrite(connection, schema));
  }

  /** Make the next one; its number. */
  commit(): number {
    this.connection.exec("BEGIN IMMEDIATE");
    const n = this.#get() + 1;
    this.#writes.forEach((write, index) => {
      if (belongs(n, index)) write(n);
    });
    this.connection.exec("COMMIT");
    return n;
  }

  /** Begin one that is never committed: it changes so much that some of it is written early. */
  begin(): void {
    this.connection.exec("BEGIN IMMEDIATE");
    this.connection.exec("UPDATE counter SET n = n + 1; DELETE FROM log");
    this.connection.exec("DELETE FROM row WHERE n % 10 = 2");
  }

  /** Run something with the number of the last one, which stays that meanwhile. */
  withLast<Result>(work: (n: number) => Result): Result {
    this.connection.exec("BEGIN IMMEDIATE");
    try {
      return work(this.#get());
    } finally {
      this.connection.exec("ROLLBACK");
    }
  }
}

/**
 * Check that plain SQLite finds the database sound and with exactly the transactions from 1 to
 * some number: that number.
 */
export function lastIn(path: string, index: number = 0): number {
  using connection = open(path);
  assert.equal(connection.all("PRAGMA integrity_check")[0]?.integrity_check, "ok");
  const [counter] = connection.all("SELECT n, sum FROM counter");
  const last = Number(counter?.n);
  const lines = connection.all("SELECT n, sum FROM log ORDER BY n");
  const rows = connection.all("SELECT n, i, text FROM row ORDER BY n, i");
  let sum = 0;
  let line = 0;
  let row = 0;
  for (let n = 1; n <= last; n++) {
    if (!belongs(n, index)) continue;
    sum = sumAfter(sum, n);
    const logged = lines[line++];
    assert.ok(logged?.n === n && logged.sum === sum, `transaction ${n} of ${last} is not logged`);
    for (let i = 0; i < rowsOf(n); i++) {
      const found = rows[row++];
      const whole = found?.n === n && found.i === i && found.text === textOf(n, i);
      assert.ok(whole, `row ${i} of transaction ${n} of ${last} is missing`);
    }
  }
  assert.equal(line, lines.length, "lines of no transaction");
  assert.equal(row, rows.length, "rows of no transaction");
  assert.equal(counter?.sum, sum, "the counter is not the last transaction's");
  return last;
}
