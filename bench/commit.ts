/**
 * How long a commit takes: one row, each a transaction of its own.
 *
 * The writer runs meanwhile, and the queue never fills: after each round it is
 * flushed, so that nobody's writing disturbs the next contender's round.
 *
 * @module
 */
import { install } from "../mod.ts";
import { asyncDelete, type Contender, plainDelete } from "./contenders.ts";
import { count, latencyHeadings, latencyLine } from "./print.ts";
import { middle, ratios, target } from "./statistics.ts";
import type { Report, Round, Series, Settings, Workload } from "./workload.ts";

const FASTER_MIN = 25;
const PLAIN = "plain DELETE/FULL";
const ASYNC = "sqlite3async DELETE/FULL";

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = await install();
  {
    using plain = plainDelete(folder);
    using through = asyncDelete(folder, vfs);
    const rows = quick ? 150 : 300;
    const turns: [Contender, number][] = [[plain, rows], [through, rows * 4]];
    for (const [{ connection }] of turns) {
      connection.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT)");
      connection.exec("CREATE INDEX i ON t(name)");
    }
    for (let round = -1; round < (quick ? 3 : 8); round++) { // the first one warms up
      const series: Round = {};
      for (const [contender, rows] of turns) await takeTurn(series, contender, rows);
      if (round >= 0) yield series;
    }
    if (vfs.status().fullWaits > 0) throw new Error("the queue was full: the rounds are too long");
  }
}

async function takeTurn(
  series: Round,
  { name, connection, settle }: Contender,
  rows: number,
): Promise<void> {
  const insert = connection.prepare("INSERT INTO t(name) VALUES (?)");
  const samples: number[] = [];
  const startMs = performance.now();
  let beforeMs = startMs;
  for (let row = 0; row < rows; row++) {
    insert.run(`a row to commit, number ${row}`);
    const nowMs = performance.now();
    samples.push(Math.round((nowMs - beforeMs) * 1e6));
    beforeMs = nowMs;
  }
  const committedMs = performance.now() - startMs;
  await settle();
  const durableMs = performance.now() - startMs;
  series[name] = samples;
  series[`${name}, rows/s`] = [rows / committedMs * 1000];
  series[`${name}, durable rows/s`] = [rows / durableMs * 1000];
}

function report(series: Series): Report {
  const lines = [PLAIN, ASYNC].map((name) => [
    ...latencyLine(series, name),
    count(middle(series, `${name}, rows/s`)),
    count(middle(series, `${name}, durable rows/s`)),
  ]);
  return {
    table: [["", ...latencyHeadings, "rows/s", "durable rows/s"], ...lines],
    targets: [
      target(
        "commits faster than plain, by p50",
        ratios(series, PLAIN, ASYNC),
        "at least",
        FASTER_MIN,
      ),
    ],
  };
}

/** The workload. */
export const commit: Workload = {
  name: "commit",
  about: "one-row commits, journal_mode DELETE, synchronous FULL",
  measure,
  report,
};
