/**
 * What a one-row commit costs the thread that commits, however long it may take: its
 * time on a processor, and the system calls it makes.
 *
 * "burst": one commit after the other. "paced": one each 100 microseconds, with
 * the time in between spent spinning; only the commits count, without what
 * the clock itself takes. A table without an index gets one page a commit, one
 * with an index two.
 *
 * @module
 */
import { over } from "./charts.ts";
import { install } from "../mod.ts";
import { type Contender, settle } from "./contender.ts";
import {
  MEMORY as IN_MEMORY,
  oursWal,
  PLAIN_NORMAL,
  PLAIN_OFF as UNSYNCED,
} from "./contenders/builtin.ts";
import { create, type Database, finish, rowNames } from "./databases.ts";
import { paced } from "./pace.ts";
import { count, duration } from "./print.ts";
import { median, middle, ratios, roundsOf, target } from "./statistics.ts";
import { callsOf, type CallsWay, countSystemCalls } from "./system_calls.ts";
import { openThreadClock } from "./thread_clock.ts";
import type { Chart, Report, Round, Series, Settings, Target, Workload } from "./workload.ts";

const MEMORY = "plain :memory:";
const OURS = "sqlite3async WAL/NORMAL";
const PLAIN = "plain WAL/NORMAL";
/** For information. */
const PLAIN_OFF = "plain WAL/OFF";
const NAMES = [MEMORY, OURS, PLAIN, PLAIN_OFF];

const TABLES = { "no index": false, index: true };
const PACES = { burst: Infinity, paced: 10_000 };
const CALLS_WAYS: CallsWay[] = ["memory", "ours", "plain"];
const ROWS_WARM_UP = 3000;
const BY_MEMORY_MAX = 1.5;
/** Of 100 commits one may have to ask the system for memory, or to wake the writer. */
const CALLS_MAX = 0.01;

/** How many rows a turn commits. */
interface Rows {
  burst: number;
  paced: number;
}

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = await install();
  const clock = await openThreadClock();
  const contenders: Contender[] = [IN_MEMORY, oursWal(vfs), PLAIN_NORMAL, UNSYNCED];
  const rows: Rows = quick ? { burst: 10_000, paced: 1000 } : { burst: 50_000, paced: 3000 };
  for (let round = -1; round < (quick ? 3 : 4); round++) { // the first one warms up
    const series: Round = {};
    for (const contender of contenders) {
      for (const [table, indexed] of Object.entries(TABLES)) {
        const database = await create(folder, contender, indexed);
        await measureDatabase(database, clock, rows, `${contender.name}, ${table}`, series);
      }
    }
    if (round === 0) countSystemCalls(folder, quick, series, CALLS_WAYS);
    if (round >= 0) yield series;
    contenders.push(contenders.shift()!); // so that none always follows the same one
  }
}

async function measureDatabase(
  database: Database,
  clock: () => number,
  rows: Rows,
  name: string,
  series: Round,
): Promise<void> {
  const { insert, contender } = database;
  const names = rowNames(Math.max(ROWS_WARM_UP, rows.burst, rows.paced));
  for (const name of names.slice(0, ROWS_WARM_UP)) insert.run(name);
  await settle(contender);

  const clockNs = meanNs(clock, PACES.burst, rows.paced, () => {});
  const pacedNs = meanNs(clock, PACES.paced, rows.paced, (row) => insert.run(names[row]!));
  await settle(contender);
  const startNs = clock();
  paced(rows.burst, PACES.burst, (row) => insert.run(names[row]!));
  const burstNs = clock() - startNs;

  series[`${name}, burst`] = [burstNs / rows.burst];
  series[`${name}, paced`] = [pacedNs - clockNs];
  await finish(database, ROWS_WARM_UP + rows.burst + rows.paced);
}

/** What each time takes on the processor, and the clock. */
function meanNs(
  clock: () => number,
  perSecond: number,
  times: number,
  work: (time: number) => void,
): number {
  let totalNs = 0;
  paced(times, perSecond, (time) => {
    const startNs = clock();
    work(time);
    totalNs += clock() - startNs;
  });
  return totalNs / times;
}

// ---- The report ----

function report(series: Series): Report {
  const lines = Object.keys(TABLES).flatMap((table) =>
    NAMES.map((name) => [
      `${name}, ${table}`,
      ...Object.keys(PACES).flatMap((pace) => cells(series, name, `${table}, ${pace}`)),
    ])
  );
  const headings = Object.keys(PACES).flatMap((pace) => [
    `${pace}: CPU a commit`,
    "of rounds",
    "by :memory:'s",
  ]);
  const { counted, table } = callsOf(series, Object.keys(PACES), CALLS_WAYS);
  return {
    table: [["", ...headings], ...lines, ...table],
    targets: [...cpuTargets(series), ...(counted ? callTargets(series) : [])],
    charts: [chart(series)],
  };
}

function cells(series: Series, name: string, what: string): string[] {
  const rounds = roundsOf(series, `${name}, ${what}`).flat();
  const by = median(ratios(series, `${name}, ${what}`, `${MEMORY}, ${what}`));
  return [
    duration(median(rounds)),
    `${duration(Math.min(...rounds))} - ${duration(Math.max(...rounds))}`,
    by.toFixed(2),
  ];
}

function cpuTargets(series: Series): Target[] {
  return Object.keys(TABLES).flatMap((table) =>
    Object.keys(PACES).map((pace) => {
      const by = ratios(series, `${OURS}, ${table}, ${pace}`, `${MEMORY}, ${table}, ${pace}`);
      return target(`CPU a commit, ${table}, ${pace}: by :memory:'s`, by, "at most", BY_MEMORY_MAX);
    })
  );
}

/** What the runtime calls by itself, :memory: has, too. */
function callTargets(series: Series): Target[] {
  return Object.keys(PACES).map((pace) => {
    const [ours, memory] = ["ours", "memory"].map((way) =>
      middle(series, `${way}, ${pace}, calls`)
    );
    const own = Math.max(0, ours! - memory!);
    return target(`system calls of ours a commit, ${pace}`, [own], "at most", CALLS_MAX);
  });
}

function chart(series: Series): Chart {
  return over(
    "CPU of the committing thread by round, no index",
    "round",
    "microseconds a commit",
    NAMES.flatMap((name) =>
      Object.keys(PACES).map((pace) => ({
        name: `${name}, ${pace}`,
        points: roundsOf(series, `${name}, no index, ${pace}`).map((
          [ns],
          round,
        ): [number, number] => [round + 1, ns! / 1000]),
      }))
    ),
    { x: "linear", y: "linear" },
  );
}

/** The workload. */
export const cpu: Workload = {
  name: "cpu",
  about: `CPU time and system calls of a committing thread, in a burst and at ${
    count(PACES.paced)
  } commits/s`,
  measure,
  report,
};
