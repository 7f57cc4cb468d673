/**
 * What a workload is. To add one: write its file, and put it into workloads.ts.
 *
 * A workload measures in runtimes ({@linkcode Workload.measure}, run in a
 * process of its own in each by program.ts), or is part of the native program
 * (the files in native/). Contenders take turns within a round, and the runtimes'
 * processes do round by round in turns, so that a disturbance hits all of them;
 * ratios are taken within a round.
 *
 * @module
 */

import type { Survives } from "./contender.ts";

/** Where the native program is, in the checkout. */
export const NATIVE_PROGRAM = "zig-out/native-bench/native-bench";

/** What one round measured: samples by series. A value that is measured once is one sample. */
export type Round = Record<string, number[]>;

/** Samples by series, by round. */
export type Series = Record<string, number[][]>;

/** A runtime that measures. */
export type Runtime = "Deno" | "Bun" | "Node";

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

/** One line of a chart. */
export interface Line {
  /** The contender. */
  name: string;
  /** [x, y], in the order of x. */
  points: [number, number][];
}

/** A chart. Charts of one title from several runtimes are drawn as one. */
export interface Chart {
  title: string;
  x: Axis;
  y: Axis;
  lines: Line[];
}

/** An axis of a chart. */
export interface Axis {
  /** What it shows, with its unit: "milliseconds". */
  name: string;
  /** "percentile": x is a part from 0 to 1, drawn so that each further 9 takes as much room. */
  scale: "linear" | "logarithmic" | "percentile";
}

/** A line of the table for the README. */
export interface SummaryLine {
  contender: string;
  survives: Survives;
  /** By heading. */
  figures: Record<string, string>;
}

/** What to print of a run. */
export interface Report {
  /** Lines of cells, the headings first. */
  table: string[][];
  targets: Target[];
  charts?: Chart[];
  /** What of it belongs into the README. */
  summary?: SummaryLine[];
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
  /** Measure in this runtime: a round each time it is asked for the next. */
  measure?: (settings: Settings) => AsyncGenerator<Round, void>;
  /** Where to measure; Deno and Bun if absent. */
  runtimes?: Runtime[];
  /** measure() starts the native program by itself. */
  usesNative?: boolean;
  /** The runs of the native program. */
  launches?: (quick: boolean) => Launch[];
  /**
   * Make sense of a run. The variant is the runtime, or the native program's, all launches
   * of which are one run.
   */
  report(series: Series, variant: string): Report;
}
