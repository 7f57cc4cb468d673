/**
 * The benchmarks: `./run bench [--quick] [--json FILE] [WORKLOAD...]`.
 *
 * Runs the workloads one after the other, each in processes of its own, in Deno
 * and in Bun or natively, and prints for each a table and how the numbers
 * that were promised stand: "ok" or "MISSED". A missed number is no failure,
 * since on a busy machine it says little; the exit code is 1 if a workload
 * could not be run.
 *
 * @module
 */
import { run as runProcess, zigBuild } from "../tools/process.ts";
import { isReached, printReport } from "./print.ts";
import { percentile } from "./statistics.ts";
import { NATIVE_PROGRAM, type Report, type Series, type Workload } from "./workload.ts";
import { workloads } from "./workloads.ts";

const TIMEOUT_MS = 180_000;
/** In the checkout, since it is the disk that is measured. */
const FOLDER = "zig-out";

/** The measured series of one variant of a workload. */
interface Run {
  workload: Workload;
  variant: string;
  series: Series;
}

const options = parse(Deno.args);
const finished: (Run & { report: Report })[] = [];
const failures: string[] = [];

if (options.workloads.some(({ launches, usesNative }) => launches !== undefined || usesNative)) {
  const { ok, output } = await zigBuild("native-bench");
  if (!ok) {
    console.error(output);
    Deno.exit(1);
  }
}
for (const workload of options.workloads) {
  console.log(`\n== ${workload.name}: ${workload.about}`);
  try {
    for await (const run of runsOf(workload)) {
      const report = workload.report(run.series, run.variant);
      printReport(run.variant, report);
      finished.push({ ...run, report });
    }
  } catch (error) {
    console.log(`FAILED: ${error instanceof Error ? error.message : error}`);
    failures.push(workload.name);
  }
}
const targets = finished.flatMap(({ report }) => report.targets);
const missed = targets.filter((target) => !isReached(target)).length;
console.log(`\n${targets.length - missed} of ${targets.length} numbers reached, ${missed} missed`);
if (failures.length > 0) console.log(`FAILED: ${failures.join(", ")}`);
if (options.json !== undefined) Deno.writeTextFileSync(options.json, toJson());
Deno.exit(failures.length === 0 ? 0 : 1);

function parse(args: string[]): { quick: boolean; json?: string; workloads: Workload[] } {
  const names: string[] = [];
  let quick = false;
  let json: string | undefined;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--quick") quick = true;
    else if (arg === "--json" && args[i + 1] !== undefined) json = args[++i];
    else if (workloads.some(({ name }) => name === arg)) names.push(arg);
    else usage(arg);
  }
  const chosen = workloads.filter(({ name }) => names.length === 0 || names.includes(name));
  return { quick, ...(json === undefined ? {} : { json }), workloads: chosen };
}

function usage(arg: string): never {
  console.error(`bench: no such option or workload: "${arg}"`);
  console.error("Usage: ./run bench [--quick] [--json FILE] [WORKLOAD...]");
  for (const { name, about } of workloads) console.error(`  ${name.padEnd(10)}${about}`);
  Deno.exit(2);
}

/** Measure a workload everywhere. */
async function* runsOf(workload: Workload): AsyncGenerator<Run> {
  if (workload.measure !== undefined) {
    for (const [variant, command] of [["Deno", ["deno", "run", "-A"]], ["Bun", ["bun"]]] as const) {
      const series = {};
      await launch([...command, "bench/program.ts", workload.name], series);
      yield { workload, variant, series };
    }
  }
  for (const { variant, times } of workload.launches?.(options.quick) ?? []) {
    const series = {};
    for (let i = 0; i < times; i++) await launch([NATIVE_PROGRAM, workload.name, variant], series);
    yield { workload, variant, series };
  }
}

/** Run a program that measures, and add its series. */
async function launch(command: string[], series: Series): Promise<void> {
  const folder = Deno.makeTempDirSync({ dir: FOLDER, prefix: "bench-" });
  try {
    const full = [...command, Deno.realPathSync(folder), ...(options.quick ? ["--quick"] : [])];
    const { ok, reason, output } = await runProcess(full, { timeoutMs: TIMEOUT_MS });
    if (!ok) throw new Error(`${command.join(" ")}: ${reason}\n${withoutSeries(output)}`);
    for (const line of output.split("\n").filter(isSeries)) {
      const { series: name, samples } = JSON.parse(line);
      (series[name] ??= []).push(samples);
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function isSeries(line: string): boolean {
  return line.startsWith('{"series":');
}

function withoutSeries(output: string): string {
  return output.split("\n").filter((line) => !isSeries(line)).join("\n").trim();
}

function toJson(): string {
  const runs = finished.map(({ workload, variant, series, report }) => ({
    workload: workload.name,
    variant,
    targets: report.targets.map((target) => ({ ...target, reached: isReached(target) })),
    series: Object.fromEntries(
      Object.entries(series).map(([name, rounds]) => [name, {
        samples: rounds.flat().length,
        p50OfRounds: rounds.map((samples) => percentile(samples, 0.5)),
        p99: percentile(rounds.flat(), 0.99),
        max: percentile(rounds.flat(), 1),
      }]),
    ),
  }));
  return JSON.stringify({ date: new Date().toISOString(), quick: options.quick, runs }, null, 2);
}
