/**
 * How many durable commits a second there are, in WAL mode: each waits until
 * it is on disk before its next one begins.
 *
 * Ours is awaited by 1 to 1,024 that go on side by side, and share syncs; by
 * flushSync() it is as one after the other as plain SQLite. A driver that answers
 * at once has no waiters side by side: each of its commits holds up the thread. A
 * Worker's are asked for side by side, and it makes one after the other.
 *
 * The ceiling is a bare loop that writes the same bytes in the same batches as 512
 * waiters did: as many as came on a sync, the checkpointer's included.
 *
 * @module
 */
import { statSync } from "node:fs";
import { install } from "../mod.ts";
import { over } from "./charts.ts";
import type { Contender, Statement } from "./contender.ts";
import { contendersHere, isNode } from "./contenders/all.ts";
import { oursWal } from "./contenders/builtin.ts";
import { create, type Database, finish, INSERT, verify } from "./databases.ts";
import { bareRate } from "./native.ts";
import { count, duration } from "./print.ts";
import { middle, ratios, roundsOf, target } from "./statistics.ts";
import type { Report, Round, Series, Settings, Workload } from "./workload.ts";

const WAITERS = [1, 4, 16, 64, 256, 512, 1024];
/** At which the ceiling is taken. */
const MANY = 512;

const PLAIN = "plain WAL/FULL";
const OURS = "sqlite3async, awaited";
const SYNC = "sqlite3async, flushSync()";
const BARE = "bare loop, appending";
/** For information: a file that doesn't grow has a shorter sync. */
const BARE_AGAIN = "bare loop, from the start again";
const WORKER = "Worker WAL/FULL";

/** A contender and how many wait side by side. */
interface Entry {
  name: string;
  contender: Contender;
  waiters: number;
  /** Make the commits so far durable; nothing to do if a commit is. */
  wait?: () => Promise<void> | void;
}

/** What one did in one round. */
interface Turn {
  commits: number;
  tookMs: number;
  /** Of our status, how much it grew; 0 for others. */
  syncs: number;
  syncMs: number;
  bytes: number;
  /** How large the WAL's file became. */
  walFileBytes: number;
}

const named = (name: string, waiters: number) => `${name}, ${waiters}`;

function entries(all: Contender[], quick: boolean): Entry[] {
  const full = all.filter(({ synchronous, journalMode, vfs }) =>
    synchronous === "FULL" && journalMode === "wal" && vfs === undefined
  );
  const others = full.flatMap((contender) =>
    (contender.name === WORKER || contender.name.startsWith("Turso") ? [1, MANY] : [1])
      .map((waiters) => ({ name: named(contender.name, waiters), contender, waiters }))
  );
  const vfs = all.find(({ vfs }) => vfs !== undefined)?.vfs;
  if (vfs === undefined) return others;
  const contender = oursWal(vfs);
  const ours = WAITERS.filter((waiters) => !quick || [1, 64, MANY].includes(waiters)).map(
    (waiters): Entry => ({
      name: named(OURS, waiters),
      contender,
      waiters,
      wait: () => vfs.flush(),
    }),
  );
  const sync = { name: named(SYNC, 1), contender, waiters: 1, wait: () => vfs.flushSync() };
  return [...others, ...ours, sync];
}

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = isNode ? undefined : await install();
  const all = entries(contendersHere(vfs), quick);
  for (let round = -1; round < (quick ? 3 : 5); round++) { // the first one warms up
    const forMs = round < 0 ? 200 : quick ? 700 : 1200;
    const series: Round = {};
    for (const entry of all) {
      const turn = await takeTurn(folder, entry, forMs);
      addTurn(series, entry.name, turn);
      if (entry.name !== named(OURS, MANY)) continue;
      series[BARE] = [await bareRate(folder, turn, { forMs })];
      const endBytes = turn.walFileBytes;
      series[BARE_AGAIN] = [await bareRate(folder, turn, { forMs, endBytes })];
    }
    if (round >= 0) yield series;
    all.push(all.shift()!);
  }
}

async function takeTurn(folder: string, entry: Entry, forMs: number): Promise<Turn> {
  const { contender } = entry;
  const database = await create(folder, contender);
  const status = () => contender.vfs?.status(database.path);
  const before = status();
  const inserts = await insertsOf(database, entry);
  const startMs = performance.now();
  const commits = await commitFor(inserts, entry, startMs + forMs);
  const tookMs = performance.now() - startMs;
  const after = status();
  if (after !== undefined && after.durable < after.committed) {
    throw new Error(`${entry.name}: ${after.committed - after.durable} commits are not durable`);
  }
  const walFileBytes = statSync(`${database.path}-wal`).size;
  await finish(database, commits, (plain) => {
    const [row] = plain.all("SELECT count(DISTINCT name) AS names FROM t");
    verify(contender, "different names", row!["names"], commits);
  });
  const grown = (name: "syncs" | "syncMsTotal" | "bytesWritten") =>
    (after?.[name] ?? 0) - (before?.[name] ?? 0);
  return {
    commits,
    tookMs,
    syncs: grown("syncs"),
    syncMs: grown("syncMsTotal"),
    bytes: grown("bytesWritten"),
    walFileBytes,
  };
}

