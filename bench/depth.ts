/**
 * What commits and reads take, by what is queued and not yet applied: up to a
 * million commits or ops, with no writer running meanwhile.
 *
 * A million pages of 4096 bytes would be 4 GiB, so pages have 512 bytes here at
 * every depth. The queue merges what commits in WAL mode append into ops of up to 64
 * KiB, so there the depth is of commits: a million of them are some 10,000
 * ops. With a rollback journal, and of pages, the depth is of ops.
 *
 * In the runtimes real commits pile up in WAL mode; the rest is in
 * native/depth.c and native/depth_reads.c.
 *
 * @module
 */
import { over } from "./charts.ts";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type Connection, open, type Statement } from "../examples/sqlite.ts";
import { type AsyncVfs, install } from "../mod.ts";
import { count, latencyHeadings, latencyLine, mebibytes } from "./print.ts";
import { middle, percentile, ratios, roundsOf, target } from "./statistics.ts";
import type { Chart, Line, Report, Round, Series, Settings, Workload } from "./workload.ts";

const DEPTHS = [0, 1000, 10_000, 100_000, 1_000_000];
const DEPTH_QUICK_MAX = 100_000;
const SLOWER_MAX = 1.3;
const COMMIT = "commit";
const PAGE = "page of the disk";
const QUEUED_PAGE = "page of the queue";
const MERGED_PAGE = "page of the queue, merged";
const ROW = "row";

const SAMPLES = 1000;
/** A depth of so much or less is come to anew for each few samples, not to get far from it. */
const SHALLOW = 1000;
const SHALLOW_TIMES = 10;
const ROWS_WARM_UP = 5000;

const at = (what: string, depth: number) => `${what}, depth ${count(depth)}`;

// ---- In a runtime ----

/** A database whose commits pile up, once the VFS is halted. */
interface Pile {
  vfs: AsyncVfs;
  path: string;
  connection: Connection;
  insert: Statement;
  rows: number;
  /** The rows when everything was applied last. */
  appliedRows: number;
}

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  // Nothing that waits, and nobody else at work: no bound, no checkpoint.
  await using vfs = await install({
    maxQueueBytes: 0,
    maxWalBytes: 0,
    checkpointBytes: 0,
    checkpointIdleMs: 2 ** 31 - 1,
    maxDelayMs: 0,
  });
  const depths = DEPTHS.filter((depth) => !quick || depth <= DEPTH_QUICK_MAX);
  for (let round = -1; round < (quick ? 3 : 4); round++) { // the first one warms up
    const series: Round = {};
    const path = join(folder, "depth.db");
    const pile = await create(path, vfs);
    try {
      const wanted = round < 0 ? depths.filter((depth) => depth <= 10_000) : depths;
      for (const depth of wanted) await measureAt(pile, depth, series);
      verify(pile.connection, pile.rows);
    } finally {
      vfs.halt = "never";
      pile.connection.close();
    }
    await vfs.flush();
    {
      using plain = open(path);
      verify(plain, pile.rows);
    }
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
    if (round >= 0) yield series;
  }
}

async function create(path: string, vfs: AsyncVfs): Promise<Pile> {
  const connection = open(vfs.uri(path));
  connection.exec("PRAGMA page_size = 512; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  connection.exec("PRAGMA wal_autocheckpoint = 0");
  connection.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT)");
  const insert = connection.prepare("INSERT INTO t(name) VALUES (?)");
  const pile: Pile = { vfs, path, connection, insert, rows: 0, appliedRows: 0 };
  while (pile.rows < ROWS_WARM_UP) commit(pile);
  await applyAll(pile);
  return pile;
}

function commit(pile: Pile): void {
  pile.insert.run(`a row to commit, number ${pile.rows++}`);
}

/** Apply all that is queued; halted afterwards. */
async function applyAll(pile: Pile): Promise<void> {
  pile.vfs.halt = "never";
  await pile.vfs.flush();
  pile.vfs.halt = "now";
  pile.appliedRows = pile.rows;
}

