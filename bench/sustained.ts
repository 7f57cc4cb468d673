/**
 * Whether commits in WAL mode keep their pace for long: as many as there can
 * be in a burst, then for a minute 80 % of that, evenly.
 *
 * Every two milliseconds the commits of that slice of time are made one after
 * the other; the rest of it goes to the event loop. Commits that come late,
 * because one before them took long, are made up for at once. If the writer
 * or the checkpointer don't keep up, the queue, the WAL or the latencies show it.
 *
 * @module
 */
import { type AsyncVfs, install } from "../mod.ts";
import { settle } from "./contender.ts";
import { oursWal } from "./contenders/builtin.ts";
import { over, overTime } from "./charts.ts";
import { create, type Database, finish } from "./databases.ts";
import { count, duration, mebibytes } from "./print.ts";
import { middle, ratios, roundsOf, target } from "./statistics.ts";
import type { Line, Report, Round, Series, Settings, Workload } from "./workload.ts";

const LOAD = 0.8;
const SLICE_MS = 2;
const LOOK_MS = 250;
/** How many times are told of by their longest commit. */
const WINDOWS = 300;
/** Commits a second that a burst has memory for. */
const RATE_MAX = 1_000_000;
/** Of the commits that are due; below that the pace was not kept. */
const PACE_MIN = 0.99;
const SLOWER_MAX = 2;
/** The last third is flat if its most is at most this many times the first's, and so much more. */
const GROWTH_MAX = 1.5;
const GROWTH_BYTES = 2 ** 20;

const PARTS = { p50: 0.5, p99: 0.99, "p99.9": 0.999, "p99.99": 0.9999, max: 1 };
const THIRDS = ["first third", "middle third", "last third"];
const BYTES = ["queuedBytes", "walBytes"] as const;

/** Makes commits, and notes what each took. */
class Committer {
  readonly startMs = performance.now();
  commits = 0;
  /** What the status had, by time, of each of BYTES. */
  readonly looks: { sinceMs: number; bytes: number[] }[] = [];
  readonly #database: Database;
  readonly #samplesMs: Float64Array;
  #lookedMs = this.startMs;

  constructor(database: Database, commitsMax: number) {
    this.#database = database;
    this.#samplesMs = new Float64Array(commitsMax);
  }

