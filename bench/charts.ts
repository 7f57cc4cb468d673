/** Charts of what was measured, as the report draws them. @module */
import { percentile } from "./statistics.ts";
import type { Chart, Line, Series } from "./workload.ts";

/** So many points has a curve of percentiles for each further 9. */
const POINTS_PER_NINE = 8;
const WINDOWS = 60;

/** Latencies in nanoseconds by percentile, as far as there are samples enough for one. */
export function percentiles(title: string, series: Series, names: string[]): Chart {
  const lines = names.filter((name) => name in series).map((name): Line => {
    const samples = series[name]!.flat().toSorted((a, b) => a - b);
    const nines = Math.log10(samples.length);
    const points: [number, number][] = [];
    for (let i = 0; i <= nines * POINTS_PER_NINE; i++) {
      const part = 1 - 10 ** (-i / POINTS_PER_NINE);
      const at = Math.min(samples.length - 1, Math.floor(part * samples.length));
      points.push([part, samples[at]! / 1000]);
    }
    return { name, points };
  });
  return {
    title,
    x: { name: "percentile", scale: "percentile" },
    y: { name: "microseconds", scale: "logarithmic" },
    lines,
  };
}

/** The longest of each window of a turn, in the order of time: the median of the rounds. */
export function overTime(title: string, series: Series, names: string[]): Chart {
  const lines = names.filter((name) => name in series).map((name): Line => {
    const points = Array.from({ length: WINDOWS }, (_, window): [number, number] => {
      const longest = series[name]!.map((samples) => {
        const width = samples.length / WINDOWS;
        const part = samples.slice(Math.floor(window * width), Math.ceil((window + 1) * width));
        return percentile(part, 1);
      });
      return [(window + 1) / WINDOWS * 100, percentile(longest, 0.5) / 1000];
    });
    return { name, points };
  });
  return {
    title,
    x: { name: "% of the turn", scale: "linear" },
    y: { name: "microseconds", scale: "logarithmic" },
    lines,
  };
}

/** A value over a number: by name, points in the order of x. */
export function over(
  title: string,
  x: string,
  y: string,
  lines: Line[],
  scales: { x?: Chart["x"]["scale"]; y?: Chart["y"]["scale"] } = {},
): Chart {
  return {
    title,
    x: { name: x, scale: scales.x ?? "logarithmic" },
    y: { name: y, scale: scales.y ?? "logarithmic" },
    lines,
  };
}
