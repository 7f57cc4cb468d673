/** Numbers, tables and verdicts as text. @module */
import { mean, median, percentile, roundsOf } from "./statistics.ts";
import type { Contender } from "./contender.ts";
import type { Report, Series, Target } from "./workload.ts";

/** A time as people read it. */
export function duration(ns: number): string {
  if (ns < 10_000) return `${ns.toFixed(0)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} us`;
  return ns < 1e9 ? `${(ns / 1e6).toFixed(2)} ms` : `${(ns / 1e9).toFixed(2)} s`;
}

/** A whole number with separators. */
export function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** Bytes as MiB. */
export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(2)} MiB`;
}

/** The headings of {@linkcode latencyLine}. */
export const latencyHeadings = ["p50", "p50 of rounds", "mean", "p99", "p99.9", "max"];

/** A line of a table: a series of times in nanoseconds, over all rounds. */
export function latencyLine(series: Series, name: string): string[] {
  const rounds = roundsOf(series, name);
  const medians = rounds.map(median);
  const all = rounds.flat();
  return [
    name,
    duration(median(medians)),
    `${duration(Math.min(...medians))} - ${duration(Math.max(...medians))}`,
    duration(mean(all)),
    ...[0.99, 0.999, 1].map((part) => duration(percentile(all, part))),
  ];
}

/** A table of latencies. */
export function latencyTable(series: Series, names: string[]): string[][] {
  return [["", ...latencyHeadings], ...names.map((name) => latencyLine(series, name))];
}

/** What survives SIGKILL and a power cut. */
export function survivesCells({ survives }: Contender): string[] {
  return [survives.kill, survives.power];
}

/** Is a target reached? */
export function isReached({ value, bound, sense }: Target): boolean {
  return sense === "at least" ? value >= bound : value <= bound;
}

/** Print a run. */
export function printReport(title: string, { table, targets }: Report): void {
  console.log(`\n${title}`);
  const widths = table[0]!.map((_, i) => Math.max(...table.map((line) => line[i]?.length ?? 0)));
  for (const line of table) {
    const cells = line.map((cell, i) =>
      i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)
    );
    console.log(`  ${cells.join("  ").trimEnd()}`);
  }
  for (const reached of targets) console.log(`  ${verdict(reached)}`);
}

/** A target, what came of it, and whether that is enough. */
export function verdict(target: Target): string {
  const { what, value, spread, bound, sense } = target;
  const [least, most] = spread;
  const range = least === most ? "" : ` (rounds: ${short(least)} to ${short(most)})`;
  const word = isReached(target) ? "ok    " : "MISSED";
  return `${word} ${what}: ${short(value)}${range}, ${sense} ${short(bound)}`;
}

function short(value: number): string {
  return value >= 1000 ? count(value) : String(Number(value.toPrecision(3)));
}
