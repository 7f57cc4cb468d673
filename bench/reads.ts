/** Reads with nothing queued and with 100,000 ops queued; see native/reads.c. @module */
import { percentiles } from "./charts.ts";
import { latencyTable } from "./print.ts";
import { middle, ratios, target } from "./statistics.ts";
import type { Report, Series, Workload } from "./workload.ts";

const SLOWER_MAX = 1.3;
const OPS_MIN = 99_000;

const variants: Record<string, { base: string; others: string[]; shown: string[] }> = {
  pages: {
    base: "page of the disk, nothing queued",
    others: ["page of the queue", "page of the disk, others queued"],
    shown: ["page of the queue, merged"],
  },
  rows: { base: "row, nothing queued", others: ["row, half its pages queued"], shown: [] },
};

function report(series: Series, variant: string): Report {
  const { base, others, shown } = variants[variant]!;
  const ops = middle(series, "queued ops");
  if (ops < OPS_MIN) throw new Error(`only ${ops} ops were queued: some were merged`);
  return {
    table: latencyTable(series, [base, ...others, ...shown]),
    targets: others.map((other) =>
      target(`${other}: slower, by p50`, ratios(series, other, base), "at most", SLOWER_MAX)
    ),
    charts: [percentiles("How long a read takes", series, [base, ...others, ...shown])],
  };
}

/** The workload. */
export const reads: Workload = {
  name: "reads",
  about: "4096-byte reads and SELECTs of random rows, with 0 and 100,000 ops queued",
  launches: () => Object.keys(variants).map((variant) => ({ variant, times: 1 })),
  report,
};
