/** Resident memory by queued payload; see native/memory.c. @module */
import { count, mebibytes } from "./print.ts";
import { middle, ratios, target } from "./statistics.ts";
import type { Report, Series, Workload } from "./workload.ts";

const GROWTH_MAX = 1.25;

function report(series: Series): Report {
  return {
    table: [
      ["queued bytes", "queued ops", "resident growth"],
      [
        mebibytes(middle(series, "queued bytes")),
        count(middle(series, "queued ops")),
        mebibytes(middle(series, "resident growth")),
      ],
    ],
    targets: [
      target(
        "resident bytes by queued byte",
        ratios(series, "resident growth", "queued bytes"),
        "at most",
        GROWTH_MAX,
      ),
    ],
  };
}

/** The workload. */
export const memory: Workload = {
  name: "memory",
  about: "memory that 64 MiB of queued page writes, or of queued commits, take",
  launches: (quick) => ["pages", "commits"].map((variant) => ({ variant, times: quick ? 1 : 3 })),
  report,
};
