/**
 * A slow disk: what commits feel when a sync takes 5 ms or 50 ms longer, and a write
 * 1 ms.
 *
 * A thousand one-row commits a second, evenly, so that the queue does not fill; and
 * WALs that are checkpointed whenever they have grown by 4 MiB, ours and SQLite's
 * alike, so that checkpoints meet the slow disk too. And a burst of 4,000 commits, as fast as
 * they go, on the disk with 5 ms a sync: fewer than fill the queue, which is verified, since a
 * burst that waits for room tells of the bound, not of the burst. With --quick there are 1,000,
 * and who syncs each commit stops when a turn's time is over. The disk is slow in SQLite's VFS
 * (extension/slow.c), under ours and under plain SQLite.
 *
 * @module
 */
import { type AsyncVfs, install } from "../mod.ts";
import { overTime, percentiles } from "./charts.ts";
import type { Contender } from "./contender.ts";
import { onVfs, oursWal, PLAIN_FULL, PLAIN_NORMAL } from "./contenders/builtin.ts";
import { create, type Database, finish, rowNames } from "./databases.ts";
import { count, latencyHeadings, latencyLine, survivesCells } from "./print.ts";
import {
  registerSlowDisk,
  SLOW_VFS,
  type SlowCalls,
  slowCalls,
  type Slowness,
} from "./slow_disk.ts";
import { middle, percentile, ratios, roundsOf, target } from "./statistics.ts";
import type { Report, Round, Series, Settings, Workload } from "./workload.ts";

const RATE = 1000;
const BURST_DISK = "5 ms a sync";
const BURST_COMMITS = 4000;
const CHECKPOINT_BYTES = 4 * 2 ** 20;

const OURS = "sqlite3async WAL/NORMAL";

const disks: Record<string, Slowness> = {
  fast: { syncMs: 0, writeMs: 0 },
  "5 ms a sync": { syncMs: 5, writeMs: 0 },
  "50 ms a sync": { syncMs: 50, writeMs: 0 },
  "5 ms a sync, 1 ms a write": { syncMs: 5, writeMs: 1 },
};
/** Plain SQLite's commits with a sync each would be behind all the time. */
const tooSlow = (contender: Contender, { syncMs }: Slowness) =>
  contender.synchronous === "FULL" && contender.vfs === undefined && syncMs > 5;

const evenName = ({ name }: Contender, disk: string) => `${name}, ${disk}`;
const burstName = ({ name }: Contender) => `${name}, ${BURST_DISK}, burst`;

function contenders(vfs: AsyncVfs): Contender[] {
  return [onVfs(PLAIN_NORMAL, SLOW_VFS), onVfs(PLAIN_FULL, SLOW_VFS), oursWal(vfs)];
}

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  const setSlowness = await registerSlowDisk();
  await using vfs = await install({ parent: SLOW_VFS, checkpointBytes: CHECKPOINT_BYTES });
  const forMs = quick ? 1500 : 3000;
  for (let round = -1; round < (quick ? 2 : 4); round++) { // the first one warms up
    const series: Round = {};
    for (const [disk, slowness] of Object.entries(disks)) {
      for (const contender of contenders(vfs)) {
        if (tooSlow(contender, slowness)) continue;
        const make = (database: Database) => paced(database, round < 0 ? forMs / 5 : forMs);
        const turn = { folder, contender, slowness, setSlowness, make };
        await takeTurn(series, evenName(contender, disk), turn);
        if (disk !== BURST_DISK) continue;
        const commits = quick || round < 0 ? BURST_COMMITS / 4 : BURST_COMMITS;
        const name = burstName(contender);
        await takeTurn(series, name, {
          ...turn,
          make: (database) => burst(database, commits, forMs),
        });
        if ((series[`${name}, full waits`]?.[0] ?? 0) > 0) {
          throw new Error(`${name}: ${commits} commits filled the queue`);
        }
      }
    }
    if (round >= 0) yield series;
  }
}

/** What one contender does once. */
interface Turn {
  folder: string;
  contender: Contender;
  slowness: Slowness;
  setSlowness: (slowness: Slowness) => Promise<void>;
  /** Returns what each commit took, in nanoseconds. */
  make: (database: Database) => Promise<number[]> | number[];
}

