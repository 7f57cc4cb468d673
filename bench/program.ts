/**
 * The program that measures one workload in the runtime that runs it, and
 * prints its series as the native program does. run.ts starts it:
 *
 *     bun bench/program.ts WORKLOAD FOLDER [--quick] [--turns]
 *
 * After each round it prints {"round":N}. With --turns it begins each only when
 * it has read a line from stdin, so that several processes can take turns.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { workloads } from "./workloads.ts";

const [name, folder, ...options] = process.argv.slice(2);
const measure = workloads.find((workload) => workload.name === name)?.measure;
if (measure === undefined || folder === undefined) {
  throw new Error(`no workload to measure in a runtime: "${name}"`);
}
const rounds = measure({ folder, quick: options.includes("--quick") });
const turns = options.includes("--turns") ? createInterface({ input: process.stdin }) : undefined;
const lines = turns?.[Symbol.asyncIterator]();
for (let round = 0;; round++) {
  if ((await lines?.next())?.done) { // who asked for rounds is gone
    await rounds.return();
    break;
  }
  const { value: series, done } = await rounds.next();
  if (done) break;
  for (const [name, samples] of Object.entries(series)) {
    console.log(JSON.stringify({ series: name, round, samples }));
  }
  console.log(JSON.stringify({ round }));
}
turns?.close();
process.stdin.destroy(); // or Bun and Node would wait for what else may come