/** For each waiter the statement that it uses: one for all, if that is safe. */
async function insertsOf(
  { insert, store }: Database,
  { contender, waiters }: Entry,
): Promise<Statement[]> {
  const inserts = new Array<Statement>(waiters).fill(insert);
  if (!contender.needsAnswer) return inserts;
  for (let i = 1; i < waiters; i++) inserts[i] = await store.prepare(INSERT);
  return inserts;
}

/** Returns how many commits there were, all durable. */
async function commitFor(
  inserts: Statement[],
  { wait }: Entry,
  untilMs: number,
): Promise<number> {
  let commits = 0;
  const go = async (insert: Statement) => {
    while (performance.now() < untilMs) {
      const done = insert.run(`a row to commit, number ${commits++}`);
      if (done instanceof Promise) await done;
      const waiting = wait?.();
      if (waiting !== undefined) await waiting;
    }
  };
  await Promise.all(inserts.map(go));
  return commits;
}

function addTurn(series: Round, name: string, turn: Turn): void {
  series[name] = [turn.commits / turn.tookMs * 1000];
  if (turn.syncs === 0) return;
  series[`${name}, commits a sync`] = [turn.commits / turn.syncs];
  series[`${name}, bytes a sync`] = [turn.bytes / turn.syncs];
  series[`${name}, syncs/s`] = [turn.syncs / turn.tookMs * 1000];
  series[`${name}, ns a sync`] = [turn.syncMs / turn.syncs * 1e6];
}

/** The series that are rates, in the order in which they came: "name, waiters", or a bare loop. */
function rateNames(series: Series): string[] {
  return Object.keys(series).filter((name) => /, \d+$/.test(name) || name.startsWith("bare"));
}

function report(series: Series): Report {
  const names = rateNames(series).toSorted();
  const by = (over: string, under: string, bound: number) =>
    target(`${over}, by ${under}`, ratios(series, over, under), "at least", bound);
  const mine = named(OURS, 1) in series;
  const plain = named(PLAIN, 1);
  return {
    table: [
      [
        "each is durable; waiters",
        "commits/s",
        "of rounds",
        "commits a sync",
        "bytes a sync",
        "syncs/s",
        "a sync",
      ],
      ...names.map((name) => rateLine(series, name)),
    ],
    targets: !mine ? [] : [
      by(named(OURS, 64), plain, 6),
      by(named(OURS, 1), plain, 0.6),
      by(named(SYNC, 1), plain, 0.9),
      by(named(OURS, MANY), BARE, 0.8),
    ],
    charts: [
      over("Durable commits over waiters", "waiters", "durable commits a second", lines(series)),
    ],
    summary: names.filter((name) => !name.startsWith("bare")).map((name) => ({
      contender: `${name} waiting`,
      survives: { kill: "all", power: "all" },
      figures: { "durable commits/s": count(middle(series, name)) },
    })),
  };
}

/** By contender, its rate by waiters; a single one is drawn as one that doesn't change. */
function lines(series: Series): { name: string; points: [number, number][] }[] {
  const byName = new Map<string, [number, number][]>();
  for (const name of rateNames(series)) {
    const [, contender, waiters] = /^(.*), (\d+)$/.exec(name) ?? [];
    if (contender === undefined) continue;
    const points = byName.get(contender) ?? [];
    byName.set(contender, [...points, [Number(waiters), middle(series, name)]]);
  }
  return [...byName].map(([name, points]) => ({
    name,
    points: points.length === 1
      ? [points[0]!, [WAITERS.at(-1)!, points[0]![1]]]
      : points.toSorted(([a], [b]) => a - b),
  }));
}

function rateLine(series: Series, name: string): string[] {
  const rates = roundsOf(series, name).flat();
  const rounds = `${count(Math.min(...rates))} - ${count(Math.max(...rates))}`;
  const cell = (what: string, text: (value: number) => string) =>
    `${name}, ${what}` in series ? text(middle(series, `${name}, ${what}`)) : "";
  return [
    name,
    count(middle(series, name)),
    rounds,
    cell("commits a sync", (value) => value.toFixed(1)),
    cell("bytes a sync", count),
    cell("syncs/s", count),
    cell("ns a sync", duration),
  ];
}

/** The workload. */
export const durable: Workload = {
  name: "durable",
  about: "commits that are waited for until durable, journal_mode WAL",
  usesNative: true,
  runtimes: ["Deno", "Bun", "Node"],
  measure,
  report,
};
