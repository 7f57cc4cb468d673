/**
 * Commits of several Workers at the same time: each into a database of its own, or all
 * into one, where SQLite lets one write at a time and the others try again
 * (busy_timeout). One row a commit, in WAL mode with synchronous=NORMAL.
 *
 * With more Workers than processors they share those, with each other and with
 * the writer's thread.
 *
 * @module
 */
import { over } from "./charts.ts";
import { rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { open } from "../examples/sqlite.ts";
import { type AsyncVfs, install } from "../mod.ts";
import { count, duration } from "./print.ts";
import { middle, percentile, ratios, roundsOf, target } from "./statistics.ts";
import type { Answer, Task } from "./workers_worker.ts";
import type { Chart, Report, Round, Series, Settings, Workload } from "./workload.ts";

const OURS = "sqlite3async WAL/NORMAL";
const PLAIN = "plain WAL/NORMAL";
const COUNTS = [1, 2, 4, 8];
const COUNT_MAX = 8;
/** One each, or one for all. */
const SHAPES = ["a database each", "one database"];
const MODES = "PRAGMA busy_timeout = 30000; PRAGMA synchronous = NORMAL";
/** Commits a second of one Worker that there is memory for. */
const RATE_MAX = 500_000;

const seriesName = (name: string, shape: string, workers: number) =>
  `${name}, ${shape}, ${workers}`;

/** The Workers, which live as long as the measurement. */
type Pool = Worker[];

/** What one contender does once. */
interface Turn {
  folder: string;
  name: string;
  vfs: AsyncVfs | undefined;
  shape: string;
  workers: number;
  forMs: number;
}

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = await install();
  const pool = Array.from(
    { length: COUNT_MAX },
    () => new Worker(new URL("./workers_worker.ts", import.meta.url), { type: "module" }),
  );
  const samples = pool.map(() =>
    new Float64Array(new SharedArrayBuffer(8 * RATE_MAX * (quick ? 0.25 : 1)))
  );
  try {
    for (let round = -1; round < (quick ? 2 : 3); round++) { // the first one warms up
      const series: Round = {};
      series["processors"] = [availableParallelism()];
      const forMs = round < 0 ? 150 : quick ? 200 : 800;
      for (const shape of SHAPES) {
        for (const workers of round < 0 ? [COUNT_MAX] : COUNTS) {
          const names = round % 2 === 0 ? [PLAIN, OURS] : [OURS, PLAIN];
          for (const name of names) {
            const ours = name === OURS ? vfs : undefined;
            const turn: Turn = { folder, name, vfs: ours, shape, workers, forMs };
            await takeTurn(turn, pool.slice(0, workers), samples, series);
          }
        }
      }
      if (round >= 0) yield series;
    }
  } finally {
    for (const worker of pool) worker.terminate();
  }
}

async function takeTurn(
  turn: Turn,
  pool: Pool,
  samples: Task["samplesMs"][],
  series: Round,
): Promise<void> {
  const { folder, name, vfs, shape, workers, forMs } = turn;
  const databases = shape === SHAPES[0] ? workers : 1;
  const paths = Array.from({ length: databases }, (_, at) => join(folder, `workers-${at}.db`));
  for (const path of paths) createDatabase(path, vfs);
  await vfs?.flush();

  const signal = new Int32Array(new SharedArrayBuffer(4));
  const done = await runAll(
    pool,
    (at) => ({
      name: vfs?.uri(paths[at % databases]!) ?? paths[at % databases]!,
      modes: MODES,
      signal,
      samplesMs: samples[at]!,
    }),
    signal,
    forMs,
  );
  await vfs?.flush();
  for (const [at, path] of paths.entries()) {
    const of = done.filter((_, worker) => worker % databases === at);
    verify(turn, path, of.reduce((sum, { commits }) => sum + commits, 0));
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
  }

  const all = done.flatMap(({ commits }, at) => Array.from(samples[at]!.subarray(0, commits)));
  const key = seriesName(name, shape, workers);
  series[`${key}, commits/s`] = [
    done.reduce((sum, { commits, tookMs }) => sum + commits / tookMs * 1000, 0),
  ];
  // Who is at it keeps at it, while the others sleep before they try again.
  series[`${key}, slowest`] = [
    Math.min(...done.map(({ commits, tookMs }) => commits / tookMs * 1000)),
  ];
  for (const [part, at] of [["p50", 0.5], ["p99", 0.99], ["max", 1]] as const) {
    series[`${key}, ${part}`] = [percentile(all, at) * 1e6];
  }
}

