/**
 * Reads and updates by key, half of each, as in YCSB's workload A: rows of 1 KiB, zipfian
 * keys, one client, and a database that is much larger than SQLite's page cache (which is
 * 16,000 KiB for all). The operating system's cache holds it.
 *
 * The database is made once and copied for each turn; neither is counted. Each turn begins with
 * a copy of its own that is synced: the disk has nothing left to write, and the copy is in the
 * operating system's cache. Since such a copy takes long at 1 GiB, there are two counted rounds
 * only, and there no contender with a rollback journal.
 *
 * Operations a second are told until all are committed, until they are durable, and until the
 * database is closed. The last one is the whole cost: a checkpoint that was put off while there
 * was much to do is done by then. It is left out for a driver whose close leaves a WAL behind.
 *
 * @module
 */
import {
  closeSync,
  constants,
  copyFileSync,
  fsyncSync,
  openSync,
  statfsSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { open } from "../examples/sqlite.ts";
import { install } from "../mod.ts";
import { closeBulk, inspect, makeDurable, openBulk } from "./bulk.ts";
import { percentiles } from "./charts.ts";
import type { Contender, Store } from "./contender.ts";
import { contendersHere, contendersIn, isNode } from "./contenders/all.ts";
import { pathOf, verify } from "./databases.ts";
import { count, duration, survivesCells } from "./print.ts";
import { random, zipfian } from "./random.ts";
import { median, middle, percentile, roundsOf } from "./statistics.ts";
import type { Report, Round, Series, Settings, Workload } from "./workload.ts";

/** With its key and its header a row takes a quarter of a page of 4 KiB. */
const PAYLOAD = 1000;
const ROWS = 2 ** 20;
const ROWS_QUICK = 2 ** 16;
const ROW_BYTES = 1024;
/** Drawn before; a turn that needs more begins again at the first. */
const DRAWS = 2 ** 18;
const SEED = 11;
const WARM_UP = 0.2;

const KINDS = ["reads", "updates"] as const;
const PARTS = [0.5, 0.99, 0.999, 1];
const named = (name: string, what: string) => `${name}, ${what}`;

/** What to do, drawn before anything is measured. */
interface Draws {
  keys: Int32Array;
  isUpdate: Uint8Array;
  payloads: string[];
}

/** A database to be copied, and what to do with a copy. */
interface Base {
  path: string;
  rows: number;
  draws: Draws;
}

function draw(rows: number): Draws {
  const key = zipfian(rows, SEED);
  const next = random(SEED);
  return {
    keys: Int32Array.from({ length: DRAWS }, () => key() + 1),
    isUpdate: Uint8Array.from({ length: DRAWS }, () => next() < 0.5 ? 1 : 0),
    payloads: Array.from({ length: 64 }, (_, i) => payload(i)),
  };
}

function payload(seed: number, length = PAYLOAD): string {
  const next = random(seed);
  return Array.from({ length }, () => String.fromCharCode(97 + next() * 26)).join("");
}

/** Takes how many rows, and a text of which each row has a part. */
const FILL = `WITH RECURSIVE ids(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < ?)
  INSERT INTO t SELECT id, 0, substr(?, 1 + id % 64, ${PAYLOAD}) FROM ids`;

/** Throws unless there is room for the database, a copy, and a WAL that grows during a turn. */
function verifyRoom(folder: string, rows: number): void {
  const { bavail, bsize } = statfsSync(folder);
  const wanted = 3 * rows * ROW_BYTES;
  if (bavail * bsize >= wanted) return;
  const inMiB = (bytes: number) => `${Math.floor(bytes / 2 ** 20)} MiB`;
  throw new Error(`${folder}: ${inMiB(bavail * bsize)} are free, ${inMiB(wanted)} are needed`);
}

/** Make the database that is copied. */
function makeBase(folder: string, rows: number): Base {
  verifyRoom(folder, rows);
  const path = join(folder, `base-${rows}.db`);
  {
    using connection = open(path);
    connection.exec("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");
    connection.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, version INTEGER, payload TEXT)");
    connection.prepare(FILL).run(rows, payload(100, PAYLOAD + 64));
  }
  const { size } = statSync(path);
  if (Math.abs(size / (rows * ROW_BYTES) - 1) > 0.05) {
    throw new Error(`${path}: ${rows} rows of 1 KiB make ${size} bytes`);
  }
  return { path, rows, draws: draw(rows) };
}

function copySynced(from: string, to: string): void {
  copyFileSync(from, to, constants.COPYFILE_FICLONE);
  const file = openSync(to, "r+");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = isNode ? undefined : await install();
  const contenders = contendersHere(vfs).filter(({ journalMode, synchronous, vfs }) =>
    journalMode !== "memory" && synchronous !== "OFF" &&
    !(vfs !== undefined && journalMode === "wal" && synchronous === "FULL")
  );
  const small = makeBase(folder, ROWS_QUICK);
  const whole = quick ? small : makeBase(folder, ROWS);
  for (let round = -1; round < 2; round++) { // the first one warms up
    const base = round < 0 ? small : whole;
    const forMs = round < 0 ? 100 : quick ? 400 : 1500;
    const series: Round = {};
    for (const contender of contenders) {
      if (base === whole && !quick && contender.journalMode === "delete") continue;
      const path = pathOf(folder, contender);
      copySynced(base.path, path);
      Object.assign(series, await takeTurn(contender, path, base, forMs));
    }
    if (round >= 0) yield series;
    contenders.push(contenders.shift()!);
  }
}

