/**
 * What a level costs: how long a commit takes that returns when it is queued, when
 * the operating system has it, or when it is synced, beside plain SQLite's.
 *
 * One-row commits into a new database each turn, through the driver that the runtime
 * brings: as fast as they go, and then, once all of these are on disk, a thousand a
 * second, with the time in between spent spinning. Each contender is compared with the
 * plain one that keeps as much: durable with WAL/FULL, all others with WAL/NORMAL.
 *
 * The system calls of the committing thread are counted for applied and for plain
 * SQLite; what the runtime calls by itself, :memory: has, too.
 *
 * @module
 */
import { install } from "../mod.ts";
import { LEVELS } from "../tests/helpers/levels.ts";
import { percentiles } from "./charts.ts";
import { type Contender, settle } from "./contender.ts";
import { MEMORY, oursAt, PLAIN_FULL, PLAIN_NORMAL } from "./contenders/builtin.ts";
import { create, type Database, finish, rowNames, verify } from "./databases.ts";
import { paced } from "./pace.ts";
import { count, latencyHeadings, latencyLine, survivesCells } from "./print.ts";
import { median, middle, percentile, ratios, target } from "./statistics.ts";
import { callsOf, type CallsWay, countSystemCalls } from "./system_calls.ts";
import type { Report, Round, Series, Settings, Target, Workload } from "./workload.ts";

const PACES = { burst: Infinity, paced: 1000 };
type Pace = keyof typeof PACES;
/** How many commits a turn makes; those that wait for the disk make fewer in a burst. */
const ROWS = { burst: 50_000, paced: 3000, synced: 2000 };
const ROWS_QUICK = { burst: 20_000, paced: 500, synced: 500 };
const WARM_UP = 0.2;
const CALLS_WAYS: CallsWay[] = ["memory", "plain", "applied"];
/** Those of system_calls_program.ts, whose even one is faster. */
const CALLS_PACES = ["burst", "paced"];

/** Of a contender's samples, by what it is compared with. */
const figures: Record<string, (samples: number[]) => number> = {
  p50: median,
  p99: (samples) => percentile(samples, 0.99),
  "p99.9": (samples) => percentile(samples, 0.999),
  longest: (samples) => percentile(samples, 1),
};

function contenders(vfs: Contender["vfs"]) {
  return [MEMORY, PLAIN_NORMAL, PLAIN_FULL, ...LEVELS.map((level) => oursAt(vfs!, level))];
}

const isDurable = ({ survives }: Contender) => survives.power === "all";
const baseOf = (contender: Contender) => isDurable(contender) ? PLAIN_FULL : PLAIN_NORMAL;
const named = ({ name }: Contender, pace: string) => `${name}, ${pace}`;

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = await install();
  const all = contenders(vfs);
  const rows = quick ? ROWS_QUICK : ROWS;
  for (let round = -1; round < (quick ? 3 : 5); round++) { // the first one warms up
    const part = round < 0 ? WARM_UP : 1;
    const series: Round = {};
    for (const contender of all) {
      const database = await create(folder, contender);
      const burst = part * (isDurable(contender) ? rows.synced : rows.burst);
      commitAll(database, burst, "burst", series);
      verifyLevel(database);
      await settle(contender);
      commitAll(database, part * rows.paced, "paced", series);
      await finish(database, burst + part * rows.paced);
    }
    if (round === 0) countSystemCalls(folder, quick, series, CALLS_WAYS);
    if (round >= 0) yield series;
    all.push(all.shift()!); // so that none always follows the same one
  }
}

function commitAll(
  { contender, insert }: Database,
  rows: number,
  pace: Pace,
  series: Round,
): void {
  const names = rowNames(rows);
  const samplesMs = new Float64Array(rows);
  const startMs = performance.now();
  paced(rows, PACES[pace], (row) => {
    const beforeMs = performance.now();
    insert.run(names[row]!);
    samplesMs[row] = performance.now() - beforeMs;
  });
  const tookMs = performance.now() - startMs;
  const name = named(contender, pace);
  series[name] = Array.from(samplesMs, (ms) => Math.round(ms * 1e6));
  series[`${name}, commits/s`] = [rows / tookMs * 1000];
}

