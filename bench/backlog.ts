/** Applying a backlog against a bare loop of system calls; see native/backlog.c. @module */
import { count, latencyTable, mebibytes } from "./print.ts";
import { middle, ratios, target } from "./statistics.ts";
import type { Report, Series, Workload } from "./workload.ts";

const SPEED_MIN = 0.9;

function report(series: Series): Report {
  const written = ["bytes", "ops", "syncs"].map((name) => middle(series, name));
  const [bytes, ops, syncs] = written as [number, number, number];
  const table = latencyTable(series, ["queue applied", "bare loop"]).map((line) =>
    line.slice(0, 3)
  );
  table.push([`${mebibytes(bytes)}, ${count(ops)} ops, ${count(syncs)} syncs`, "", ""]);
  return {
    table,
    targets: [
      target(
        "speed by the bare loop's",
        ratios(series, "bare loop", "queue applied"),
        "at least",
        SPEED_MIN,
      ),
    ],
  };
}

/** The workload. */
export const backlog: Workload = {
  name: "backlog",
  about: "applying 64 MiB (--quick: 16 MiB) of queued commits and page writes",
  launches: () => ["commits", "random", "ordered"].map((variant) => ({ variant, times: 1 })),
  report,
};
