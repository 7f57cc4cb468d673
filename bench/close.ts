/**
 * How long the last close of a database takes, after 1, 1,000 and 10,000 one-row commits into a
 * new one: plain SQLite checkpoints the WAL in it, and ours has its queue to write, too.
 *
 * In a rollback mode plain SQLite has paid for its syncs in each commit, and ours pays at the
 * close; so there it is the time of commits and close together that is compared. "After a flush":
 * the program awaits a flush before it closes, and only what is left then is the close's.
 *
 * The contenders take turns within each sample, in an order that moves on. Each closed database
 * is verified before anything else is awaited: no journal is left, and plain SQLite has all rows.
 * Then what ours does after the close, the folder's sync, is awaited before the next one's turn.
 * All run on the disk of extension/slow.c, which is not slowed, and counts syncs.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { type AsyncVfs, install } from "../mod.ts";
import { over } from "./charts.ts";
import { type Contender, settle } from "./contender.ts";
import {
  onVfs,
  oursDelete,
  oursWal,
  PLAIN_DELETE,
  PLAIN_FULL,
  PLAIN_NORMAL,
} from "./contenders/builtin.ts";
import { create, type Database, rowNames, verifyClosed, verifyModes } from "./databases.ts";
import { count, duration, survivesCells } from "./print.ts";
import { registerSlowDisk, SLOW_VFS, slowCalls } from "./slow_disk.ts";
import { median, middle, percentile, ratios, roundsOf, target } from "./statistics.ts";
import type { Chart, Report, Round, Series, Settings, Target, Workload } from "./workload.ts";

const COMMITS = [1, 1000, 10_000];
const WAYS = ["plain", "ours", "ours, after a flush"] as const;
const CLOSE_MAX = 1.2;
const FLUSHED_CLOSE_MAX = 0.1;

type Way = typeof WAYS[number];

/** A way to keep a database, in which all contenders keep it. */
interface Mode {
  name: string;
  plain: Contender;
  ours: (vfs: AsyncVfs) => Contender;
  /** How often a round takes each of COMMITS. */
  samples: number[];
  samplesQuick: number[];
  /** Only the first round takes so many or more. */
  onceFrom?: number;
}

const wal = { samples: [5, 5, 3], samplesQuick: [3, 3, 1] };

const MODES: Mode[] = [
  { name: "WAL/NORMAL", plain: PLAIN_NORMAL, ours: (vfs) => oursWal(vfs), ...wal },
  { name: "WAL/FULL", plain: PLAIN_FULL, ours: (vfs) => oursWal(vfs, "FULL"), ...wal },
  {
    name: "DELETE/FULL",
    plain: PLAIN_DELETE,
    ours: oursDelete,
    samples: [5, 3, 1],
    samplesQuick: [3, 1, 0],
    onceFrom: 10_000, // they sync three times each, which takes half a minute
  },
];

/** What one contender does once. */
interface Turn {
  folder: string;
  contender: Contender;
  names: string[];
  flushes: boolean;
}

const seriesName = (way: Way, mode: Mode, commits: number) =>
  `${way}, ${mode.name}, ${count(commits)}`;

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await registerSlowDisk();
  await using vfs = await install({ parent: SLOW_VFS });
  const names = rowNames(Math.max(...COMMITS));
  const ways: Way[] = [...WAYS];
  for (let round = -1; round < (quick ? 2 : 5); round++) { // the first one warms up
    const series: Round = {};
    for (const mode of MODES) {
      const { samples, samplesQuick, onceFrom = Infinity } = mode;
      for (const [i, commits] of COMMITS.entries()) {
        const times = (quick || round < 0 ? samplesQuick : samples)[i]!;
        if (round > 0 && commits >= onceFrom) continue;
        for (let sample = 0; sample < times; sample++) {
          for (const way of ways) {
            const contender = way === "plain" ? onVfs(mode.plain, SLOW_VFS) : mode.ours(vfs);
            const flushes = way === "ours, after a flush";
            const turn = { folder, contender, names: names.slice(0, commits), flushes };
            await takeTurn(series, seriesName(way, mode, commits), turn);
          }
          ways.push(ways.shift()!); // so that none always follows the same one
        }
      }
    }
    if (round >= 0) yield series;
  }
}

