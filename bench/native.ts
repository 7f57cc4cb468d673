/** Running a command of the native program from a measuring one. @module */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { NATIVE_PROGRAM, type Round } from "./workload.ts";

/** Run it to its end; what it printed, by series. Throws if it fails. */
export async function native(command: string, variant: string, folder: string): Promise<Round> {
  const { stdout } = await promisify(execFile)(NATIVE_PROGRAM, [command, variant, folder], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  const series: Round = {};
  for (const line of stdout.trim().split("\n")) {
    const { series: name, samples } = JSON.parse(line);
    series[name] = samples;
  }
  return series;
}

/** Work that was made durable. */
export interface Synced {
  commits: number;
  syncs: number;
  bytes: number;
}

/**
 * Commits a second of a bare loop that writes as many bytes, and counts as many commits, a
 * sync as were on the average. It appends for ever, or begins anew at endBytes.
 */
export async function bareRate(
  folder: string,
  { commits, syncs, bytes }: Synced,
  { forMs, endBytes = 0, threads = 1, files = 1 }: {
    forMs: number;
    endBytes?: number;
    threads?: number;
    files?: number;
  },
): Promise<number> {
  const variant = [Math.round(bytes / syncs), endBytes, forMs, threads, files].join(",");
  const { batches, took } = await native("bare", variant, folder);
  return batches![0]! / (took![0]! / 1e9) * (commits / syncs);
}