/** Throws if a commit has returned earlier than its level allows. */
function verifyLevel({ contender, path }: Database): void {
  for (const level of ["applied", "durable"] as const) {
    if (contender.vfs === undefined || !contender.name.endsWith(`, ${level}`)) continue;
    const { committed, [level]: reached } = contender.vfs.status(path);
    verify(contender, level, reached, committed);
  }
}

// ---- The report ----

/** By rounds, a contender's rate by that of what it is compared with. */
function rateRatios(series: Series, contender: Contender, pace: Pace): number[] {
  const [over, under] = [contender, baseOf(contender)].map((one) =>
    `${named(one, pace)}, commits/s`
  );
  return ratios(series, over!, under!);
}

function figureRatios(series: Series, contender: Contender, pace: Pace, figure: string): number[] {
  const [over, under] = [contender, baseOf(contender)].map((one) => named(one, pace));
  return ratios(series, over!, under!, figures[figure]!);
}

function line(series: Series, contender: Contender, pace: Pace): string[] {
  const name = named(contender, pace);
  return [
    ...latencyLine(series, name),
    count(middle(series, `${name}, commits/s`)),
    ...Object.keys(figures).map((figure) =>
      median(figureRatios(series, contender, pace, figure)).toFixed(2)
    ),
    median(rateRatios(series, contender, pace)).toFixed(2),
    ...survivesCells(contender),
  ];
}

function targets(series: Series, [, applied, durable]: Contender[]): Target[] {
  const found: Target[] = [];
  if (named(applied!, "burst") in series) {
    const by = (figure: string, bound: number) => {
      const values = figureRatios(series, applied!, "burst", figure);
      return target(`applied: ${figure} by plain WAL/NORMAL's`, values, "at most", bound);
    };
    const rates = rateRatios(series, applied!, "burst");
    found.push(
      by("p50", 0.6),
      by("p99.9", 0.15),
      target("applied: commits/s by plain WAL/NORMAL's", rates, "at least", 1.8),
    );
    if (callsOf(series, CALLS_PACES, CALLS_WAYS).counted) found.push(...callTargets(series));
  }
  if (named(durable!, "burst") in series) {
    const rates = rateRatios(series, durable!, "burst");
    found.push(target("durable: commits/s by plain WAL/FULL's", rates, "at least", 0.9));
  }
  return found;
}

function callTargets(series: Series): Target[] {
  return CALLS_PACES.map((pace) => {
    const [applied, memory] = ["applied", "memory"].map((way) =>
      middle(series, `${way}, ${pace}, calls`)
    );
    const own = Math.max(0, applied! - memory!);
    return target(`applied: system calls of its own a commit, ${pace}`, [own], "at most", 1.1);
  });
}

function report(series: Series): Report {
  const all = contenders(undefined);
  const paces = Object.keys(PACES) as Pace[];
  const ways = CALLS_WAYS.filter((way) => `${way}, burst, calls` in series);
  const by = [...Object.keys(figures), "commits/s"].map((figure) => `${figure} by plain's`);
  return {
    table: [
      ["", ...latencyHeadings, "commits/s", ...by, "SIGKILL", "power cut"],
      ...paces.flatMap((pace) => all.map((contender) => line(series, contender, pace))),
      ...callsOf(series, CALLS_PACES, ways.length > 0 ? ways : CALLS_WAYS).table,
    ],
    targets: targets(series, all.slice(-LEVELS.length)),
    charts: paces.map((pace) =>
      percentiles(
        pace === "burst" ? "Commits at each level" : "The same, a thousand a second",
        series,
        all.map((contender) => named(contender, pace)),
      )
    ),
  };
}

/** The workload. */
export const levels: Workload = {
  name: "levels",
  about: "one-row commits at each level, as fast as they go and a thousand a second",
  runtimes: ["Deno", "Bun", "Node"],
  measure,
  report,
};
