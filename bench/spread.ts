/**
 * Durable commits over many databases: 256 callers, each of whom commits to one of 16
 * databases and waits until that is durable, over and over.
 *
 * The ceiling is a bare loop in as many threads as there may be writers, that go round 16
 * files, writing the same bytes a sync on the average, and counting the same commits.
 *
 * @module
 */
import { type AsyncVfs, install } from "../mod.ts";
import { over } from "./charts.ts";
import { oursWal } from "./contenders/builtin.ts";
import { create, type Database, finish } from "./databases.ts";
import { bareRate, type Synced } from "./native.ts";
import { count } from "./print.ts";
import { middle, ratios, target } from "./statistics.ts";
import type { Report, Round, Series, Settings, Workload } from "./workload.ts";

const DATABASES = 16;
const WAITERS = [16, 64, 256];
const WRITERS = [1, 4];

const bareName = (name: string) => `${name}: bare loop`;
const nameOf = (writers: number, waiters: number) =>
  `${writers} ${writers === 1 ? "writer" : "writers"}, ${waiters}`;

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = await install();
  for (let round = -1; round < (quick ? 3 : 6); round++) { // the first one warms up
    const forMs = round < 0 ? 200 : quick ? 700 : 1500;
    const series: Round = {};
    for (const writers of WRITERS) {
      vfs.writers = writers;
      for (const waiters of WAITERS) {
        const name = nameOf(writers, waiters);
        const synced = await takeTurn(folder, vfs, waiters, forMs);
        series[name] = [synced.commits / synced.tookMs * 1000];
        series[`${name}, commits a sync`] = [synced.commits / synced.syncs];
        const bare = { forMs, threads: writers, files: DATABASES };
        series[bareName(name)] = [await bareRate(folder, synced, bare)];
      }
    }
    if (round >= 0) yield series;
  }
}

async function takeTurn(
  folder: string,
  vfs: AsyncVfs,
  waiters: number,
  forMs: number,
): Promise<Synced & { tookMs: number }> {
  const databases: Database[] = [];
  for (let i = 0; i < DATABASES; i++) {
    databases.push(await create(folder, { ...oursWal(vfs), name: `database ${i}` }));
  }
  const commits = databases.map(() => 0);
  const before = vfs.status();
  const startMs = performance.now();
  const untilMs = startMs + forMs;
  const go = async (i: number) => {
    const { insert, path } = databases[i]!;
    while (performance.now() < untilMs) {
      insert.run(`a row to commit, number ${commits[i]!++}`);
      await vfs.flush({ path });
    }
  };
  await Promise.all(Array.from({ length: waiters }, (_, waiter) => go(waiter % DATABASES)));
  const tookMs = performance.now() - startMs; // to the end of the last sync
  const after = vfs.status();
  for (const { path } of databases) {
    const { committed, durable } = vfs.status(path);
    if (durable < committed) throw new Error(`${path}: ${committed - durable} are not durable`);
  }
  for (const [i, database] of databases.entries()) await finish(database, commits[i]!);
  return {
    commits: commits.reduce((sum, some) => sum + some, 0),
    syncs: after.syncs - before.syncs,
    bytes: after.bytesWritten - before.bytesWritten,
    tookMs,
  };
}

function report(series: Series): Report {
  const names = WRITERS.flatMap((writers) => WAITERS.map((waiters) => nameOf(writers, waiters)));
  const line = (of: (name: string) => string, writers: number) =>
    WAITERS.map((waiters): [number, number] => [
      waiters,
      middle(series, of(nameOf(writers, waiters))),
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
        WRITERS.flatMap((writers) => [
          { name: `writers: ${writers}`, points: line((name) => name, writers) },
          { name: `bare loop, threads: ${writers}`, points: line(bareName, writers) },
        ]),
      ),
    ],
    summary: names.map((name) => ({
      contender: `sqlite3async, ${name} waiting`,
      survives: { kill: "all", power: "all" },
      figures: {
        "durable commits/s over 16 databases": count(middle(series, name)),
        "bare loop": count(middle(series, bareName(name))),
      },
    })),
  };
}

/** The workload. */
export const spread: Workload = {
  name: "spread",
  about: "durable commits over 16 databases, with 1 writer and with 4",
  usesNative: true,
  measure,
  report,
};
