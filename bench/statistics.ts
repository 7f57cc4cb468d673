/** Percentiles, and ratios of them. @module */
import type { Series, Target } from "./workload.ts";

/** The value below which a part, from 0 to 1, of the samples lies. */
export function percentile(samples: number[], part: number): number {
  if (samples.length === 0) throw new Error("there are no samples");
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!;
}

/** The middle one; of an even number, between the two. */
export function median(samples: number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2;
}

/** The sum by the count. */
export function mean(samples: number[]): number {
  return samples.reduce((sum, sample) => sum + sample, 0) / samples.length;
}

/** The rounds of a series. */
export function roundsOf(series: Series, name: string): number[][] {
  const rounds = series[name];
  if (rounds === undefined) throw new Error(`the run gave no series "${name}"`);
  return rounds;
}

/** The median of a series' rounds, each taken at its median. */
export function middle(series: Series, name: string): number {
  return median(roundsOf(series, name).map(median));
}

/** Compare values, one a round, with a bound. */
export function target(
  what: string,
  values: number[],
  sense: Target["sense"],
  bound: number,
): Target {
  const spread: [number, number] = [Math.min(...values), Math.max(...values)];
  return { what, value: median(values), spread, bound, sense };
}

/** Of each round, one series' median, or what else `of` makes of the samples, by the other's. */
export function ratios(
  series: Series,
  over: string,
  under: string,
  of: (samples: number[]) => number = median,
): number[] {
  const below = roundsOf(series, under);
  return roundsOf(series, over).map((samples, round) => of(samples) / of(below[round]!));
}
