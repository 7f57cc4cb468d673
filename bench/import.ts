/**
 * A bulk import into a table with two indexes: in transactions of 1,000 rows, and all in
 * one. Rows a second until all are committed, until they are durable, and until the
 * database is closed.
 *
 * Durable is what flush() waits for; a plain WAL that commits don't sync has a checkpoint for
 * it, which does more: it writes the database's file, too. So the last one is the whole
 * cost: once closed, all is in the database's file, synced. It is left out for a driver whose
 * close leaves a WAL behind, and for one that syncs nothing.
 *
 * A Worker is sent 1,000 rows a message.
 *
 * @module
 */
import { install } from "../mod.ts";
import { closeBulk, inspect, makeDurable, openBulk, runAll, transaction } from "./bulk.ts";
import { over } from "./charts.ts";
import type { Contender, Store, Value } from "./contender.ts";
import { contendersHere, contendersIn, isNode } from "./contenders/all.ts";
import { pathOf, verify } from "./databases.ts";
import { count, survivesCells } from "./print.ts";
import { random } from "./random.ts";
import { median, middle, roundsOf } from "./statistics.ts";
import type { Line, Report, Round, Series, Settings, Workload } from "./workload.ts";

const ROWS = 100_000;
const ROWS_QUICK = 20_000;
const BATCH = 1000;
const SEED = 20;

/** How many rows a transaction has. */
const WAYS = ["in transactions of 1,000", "in one transaction"] as const;
const [BATCHES, WHOLE] = WAYS;
const UNTIL = ["committed", "durable", "closed"] as const;

const named = (name: string, way: string, what: string) => `${name}, ${way}, ${what}`;

function makeBatches(rows: number): Value[][][] {
  const next = random(SEED);
  const row = (number: number): Value[] => [
    `${Math.floor(next() * 2 ** 32).toString(36)}@example.org`, // comes in no order
    1_700_000_000 + number, // comes in order
    Math.floor(next() * 1e6),
  ];
  return Array.from(
    { length: rows / BATCH },
    (_, batch) => Array.from({ length: BATCH }, (_, i) => row(batch * BATCH + i)),
  );
}

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = isNode ? undefined : await install();
  const contenders = contendersHere(vfs).filter(({ flushesEach }) => !flushesEach);
  const batches = makeBatches(quick ? ROWS_QUICK : ROWS);
  for (let round = -1; round < (quick ? 2 : 3); round++) { // the first one warms up
    const series: Round = {};
    for (const contender of contenders) {
      for (const way of WAYS) {
        const some = round < 0 ? batches.slice(0, batches.length / 10) : batches;
        Object.assign(series, await takeTurn(folder, contender, way, some));
      }
    }
    if (round >= 0) yield series;
    contenders.push(contenders.shift()!);
  }
}

async function takeTurn(
  folder: string,
  contender: Contender,
  way: string,
  batches: Value[][][],
): Promise<Round> {
  const path = pathOf(folder, contender);
  const store = await openBulk(contender, path);
  await store.exec(
    "CREATE TABLE t(id INTEGER PRIMARY KEY, address TEXT, at INTEGER, cents INTEGER)",
  );
  await store.exec("CREATE INDEX by_address ON t(address)");
  await store.exec("CREATE INDEX by_at ON t(at)");
  await makeDurable(contender, store);
  const rows = batches.length * BATCH;
  const series: Round = {};
  const startMs = performance.now();
  const add = (what: string) => {
    series[named(contender.name, way, what)] = [rows / (performance.now() - startMs) * 1000];
  };
  const atMs = await insertAll(store, way, batches);
  add("committed");
  if (way === BATCHES) series[named(contender.name, way, "ms")] = atMs.map((ms) => ms - startMs);
  if (await makeDurable(contender, store)) add("durable");
  if (await closeBulk(contender, store, path)) add("closed");
  inspect(contender, path, (_, one) => {
    for (const index of ["by_address", "by_at"]) {
      verify(contender, index, one(`SELECT count(*) FROM t INDEXED BY ${index}`), rows);
    }
    verify(contender, "rows", one("SELECT count(*) FROM t NOT INDEXED"), rows);
    const wanted = batches.flat().reduce((sum, [, , cents]) => sum + Number(cents), 0);
    verify(contender, "sum of cents", one("SELECT sum(cents) FROM t"), wanted);
    verify(contender, "different times", one("SELECT count(DISTINCT at) FROM t"), rows);
    verify(contender, "quick_check", one("PRAGMA quick_check"), "ok");
  });
  return series;
}

/** Returns when each batch was done. */
async function insertAll(store: Store, way: string, batches: Value[][][]): Promise<number[]> {
  const insert = await store.prepare("INSERT INTO t(address, at, cents) VALUES (?, ?, ?)");
  const atMs: number[] = [];
  const one = async (batch: Value[][]) => {
    await runAll(insert, batch);
    atMs.push(performance.now());
  };
  const all = async () => {
    for (const batch of batches) await one(batch);
  };
  if (way === WHOLE) await transaction(store, all);
  else {
    for (const batch of batches) {
      await transaction(store, () => runAll(insert, batch));
      atMs.push(performance.now());
    }
  }
  return atMs;
}

function rate(series: Series, name: string, way: string, what: string): string {
  const full = named(name, way, what);
  return full in series ? count(middle(series, full)) : "";
}

/** How many rows were committed when: of each batch the median of the rounds. */
function progress(series: Series, { name }: Contender): Line {
  const rounds = roundsOf(series, named(name, BATCHES, "ms"));
  const points = rounds[0]!.map((_, batch): [number, number] => [
    median(rounds.map((round) => round[batch]!)) / 1000,
    (batch + 1) * BATCH,
  ]);
  return { name, points };
}

function report(series: Series): Report {
  const contenders = contendersIn(series, (name) => named(name, WHOLE, "committed"));
  const lines = contenders.flatMap((contender) =>
    WAYS.map((way) => [
      `${contender.name}, ${way}`,
      ...UNTIL.map((what) => rate(series, contender.name, way, what)),
      ...survivesCells(contender),
    ])
  );
  const headings = ["rows/s until they are", ...UNTIL, "SIGKILL", "power cut"];
  return {
    table: [headings, ...lines],
    targets: [],
    charts: [
      over(
        "A bulk import in transactions of 1,000 rows",
        "seconds",
        "rows committed",
        contenders.map((contender) => progress(series, contender)),
        { x: "linear", y: "linear" },
      ),
    ],
    summary: contenders.map(({ name, survives }) => ({
      contender: name,
      survives,
      figures: {
        "rows/s committed": rate(series, name, BATCHES, "committed"),
        "durable": rate(series, name, BATCHES, "durable"),
        "closed": rate(series, name, BATCHES, "closed"),
      },
    })),
  };
}

/** The workload. */
export const bulkImport: Workload = {
  name: "import",
  about: "a bulk import into a table with two indexes",
  runtimes: ["Deno", "Bun", "Node"],
  measure,
  report,
};