/** Commit until the queue is so deep, and time the next commits. */
async function measureAt(pile: Pile, depth: number, series: Round): Promise<void> {
  const times = depth <= SHALLOW ? SHALLOW_TIMES : 1;
  const samplesMs = new Float64Array(SAMPLES);
  for (let time = 0; time < times; time++) {
    if (depth <= SHALLOW) await applyAll(pile);
    while (pile.rows - pile.appliedRows < depth) commit(pile);
    for (let i = time * SAMPLES / times; i < (time + 1) * SAMPLES / times; i++) {
      const startMs = performance.now();
      commit(pile);
      samplesMs[i] = performance.now() - startMs;
    }
  }
  const { queuedOps, queuedBytes, committed, applied } = pile.vfs.status(pile.path);
  if (committed - applied < depth) throw new Error(`only ${committed - applied} were queued`);
  series[at(COMMIT, depth)] = Array.from(samplesMs, (ms) => Math.round(ms * 1e6));
  series[at("queued ops", depth)] = [queuedOps];
  series[at("queued bytes", depth)] = [queuedBytes];
}

function verify(connection: Connection, rows: number): void {
  const values = { page_size: 512, journal_mode: "wal" };
  for (const [name, wanted] of Object.entries(values)) {
    const found = Object.values(connection.all(`PRAGMA ${name}`)[0]!)[0];
    if (found !== wanted) throw new Error(`${name} is "${found}" instead of "${wanted}"`);
  }
  const found = Object.values(connection.all("SELECT count(*) FROM t")[0]!)[0];
  if (found !== rows) throw new Error(`there are ${found} rows instead of ${rows}`);
}

// ---- The report ----

function report(series: Series, variant: string): Report {
  const kinds = [COMMIT, PAGE, QUEUED_PAGE, ROW].filter((kind) =>
    depthsOf(series, kind).length > 0
  );
  const lines = kinds.flatMap((kind) =>
    depthsOf(series, kind).map((depth) => line(series, kind, depth))
  );
  if (MERGED_PAGE in series) lines.push([...latencyLine(series, MERGED_PAGE), "", ""]);
  return {
    table: [["", ...latencyHeadings, "queued ops", "queued bytes"], ...lines],
    targets: kinds.map((kind) => {
      const deepest = depthsOf(series, kind).at(-1)!;
      const base = at(kind === QUEUED_PAGE ? PAGE : kind, 0);
      const slower = ratios(series, at(kind, deepest), base);
      return target(`${at(kind, deepest)}: p50 by "${base}"`, slower, "at most", SLOWER_MAX);
    }),
    charts: [chart(series, kinds, variant)],
  };
}

function depthsOf(series: Series, kind: string): number[] {
  return DEPTHS.filter((depth) => at(kind, depth) in series);
}

function line(series: Series, kind: string, depth: number): string[] {
  const name = at(kind, depth);
  const queued = (what: string) => middle(series, at(what, depth));
  return [
    ...latencyLine(series, name),
    count(queued("queued ops")),
    mebibytes(queued("queued bytes")),
  ];
}

/** Depth 0 is drawn at 1, since a logarithmic axis has no 0. */
function chart(series: Series, kinds: string[], variant: string): Chart {
  const lines = kinds.flatMap((kind): Line[] =>
    [["p50", 0.5], ["p99", 0.99]].map(([name, part]) => ({
      name: `${kind}, ${name}`,
      points: depthsOf(series, kind).map((depth): [number, number] => [
        Math.max(1, depth),
        percentile(roundsOf(series, at(kind, depth)).flat(), part as number) / 1000,
      ]),
    }))
  );
  const inRuntime = variant === "Deno" || variant === "Bun";
  const of = kinds.includes(COMMIT)
    ? `commits${inRuntime ? ", WAL" : `, native, ${variant}`}`
    : `reads, ${variant}`;
  return over(
    `Cost over the queue's depth: ${of}`,
    "queued (0 is drawn at 1)",
    "microseconds",
    lines,
  );
}

/** The workload. */
export const depth: Workload = {
  name: "depth",
  about: "commits and reads, with 0 to 1,000,000 (--quick, in runtimes: 100,000) queued",
  measure,
  launches: (quick) => [
    { variant: "WAL", times: quick ? 3 : 8 },
    { variant: "DELETE", times: quick ? 2 : 5 },
    { variant: "pages", times: 1 },
    { variant: "rows", times: 1 },
  ],
  report,
};
