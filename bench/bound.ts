/** Whether the queue keeps its bound with a slow writer; see native/bound.c. @module */
import { count } from "./print.ts";
import { middle, roundsOf, target } from "./statistics.ts";
import type { Report, Series, Workload } from "./workload.ts";

const BOUND_BYTES = 16 * 2 ** 20;
/** The most bytes of one op. */
const OP_BYTES_MAX = 65_536;

function report(series: Series): Report {
  const names = Object.keys(series);
  const most = ["most bytes seen queued", "peakQueuedBytes"].flatMap((name) =>
    target(name, roundsOf(series, name).flat(), "at most", BOUND_BYTES + OP_BYTES_MAX)
  );
  return {
    table: [names, names.map((name) => count(middle(series, name)))],
    targets: most,
  };
}

/** The workload. */
export const bound: Workload = {
  name: "bound",
  about: "maxQueueBytes of 16 MiB, commits small and large, the writer at one op a millisecond",
  launches: () => ["block", "busy"].map((variant) => ({ variant, times: 1 })),
  report,
};
