/**
 * What a workload is. To add one: write its file, and put it into workloads.ts.
 *
 * A workload measures in Deno and Bun ({@linkcode Workload.measure}, run in a
 * process of its own by program.ts), or is part of the native program (the
 * files in native/). Contenders take turns within a run, round by round, so
 * that a disturbance hits all of them, and ratios are taken within a round.
 *
 * @module
 */

/** Where the native program is, in the checkout. */
export const NATIVE_PROGRAM = "zig-out/native-bench/native-bench";

/** Samples by series, by round. A value that is measured once a round is a round of one sample. */
export type Series = Record<string, number[][]>;

/** What a run is given. */
export interface Settings {
  /** Fewer and shorter rounds. */
  quick: boolean;
  /** An empty folder on the disk to measure. */
  folder: string;
}

/** A number that was promised. */
export interface Target {
  /** What it is, in words. */
  what: string;
  /** The median of the rounds. */
  value: number;
  /** The smallest and the largest of the rounds. */
  spread: [number, number];
  bound: number;
  sense: "at least" | "at most";
}

/** What to print of a run. */
export interface Report {
  /** Lines of cells, the headings first. */
  table: string[][];
  targets: Target[];
}

/** A run of the native program: a new process each. */
export interface Launch {
  variant: string;
  /** How often; each launch adds its rounds. */
  times: number;
}

/** One workload. */
export interface Workload {
  /** To select it by. */
  name: string;
  /** What is measured, in a line. */
  about: string;
  /** Measure in this runtime. */
  measure?: (settings: Settings) => Promise<Series>;
  /** measure() starts the native program by itself. */
  usesNative?: boolean;
  /** The runs of the native program. */
  launches?: (quick: boolean) => Launch[];
  /** Make sense of a run; of the native program, of all launches of a variant. */
  report(series: Series, variant: string): Report;
}
