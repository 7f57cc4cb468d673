/** What all workloads gave, and as JSON. @module */
import { isReached } from "./print.ts";
import { percentile } from "./statistics.ts";
import type { Report, Series, Workload } from "./workload.ts";

/** The measured series of one variant of a workload, and what it means. */
export interface Run {
  workload: Workload;
  /** The runtime, or the native program's variant. */
  variant: string;
  series: Series;
  report: Report;
}

/** A whole run of the bench. */
export interface Results {
  machine: Record<string, string>;
  quick: boolean;
  runs: Run[];
}

const PARTS = { p50: 0.5, p90: 0.9, p99: 0.99, "p99.9": 0.999, max: 1 };

/** Of each series the percentiles by round, and all that the report shows. */
export function toJson({ machine, quick, runs }: Results): string {
  const shown = runs.map(({ workload, variant, series, report }) => ({
    workload: workload.name,
    about: workload.about,
    variant,
    targets: report.targets.map((target) => ({ ...target, reached: isReached(target) })),
    table: report.table,
    charts: report.charts ?? [],
    summary: report.summary ?? [],
    series: Object.fromEntries(
      Object.entries(series).map(([name, rounds]) => [name, rounds.map(partsOf)]),
    ),
  }));
  return JSON.stringify({ machine, quick, runs: shown }, null, 1);
}

function partsOf(samples: number[]): Record<string, number> {
  if (samples.length === 1) return { value: samples[0]! };
  const parts = Object.entries(PARTS).map(([name, part]) => [name, percentile(samples, part)]);
  return { samples: samples.length, ...Object.fromEntries(parts) };
}