async function takeTurn(
  series: Round,
  name: string,
  { folder, contender, slowness, setSlowness, make }: Turn,
): Promise<void> {
  const database = await create(folder, contender);
  await setSlowness(slowness);
  const before = slowCalls();
  const startMs = performance.now();
  const samples = await make(database);
  const tookMs = performance.now() - startMs;
  series[name] = samples;
  series[`${name}, commits/s`] = [samples.length / tookMs * 1000];
  if (contender.vfs !== undefined) {
    const { checkpoints, fullWaits } = contender.vfs.status(database.path);
    series[`${name}, full waits`] = [fullWaits];
    series[`${name}, checkpoints`] = [checkpoints];
  }
  await contender.vfs?.flush(); // a burst may be over before the disk was met
  verifyCalls(name, samples.length, before, slowCalls());
  await setSlowness(disks["fast"]!);
  await finish(database, samples.length);
}

/** Throws if commits, enough for a checkpoint if they are many, did not meet the disk. */
function verifyCalls(name: string, commits: number, before: SlowCalls, after: SlowCalls): void {
  for (const what of ["writes", "syncs"] as const) {
    if (what === "syncs" && commits < RATE) continue;
    if (after[what] === before[what]) throw new Error(`${name}: no ${what} on the slow disk`);
  }
}

/** What each commit took, in nanoseconds. One that comes late is made at once. */
async function paced({ insert }: Database, forMs: number): Promise<number[]> {
  const samples: number[] = [];
  const startMs = performance.now();
  let nowMs = startMs;
  while (nowMs - startMs < forMs) {
    while (samples.length < (nowMs - startMs) * RATE / 1000) {
      const beforeMs = performance.now();
      insert.run(`a row to commit, number ${samples.length}`);
      samples.push(Math.round((performance.now() - beforeMs) * 1e6));
      // Who can't keep the pace is not measured for longer.
      if (performance.now() - startMs > forMs) return samples;
    }
    await new Promise((resolve) => setImmediate(resolve));
    nowMs = performance.now();
  }
  return samples;
}

/** As fast as it goes, but for forMs at most: what each commit took, in nanoseconds. */
function burst({ insert }: Database, commits: number, forMs: number): number[] {
  const samples: number[] = [];
  const untilMs = performance.now() + forMs;
  for (const row of rowNames(commits)) {
    const beforeMs = performance.now();
    if (beforeMs >= untilMs) break; // who syncs each commit
    insert.run(row);
    samples.push(Math.round((performance.now() - beforeMs) * 1e6));
  }
  return samples;
}

const p999 = (samples: number[]) => percentile(samples, 0.999);

function report(series: Series): Report {
  const none = {} as AsyncVfs;
  const all = contenders(none);
  const rows = [
    ...Object.keys(disks).flatMap((disk) =>
      all.map((contender) => ({ name: evenName(contender, disk), contender }))
    ),
    ...all.map((contender) => ({ name: burstName(contender), contender })),
  ].filter(({ name }) => name in series);
  const names = rows.map(({ name }) => name);
  const slowest = `${OURS}, 5 ms a sync`;
  return {
    table: [
      ["", ...latencyHeadings, "commits/s", "full waits", "checkpoints", "SIGKILL", "power cut"],
      ...rows.map(({ contender }, i) => [
        ...latencyLine(series, names[i]!),
        count(middle(series, `${names[i]}, commits/s`)), // fewer than RATE: it was held up
        ...["full waits", "checkpoints"].map((what) => {
          const name = `${names[i]}, ${what}`;
          return name in series ? count(Math.max(...roundsOf(series, name).flat())) : "";
        }),
        ...survivesCells(contender),
      ]),
    ],
    targets: [
      target(
        "5 ms a sync: p99.9 by the fast disk's",
        ratios(series, slowest, `${OURS}, fast`, p999),
        "at most",
        1.5,
      ),
      // A median would hide a round that had waited.
      target(
        "most waits for a full queue in a round",
        [Math.max(...roundsOf(series, `${slowest}, full waits`).flat())],
        "at most",
        0,
      ),
    ],
    charts: [
      percentiles("Commits on slow disks", series, names.filter((name) => !name.endsWith("burst"))),
      percentiles(`A burst of commits, ${BURST_DISK}`, series, all.map(burstName)),
      overTime("The longest commits over time, 5 ms a sync", series, [
        `plain WAL/NORMAL, 5 ms a sync`,
        slowest,
      ]),
    ],
    summary: rows.map(({ contender }, i) => ({
      contender: names[i]!,
      survives: contender.survives,
      figures: {
        "commit p50": latencyLine(series, names[i]!)[1]!,
        p99: latencyLine(series, names[i]!)[4]!,
        "p99.9": latencyLine(series, names[i]!)[5]!,
        longest: latencyLine(series, names[i]!)[6]!,
      },
    })),
  };
}

/** The workload. */
export const slow: Workload = {
  name: "slow",
  about: "a thousand commits a second, and bursts, on a disk whose syncs take 5 ms or 50 ms",
  usesNative: true,
  measure,
  report,
};
