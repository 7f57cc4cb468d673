/**
 * How long a commit takes: one row, each a transaction of its own, into a new
 * database each round.
 *
 * The writers and the checkpointer run meanwhile, and the bound of the queue is
 * the default: what waits there, or for the checkpointer, counts. After its
 * turn each contender is settled and closed, so that nobody's writing disturbs
 * the next one's. Who answers later is awaited, one commit after the other.
 *
 * @module
 */
import { install } from "../mod.ts";
import { overTime, percentiles } from "./charts.ts";
import { type Contender, settle } from "./contender.ts";
import { contendersHere, contendersIn, isNode } from "./contenders/all.ts";
import { create, type Database, finish, rowNames } from "./databases.ts";
import { count, latencyHeadings, latencyLine, survivesCells } from "./print.ts";
import { median, middle, percentile, ratios, target } from "./statistics.ts";
import type { Report, Round, Series, Settings, Target, Workload } from "./workload.ts";

const ROWS = 50_000;
const ROWS_QUICK = 20_000;
/** For those whose commits wait for the disk. */
const ROWS_SYNCED = 1000;
const WARM_UP = 0.2;

const PLAIN = "plain WAL/NORMAL";
const MEMORY = "plain :memory:";
const ASYNC = "sqlite3async WAL/NORMAL";
const PLAIN_DELETE = "plain DELETE/FULL";
const ASYNC_DELETE = "sqlite3async DELETE/FULL";

const p999 = (samples: number[]) => percentile(samples, 0.999);
const max = (samples: number[]) => percentile(samples, 1);

function rowsOf({ survives, journalMode }: Contender, quick: boolean): number {
  // A rollback journal's commits are several times as large as the queue's bound.
  if (survives.power === "all" || journalMode === "delete") return ROWS_SYNCED;
  return quick ? ROWS_QUICK : ROWS;
}

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = isNode ? undefined : await install();
  const contenders = contendersHere(vfs);
  const names = rowNames(ROWS);
  for (let round = -1; round < (quick ? 3 : 7); round++) { // the first one warms up
    const series: Round = {};
    for (const contender of contenders) {
      const rows = Math.ceil(rowsOf(contender, quick) * (round < 0 ? WARM_UP : 1));
      addTurn(series, contender.name, await takeTurn(folder, contender, names.slice(0, rows)));
    }
    if (round >= 0) yield series;
    contenders.push(contenders.shift()!); // so that none always follows the same one
  }
}

/** What one contender took in one round. */
interface Turn {
  samplesMs: Float64Array;
  committedMs: number;
  /** What only the VFS can tell. */
  ours?: { durableMs: number; fullWaits: number };
}

async function takeTurn(folder: string, contender: Contender, names: string[]): Promise<Turn> {
  const database = await create(folder, contender);
  const { vfs } = contender;
  const before = vfs?.status(database.path);
  const startMs = performance.now();
  const samplesMs = await commitAll(database, names);
  const turn: Turn = { samplesMs, committedMs: performance.now() - startMs };
  const after = vfs?.status(database.path);
  await settle(contender);
  const durableMs = performance.now() - startMs;
  if (before !== undefined && after !== undefined) {
    turn.ours = { durableMs, fullWaits: after.fullWaits - before.fullWaits };
  }
  await finish(database, names.length);
  return turn;
}

/** Nothing but the statement and the clock, and all memory is there before. */
async function commitAll({ insert }: Database, names: string[]): Promise<Float64Array> {
  const samplesMs = new Float64Array(names.length);
  let beforeMs = performance.now();
  for (let row = 0; row < names.length; row++) {
    const done = insert.run(names[row]!);
    if (done instanceof Promise) await done;
    const nowMs = performance.now();
    samplesMs[row] = nowMs - beforeMs;
    beforeMs = nowMs;
  }
  return samplesMs;
}

function addTurn(series: Round, name: string, turn: Turn): void {
  const perSecond = (ms: number) => [turn.samplesMs.length / ms * 1000];
  series[name] = Array.from(turn.samplesMs, (ms) => Math.round(ms * 1e6));
  series[`${name}, commits/s`] = perSecond(turn.committedMs);
  if (turn.ours === undefined) return;
  series[`${name}, durable commits/s`] = perSecond(turn.ours.durableMs);
  series[`${name}, full waits`] = [turn.ours.fullWaits];
}

function targets(series: Series): Target[] {
  const by = (of: (samples: number[]) => number) => ratios(series, ASYNC, PLAIN, of);
  return [
    target("p50 by plain WAL/NORMAL's", by(median), "at most", 0.6),
    target("p99.9 by plain WAL/NORMAL's", by(p999), "at most", 0.15),
    target("longest by plain WAL/NORMAL's", by(max), "at most", 0.3),
    target(
      "commits/s by plain WAL/NORMAL's",
      ratios(series, `${ASYNC}, commits/s`, `${PLAIN}, commits/s`),
      "at least",
      2,
    ),
    target("p50 by :memory:'s", ratios(series, ASYNC, MEMORY), "at most", 2),
    target(
      "DELETE/FULL: faster than plain, by p50",
      ratios(series, PLAIN_DELETE, ASYNC_DELETE),
      "at least",
      25,
    ),
  ];
}

function report(series: Series): Report {
  const contenders = contendersIn(series);
  const names = contenders.map(({ name }) => name);
  const cell = (name: string, what: string) =>
    `${name}, ${what}` in series ? count(middle(series, `${name}, ${what}`)) : "";
  const lines = contenders.map((contender) => [
    ...latencyLine(series, contender.name),
    cell(contender.name, "commits/s"),
    cell(contender.name, "durable commits/s"),
    cell(contender.name, "full waits"),
    ...survivesCells(contender),
  ]);
  const headings = ["", ...latencyHeadings, "commits/s", "durable commits/s", "full waits"];
  return {
    table: [[...headings, "SIGKILL", "power cut"], ...lines],
    targets: ASYNC in series ? targets(series) : [],
    charts: [
      percentiles("How long a commit takes", series, names),
      overTime("The longest commits over time", series, [PLAIN, ASYNC, "Worker WAL/NORMAL"]),
    ],
    summary: contenders.map(({ name, survives }) => ({
      contender: name,
      survives,
      figures: {
        "commit p50": latencyLine(series, name)[1]!,
        "p99.9": latencyLine(series, name)[5]!,
        "commits/s": cell(name, "commits/s"),
      },
    })),
  };
}

/** The workload. */
export const commit: Workload = {
  name: "commit",
  about: "one-row commits into a table with an index, by every contender",
  runtimes: ["Deno", "Bun", "Node"],
  measure,
  report,
};