  /** Commit until there are so many, or until then; returns the time. */
  commitTo(commits: number, untilMs: number): number {
    const { insert } = this.#database;
    if (commits > this.#samplesMs.length) throw new Error("there is no memory for all samples");
    let beforeMs = performance.now();
    while (this.commits < commits && beforeMs < untilMs) {
      insert.run(`a row to commit, number ${this.commits}`);
      const nowMs = performance.now();
      this.#samplesMs[this.commits++] = nowMs - beforeMs;
      beforeMs = nowMs;
    }
    return beforeMs;
  }

  /** Look at the status, if it is time. */
  look(vfs: AsyncVfs): void {
    const nowMs = performance.now();
    if (nowMs < this.#lookedMs + LOOK_MS) return;
    this.#lookedMs = nowMs;
    const status = vfs.status(this.#database.path);
    this.looks.push({ sinceMs: nowMs - this.startMs, bytes: BYTES.map((name) => status[name]) });
  }

  /** In nanoseconds, the longest of each of so many parts of the commits, in the order of time. */
  longest(parts: number): number[] {
    return Array.from({ length: parts }, (_, part) => {
      const [from, to] = [part, part + 1].map((at) => Math.floor(this.commits * at / parts));
      const longestMs = this.#samplesMs.subarray(from, to).reduce((a, b) => Math.max(a, b), 0);
      return Math.round(longestMs * 1e6);
    });
  }

  /** In nanoseconds, the smallest first. */
  sorted(): Float64Array {
    return this.#samplesMs.slice(0, this.commits).sort().map((ms) => Math.round(ms * 1e6));
  }
}

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = await install();
  const burstMs = quick ? 2000 : 5000;
  const pacedMs = quick ? 10_000 : 60_000;
  await run({ folder, vfs, name: "warm-up", forMs: 500, rate: RATE_MAX, series: {} });
  for (let round = 0; round < (quick ? 1 : 2); round++) {
    const series: Round = {};
    const all = { folder, vfs, series };
    const rate = LOAD * await run({ ...all, name: "burst", forMs: burstMs, rate: RATE_MAX });
    add(series, "paced, commits/s wanted", rate);
    await run({ ...all, name: "paced", forMs: pacedMs, rate });
    yield series;
  }
}

/** What to do: commit for so long, so many a second at most. */
interface Task {
  name: string;
  folder: string;
  vfs: AsyncVfs;
  forMs: number;
  rate: number;
  series: Round;
}

/** Do it with a new database; returns how many commits a second there were. */
async function run({ name, folder, vfs, forMs, rate, series }: Task): Promise<number> {
  const database = await create(folder, oursWal(vfs));
  const before = vfs.status(database.path);
  const committer = new Committer(database, Math.ceil(rate * forMs / 1000));
  await pace(committer, vfs, rate, forMs);
  const endMs = performance.now();
  const after = vfs.status(database.path);
  await settle(database.contender);
  const settledMs = performance.now();
  await finish(database, committer.commits);

  const perSecond = committer.commits / (endMs - committer.startMs) * 1000;
  add(series, `${name}, commits/s`, perSecond);
  add(series, `${name}, full waits`, after.fullWaits - before.fullWaits);
  add(series, `${name}, checkpoints`, after.checkpoints - before.checkpoints);
  add(series, `${name}, peakQueuedBytes`, after.peakQueuedBytes);
  add(series, `${name}, then settled in`, (settledMs - endMs) * 1e6);
  addLatencies(series, name, committer.sorted());
  addMost(series, name, committer, forMs);
  series[`${name}, longest`] = committer.longest(WINDOWS);
  series[`${name}, looked at`] = committer.looks.map(({ sinceMs }) => sinceMs);
  for (const [kind, bytesName] of BYTES.entries()) {
    series[`${name}, ${bytesName}`] = committer.looks.map(({ bytes }) => bytes[kind]!);
  }
  return perSecond;
}

/** Commit for so long; of each slice what is due by its end. */
async function pace(
  committer: Committer,
  vfs: AsyncVfs,
  rate: number,
  forMs: number,
): Promise<void> {
  const { startMs } = committer;
  let sinceMs = 0;
  while (sinceMs < forMs) {
    const sliceEndMs = Math.min(forMs, (Math.floor(sinceMs / SLICE_MS) + 1) * SLICE_MS);
    // Who is late gives up the slice after a while, to look at the status.
    const giveUpMs = Math.min(forMs, sliceEndMs + LOOK_MS);
    committer.commitTo(Math.floor(rate * sliceEndMs / 1000), startMs + giveUpMs);
    committer.look(vfs);
    do {
      await new Promise((resolve) => setImmediate(resolve));
      sinceMs = performance.now() - startMs;
    } while (sinceMs < sliceEndMs);
  }
}

function add(series: Round, name: string, value: number): void {
  series[name] = [value];
}

function addLatencies(series: Round, name: string, sortedNs: Float64Array): void {
  for (const [part, portion] of Object.entries(PARTS)) {
    const at = Math.min(sortedNs.length - 1, Math.floor(portion * sortedNs.length));
    add(series, `${name}, ${part}`, sortedNs[at]!);
  }
}

/** The most bytes of each kind in each third. */
function addMost(series: Round, name: string, { looks }: Committer, forMs: number): void {
  for (const [kind, bytesName] of BYTES.entries()) {
    for (const [third, thirdName] of THIRDS.entries()) {
      const within = looks.filter(({ sinceMs }) => Math.floor(sinceMs / forMs * 3) === third);
      add(
        series,
        `${name}, ${bytesName}, ${thirdName}`,
        Math.max(0, ...within.map(({ bytes }) => bytes[kind]!)),
      );
    }
  }
}

function report(series: Series): Report {
  const names = ["burst", "paced"];
  const line = (what: string, text: (value: number) => string) => [
    what,
    ...names.map((name) => text(middle(series, `${name}, ${what}`))),
  ];
  const most = BYTES.flatMap((name) => THIRDS.map((third) => line(`${name}, ${third}`, mebibytes)));
  return {
    table: [
      ["", ...names],
      line("commits/s", count),
      ...Object.keys(PARTS).map((part) => line(part, duration)),
      line("full waits", count),
      line("checkpoints", count),
      ...most,
      line("peakQueuedBytes", mebibytes),
      line("then settled in", duration),
    ],
    targets: [
      target(
        "commits/s by 80 % of the burst's",
        ratios(series, "paced, commits/s", "paced, commits/s wanted"),
        "at least",
        PACE_MIN,
      ),
      target(
        "p99.9 by the burst's",
        ratios(series, "paced, p99.9", "burst, p99.9"),
        "at most",
        SLOWER_MAX,
      ),
      ...BYTES.map((name) =>
        target(`${name}: last third's most by what is flat`, growth(series, name), "at most", 1)
      ),
    ],
    charts: [
      overTime("The longest commits over time", longest(series, names), names),
      over("What waits while commits are paced, first round", "seconds", "MiB", waiting(series), {
        x: "linear",
        y: "linear",
      }),
    ],
  };
}

/** The longest commits, by the names. */
function longest(series: Series, names: string[]): Series {
  return Object.fromEntries(names.map((name) => [name, roundsOf(series, `${name}, longest`)]));
}

/** Of the first round, what the status had over time. */
function waiting(series: Series): Line[] {
  const times = roundsOf(series, "paced, looked at")[0]!;
  return BYTES.map((name) => {
    const bytes = roundsOf(series, `paced, ${name}`)[0]!;
    return { name, points: times.map((ms, i) => [ms / 1000, bytes[i]! / 2 ** 20]) };
  });
}

/** By rounds, the last third's most bytes by the most that would still be flat. */
function growth(series: Series, name: string): number[] {
  const [first, last] = [THIRDS[0], THIRDS[2]].map((third) =>
    roundsOf(series, `paced, ${name}, ${third}`).flat()
  );
  return last!.map((bytes, round) => bytes / (GROWTH_MAX * first![round]! + GROWTH_BYTES));
}

/** The workload. */
export const sustained: Workload = {
  name: "sustained",
  about: "commits for 60 s (--quick: 10 s) at 80 % of a burst's pace, journal_mode WAL",
  measure,
  report,
};
