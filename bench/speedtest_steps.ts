/**
 * The steps of the speedtest workload: what SQLite's speedtest1 has, in other words.
 *
 * Three tables: `plain` without any index, `ordered` whose keys come in order, and
 * `scattered` with keys that come in none and an index.
 *
 * @module
 */
import { runAll, transaction } from "./bulk.ts";
import type { Store, Value } from "./contender.ts";
import { only } from "./databases.ts";
import { random, shuffled } from "./random.ts";

/** One step. */
export interface Step {
  name: string;
  /** Returns what came of it: the same for whoever does it right. Size: rows of a table. */
  run(store: Store, size: number): Promise<unknown>;
}

const WORDS = "zero one two three four five six seven eight nine".split(" ");
/** Rows that a range reads or changes, of each 1,000 of a table. */
const RANGE_PART = 0.01;

/** A number in words, digit by digit: "four two". */
const inWords = (number: number) => [...String(number)].map((digit) => WORDS[+digit]).join(" ");

/** Rows of a key, a number and its words. */
function rowsBy(keys: number[], seed: number): Value[][] {
  const next = random(seed);
  return keys.map((key) => {
    const number = Math.floor(next() * keys.length);
    return [key, number, inWords(number)];
  });
}

const inOrder = (size: number) => Array.from({ length: size }, (_, i) => i);

/** So many ranges of numbers: where each begins and ends. */
function ranges(size: number, many: number, seed: number): Value[][] {
  const next = random(seed);
  const width = Math.ceil(size * RANGE_PART);
  return Array.from({ length: many }, () => {
    const first = Math.floor(next() * (size - width));
    return [first, first + width];
  });
}

/** Make a table, in a transaction, with the rows. */
async function fill(store: Store, table: string, more: string, rows: Value[][]): Promise<unknown> {
  await transaction(store, async () => {
    for (const sql of more.split(";")) await store.exec(sql);
    await runAll(await store.prepare(`INSERT INTO ${table} VALUES (?, ?, ?)`), rows);
  });
  return await only(store, `SELECT count(*) FROM ${table}`);
}

/** Run a query for each of the rows of values; the sum of the first column of what it finds. */
async function sumOf(store: Store, sql: string, rows: Value[][]): Promise<number> {
  const query = await store.prepare(sql);
  let sum = 0;
  for (const values of rows) {
    const soon = query.all(...values);
    const found = soon instanceof Promise ? await soon : soon;
    for (const row of found) sum += Number(Object.values(row)[0]);
  }
  return sum;
}

/** Change rows in one transaction, by each of the rows of values; the table's sum after it. */
async function change(
  store: Store,
  table: string,
  sql: string,
  rows: Value[][],
): Promise<unknown> {
  await transaction(store, async () => await runAll(await store.prepare(sql), rows));
  return await only(store, `SELECT sum(b) + count(*) FROM ${table}`);
}

const inserts: Step[] = [
  {
    name: "inserts, each a commit",
    run: async (store, size) => {
      await store.exec("CREATE TABLE single(a INTEGER, b INTEGER, c TEXT)");
      const insert = await store.prepare("INSERT INTO single VALUES (?, ?, ?)");
      for (const row of rowsBy(inOrder(size / 100), 1)) {
        const soon = insert.run(...row);
        if (soon instanceof Promise) await soon;
      }
      return await only(store, "SELECT count(*) FROM single");
    },
  },
  {
    name: "inserts without an index",
    run: (store, size) =>
      fill(
        store,
        "plain",
        "CREATE TABLE plain(a INTEGER, b INTEGER, c TEXT)",
        rowsBy(shuffled(size, 2), 2),
      ),
  },
  {
    name: "inserts in order",
    run: (store, size) =>
      fill(
        store,
        "ordered",
        "CREATE TABLE ordered(a INTEGER PRIMARY KEY, b INTEGER, c TEXT)",
        rowsBy(inOrder(size), 3),
      ),
  },
  {
    name: "inserts in no order, an index",
    run: (store, size) =>
      fill(
        store,
        "scattered",
        "CREATE TABLE scattered(a INTEGER PRIMARY KEY, b INTEGER, c TEXT);" +
          "CREATE INDEX scattered_b ON scattered(b)",
        rowsBy(shuffled(size, 4), 4),
      ),
  },
];

