/**
 * What SIGKILL takes at level queued: how far the disk is behind, and what is
 * really lost when a process is killed.
 *
 * A commit's lag is the time from its return until the status counts it as applied:
 * at a thousand a second and as fast as they go, on a disk whose syncs take no longer
 * than they do and on one whose syncs take 50 ms longer (extension/slow.c), with the default
 * settings and with a maxDelayMs of 100, which syncs more often. The status is asked by the
 * thread that commits, which would else idle or only commit, not by one more that the
 * writers would have to share two processors with: every 50 microseconds, or after every
 * 16th commit. By so much a lag may be told too long. Of what was in the queue when a commit had to
 * wait, nothing is said, for nobody could look. The table has no index, so that the WAL
 * does not come near to maxWalBytes, at which commits wait for checkpoints.
 *
 * The kills are those of tests/kill.test.ts: a process with one database commits without pause
 * and tells of each commit, and plain SQLite looks what is there after SIGKILL; every second
 * one with a maxDelayMs of 100. There, it is the process's own calls of fsync() and the like
 * that are slowed down.
 *
 * @module
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type AsyncVfs, install } from "../mod.ts";
import { canSlowSyncs, kill } from "../tests/helpers/killing.ts";
import { percentiles } from "./charts.ts";
import { settle } from "./contender.ts";
import { oursWal } from "./contenders/builtin.ts";
import { create, type Database, finish } from "./databases.ts";
import { count, duration, latencyHeadings, latencyLine } from "./print.ts";
import { random } from "./random.ts";
import { registerSlowDisk, SLOW_VFS } from "./slow_disk.ts";
import { mean, median, percentile, roundsOf, target } from "./statistics.ts";
import type { Report, Round, Series, Settings, Target, Workload } from "./workload.ts";

const SLOW_MS = 50;
const SYNCS_MS = [0, SLOW_MS];
/** How much later than needed a sync may come; the default if absent. */
const DELAY_MS = 100;
const DELAYS_MS = [undefined, DELAY_MS];
const RATES = { "1,000/s": 1000, "as fast as they go": Infinity };
type Pace = keyof typeof RATES;

/** A commit that takes longer has waited; what was applied meanwhile was not looked at. */
const WAIT_MS = 1;

interface Lags {
  /** In nanoseconds. */
  lags: number[];
  commits: number;
}

/** How often the status is asked. */
const LOOK_EVERY_MS = 0.05;
const LOOK_EVERY = 16;
const DRAIN_MS = 60_000;

/** When processes are killed, after they have begun. */
const LIFE_MS = [100, 2500] as const;

const LAG_MS_MAX = 3;
const LOST_MS_MAX = { 0: 2, [SLOW_MS]: 10 };

const disk = (syncMs: number) => `${syncMs} ms a sync`;
const lagName = (pace: Pace, syncMs: number, delayMs?: number) =>
  `${pace}, ${disk(syncMs)}${delayMs === undefined ? "" : `, maxDelayMs ${delayMs}`}`;
const killName = (syncMs: number) => `SIGKILL, ${disk(syncMs)}`;

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  const setSlowness = await registerSlowDisk();
  await using vfs = await install({ parent: SLOW_VFS });
  const { maxDelayMs } = vfs;
  const forMs = quick ? 500 : 1000;
  const draw = random(Date.now());
  for (let round = -1; round < (quick ? 2 : 4); round++) { // the first one warms up
    const series: Round = {};
    for (const syncMs of SYNCS_MS) {
      for (const delayMs of DELAYS_MS) {
        for (const pace of Object.keys(RATES) as Pace[]) {
          vfs.maxDelayMs = delayMs ?? maxDelayMs;
          const database = await create(folder, oursWal(vfs), false);
          await setSlowness({ syncMs, writeMs: 0 });
          const { lags, commits } = await lagsOf(
            vfs,
            database,
            pace,
            round < 0 ? forMs / 5 : forMs,
          );
          await setSlowness({ syncMs: 0, writeMs: 0 });
          await settle(database.contender);
          await finish(database, commits);
          series[lagName(pace, syncMs, delayMs)] = lags;
        }
      }
      if (round < 0 || (syncMs > 0 && !canSlowSyncs)) continue;
      await killSome(join(folder, "kill"), syncMs, quick ? 2 : 6, draw, series);
    }
    if (round >= 0) yield series;
  }
}

/** What {@linkcode commitAndLook} measures. */
async function lagsOf(
  vfs: AsyncVfs,
  database: Database,
  pace: Pace,
  forMs: number,
): Promise<Lags> {
  try {
    return commitAndLook(vfs, database, RATES[pace], forMs);
  } catch (error) {
    await database.store.close(); // or the VFS could not be closed, and that would be told instead
    throw error;
  }
}

