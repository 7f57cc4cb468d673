/**
 * Whether a database's size matters: random one-row updates, each a transaction of its
 * own, and random reads of a row, in databases of 10 MiB to 4 GiB, in WAL mode
 * with synchronous=NORMAL.
 *
 * A larger database costs plain SQLite more, too: its trees are higher, and
 * more of it is in no cache. So two things are looked at: our p50 by plain SQLite's, which
 * comes nearer to 1 with everything that costs both the same; and by how much ours grows,
 * by how much plain SQLite's does.
 *
 * Both contenders use the same file, one after the other, so that what the
 * system has of it in its cache is the same; with less memory than the
 * largest of them the reads come from disk.
 *
 * @module
 */
import { over } from "./charts.ts";
import { rmSync, statfsSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Connection, open } from "../examples/sqlite.ts";
import { type AsyncVfs, install } from "../mod.ts";
import { latencyHeadings, latencyLine, mebibytes } from "./print.ts";
import { median, percentile, ratios, roundsOf, target } from "./statistics.ts";
import type { Chart, Report, Round, Series, Settings, Workload } from "./workload.ts";

const OURS = "sqlite3async WAL/NORMAL";
const PLAIN = "plain WAL/NORMAL";
const KINDS = ["update", "read"] as const;
type Kind = (typeof KINDS)[number];

const MIB = 2 ** 20;
const SIZES = {
  "10 MiB": 10 * MIB,
  "100 MiB": 100 * MIB,
  "1 GiB": 1024 * MIB,
  "4 GiB": 4096 * MIB,
};
const QUICK_MAX = 100 * MIB;
/** For the WAL, and for others that use this disk. */
const SPARE_BYTES = 2048 * MIB;
/** Three of them fill a page of 4096 bytes. */
const ROW_BYTES = 1200;
const ROWS_A_PAGE = 3;
const PAGE_SIZE = 4096;
/** The part of a turn that warms up. */
const WARM_UP = 0.1;
const GROWTH_MAX = 1.3;

const seriesName = (name: string, kind: Kind, size: string) => `${name}, ${kind}, ${size}`;

/** A database, which both contenders use. */
interface Sized {
  size: string;
  path: string;
  rows: number;
  /** Of each row that was updated, how often. */
  versions: Map<number, number>;
}

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = await install();
  const sizes = Object.entries(SIZES).filter(([, bytes]) => !quick || bytes <= QUICK_MAX);
  checkRoom(folder, sizes.reduce((sum, [, bytes]) => sum + bytes, 0) + SPARE_BYTES);
  const databases = sizes.map(([size, bytes]) => build(folder, size, bytes));
  const times = quick ? 3000 : 10_000;
  for (let round = -1; round < (quick ? 3 : 5); round++) { // the first one warms up
    const series: Round = {};
    for (const database of databases) {
      const turns: Turn[] = [
        { database, name: PLAIN, times, series },
        { database, name: OURS, vfs, times, series },
      ];
      for (const turn of round % 2 === 0 ? turns : turns.toReversed()) await takeTurn(turn);
    }
    if (round >= 0) yield series;
  }
  for (const { path } of databases) rmSync(path);
}

function checkRoom(folder: string, wanted: number): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free >= wanted) return;
  throw new Error(
    `Cannot make the databases: they need ${mebibytes(wanted)} in ${folder}, and ` +
      `there are ${mebibytes(free)} free`,
  );
}

