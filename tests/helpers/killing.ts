/**
 * Killing the process of kill.ts, and what plain SQLite finds of its commits. For
 * tests/kill.test.ts and the bench.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { open } from "../../examples/sqlite.ts";
import { Child } from "./child.ts";
import { type KillPlan, nowMs, RECORD_BYTES, type Writer } from "./kill.ts";
import { createTables, lastBefore, lastIn, SCHEMAS } from "./numbered.ts";

const program = new URL("./kill.ts", import.meta.url).href;
const slowSync = new URL("../../zig-out/preload/libslow_sync.so", import.meta.url);

/** Can syncs be slowed down here? */
export const canSlowSyncs: boolean = process.platform === "linux";

/** A transaction that a process told of. */
export interface Told {
  n: number;
  atMs: number;
}

/** What became of one thread's databases. */
export interface Outcome {
  writer: Writer;
  told: Told[];
  /** By database the last transaction that plain SQLite finds, with all before it. */
  found: number[];
  /** Those that were told of and aren't in all of the databases. */
  lost: Told[];
  /** How long before the kill the first of the lost was told of; 0 if none is lost. */
  lostMs: number;
}

/** How to kill. */
export interface Killing {
  /** What each sync takes, beside what it takes anyway. */
  syncMs: number;
  /** When, after all threads have begun. */
  afterMs: number;
}

/** Let a process do what is planned, in new databases, and kill it. */
export async function kill(plan: KillPlan, { syncMs, afterMs }: Killing): Promise<Outcome[]> {
  for (const { paths, journalMode } of plan.writers) prepare(paths, journalMode);
  const slowness: Record<string, string> = syncMs === 0
    ? {}
    : { LD_PRELOAD: fileURLToPath(slowSync), SLOW_SYNC_MS: String(syncMs) };
  using child = new Child(
    `
      const { begin } = await import(${JSON.stringify(program)});
      await begin(${JSON.stringify(plan)});
    `,
    slowness,
  );
  await child.printed("ready\n");
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  const killedMs = nowMs();
  child.kill("SIGKILL");
  const { signal, stdout, stderr } = await child.ended();
  if (process.platform !== "win32") assert.equal(signal, "SIGKILL", stderr);
  assert.equal(stderr, "");
  const longest = Number(stdout.match(/^longest sync (.*)$/m)?.[1]);
  assert.ok(longest >= syncMs, `no sync took ${syncMs} ms, the longest ${longest} ms`);
  return outcomesOf(plan, killedMs);
}

/** By plain SQLite, whose syncs are not slowed down. */
function prepare(paths: string[], journalMode: string): void {
  using connection = open(paths[0]!);
  if (paths.length > 1) connection.exec(`ATTACH '${paths[1]}' AS ${SCHEMAS[1]}`);
  for (const schema of SCHEMAS.slice(0, paths.length)) {
    connection.all(`PRAGMA ${schema}.journal_mode = ${journalMode}`);
  }
  createTables(connection, paths.length);
}

function outcomesOf({ writers }: KillPlan, aboutMs: number): Outcome[] {
  const all = writers.map((writer) => ({ writer, told: toldIn(writer.told) }));
  // The signal takes a moment to arrive, in which they go on.
  const killedMs = Math.max(aboutMs, ...all.map(({ told }) => told.at(-1)?.atMs ?? 0));
  return all.map(({ writer, told }) => {
    const found = writer.paths.map((path, index) => lastIn(path, index));
    const lost = told.filter(({ n }) => found.some((last, index) => lastBefore(n, index) > last));
    const lostMs = lost.length === 0 ? 0 : killedMs - lost[0]!.atMs;
    return { writer, told, found, lost, lostMs };
  });
}

/** One that the end cut off was not told. */
function toldIn(path: string): Told[] {
  const bytes = readFileSync(path);
  const told: Told[] = [];
  for (let at = 0; at + RECORD_BYTES <= bytes.length; at += RECORD_BYTES) {
    told.push({ n: bytes.readDoubleLE(at), atMs: bytes.readDoubleLE(at + 8) });
  }
  return told;
}
