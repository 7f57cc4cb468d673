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