const selects: Step[] = [
  {
    name: "25 ranges without an index",
    run: (store, size) =>
      sumOf(store, "SELECT sum(a) FROM plain WHERE b BETWEEN ? AND ?", ranges(size, 25, 5)),
  },
  {
    name: "10 LIKE",
    run: (store) =>
      sumOf(
        store,
        "SELECT sum(a) FROM plain WHERE c LIKE ?",
        WORDS.map((word) => [`%${word} ${word}%`]),
      ),
  },
  {
    name: "10 ORDER BY without an index",
    run: (store, size) =>
      sumOf(
        store,
        "SELECT a, c FROM plain WHERE b BETWEEN ? AND ? ORDER BY c, a",
        ranges(size, 10, 6),
      ),
  },
  {
    name: "10 ORDER BY with LIMIT",
    run: (store) =>
      sumOf(
        store,
        "SELECT a FROM plain WHERE c LIKE ? ORDER BY c, a LIMIT 10",
        WORDS.map((word) => [`%${word}%`]),
      ),
  },
  {
    name: "CREATE INDEX, three times",
    run: (store) =>
      transaction(store, async () => {
        await store.exec("CREATE INDEX plain_b ON plain(b)");
        await store.exec("CREATE INDEX plain_c ON plain(c)");
        await store.exec("CREATE INDEX ordered_b_c ON ordered(b, c)");
      }),
  },
  {
    name: "ranges by an index",
    run: (store, size) =>
      sumOf(store, "SELECT sum(a) FROM plain WHERE b BETWEEN ? AND ?", ranges(size, size / 20, 7)),
  },
  {
    name: "texts by an index",
    run: (store, size) =>
      sumOf(
        store,
        "SELECT a FROM plain WHERE c = ?",
        ranges(size, size / 10, 8).map(([first]) => [inWords(first as number)]),
      ),
  },
  {
    name: "10 joins of three tables",
    run: (store, size) =>
      sumOf(
        store,
        "SELECT sum(ordered.b) FROM scattered JOIN ordered ON ordered.a = scattered.b" +
          " JOIN plain ON plain.b = ordered.b WHERE scattered.b BETWEEN ? AND ?",
        ranges(size, 10, 9),
      ),
  },
];

const changes: Step[] = [
  {
    name: "INSERT from SELECT",
    run: async (store) => {
      await transaction(store, async () => {
        await store.exec("CREATE TABLE copied(a INTEGER PRIMARY KEY, b INTEGER, c TEXT)");
        await store.exec("CREATE INDEX copied_b ON copied(b)");
        await store.exec("INSERT INTO copied SELECT a, b, c FROM plain");
      });
      return await only(store, "SELECT count(*) FROM copied");
    },
  },
  {
    name: "updates of ranges",
    run: (store, size) =>
      change(
        store,
        "scattered",
        "UPDATE scattered SET b = b + 1 WHERE a BETWEEN ? AND ?",
        ranges(size, 50, 10),
      ),
  },
  {
    name: "updates of single rows",
    run: (store, size) =>
      change(
        store,
        "ordered",
        "UPDATE ordered SET b = b + 1 WHERE a = ?",
        shuffled(size, 11).map((a) => [a]),
      ),
  },
  {
    name: "an update of all rows",
    run: (store) => change(store, "copied", "UPDATE copied SET b = b + ?", [[4]]),
  },
  {
    name: "deletes of ranges",
    run: (store, size) =>
      change(
        store,
        "scattered",
        "DELETE FROM scattered WHERE b BETWEEN ? AND ?",
        ranges(size, 25, 12),
      ),
  },
  {
    name: "a DELETE by LIKE, and refill",
    run: async (store) => {
      await transaction(store, async () => {
        await store.exec("DELETE FROM copied WHERE c LIKE '%seven%'");
        await store.exec("INSERT OR REPLACE INTO copied SELECT a, b, c FROM ordered");
      });
      return await only(store, "SELECT sum(b) + count(*) FROM copied");
    },
  },
  {
    name: "DROP TABLE",
    run: (store) => transaction(store, async () => void await store.exec("DROP TABLE plain")),
  },
];

const whole: Step[] = [
  { name: "count of rows", run: (store) => only(store, "SELECT count(*) FROM ordered") },
  { name: "VACUUM", run: async (store) => void await store.exec("VACUUM") },
  { name: "integrity_check", run: (store) => only(store, "PRAGMA integrity_check") },
  { name: "ANALYZE", run: async (store) => void await store.exec("ANALYZE") },
];

/** In the order in which they are run. */
export const steps: Step[] = [...inserts, ...selects, ...changes, ...whole];