/** Commit, and look how long each takes until it is applied, in nanoseconds. */
function commitAndLook(
  vfs: AsyncVfs,
  { path, insert }: Database,
  rate: number,
  forMs: number,
): Lags {
  const before = vfs.status(path).committed;
  const committedMs: number[] = [];
  const lags: number[] = [];
  let seen = 0;
  const look = (isLate = false) => {
    const { applied } = vfs.status(path);
    const nowMs = performance.now();
    for (; seen < applied - before; seen++) {
      if (!isLate) lags.push(Math.round((nowMs - committedMs[seen]!) * 1e6));
    }
  };
  const lookUntil = (untilMs: number) => {
    while (seen < committedMs.length) {
      const nextMs = performance.now() + LOOK_EVERY_MS;
      if (nextMs >= untilMs) break;
      look();
      while (performance.now() < nextMs) { /* spin */ }
    }
  };
  const startMs = performance.now();
  for (let row = 0; performance.now() < startMs + forMs; row++) {
    if (rate !== Infinity) {
      const dueMs = startMs + row / rate * 1000;
      lookUntil(dueMs);
      while (performance.now() < dueMs) { /* spin */ }
    } else if (row % LOOK_EVERY === 0) look();
    const beginMs = performance.now();
    insert.run(`a row to commit, number ${row}`);
    committedMs.push(performance.now());
    if (committedMs.at(-1)! > beginMs + WAIT_MS) look(true);
  }
  lookUntil(performance.now() + DRAIN_MS);
  const { committed } = vfs.status(path);
  if (committed - before !== committedMs.length || seen !== committedMs.length) {
    const counts = `${committedMs.length} made, ${committed - before} counted`;
    throw new Error(`commits: ${counts}, ${seen} seen applied`);
  }
  return { lags, commits: seen };
}

/** Kill some processes; what they lost, in nanoseconds of age and in transactions. */
async function killSome(
  place: string,
  syncMs: number,
  times: number,
  draw: () => number,
  series: Round,
): Promise<void> {
  const samples: Round = { "": [], told: [], lost: [] };
  for (let i = 0; i < times; i++) {
    mkdirSync(place);
    const [least, most] = LIFE_MS;
    const [outcome] = await kill({
      level: "queued",
      writers: [{
        paths: [join(place, "a.db")],
        journalMode: "WAL",
        synchronous: "NORMAL",
        told: join(place, "told"),
      }],
      parameters: i % 2 === 0 ? {} : { maxDelayMs: DELAY_MS },
    }, { syncMs, afterMs: least + draw() * (most - least) });
    rmSync(place, { recursive: true });
    samples[""]!.push(Math.round(outcome!.lostMs * 1e6));
    samples["told"]!.push(outcome!.told.length);
    samples["lost"]!.push(outcome!.lost.length);
  }
  for (const [what, values] of Object.entries(samples)) {
    series[what === "" ? killName(syncMs) : `${killName(syncMs)}, ${what}`] = values;
  }
}

// ---- The report ----

function report(series: Series): Report {
  const names = SYNCS_MS.flatMap((syncMs) =>
    DELAYS_MS.flatMap((delayMs) =>
      (Object.keys(RATES) as Pace[]).map((pace) => lagName(pace, syncMs, delayMs))
    )
  );
  const killed = SYNCS_MS.filter((syncMs) => killName(syncMs) in series);
  return {
    table: [
      ["from commit to applied", ...latencyHeadings, "commits"],
      ...names.map((name) => [...latencyLine(series, name), count(commits(series, name))]),
      ["the oldest that was lost", "p50", "longest", "kills", "of them with a loss"],
      ...killed.map((syncMs) => killLine(series, syncMs)),
    ],
    targets: [...lagTargets(series, names), ...killed.map((syncMs) => killTarget(series, syncMs))],
    charts: [percentiles("From commit to applied", series, names)],
  };
}

const commits = (series: Series, name: string) =>
  mean(roundsOf(series, name).map(({ length }) => length));

function killLine(series: Series, syncMs: number): string[] {
  const name = killName(syncMs);
  const ages = roundsOf(series, name).flat();
  const sum = (what: string) =>
    roundsOf(series, `${name}, ${what}`).flat().reduce((sum, value) => sum + value, 0);
  return [
    name,
    duration(median(ages)),
    duration(Math.max(...ages)),
    count(ages.length),
    count(ages.filter((age) => age > 0).length),
    `${count(sum("lost"))} of ${count(sum("told"))} transactions`,
  ];
}

function lagTargets(series: Series, names: string[]): Target[] {
  return names.filter((name) => name.includes(disk(SLOW_MS))).map((name) => {
    const p99s = roundsOf(series, name).map((lags) => percentile(lags, 0.99) / 1e6);
    return target(`${name}: p99 of the lag, in milliseconds`, p99s, "at most", LAG_MS_MAX);
  });
}

/** A median would hide the worst. */
function killTarget(series: Series, syncMs: number): Target {
  const longestMs = Math.max(...roundsOf(series, killName(syncMs)).flat()) / 1e6;
  const bound = LOST_MS_MAX[syncMs as keyof typeof LOST_MS_MAX];
  const what = `${killName(syncMs)}: age of the oldest lost, in milliseconds`;
  return target(what, [longestMs], "at most", bound);
}

/** The workload. */
export const window: Workload = {
  name: "window",
  about: "what SIGKILL takes at level queued: from commit to applied, and what kills lost",
  usesNative: true,
  runtimes: ["Deno", "Bun", "Node"],
  measure,
  report,
};
