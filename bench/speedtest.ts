/**
 * A whole program: many kinds of statements one after the other, as SQLite's own speedtest1 has
 * them, from inserts to VACUUM, until the database is closed and all of it on disk.
 *
 * All contenders must come to the same results. Closing is left out for a driver whose close
 * leaves a WAL behind, and for one that syncs nothing: its total is no whole one. The steps
 * are in speedtest_steps.ts.
 *
 * @module
 */
import { install } from "../mod.ts";
import { closeBulk, inspect, openBulk } from "./bulk.ts";
import { over } from "./charts.ts";
import type { Contender } from "./contender.ts";
import { contendersHere, contendersIn, isNode } from "./contenders/all.ts";
import { pathOf, verify } from "./databases.ts";
import { duration } from "./print.ts";
import { steps } from "./speedtest_steps.ts";
import { median, middle, roundsOf } from "./statistics.ts";
import type { Report, Round, Series, Settings, Workload } from "./workload.ts";

/** Rows of the larger tables. */
const SIZE = 40_000;
const SIZE_QUICK = 4000;

const CLOSE = "close";
const TOTAL = "total";
const PLAIN = "plain WAL/NORMAL";
const named = (name: string, step: string) => `${name}, ${step}`;

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = isNode ? undefined : await install();
  const contenders = contendersHere(vfs).filter(({ flushesEach }) => !flushesEach);
  for (let round = -1; round < (quick ? 2 : 3); round++) { // the first one warms up
    const size = round < 0 ? SIZE_QUICK / 4 : quick ? SIZE_QUICK : SIZE;
    const results = new Map<string, unknown>();
    const series: Round = {};
    for (const contender of contenders) {
      Object.assign(series, await takeTurn(folder, contender, size, results));
    }
    if (round >= 0) yield series;
    contenders.push(contenders.shift()!);
  }
}

/** Throws if a step has not the result that it had for another contender. */
async function takeTurn(
  folder: string,
  contender: Contender,
  size: number,
  results: Map<string, unknown>,
): Promise<Round> {
  const series: Round = {};
  const path = pathOf(folder, contender);
  const store = await openBulk(contender, path);
  let beforeMs = performance.now();
  const add = (step: string) => {
    series[named(contender.name, step)] = [(performance.now() - beforeMs) * 1e6];
  };
  for (const { name, run } of stepsOf(contender)) {
    const found = await run(store, size);
    add(name);
    if (!results.has(name)) results.set(name, found);
    verify(contender, name, found, results.get(name));
    beforeMs = performance.now();
  }
  if (await closeBulk(contender, store, path)) add(CLOSE);
  const total = Object.values(series).reduce((sum, [ns]) => sum + ns!, 0);
  series[named(contender.name, TOTAL)] = [total];
  inspect(contender, path, (_, one) => {
    verify(contender, "integrity_check", one("PRAGMA integrity_check"), "ok");
    verify(contender, "rows", one("SELECT count(*) FROM ordered"), results.get("count of rows"));
  });
  return series;
}

/** Turso has VACUUM as an experiment only, which is off by default. */
function stepsOf({ name }: Contender): typeof steps {
  return name.startsWith("Turso") ? steps.filter(({ name }) => name !== "VACUUM") : steps;
}

function report(series: Series): Report {
  const contenders = contendersIn(series, (name) => named(name, TOTAL));
  const all = [...steps.map(({ name }) => name), CLOSE];
  const cell = (contender: Contender, step: string) => {
    const name = named(contender.name, step);
    return name in series ? duration(middle(series, name)) : "";
  };
  return {
    table: [
      ["", ...contenders.map(({ name }) => name)],
      ...[...all, TOTAL].map((step) => [step, ...contenders.map((each) => cell(each, step))]),
      ["survives SIGKILL", ...contenders.map(({ survives }) => survives.kill)],
      ["survives a power cut", ...contenders.map(({ survives }) => survives.power)],
    ],
    targets: [],
    charts: [
      over(
        "A whole program",
        "steps done",
        "seconds",
        contenders.map(({ name }) => ({ name, points: progress(series, name, all) })),
        { x: "linear", y: "linear" },
      ),
    ],
    summary: contenders.map((contender) => ({
      contender: contender.name,
      survives: contender.survives,
      figures: {
        "until closed": cell(contender, TOTAL),
        [`by ${PLAIN}'s`]: byPlain(series, contender.name),
      },
    })),
  };
}

/** When each step was done, in seconds. */
function progress(series: Series, name: string, all: string[]): [number, number][] {
  let seconds = 0;
  return all.map((step, i): [number, number] => {
    if (named(name, step) in series) seconds += middle(series, named(name, step)) / 1e9;
    return [i + 1, seconds];
  });
}

/** Nothing for who left out a step, or isn't all on disk when it is closed. */
function byPlain(series: Series, name: string): string {
  const isWhole = [...steps.map(({ name }) => name), CLOSE]
    .every((step) => named(name, step) in series);
  if (!isWhole || !(named(PLAIN, TOTAL) in series)) return "";
  const plain = roundsOf(series, named(PLAIN, TOTAL));
  const totals = roundsOf(series, named(name, TOTAL));
  return median(totals.map(([ns], round) => ns! / plain[round]![0]!)).toFixed(2);
}

/** The workload. */
export const speedtest: Workload = {
  name: "speedtest",
  about: "a whole program: many kinds of statements, until all is closed and on disk",
  runtimes: ["Deno", "Bun", "Node"],
  measure,
  report,
};
