/**
 * Durable commits over many databases: up to 512 callers, each of whom commits to one of 16
 * databases and waits until that is durable, over and over.
 *
 * What people do today is a Worker for each database, with plain SQLite and a WAL that each
 * commit syncs. Each Worker is sent as many commits at a time as there are waiters a database;
 * it makes one after the other. Its turns are among ours, in an order that moves on each round.
 *
 * The ceiling is a bare loop in as many threads as there may be writers, that go round 16
 * files, writing the same bytes a sync on the average, and counting the same commits.
 *
 * @module
 */
import { type AsyncVfs, install } from "../mod.ts";
import { over } from "./charts.ts";
import type { Contender } from "./contender.ts";
import { oursWal } from "./contenders/builtin.ts";
import { WORKER_FULL } from "./contenders/worker.ts";
import { create, type Database, finish } from "./databases.ts";
import { bareRate, type Synced } from "./native.ts";
import { count } from "./print.ts";
import { middle, ratios, target } from "./statistics.ts";
import type { Report, Round, Series, Settings, SummaryLine, Workload } from "./workload.ts";

const DATABASES = 16;
const WAITERS = [16, 64, 256];
/** How many writers, and how many wait. */
const OURS: { writers: number; waiters: number }[] = [
  ...WAITERS.map((waiters) => ({ writers: 1, waiters })),
  ...[...WAITERS, 512].map((waiters) => ({ writers: 4, waiters })),
];
const WRITERS = [1, 4];
const WORKERS = [...WAITERS, 512];
const WORKER = `${DATABASES} Workers, plain WAL/FULL`;

const workerName = (waiters: number) => `${WORKER}, ${waiters}`;
const bareName = (name: string) => `${name}: bare loop`;
const nameOf = (writers: number, waiters: number) =>
  `${writers} ${writers === 1 ? "writer" : "writers"}, ${waiters}`;

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = await install();
  const turns = [
    ...OURS.map((ours) => (series: Round, forMs: number) =>
      takeOurs(series, folder, vfs, ours, forMs)
    ),
    ...WORKERS.map((waiters) => async (series: Round, forMs: number) => {
      const { commits, tookMs } = await takeTurn(folder, WORKER_FULL, waiters, forMs);
      series[workerName(waiters)] = [commits / tookMs * 1000];
    }),
  ];
  for (let round = -1; round < (quick ? 3 : 6); round++) { // the first one warms up
    const forMs = round < 0 ? 200 : quick ? 700 : 1500;
    const series: Round = {};
    for (const turn of turns) await turn(series, forMs);
    if (round >= 0) yield series;
    turns.push(turns.shift()!);
  }
}

/** What the VFS counts. */
type Counts = ReturnType<AsyncVfs["status"]>;

/** With the ceiling right after it. */
async function takeOurs(
  series: Round,
  folder: string,
  vfs: AsyncVfs,
  { writers, waiters }: { writers: number; waiters: number },
  forMs: number,
): Promise<void> {
  vfs.writers = writers;
  const name = nameOf(writers, waiters);
  const { commits, tookMs, before, after } = await takeTurn(folder, oursWal(vfs), waiters, forMs);
  const synced: Synced = {
    commits,
    syncs: after!.syncs - before!.syncs,
    bytes: after!.bytesWritten - before!.bytesWritten,
  };
  series[name] = [commits / tookMs * 1000];
  series[`${name}, commits a sync`] = [commits / synced.syncs];
  const bare = { forMs, threads: writers, files: DATABASES };
  series[bareName(name)] = [await bareRate(folder, synced, bare)];
}

async function takeTurn(
  folder: string,
  contender: Contender,
  waiters: number,
  forMs: number,
): Promise<{ commits: number; tookMs: number; before?: Counts; after?: Counts }> {
  const { vfs } = contender;
  const databases: Database[] = [];
  for (let i = 0; i < DATABASES; i++) {
    databases.push(await create(folder, { ...contender, name: `${contender.name} ${i}` }));
  }
  const commits = databases.map(() => 0);
  const before = vfs?.status();
  const startMs = performance.now();
  const untilMs = startMs + forMs;
  const go = async (i: number) => {
    const { insert, path } = databases[i]!;
    while (performance.now() < untilMs) {
      const done = insert.run(`a row to commit, number ${commits[i]!++}`);
      if (done instanceof Promise) await done;
      if (vfs !== undefined) await vfs.flush({ path });
    }
  };
  await Promise.all(Array.from({ length: waiters }, (_, waiter) => go(waiter % DATABASES)));
  const tookMs = performance.now() - startMs; // to the end of the last sync
  const after = vfs?.status();
  for (const { path } of databases) {
    if (vfs === undefined) break;
    const { committed, durable } = vfs.status(path);
    if (durable < committed) throw new Error(`${path}: ${committed - durable} are not durable`);
  }
  for (const [i, database] of databases.entries()) await finish(database, commits[i]!);
  return { commits: commits.reduce((sum, some) => sum + some, 0), tookMs, before, after };
}

function report(series: Series): Report {
  const names = OURS.map(({ writers, waiters }) => nameOf(writers, waiters));
  const line = (of: (name: string) => string, writers: number) =>
    OURS.filter((ours) => ours.writers === writers).map(({ waiters }): [number, number] => [
      waiters,
      middle(series, of(nameOf(writers, waiters))),
    ]);
  const workerLine = WORKERS.map((waiters): [number, number] => [
    waiters,
    middle(series, workerName(waiters)),
  ]);
  const many = nameOf(4, 256);
  return {
    table: [
      ["writers, waiters", "durable commits/s", "commits a sync", "bare loop, as many threads"],
      ...names.map((name) => [
        name,
        count(middle(series, name)),
        middle(series, `${name}, commits a sync`).toFixed(1),
        count(middle(series, bareName(name))),
      ]),
      ...workerLine.map(([waiters, rate]) => [workerName(waiters), count(rate), "", ""]),
    ],
    targets: [
      target(
        `${many}, by the bare loop's`,
        ratios(series, many, bareName(many)),
        "at least",
        0.8,
      ),
    ],
    charts: [
      over(
        "Durable commits over 16 databases",
        "waiters",
        "durable commits a second",
        [
          ...WRITERS.flatMap((writers) => [
            { name: `writers: ${writers}`, points: line((name) => name, writers) },
            { name: `bare loop, threads: ${writers}`, points: line(bareName, writers) },
          ]),
          { name: WORKER, points: workerLine },
        ],
      ),
    ],
    summary: [
      ...names.map((name): SummaryLine => ({
        contender: `sqlite3async, ${name} waiting`,
        survives: { kill: "all", power: "all" },
        figures: {
          "durable commits/s over 16 databases": count(middle(series, name)),
          "bare loop": count(middle(series, bareName(name))),
        },
      })),
      ...workerLine.map(([waiters, rate]): SummaryLine => ({
        contender: `${workerName(waiters)} waiting`,
        survives: WORKER_FULL.survives,
        figures: { "durable commits/s over 16 databases": count(rate), "bare loop": "" },
      })),
    ],
  };
}

/** The workload. */
export const spread: Workload = {
  name: "spread",
  about: "durable commits over 16 databases, with 1 writer, with 4, and in 16 Workers",
  usesNative: true,
  measure,
  report,
};
