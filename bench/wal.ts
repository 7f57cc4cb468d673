/**
 * How long a commit takes in WAL mode: 50,000 rows, each a transaction of its
 * own, into a new database each round.
 *
 * The writer and the checkpointer run meanwhile, and the bound of the queue is
 * the default: what waits there, or for the checkpointer, counts. After its
 * turn each contender is settled and closed, so that nobody's writing disturbs
 * the next one's.
 *
 * @module
 */
import { type AsyncVfs, install } from "../mod.ts";
import { create, type Database, finish, rowNames, settle, type Way } from "./databases.ts";
import { count, latencyHeadings, latencyLine } from "./print.ts";
import { median, middle, percentile, ratios, target } from "./statistics.ts";
import type { Report, Round, Series, Settings, Workload } from "./workload.ts";

const ROWS = 50_000;
const ROWS_WARM_UP = 10_000;

const PLAIN = "plain WAL/NORMAL";
const MEMORY = "plain :memory:";
const ASYNC = "sqlite3async WAL/NORMAL";
/** For information. */
const ASYNC_FULL = "sqlite3async WAL/FULL";
const PLAIN_OFF = "plain WAL/OFF";

const p999 = (samples: number[]) => percentile(samples, 0.999);
const max = (samples: number[]) => percentile(samples, 1);

function waysWith(vfs: AsyncVfs): Way[] {
  return [
    { name: PLAIN, synchronous: "NORMAL" },
    { name: ASYNC, synchronous: "NORMAL", vfs },
    { name: MEMORY, synchronous: "NORMAL", inMemory: true },
    { name: ASYNC_FULL, synchronous: "FULL", vfs },
    { name: PLAIN_OFF, synchronous: "OFF" },
  ];
}

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = await install();
  const ways = waysWith(vfs);
  const names = rowNames(ROWS);
  for (let round = -1; round < (quick ? 3 : 8); round++) { // the first one warms up
    const series: Round = {};
    for (const way of ways) {
      const rows = round < 0 ? names.slice(0, ROWS_WARM_UP) : names;
      addTurn(series, way.name, await takeTurn(folder, way, rows));
    }
    if (round >= 0) yield series;
    ways.push(ways.shift()!); // so that none always follows the same one
  }
}

/** What one contender took in one round. */
interface Turn {
  samplesMs: Float64Array;
  committedMs: number;
  /** What only the VFS can tell. */
  ours?: { durableMs: number; checkpoints: number; fullWaits: number };
}

async function takeTurn(folder: string, way: Way, names: string[]): Promise<Turn> {
  const database = await create(folder, way);
  const before = way.vfs?.status(database.path);
  const startMs = performance.now();
  const samplesMs = commitAll(database, names);
  const turn: Turn = { samplesMs, committedMs: performance.now() - startMs };
  const after = way.vfs?.status(database.path);
  await settle(way);
  const durableMs = performance.now() - startMs;
  if (before !== undefined && after !== undefined) {
    const checkpoints = after.checkpoints - before.checkpoints;
    turn.ours = { durableMs, checkpoints, fullWaits: after.fullWaits - before.fullWaits };
  }
  await finish(database, names.length);
  return turn;
}

/** Nothing but the statement and the clock, and all memory is there before. */
function commitAll({ insert }: Database, names: string[]): Float64Array {
  const samplesMs = new Float64Array(names.length);
  let beforeMs = performance.now();
  for (let row = 0; row < names.length; row++) {
    insert.run(names[row]!);
    const nowMs = performance.now();
    samplesMs[row] = nowMs - beforeMs;
    beforeMs = nowMs;
  }
  return samplesMs;
}

function addTurn(series: Round, name: string, turn: Turn): void {
  const add = (what: string, samples: number[]) => series[`${name}${what}`] = samples;
  const perSecond = (ms: number) => [turn.samplesMs.length / ms * 1000];
  add("", Array.from(turn.samplesMs, (ms) => Math.round(ms * 1e6)));
  add(", tx/s", perSecond(turn.committedMs));
  if (turn.ours === undefined) return;
  add(", durable tx/s", perSecond(turn.ours.durableMs));
  add(", checkpoints", [turn.ours.checkpoints]);
  add(", full waits", [turn.ours.fullWaits]);
}

function report(series: Series): Report {
  const lines = [PLAIN, ASYNC, MEMORY, ASYNC_FULL, PLAIN_OFF].map((name) => [
    ...latencyLine(series, name),
    count(middle(series, `${name}, tx/s`)),
    // Of what plain SQLite has at the end, nobody knows what is durable.
    ...[", durable tx/s", ", checkpoints", ", full waits"].map((what) =>
      `${name}${what}` in series ? count(middle(series, `${name}${what}`)) : ""
    ),
  ]);
  const headings = [...latencyHeadings, "tx/s", "durable tx/s", "checkpoints", "full waits"];
  const by = (of: (samples: number[]) => number) => ratios(series, ASYNC, PLAIN, of);
  return {
    table: [["", ...headings], ...lines],
    targets: [
      target("p50 by plain WAL's", by(median), "at most", 0.6),
      target("p99.9 by plain WAL's", by(p999), "at most", 0.15),
      target("max by plain WAL's", by(max), "at most", 0.3),
      target(
        "tx/s by plain WAL's",
        ratios(series, `${ASYNC}, tx/s`, `${PLAIN}, tx/s`),
        "at least",
        2,
      ),
      target("p50 by :memory:'s", ratios(series, ASYNC, MEMORY), "at most", 2),
    ],
  };
}

/** The workload. */
export const wal: Workload = {
  name: "wal",
  about: "50,000 one-row commits, journal_mode WAL",
  measure,
  report,
};
