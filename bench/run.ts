/**
 * The benchmarks: `./run bench [--quick] [WORKLOAD...]`.
 *
 * Runs the workloads one after the other, in processes of their own: in the
 * runtimes, which take turns round by round, or natively. Prints for each a table
 * and how the numbers that were promised stand: "ok" or "MISSED". A missed number
 * is no failure, since on a busy machine it says little; the exit code is 1 if a
 * workload could not be run.
 *
 * Leaves results.json, report.html and table.md in zig-out/bench/.
 *
 * @module
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { run as runProcess, zigBuild } from "../tools/process.ts";
import { html } from "./html.ts";
import { machineFacts } from "./machine.ts";
import { markdown } from "./markdown.ts";
import { isReached, printReport } from "./print.ts";
import { type Results, type Run, toJson } from "./results.ts";
import { takeTurns } from "./turns.ts";
import { NATIVE_PROGRAM, type Runtime, type Series, type Workload } from "./workload.ts";
import { workloads } from "./workloads.ts";

const NATIVE_TIMEOUT_MS = 300_000;
/** In the checkout, since it is the disk that is measured. */
const FOLDER = "zig-out";
const OUTPUT = "zig-out/bench";
/** Gives Node the web's Worker. */
const NODE_WORKER = "./tests/helpers/node_worker.ts";

const commands: Record<Runtime, string[]> = {
  Deno: ["deno", "run", "-A"],
  Bun: ["bun"],
  Node: ["node", "--disable-warning=ExperimentalWarning", "--import", NODE_WORKER],
};

const options = parse(process.argv.slice(2));
const failures: string[] = [];
const runs: Run[] = [];

if (options.workloads.some(({ launches, usesNative }) => launches !== undefined || usesNative)) {
  const { ok, output } = await zigBuild("native-bench");
  if (!ok) {
    console.error(output);
    process.exit(1);
  }
}
for (const workload of options.workloads) {
  console.log(`\n== ${workload.name}: ${workload.about}`);
  for (const [variant, series] of await measureEverywhere(workload)) {
    try {
      const report = workload.report(series, variant);
      printReport(variant, report);
      runs.push({ workload, variant, series, report });
    } catch (error) {
      fail(`${workload.name} in ${variant}`, error as Error);
    }
  }
}
const targets = runs.flatMap(({ report }) => report.targets);
const missed = targets.filter((target) => !isReached(target)).length;
console.log(`\n${targets.length - missed} of ${targets.length} numbers reached, ${missed} missed`);
write();
if (failures.length > 0) console.log(`FAILED: ${failures.join(", ")}`);
process.exit(failures.length === 0 ? 0 : 1);

function parse(args: string[]): { quick: boolean; workloads: Workload[] } {
  let parsed: { values: { quick?: boolean }; positionals: string[] };
  try {
    parsed = parseArgs({ args, options: { quick: { type: "boolean" } }, allowPositionals: true });
  } catch (error) {
    usage((error as Error).message);
  }
  const { values, positionals } = parsed;
  for (const name of positionals) {
    if (!workloads.some((workload) => workload.name === name)) {
      usage(`there is no workload "${name}"`);
    }
  }
  const chosen = workloads.filter(({ name }) =>
    positionals.length === 0 || positionals.includes(name)
  );
  return { quick: values.quick ?? false, workloads: chosen };
}

function usage(problem: string): never {
  console.error(`bench: ${problem}`);
  console.error("Usage: ./run bench [--quick] [WORKLOAD...]");
  for (const { name, about } of workloads) console.error(`  ${name.padEnd(10)} ${about}`);
  process.exit(2);
}

function fail(what: string, error: Error): void {
  console.log(`FAILED: ${what}: ${error.message}`);
  failures.push(what);
}

/** The series of a workload by variant: the runtime, or the native program's. */
async function measureEverywhere(workload: Workload): Promise<Map<string, Series>> {
  const measured = new Map<string, Series>();
  if (workload.measure !== undefined) await measureInRuntimes(workload, measured);
  for (const { variant, times } of workload.launches?.(options.quick) ?? []) {
    const series: Series = {};
    try {
      for (let i = 0; i < times; i++) await launch([workload.name, variant], series);
      measured.set(variant, series);
    } catch (error) {
      fail(`${workload.name}, ${variant}`, error as Error);
    }
  }
  return measured;
}

async function measureInRuntimes(
  workload: Workload,
  measured: Map<string, Series>,
): Promise<void> {
  const folders: string[] = [];
  const programs = runtimesOf(workload).map((runtime): [Runtime, string[]] => {
    const folder = makeFolder();
    folders.push(folder);
    const command = [...commands[runtime], "bench/program.ts", workload.name, folder, "--turns"];
    return [runtime, options.quick ? [...command, "--quick"] : command];
  });
  try {
    await takeTurns(programs, (runtime, round) => {
      const series: Series = measured.get(runtime) ?? {};
      measured.set(runtime, series);
      for (const [name, samples] of Object.entries(round)) (series[name] ??= []).push(samples);
    }, (runtime, error) => {
      measured.delete(runtime);
      fail(`${workload.name} in ${runtime}`, error);
    });
  } finally {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  }
}

function runtimesOf({ name, runtimes = ["Deno", "Bun"] }: Workload): Runtime[] {
  if (process.env["SQLITE3ASYNC_BENCH_NODE"] === "1" || !runtimes.includes("Node")) {
    return runtimes;
  }
  console.log(`# ${name} without Node and its drivers: they could not be installed here`);
  return runtimes.filter((runtime) => runtime !== "Node");
}

function makeFolder(): string {
  return realpathSync(mkdtempSync(join(FOLDER, "bench-")));
}

/** Run the native program, and add its series. */
async function launch(args: string[], series: Series): Promise<void> {
  const folder = makeFolder();
  try {
    const full = [NATIVE_PROGRAM, ...args, folder, ...(options.quick ? ["--quick"] : [])];
    const { ok, reason, output } = await runProcess(full, { timeoutMs: NATIVE_TIMEOUT_MS });
    const lines = output.split("\n");
    const isSeries = (line: string) => line.startsWith('{"series":');
    if (!ok) throw new Error(`${reason}\n${lines.filter((line) => !isSeries(line)).join("\n")}`);
    for (const line of lines.filter(isSeries)) {
      const { series: name, samples } = JSON.parse(line);
      (series[name] ??= []).push(samples);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function write(): void {
  const results: Results = { machine: machineFacts(FOLDER), quick: options.quick, runs };
  const files: [string, (results: Results) => string][] = [
    ["results.json", toJson],
    ["report.html", html],
    ["table.md", markdown],
  ];
  mkdirSync(OUTPUT, { recursive: true });
  for (const [name, write] of files) writeFileSync(join(OUTPUT, name), write(results));
  console.log(`${files.map(([name]) => join(OUTPUT, name)).join(", ")} were written`);
}