function createDatabase(path: string, vfs: AsyncVfs | undefined): void {
  using connection = open(vfs?.uri(path) ?? path);
  connection.exec("PRAGMA journal_mode = WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT)");
}

/** Give each Worker its task, let all go at once, and stop them. */
async function runAll(
  pool: Pool,
  taskOf: (at: number) => Task,
  signal: Task["signal"],
  forMs: number,
): Promise<{ commits: number; tookMs: number }[]> {
  const ready = pool.map((worker) => nextAnswer(worker));
  pool.forEach((worker, at) => worker.postMessage(taskOf(at)));
  await Promise.all(ready);
  const done = pool.map((worker) => nextAnswer(worker));
  Atomics.store(signal, 0, 1);
  Atomics.notify(signal, 0);
  await new Promise((resolve) => setTimeout(resolve, forMs));
  Atomics.store(signal, 0, 2);
  return await Promise.all(done.map(async (answer) => {
    const said = await answer;
    if (!("commits" in said)) throw new Error("a Worker is ready twice");
    return said;
  }));
}

function nextAnswer(worker: Worker): Promise<Answer> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<Answer>) =>
      "failed" in data ? reject(new Error(`a Worker failed: ${data.failed}`)) : resolve(data);
    worker.onerror = ({ message }) => reject(new Error(`a Worker failed: ${message}`));
  });
}

/** By plain SQLite, once all is closed. */
function verify({ name }: Turn, path: string, rows: number): void {
  using connection = open(path);
  connection.exec("PRAGMA busy_timeout = 10000");
  const checks = {
    "PRAGMA journal_mode": "wal",
    "SELECT count(*) FROM t": rows,
    "PRAGMA quick_check": "ok",
  };
  for (const [sql, wanted] of Object.entries(checks)) {
    const found = Object.values(connection.all(sql)[0]!)[0];
    if (found !== wanted) throw new Error(`${name}: ${sql}: ${found} instead of ${wanted}`);
  }
}

// ---- The report ----

function report(series: Series): Report {
  const processors = middle(series, "processors");
  const lines = SHAPES.flatMap((shape) =>
    COUNTS.flatMap((workers) =>
      [PLAIN, OURS].map((name) => line(series, seriesName(name, shape, workers)))
    )
  );
  const by = (shape: string, workers: number) => {
    const [ours, plain] = [OURS, PLAIN].map((name) =>
      `${seriesName(name, shape, workers)}, commits/s`
    );
    const faster = ratios(series, ours!, plain!);
    return target(`${workers} Workers, ${shape}: commits/s by plain's`, faster, "at least", 1);
  };
  return {
    table: [
      [
        `on ${processors} processors`,
        "commits/s",
        "of rounds",
        "slowest Worker's",
        "p50",
        "p99",
        "max",
      ],
      ...lines,
    ],
    targets: SHAPES.flatMap((shape) => COUNTS.map((workers) => by(shape, workers))),
    charts: SHAPES.flatMap((shape) => [
      chart(series, shape, "commits/s", 1),
      chart(series, shape, "p99", 1000),
    ]),
  };
}

function line(series: Series, name: string): string[] {
  const rates = roundsOf(series, `${name}, commits/s`).flat();
  return [
    name,
    count(middle(series, `${name}, commits/s`)),
    `${count(Math.min(...rates))} - ${count(Math.max(...rates))}`,
    count(middle(series, `${name}, slowest`)),
    ...["p50", "p99", "max"].map((part) => duration(middle(series, `${name}, ${part}`))),
  ];
}

function chart(
  series: Series,
  shape: string,
  what: "commits/s" | "p99",
  divisor: number,
): Chart {
  return over(
    `Workers, ${shape}: ${what}`,
    "Workers",
    what === "p99" ? "microseconds" : what,
    [PLAIN, OURS].map((name) => ({
      name,
      points: COUNTS.map((workers): [number, number] => [
        workers,
        middle(series, `${seriesName(name, shape, workers)}, ${what}`) / divisor,
      ]),
    })),
    { x: "linear" },
  );
}

/** The workload. */
export const workers: Workload = {
  name: "workers",
  about: "one-row commits of 1 to 8 Workers, into a database each and into one",
  measure,
  report,
};
