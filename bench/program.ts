/**
 * The program that measures one workload in the runtime that runs it, and
 * prints its series as the native program does. run.ts starts it:
 *
 *     bun bench/program.ts WORKLOAD FOLDER [--quick]
 *
 * @module
 */
import process from "node:process";
import { workloads } from "./workloads.ts";

const [name, folder, option] = process.argv.slice(2);
const measure = workloads.find((workload) => workload.name === name)?.measure;
if (measure === undefined || folder === undefined) {
  throw new Error(`no workload to measure in a runtime: "${name}"`);
}
const series = await measure({ folder, quick: option === "--quick" });
for (const [name, rounds] of Object.entries(series)) {
  for (const [round, samples] of rounds.entries()) {
    console.log(JSON.stringify({ series: name, round, samples }));
  }
}
