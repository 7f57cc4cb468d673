/**
 * The system calls that a thread makes to commit, as strace sees them: the
 * program of system_calls_program.ts is run under it, and what its main
 * thread calls between two marks is counted. No other thread is traced, so that
 * the writer goes its own pace; the calls of the traced one take longer.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { middle } from "./statistics.ts";
import type { Round, Series } from "./workload.ts";

const PROGRAM = fileURLToPath(new URL("./system_calls_program.ts", import.meta.url));
const TIMEOUT_MS = 60_000;
/** Plain SQLite's calls are many, which takes long under strace; a checkpoint is among them. */
const COMMITS = { memory: 20_000, ours: 20_000, applied: 5000, plain: 5000 };
const COMMITS_QUICK = { memory: 5000, ours: 5000, applied: 2000, plain: 2000 };

/** Ways to keep a database: in memory, ours, ours at level applied, plain. */
export type CallsWay = keyof typeof COMMITS;

/** The names of files that aren't there: asking for them marks the beginning and the end. */
export const MARKS = { begin: "mark-begin", end: "mark-end" } as const;

/** Add what each way calls a commit, in total and by name; nothing if there is no strace. */
export function countSystemCalls(
  folder: string,
  quick: boolean,
  series: Round,
  ways: readonly CallsWay[],
): void {
  const found = spawnSync("strace", ["-V"], { encoding: "utf8" });
  if (found.status !== 0) return;
  for (const way of ways) {
    const commits = (quick ? COMMITS_QUICK : COMMITS)[way];
    for (const pace of ["burst", "paced"]) {
      const calls = trace(folder, way, pace, commits);
      const total = [...calls.values()].reduce((sum, times) => sum + times, 0);
      series[`${way}, ${pace}, calls`] = [total / commits];
      for (const [call, times] of calls) {
        series[`${way}, ${pace}, calls, ${call}`] = [times / commits];
      }
    }
  }
}

/** Run the program under strace; how often it made which call between the marks. */
function trace(folder: string, way: string, pace: string, commits: number): Map<string, number> {
  const place = join(folder, "system-calls");
  mkdirSync(place);
  try {
    const log = join(place, "strace.txt");
    const runtime = "Deno" in globalThis ? [process.execPath, "run", "-A"] : [process.execPath];
    const { status, stderr } = spawnSync(
      "strace",
      ["-o", log, ...runtime, PROGRAM, way, pace, String(commits), place],
      { encoding: "utf8", timeout: TIMEOUT_MS },
    );
    if (status !== 0) throw new Error(`the program under strace failed: ${stderr}`);
    return parse(readFileSync(log, "utf8"));
  } finally {
    rmSync(place, { recursive: true });
  }
}

function parse(log: string): Map<string, number> {
  const lines = log.split("\n");
  const [begin, end] = [MARKS.begin, MARKS.end].map((mark) =>
    lines.findIndex((line) => line.includes(mark) && line.includes("ENOENT"))
  );
  if (begin! < 0 || end! < 0) throw new Error("it isn't the program's main thread that commits");
  const calls = new Map<string, number>();
  for (const line of lines.slice(begin! + 1, end)) {
    const call = /^(\w+)\(/.exec(line)?.[1];
    if (call !== undefined) calls.set(call, (calls.get(call) ?? 0) + 1);
  }
  return calls;
}

/** Lines for the report, of {@linkcode countSystemCalls}'s series. */
export function callsOf(
  series: Series,
  paces: string[],
  ways: readonly CallsWay[],
): { counted: boolean; table: string[][] } {
  const all = ways.flatMap((way) => paces.map((pace) => `${way}, ${pace}, calls`));
  if (!all.every((name) => name in series)) {
    return { counted: false, table: [["system calls: not counted, for strace is missing"]] };
  }
  const table = all.map((name) => {
    const prefix = `${name}, `;
    const parts = Object.keys(series).filter((key) => key.startsWith(prefix))
      .map((key): [string, number] => [key.slice(prefix.length), middle(series, key)])
      .toSorted(([, a], [, b]) => b - a)
      .map(([call, times]) => `${call} ${times.toFixed(4)}`);
    return [`${name} a commit`, middle(series, name).toFixed(4), ...parts];
  });
  return { counted: true, table };
}
