/**
 * Whether it costs anything to have many databases open: one-row commits to 1, 10, 100
 * and 1,000 of them in turn, the same number in all; and to one of them while the
 * others are idle. Those in memory show what it costs SQLite itself, whose caches, a set
 * for each, the processor's caches don't hold.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type AsyncVfs, install } from "../mod.ts";
import { over } from "./charts.ts";
import { type Contender, settle } from "./contender.ts";
import { MEMORY, oursWal, PLAIN_NORMAL } from "./contenders/builtin.ts";
import { create, type Database, finish } from "./databases.ts";
import { count, duration, survivesCells } from "./print.ts";
import { median, middle, percentile, ratios, roundsOf, target } from "./statistics.ts";
import type { Report, Round, Series, Settings, Workload } from "./workload.ts";

const COUNTS = [1, 10, 100, 1000];
const COMMITS = 20_000;
/** A database, its WAL and, of plain SQLite, its shared memory; and what else is open. */
const FILES_EACH = 3;
const FILES_BESIDE = 200;
const LIMITS = "/proc/self/limits";
const PROGRAM = fileURLToPath(new URL("./opened_program.ts", import.meta.url));
const TIMEOUT_MS = 60_000;
/** Of fewer it says little: a process's own memory changes by more. */
const MEMORY_OF = 100;

const all = ({ name }: Contender, databases: number) => `${name}, all of ${databases}`;
const one = ({ name }: Contender, databases: number) => `${name}, one of ${databases}`;

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  checkLimit(Math.max(...COUNTS));
  await using vfs = await install();
  const contenders = [oursWal(vfs), PLAIN_NORMAL, MEMORY];
  for (let round = -1; round < (quick ? 2 : 4); round++) { // the first one warms up
    const series: Round = {};
    for (const databases of round < 0 ? COUNTS.slice(0, 2) : COUNTS) {
      for (const contender of contenders) {
        await takeTurn(series, folder, contender, databases, quick ? COMMITS / 4 : COMMITS);
        if (databases < MEMORY_OF || contender === MEMORY) continue;
        const bytes = bytesEach(folder, contender, databases);
        series[`${all(contender, databases)}, bytes each`] = [bytes];
      }
    }
    if (round >= 0) yield series;
  }
}

/** Throws if so many databases can't be open at once. */
function checkLimit(databases: number): void {
  const wanted = databases * FILES_EACH + FILES_BESIDE;
  if (!existsSync(LIMITS)) return; // no Linux: opening them will tell
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync(LIMITS, "utf8"));
  if (limit !== null && Number(limit[1]) < wanted) {
    throw new Error(
      `${databases} databases need ${wanted} open files, the limit is ${
        limit[1]
      }: ulimit -n ${wanted}`,
    );
  }
}

/** Bytes of memory for each, in a new process: in one that had others open, theirs are used. */
function bytesEach(folder: string, { name, vfs }: Contender, databases: number): number {
  const runtime = "Deno" in globalThis ? ["run", "-A"] : [];
  const args = [...runtime, PROGRAM, vfs === undefined ? "plain" : "ours", `${databases}`, folder];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: "utf8",
    timeout: TIMEOUT_MS,
  });
  if (status !== 0) throw new Error(`${name}, memory of ${databases}: ${stderr}`);
  return Number(stdout);
}

async function takeTurn(
  series: Round,
  folder: string,
  contender: Contender,
  databases: number,
  commits: number,
): Promise<void> {
  const opened: Database[] = [];
  const rows = new Array<number>(databases).fill(0);
  for (let i = 0; i < databases; i++) {
    opened.push(await create(folder, { ...contender, name: `${contender.name} ${i}` }));
  }
  await settle(contender);
  const commit = (count: number, pick: (i: number) => number) => {
    const samples: number[] = [];
    for (let i = 0; i < count; i++) {
      const picked = pick(i);
      const beforeMs = performance.now();
      opened[picked]!.insert.run(`a row to commit, number ${rows[picked]!++}`);
      samples.push(Math.round((performance.now() - beforeMs) * 1e6));
    }
    return samples;
  };
  // Those that come first to a database find nothing ready; a median of all would hide them.
  series[`${all(contender, databases)}, first`] = commit(databases, (i) => i);
  series[all(contender, databases)] = commit(commits, (i) => i % databases);
  await settle(contender);
  series[one(contender, databases)] = commit(commits, () => 0);
  for (const [i, database] of opened.entries()) await finish(database, rows[i]!);
}

function bytesCell(series: Series, name: string): string {
  return name in series ? count(middle(series, name)) : "";
}

function report(series: Series): Report {
  const contenders = [oursWal({} as AsyncVfs), PLAIN_NORMAL, MEMORY];
  const [ours] = contenders as [Contender];
  const most = COUNTS.at(-1)!;
  const p = (name: string, part: number) =>
    duration(median(roundsOf(series, name).map((samples) => percentile(samples, part))));
  const line = (nameOf: typeof all, contender: Contender) =>
    COUNTS.map((databases): [number, number] => [
      databases,
      middle(series, nameOf(contender, databases)) / 1000,
    ]);
  return {
    table: [
      [
        "open",
        "first commit to each: p50",
        "commits to all: p50",
        "p99",
        "to one: p50",
        "p99",
        "bytes each",
        "SIGKILL",
        "power",
      ],
      ...contenders.flatMap((contender) =>
        COUNTS.map((databases) => [
          `${contender.name}, ${count(databases)}`,
          p(`${all(contender, databases)}, first`, 0.5),
          p(all(contender, databases), 0.5),
          p(all(contender, databases), 0.99),
          p(one(contender, databases), 0.5),
          p(one(contender, databases), 0.99),
          bytesCell(series, `${all(contender, databases)}, bytes each`),
          ...survivesCells(contender),
        ])
      ),
    ],
    targets: [
      target(
        "commits to one of 1,000 by those to one alone, p50",
        ratios(series, one(ours, most), one(ours, 1)),
        "at most",
        1.5,
      ),
      target(
        "commits to all of 1,000 in turn by those to one alone, p50",
        ratios(series, all(ours, most), all(ours, 1)),
        "at most",
        1.5,
      ),
    ],
    charts: [
      over(
        "A commit over open databases",
        "open databases",
        "microseconds, p50",
        contenders.flatMap((contender) => [
          { name: `${contender.name}, to all in turn`, points: line(all, contender) },
          { name: `${contender.name}, to one`, points: line(one, contender) },
        ]),
      ),
    ],
  };
}

/** The workload. */
export const opened: Workload = {
  name: "opened",
  about: "one-row commits with 1 to 1,000 databases open",
  measure,
  report,
};
