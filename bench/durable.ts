/**
 * How many durable commits a second there are, in WAL mode: each waits until
 * it is on disk before its next one begins.
 *
 * Ours is awaited by one, by 64 and by 512 that go on side by side, and share
 * syncs; by flushSync() it is as one after the other as plain SQLite. The bare
 * loop writes the same bytes in the same batches as 512 awaiters did: as
 * many as came on a sync, the checkpointer's included.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { type AsyncVfs, install } from "../mod.ts";
import { create, type Database, finish, type Way } from "./databases.ts";
import { count, duration } from "./print.ts";
import { middle, ratios, roundsOf, target } from "./statistics.ts";
import type { Report, Round, Series, Settings, Workload } from "./workload.ts";
import { NATIVE_PROGRAM } from "./workload.ts";

const PLAIN = "plain WAL/FULL";
const ONE = "sqlite3async, 1 awaiter";
const SOME = "sqlite3async, 64 awaiters";
const MANY = "sqlite3async, 512 awaiters";
const SYNC = "sqlite3async, flushSync()";
const BARE = "bare loop, appending";
/** For information: a file that doesn't grow has a shorter sync. */
const BARE_AGAIN = "bare loop, from the start again";

/** A contender: how it makes its commits durable. */
interface Contender {
  way: Way;
  /** How many go on side by side. */
  awaiters: number;
  /** Make the commits so far durable; nothing to do if a commit is. */
  wait?: () => Promise<void> | void;
}

/** What one contender did in one round. */
interface Turn {
  commits: number;
  tookMs: number;
  /** Of our status, how much it grew; 0 for plain SQLite. */
  syncs: number;
  syncMs: number;
  bytes: number;
  /** How large the WAL's file became. */
  walFileBytes: number;
}

function contendersWith(vfs: AsyncVfs): Contender[] {
  const way = (name: string): Way => ({ name, synchronous: "NORMAL", vfs });
  const flush = () => vfs.flush();
  return [
    { way: { name: PLAIN, synchronous: "FULL" }, awaiters: 1 },
    { way: way(ONE), awaiters: 1, wait: flush },
    { way: way(SOME), awaiters: 64, wait: flush },
    { way: way(MANY), awaiters: 512, wait: flush },
    { way: way(SYNC), awaiters: 1, wait: () => vfs.flushSync() },
  ];
}

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = await install();
  for (let round = -1; round < (quick ? 3 : 8); round++) { // the first one warms up
    const forMs = round < 0 ? 300 : quick ? 1000 : 1500;
    const series: Round = {};
    for (const contender of contendersWith(vfs)) {
      const turn = await takeTurn(folder, contender, forMs);
      addTurn(series, contender.way.name, turn);
      if (contender.way.name !== MANY) continue;
      add(series, BARE, bareRate(folder, turn, 0, forMs));
      add(series, BARE_AGAIN, bareRate(folder, turn, turn.walFileBytes, forMs));
    }
    if (round >= 0) yield series;
  }
}

async function takeTurn(folder: string, contender: Contender, forMs: number): Promise<Turn> {
  const { way } = contender;
  const database = await create(folder, way);
  const status = () => way.vfs?.status(database.path);
  const before = status();
  const startMs = performance.now();
  const commits = await commitFor(database, contender, startMs + forMs);
  const tookMs = performance.now() - startMs;
  const after = status();
  if (after !== undefined && after.durable < after.committed) {
    throw new Error(`${way.name}: ${after.committed - after.durable} commits are not durable`);
  }
  const walFileBytes = statSync(`${database.path}-wal`).size;
  await finish(database, commits);
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

/** Returns how many commits there were, all durable. */
async function commitFor(
  { insert }: Database,
  { awaiters, wait }: Contender,
  untilMs: number,
): Promise<number> {
  let commits = 0;
  const go = async () => {
    while (performance.now() < untilMs) {
      insert.run(`a row to commit, number ${commits++}`);
      const waiting = wait?.();
      if (waiting !== undefined) await waiting;
    }
  };
  await Promise.all(Array.from({ length: awaiters }, go));
  return commits;
}

/**
 * Commits a second of a loop that writes what came on each sync of that turn; it
 * begins anew at endBytes, or never if that is 0.
 */
function bareRate(folder: string, turn: Turn, endBytes: number, forMs: number): number {
  const variant = [Math.round(turn.bytes / turn.syncs), endBytes, forMs];
  const { status, stdout, stderr } = spawnSync(
    NATIVE_PROGRAM,
    ["bare", variant.join(","), folder],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`the bare loop failed: ${stderr}`);
  const values = new Map<string, number>();
  for (const line of stdout.trim().split("\n")) {
    const { series, samples } = JSON.parse(line);
    values.set(series, samples[0]);
  }
  const seconds = values.get("took")! / 1e9;
  return values.get("batches")! / seconds * (turn.commits / turn.syncs);
}

function add(series: Round, name: string, value: number): void {
  series[name] = [value];
}

function addTurn(series: Round, name: string, turn: Turn): void {
  add(series, name, turn.commits / turn.tookMs * 1000);
  if (turn.syncs === 0) return;
  add(series, `${name}, commits a sync`, turn.commits / turn.syncs);
  add(series, `${name}, bytes a sync`, turn.bytes / turn.syncs);
  add(series, `${name}, syncs/s`, turn.syncs / turn.tookMs * 1000);
  add(series, `${name}, ns a sync`, turn.syncMs / turn.syncs * 1e6);
}

function report(series: Series): Report {
  const contenders = [PLAIN, SYNC, ONE, SOME, MANY, BARE, BARE_AGAIN];
  const by = (over: string, under: string, bound: number) =>
    target(`${over}, by ${under}`, ratios(series, over, under), "at least", bound);
  return {
    table: [
      ["", "durable commits/s", "of rounds", "commits a sync", "bytes a sync", "syncs/s", "a sync"],
      ...contenders.map((name) => rateLine(series, name)),
    ],
    targets: [
      by(SOME, PLAIN, 6),
      by(ONE, PLAIN, 0.6),
      by(SYNC, PLAIN, 0.9),
      by(MANY, BARE, 0.6),
    ],
  };
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
  about: "commits that are awaited until durable, journal_mode WAL",
  usesNative: true,
  measure,
  report,
};