function build(folder: string, size: string, bytes: number): Sized {
  const path = join(folder, `${size.replace(" ", "-")}.db`);
  const rows = Math.floor(bytes / PAGE_SIZE * ROWS_A_PAGE);
  using connection = open(path);
  connection.exec(`PRAGMA page_size = ${PAGE_SIZE}; PRAGMA journal_mode = OFF`);
  connection.exec("PRAGMA synchronous = OFF");
  connection.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, version INTEGER, data BLOB)");
  connection.exec(
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ${rows}) ` +
      `INSERT INTO t SELECT i, 0, zeroblob(${ROW_BYTES}) FROM n`,
  );
  connection.exec("PRAGMA journal_mode = WAL");
  const made = statSync(path).size;
  if (made < bytes * 0.95 || made > bytes * 1.1) {
    throw new Error(`${path} has ${mebibytes(made)} instead of ${size}`);
  }
  return { size, path, rows, versions: new Map() };
}

/** What one contender does once to one database. */
interface Turn {
  database: Sized;
  name: string;
  vfs?: AsyncVfs;
  times: number;
  series: Round;
}

async function takeTurn({ database, name, vfs, times, series }: Turn): Promise<void> {
  const { path, size, rows, versions } = database;
  const updated = randomIds(rows, times);
  {
    using connection = open(vfs?.uri(path) ?? path);
    connection.exec("PRAGMA synchronous = NORMAL");
    verify(name, connection, { journal_mode: "wal", synchronous: 1, page_size: PAGE_SIZE });
    const update = connection.prepare("UPDATE t SET version = version + 1 WHERE id = ?");
    const read = connection.prepare("SELECT version FROM t WHERE id = ?");
    series[seriesName(name, "update", size)] = time(updated, (id) => update.run(id));
    series[seriesName(name, "read", size)] = time(randomIds(rows, times), (id) => read.all(id));
    await vfs?.flush();
  }
  await vfs?.flush();
  for (const id of updated) versions.set(id, (versions.get(id) ?? 0) + 1);
  verifyVersions(name, database, updated);
}

/** In nanoseconds, but for the first ones, which warm up. */
function time(ids: Int32Array, work: (id: number) => void): number[] {
  const samples = new Float64Array(ids.length);
  let beforeMs = performance.now();
  for (let i = 0; i < ids.length; i++) {
    work(ids[i]!);
    const nowMs = performance.now();
    samples[i] = nowMs - beforeMs;
    beforeMs = nowMs;
  }
  return Array.from(samples.subarray(ids.length * WARM_UP), (ms) => Math.round(ms * 1e6));
}

/** Others each time, so that nobody finds in a cache what the one before has read. */
function randomIds(rows: number, times: number): Int32Array {
  return Int32Array.from({ length: times }, () => 1 + Math.floor(Math.random() * rows));
}

function verify(name: string, connection: Connection, wanted: Record<string, unknown>): void {
  for (const [pragma, value] of Object.entries(wanted)) {
    const found = Object.values(connection.all(`PRAGMA ${pragma}`)[0]!)[0];
    if (found !== value) throw new Error(`${name}: ${pragma} is "${found}" instead of "${value}"`);
  }
}

/** By plain SQLite, once all is closed: every update is there. */
function verifyVersions(name: string, { path, versions }: Sized, ids: Int32Array): void {
  using connection = open(path);
  const read = connection.prepare("SELECT version FROM t WHERE id = ?");
  for (const id of ids) {
    const version = read.all(id)[0]?.version;
    if (version === versions.get(id)) continue;
    throw new Error(`${name}: row ${id} has version ${version} instead of ${versions.get(id)}`);
  }
}

// ---- The report ----

function report(series: Series): Report {
  const sizes = Object.keys(SIZES).filter((size) => seriesName(OURS, "read", size) in series);
  const lines = KINDS.flatMap((kind) =>
    sizes.flatMap((size) =>
      [PLAIN, OURS].map((name) => {
        const by = name === OURS ? median(byPlain(series, kind, size)).toFixed(2) : "";
        return [...latencyLine(series, seriesName(name, kind, size)), by];
      })
    )
  );
  const [smallest, largest] = [sizes[0]!, sizes.at(-1)!];
  return {
    table: [["", ...latencyHeadings, "p50 by plain's"], ...lines],
    targets: KINDS.flatMap((kind) => {
      const small = byPlain(series, kind, smallest);
      const grown = byPlain(series, kind, largest).map((by, round) => by / small[round]!);
      const [ours, plain] = [OURS, PLAIN].map((name) => growth(series, name, kind, sizes));
      const more = ours!.map((ns, round) => ns / plain![round]!);
      return [
        target(`${kind}: p50 by plain's, ${largest} by ${smallest}`, grown, "at most", GROWTH_MAX),
        target(`${kind}: p50, what it grows by plain's growth`, more, "at most", GROWTH_MAX),
      ];
    }),
    charts: KINDS.map((kind) => chart(series, kind, sizes)),
  };
}

/** By rounds, our p50 by plain SQLite's. */
function byPlain(series: Series, kind: Kind, size: string): number[] {
  return ratios(series, seriesName(OURS, kind, size), seriesName(PLAIN, kind, size));
}

/** By rounds, by how many nanoseconds the p50 is longer with the largest than with the smallest. */
function growth(series: Series, name: string, kind: Kind, sizes: string[]): number[] {
  const [small, large] = [sizes[0]!, sizes.at(-1)!].map((size) =>
    roundsOf(series, seriesName(name, kind, size)).map(median)
  );
  return large!.map((ns, round) => ns - small![round]!);
}

function chart(series: Series, kind: Kind, sizes: string[]): Chart {
  const lines = [PLAIN, OURS].flatMap((name) =>
    ([["p50", 0.5], ["p99", 0.99]] as const).map(([part, at]) => ({
      name: `${name}, ${part}`,
      points: sizes.map((size): [number, number] => [
        SIZES[size as keyof typeof SIZES] / MIB,
        percentile(roundsOf(series, seriesName(name, kind, size)).flat(), at) / 1000,
      ]),
    }))
  );
  return over(`Cost of a random ${kind} over the database's size`, "MiB", "microseconds", lines);
}

/** The workload. */
export const sizes: Workload = {
  name: "sizes",
  about: "random updates and reads in databases of 10 MiB to 4 GiB (--quick: 100 MiB)",
  measure,
  report,
};
