/**
 * A full queue: what becomes of commits that come faster than a slow disk takes them,
 * when the caller waits for room ("block"), and when it gets SQLITE_BUSY and comes again a
 * millisecond later ("busy").
 *
 * The ceiling is a queue without a bound: all is queued, and the disk then goes as fast as
 * it can. The time is that up to when the last commit is on disk. That nothing was lost is
 * verified by the rows that plain SQLite finds.
 *
 * @module
 */
import { type AsyncVfs, install, type OnQueueFull } from "../mod.ts";
import { overTime, percentiles } from "./charts.ts";
import type { Contender } from "./contender.ts";
import { oursWal } from "./contenders/builtin.ts";
import { create, type Database, finish, rowNames } from "./databases.ts";
import { count, duration, survivesCells } from "./print.ts";
import { registerSlowDisk, SLOW_VFS } from "./slow_disk.ts";
import { middle, percentile, ratios, roundsOf, target } from "./statistics.ts";
import type { Report, Round, Series, Settings, Workload } from "./workload.ts";

const BOUND_BYTES = 2 ** 20;
const COMMITS = 12_000;
/** The least of a round's times that a queue must have been full to tell anything. */
const FULL_MIN = 3;
const SQLITE_BUSY = 5;

const FREE = "no bound";
const POLICIES: OnQueueFull[] = ["block", "busy"];

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  const setSlowness = await registerSlowDisk();
  await using vfs = await install({ parent: SLOW_VFS });
  const contender = oursWal(vfs);
  const commits = quick ? COMMITS / 3 : COMMITS;
  for (let round = -1; round < (quick ? 2 : 5); round++) { // the first one warms up
    const series: Round = {};
    for (const name of [FREE, ...POLICIES]) {
      vfs.maxQueueBytes = name === FREE ? 0 : BOUND_BYTES;
      if (name !== FREE) vfs.onQueueFull = name as OnQueueFull;
      const database = await create(folder, contender);
      await setSlowness({ syncMs: 5, writeMs: 1 });
      await takeTurn(series, name, vfs, database, round < 0 ? commits / 4 : commits);
      await setSlowness({ syncMs: 0, writeMs: 0 });
    }
    if (round >= 0) yield series;
  }
}

async function takeTurn(
  series: Round,
  name: string,
  vfs: AsyncVfs,
  database: Database,
  commits: number,
): Promise<void> {
  const samples: number[] = [];
  let refused = 0;
  const startMs = performance.now();
  for (const row of rowNames(commits)) {
    for (;;) {
      const beforeMs = performance.now();
      const done = commit(database, row);
      if (done) samples.push(Math.round((performance.now() - beforeMs) * 1e6));
      if (done) break;
      refused++;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
  await vfs.flush({ path: database.path });
  const tookMs = performance.now() - startMs;
  const { fullWaits, peakQueuedBytes } = vfs.status(database.path);
  if (name !== FREE && fullWaits + refused < FULL_MIN) {
    throw new Error(`${name}: the queue was full ${fullWaits + refused} times only`);
  }
  await finish(database, commits);
  series[name] = samples;
  series[`${name}, commits/s`] = [commits / tookMs * 1000];
  series[`${name}, waits`] = [fullWaits];
  series[`${name}, refused`] = [refused];
  series[`${name}, peak`] = [peakQueuedBytes];
}

/** False if it was refused. */
function commit({ insert }: Database, row: string): boolean {
  try {
    insert.run(row);
    return true;
  } catch (error) {
    const { errcode, errno } = error as { errcode?: number; errno?: number };
    if ((errcode ?? errno) !== SQLITE_BUSY) throw error;
    return false;
  }
}

function report(series: Series): Report {
  const contender: Contender = oursWal({} as AsyncVfs);
  const names = [FREE, ...POLICIES];
  const p = (name: string, part: number) =>
    duration(percentile(roundsOf(series, name).flat(), part));
  return {
    table: [
      ["", "commits/s", "p50", "p99", "max", "waits", "refused", "peak bytes", "SIGKILL", "power"],
      ...names.map((name) => [
        name,
        count(middle(series, `${name}, commits/s`)),
        ...[0.5, 0.99, 1].map((part) => p(name, part)),
        ...["waits", "refused", "peak"].map((what) => count(middle(series, `${name}, ${what}`))),
        ...survivesCells(contender),
      ]),
    ],
    targets: POLICIES.map((name) =>
      target(
        `${name}: commits a second by those with no bound`,
        ratios(series, `${name}, commits/s`, `${FREE}, commits/s`),
        "at least",
        0.8,
      )
    ),
    charts: [
      percentiles("Commits to a full queue", series, names),
      overTime("The longest commits to a full queue over time", series, names),
    ],
  };
}

/** The workload. */
export const full: Workload = {
  name: "full",
  about: "commits that a slow disk can't keep up with: a full queue of 1 MiB, block and busy",
  usesNative: true,
  measure,
  report,
};