async function takeTurn(series: Round, name: string, turn: Turn): Promise<void> {
  const { folder, contender, names, flushes } = turn;
  const database = await create(folder, contender);
  await verifyModes(contender, database.store);
  let before = slowCalls();
  const startMs = performance.now();
  for (const row of names) database.insert.run(row);
  const committedMs = performance.now();
  if (flushes) {
    await contender.vfs!.flush({ path: database.path });
    before = slowCalls(); // the close's alone
  }
  const closesMs = performance.now();
  database.store.close();
  const closedMs = performance.now();
  const { syncs } = slowCalls();
  verifyFile(database, names.length);
  await settle(contender);

  const add = (what: string, value: number) => (series[`${name}, ${what}`] ??= []).push(value);
  add("close", Math.round((closedMs - closesMs) * 1e6));
  add("commits", Math.round((committedMs - startMs) * 1e6));
  add("in all", Math.round((closedMs - startMs) * 1e6));
  add("syncs", syncs - before.syncs);
}

/** Throws unless nothing but a file is left, with all rows. */
function verifyFile(database: Database, rows: number): void {
  const { contender, path } = database;
  for (const suffix of ["-wal", "-shm", "-journal"]) {
    if (existsSync(path + suffix)) {
      throw new Error(`${contender.name}: closed, but ${suffix} is left`);
    }
  }
  verifyClosed(database, rows);
}

// ---- The report ----

/** The modes and numbers of commits that were measured. */
function measured(series: Series): { mode: Mode; commits: number }[] {
  return MODES.flatMap((mode) => COMMITS.map((commits) => ({ mode, commits }))).filter(
    ({ mode, commits }) => `${seriesName("plain", mode, commits)}, close` in series,
  );
}

const isWal = (mode: Mode) => mode.plain.journalMode === "wal";

/** Of each round, a way's median by plain SQLite's. */
function byPlain(series: Series, way: Way, mode: Mode, commits: number, what: string): number[] {
  const [mine, plains] = [way, "plain" as const].map((way) =>
    `${seriesName(way, mode, commits)}, ${what}`
  );
  return ratios(series, mine!, plains!);
}

function report(series: Series): Report {
  const cases = measured(series);
  const headings = ["close", "of rounds", "p90", "by plain's", "commits", "in all", "by plain's"];
  return {
    table: [
      ["", ...headings, "syncs", "SIGKILL", "power cut"],
      ...cases.flatMap(({ mode, commits }) => WAYS.map((way) => line(series, way, mode, commits))),
    ],
    targets: cases.flatMap(({ mode, commits }) => targets(series, mode, commits)),
    charts: MODES.map((mode) => chart(series, mode)),
  };
}

function line(series: Series, way: Way, mode: Mode, commits: number): string[] {
  const name = seriesName(way, mode, commits);
  const closes = roundsOf(series, `${name}, close`);
  const medians = closes.map(median);
  const by = (what: string) =>
    way === "plain" ? "" : median(byPlain(series, way, mode, commits, what)).toFixed(2);
  return [
    name,
    duration(median(medians)),
    `${duration(Math.min(...medians))} - ${duration(Math.max(...medians))}`,
    duration(percentile(closes.flat(), 0.9)),
    by("close"),
    duration(middle(series, `${name}, commits`)),
    duration(middle(series, `${name}, in all`)),
    by("in all"),
    count(middle(series, `${name}, syncs`)),
    ...survivesCells(way === "plain" ? mode.plain : mode.ours({} as AsyncVfs)),
  ];
}

function targets(series: Series, mode: Mode, commits: number): Target[] {
  const after = `${mode.name}, ${count(commits)} commits`;
  const by = (way: Way, what: string) => byPlain(series, way, mode, commits, what);
  const flushed = "ours, after a flush";
  const [what, named] = isWal(mode) ? ["close", "the close"] : ["in all", "commits and close"];
  return [
    target(`${after}: ${named} by plain's`, by("ours", what!), "at most", CLOSE_MAX),
    ...(isWal(mode)
      ? [target(
        `${after}: the close after a flush by plain's`,
        by(flushed, "close"),
        "at most",
        FLUSHED_CLOSE_MAX,
      )]
      : []),
  ];
}

function chart(series: Series, mode: Mode): Chart {
  const points = (way: Way): [number, number][] =>
    measured(series).filter((measured) => measured.mode === mode).map(({ commits }) => [
      commits,
      middle(series, `${seriesName(way, mode, commits)}, close`) / 1e6,
    ]);
  const lines = WAYS.map((way) => ({ name: way, points: points(way) }));
  return over(`The last close, ${mode.name}`, "commits before", "milliseconds", lines);
}

/** The workload. */
export const close: Workload = {
  name: "close",
  about: "the last close of a database, after 1, 1,000 and 10,000 commits",
  usesNative: true,
  runtimes: ["Deno", "Bun", "Node"],
  measure,
  report,
};