async function takeTurn(
  contender: Contender,
  path: string,
  { rows, draws }: Base,
  forMs: number,
): Promise<Round> {
  const store = await openBulk(contender, path);
  const warm = await operate(store, draws, forMs * WARM_UP);
  const warmed = warm.reads.length + warm.updates.length;
  await makeDurable(contender, store);
  const startMs = performance.now();
  const turn = await operate(store, draws, forMs, warmed);
  const committedMs = performance.now() - startMs;
  await makeDurable(contender, store);
  const durableMs = performance.now() - startMs;
  const isWhole = await closeBulk(contender, store, path);
  const closedMs = performance.now() - startMs;
  inspect(contender, path, (connection) => {
    const [sums] = connection.all("SELECT count(*) AS n, sum(version) AS updates FROM t");
    verify(contender, "rows", sums!["n"], rows);
    verify(contender, "updates", sums!["updates"], warm.updates.length + turn.updates.length);
  });
  const operations = turn.reads.length + turn.updates.length;
  const series: Round = {
    [named(contender.name, "reads")]: turn.reads,
    [named(contender.name, "updates")]: turn.updates,
    [named(contender.name, "committed")]: [operations / committedMs * 1000],
    [named(contender.name, "durable")]: [operations / durableMs * 1000],
  };
  if (isWhole) series[named(contender.name, "closed")] = [operations / closedMs * 1000];
  return series;
}

/** What each operation took, in nanoseconds. First: how many draws were used before. */
async function operate(
  store: Store,
  { keys, isUpdate, payloads }: Draws,
  forMs: number,
  first = 0,
): Promise<{ reads: number[]; updates: number[] }> {
  const read = await store.prepare("SELECT payload FROM t WHERE id = ?");
  const update = await store.prepare(
    "UPDATE t SET version = version + 1, payload = ? WHERE id = ?",
  );
  const reads: number[] = [];
  const updates: number[] = [];
  let beforeMs = performance.now();
  const untilMs = beforeMs + forMs;
  for (let i = first; beforeMs < untilMs; i++) {
    const key = keys[i % DRAWS]!;
    const updating = isUpdate[i % DRAWS] === 1;
    const soon = updating ? update.run(payloads[i % 64]!, key) : read.all(key);
    const done = soon instanceof Promise ? await soon : soon;
    const nowMs = performance.now();
    (updating ? updates : reads).push(Math.round((nowMs - beforeMs) * 1e6));
    if (!updating && (done as unknown[]).length !== 1) throw new Error(`row ${key} was not found`);
    beforeMs = nowMs;
  }
  return { reads, updates };
}

function report(series: Series): Report {
  const contenders = contendersIn(series, (name) => named(name, "reads"));
  const at = (name: string, part: number) =>
    duration(median(roundsOf(series, name).map((samples) => percentile(samples, part))));
  const rate = (name: string, what: string) => {
    const full = named(name, what);
    return full in series ? count(middle(series, full)) : "";
  };
  const lines = contenders.map((contender) => [
    contender.name,
    ...KINDS.flatMap((kind) => PARTS.map((part) => at(named(contender.name, kind), part))),
    rate(contender.name, "committed"),
    rate(contender.name, "durable"),
    rate(contender.name, "closed"),
    ...survivesCells(contender),
  ]);
  const headings = KINDS.flatMap((kind) => [`${kind} p50`, "p99", "p99.9", "max"]);
  return {
    table: [
      ["", ...headings, "operations/s", "until durable", "until closed", "SIGKILL", "power cut"],
      ...lines,
    ],
    targets: [],
    charts: KINDS.map((kind) => {
      const names = contenders.map(({ name }) => named(name, kind));
      const { lines, ...chart } = percentiles(`How long ${kind} of the mix take`, series, names);
      return { ...chart, lines: lines.map((line, i) => ({ ...line, name: contenders[i]!.name })) };
    }),
    summary: contenders.map(({ name, survives }) => ({
      contender: name,
      survives,
      figures: {
        "read p50": at(named(name, "reads"), 0.5),
        "update p50": at(named(name, "updates"), 0.5),
        "update p99.9": at(named(name, "updates"), 0.999),
        "operations/s": rate(name, "committed"),
        "until closed": rate(name, "closed"),
      },
    })),
  };
}

/** The workload. */
export const mix: Workload = {
  name: "mix",
  about: "half reads, half updates of rows of 1 KiB in a database of 1 GiB (--quick: 64 MiB)",
  runtimes: ["Deno", "Bun", "Node"],
  measure,
  report,
};
