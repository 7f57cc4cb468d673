/** Queueing a page write at depth 0 and at 100,000; see native/enqueue.c. @module */
import { latencyTable } from "./print.ts";
import { mean, median, ratios, target } from "./statistics.ts";
import type { Report, Series, Workload } from "./workload.ts";

const SLOWER_MAX = 1.3;

/**
 * "fresh" alone has a target: in "steady" the shallow queue's memory stays in
 * the processor's cache and the deep one's cannot, whatever we do.
 */
function report(series: Series, variant: string): Report {
  if (variant === "steady") {
    return { table: latencyTable(series, Object.keys(series)), targets: [] };
  }
  const [shallow, deep] = ["new memory, depth 0", "new memory, depth 100,000"] as const;
  return {
    table: latencyTable(series, [shallow, deep]),
    // The mean has the system's work for new memory, which the p50 leaves out.
    targets: ([["p50", median], ["mean", mean]] as const).map(([name, of]) => {
      const slower = ratios(series, deep, shallow, of);
      return target(`a write at depth 100,000: slower, by ${name}`, slower, "at most", SLOWER_MAX);
    }),
  };
}

/** The workload. */
export const enqueue: Workload = {
  name: "enqueue",
  about: "4096-byte writes into a queue of 0 and of 100,000 ops",
  launches: (quick) => [
    { variant: "fresh", times: quick ? 5 : 15 },
    { variant: "steady", times: 1 },
  ],
  report,
};
