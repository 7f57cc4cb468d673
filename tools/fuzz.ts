/**
 * Coverage-guided fuzzing: `./run fuzz [OPTION] [TARGET] [SECONDS]`. Builds tests/fuzz/NAME_fuzz.c
 * with libFuzzer and the address and undefined-behaviour sanitizers, and runs each target for
 * SECONDS (100), beginning with the corpus that is kept and with what earlier runs have found.
 *
 *     --keep        afterwards, keep of all inputs the few that reach what all reach
 *     --coverage    run no new inputs; list the functions of csrc/ that those we have don't reach
 *
 * @module
 */

import { filesIn } from "./files.ts";
import { type Result, run } from "./process.ts";

const FOLDER = "zig-out/fuzz";
const CORPUS = "tests/fuzz/corpus";
const SECONDS = 100;
const KEPT_SIZE_MAX = 600;

const options = Deno.args.filter((arg) => arg.startsWith("--"));
const args = Deno.args.filter((arg) => !arg.startsWith("--"));
const seconds = Number(args.find((arg) => /^\d+$/.test(arg)) ?? SECONDS);
const wanted = args.find((arg) => !/^\d+$/.test(arg)) ?? "";
const targets = filesIn("tests/fuzz", "_fuzz.c")
  .map((path) => path.slice("tests/fuzz/".length, -"_fuzz.c".length))
  .filter((name) => wanted === "" || name === wanted);
if (targets.length === 0 || options.some((option) => !/^--(keep|coverage)$/.test(option))) {
  console.error("Usage: ./run fuzz [--keep] [--coverage] [TARGET] [SECONDS]");
  Deno.exit(2);
}
const measures = options.includes("--coverage");

let failed = 0;
await build(measures);
for (const target of targets) {
  await Deno.mkdir(`${FOLDER}/${target}`, { recursive: true });
  if (measures) {
    await listUnreached(target);
  } else {
    await fuzz(target);
    if (options.includes("--keep")) await keep(target);
  }
}
console.log(`${targets.length - failed} passed, ${failed} failed`);
Deno.exit(failed === 0 ? 0 : 1);

/** Compile and link the targets; what fuzzing follows is ours, not SQLite. */
async function build(withCoverage: boolean): Promise<void> {
  const sqlite = Deno.env.get("SQLITE_DIR")!;
  const objects = `.zig-cache/fuzz${withCoverage ? "-coverage" : ""}`;
  await Deno.mkdir(objects, { recursive: true });
  await Deno.mkdir(FOLDER, { recursive: true });
  const flags = "-g -O1 -fno-omit-frame-pointer -std=gnu11 -DSQLITE_CORE=1".split(" ");
  flags.push("-Icsrc", "-Itests/native", "-Itests/fuzz", "-isystem", sqlite);
  flags.push("-fsanitize=address,undefined", "-fno-sanitize-recover=all");
  const followed = withCoverage
    ? ["-fprofile-instr-generate", "-fcoverage-mapping"]
    : ["-fsanitize=fuzzer-no-link"];

  const library = `${objects}/sqlite3.o`;
  if (!filesIn(objects, ".o").includes(library)) {
    const options = ["-O2", "-w", "-DSQLITE_THREADSAFE=1", "-DSQLITE_OMIT_LOAD_EXTENSION=1"];
    await command("clang", ...options, "-c", `${sqlite}/sqlite3.c`, "-o", library);
  }
  const compile = async (path: string, more: string[]) => {
    const object = `${objects}/${path.replaceAll("/", "-").replace(/\.c$/, ".o")}`;
    await command("clang", ...flags, ...more, "-c", path, "-o", object);
    return object;
  };
  const shared = [library];
  for (const path of filesIn("csrc", ".c")) shared.push(await compile(path, followed));
  const helpers = [...filesIn("tests/native", ".c"), ...filesIn("tests/fuzz", ".c")]
    .filter((path) => !/(_test|_fuzz|fuzz_driver)\.c$/.test(path));
  for (const path of helpers) shared.push(await compile(path, []));
  const link = ["-fsanitize=fuzzer,address,undefined", ...(withCoverage ? followed : [])];
  for (const target of targets) {
    const inputs = [await compile(`tests/fuzz/${target}_fuzz.c`, followed), ...shared];
    const libraries = ["-lpthread", "-ldl", "-lm"];
    await command("clang", ...link, ...inputs, ...libraries, "-o", program(target, withCoverage));
  }
}

/** Run what must succeed. */
async function command(...words: string[]): Promise<void> {
  const { ok, output, reason } = await run(words, { timeoutMs: 600_000 });
  if (ok) return;
  console.log(`${output}\n${words.join(" ")}: ${reason}`);
  Deno.exit(1);
}

function program(target: string, withCoverage: boolean): string {
  return `${FOLDER}/${target}_fuzz${withCoverage ? "_coverage" : ""}`;
}

/** Run libFuzzer, with the files of the tests in a folder that goes afterwards. */
async function libFuzzer(words: string[], env: Record<string, string> = {}): Promise<Result> {
  const memory = await Deno.stat("/dev/shm").catch(() => null);
  const dir = Deno.env.get("TMPDIR") ?? (memory === null ? "/tmp" : "/dev/shm");
  const folder = await Deno.makeTempDir({ dir, prefix: "sqlite3async-fuzz-" });
  const timeoutMs = (seconds + 300) * 1000;
  try {
    return await run(words, { timeoutMs, env: { TMPDIR: folder, ...env } });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function fuzz(target: string): Promise<void> {
  const words = [program(target, false), `-max_total_time=${seconds}`, "-timeout=20"];
  words.push(`-artifact_prefix=${FOLDER}/${target}-`, "-max_len=2048", "-len_control=0");
  words.push("-print_final_stats=1");
  words.push("-rss_limit_mb=4096", `${FOLDER}/${target}`, `${CORPUS}/${target}`);
  const result = await libFuzzer(words);
  const runs = result.output.match(/number_of_executed_units: (\d+)/)?.[1] ?? "?";
  const covered = result.output.match(/cov: (\d+) ft: (\d+)/g)?.at(-1) ?? "";
  const summary = `fuzz/${target}: ${runs} inputs, ${covered} (${result.seconds.toFixed(1)} s)`;
  console.log(result.ok ? `# ${summary}` : `FAILED  ${summary}: ${result.reason}`);
  if (result.ok) return;
  failed++;
  const isNews = (line: string) => /^#\d+\s|^\tNEW_FUNC|^INFO:/.test(line);
  console.log(result.output.split("\n").filter((line) => !isNews(line)).join("\n"));
}

/**
 * Of all inputs, the few that together reach every branch that all reach replace those that are
 * kept; but inputs with a name, which once failed, stay.
 */
async function keep(target: string): Promise<void> {
  const kept = `${CORPUS}/${target}`;
  const merged = `${FOLDER}/${target}-merged`;
  await Deno.remove(merged, { recursive: true }).catch(() => {});
  await Deno.mkdir(merged);
  const options = ["-set_cover_merge=1", "-use_counters=0", `-max_len=${KEPT_SIZE_MAX}`];
  const folders = [merged, kept, `${FOLDER}/${target}`];
  const { ok, output } = await libFuzzer([program(target, false), ...options, ...folders]);
  if (!ok) {
    console.log(output);
    return;
  }
  const isHash = (path: string) => /\/[0-9a-f]{40}$/.test(path);
  for (const path of filesIn(kept, "").filter(isHash)) await Deno.remove(path);
  for (const path of filesIn(merged, "").filter(isHash)) {
    await Deno.copyFile(path, path.replace(merged, kept));
  }
  console.log(`${kept}: ${filesIn(kept, "").length} inputs`);
}

async function listUnreached(target: string): Promise<void> {
  const profile = `${FOLDER}/${target}.profraw`;
  const folders = [`${CORPUS}/${target}`, `${FOLDER}/${target}`];
  await libFuzzer([program(target, true), "-runs=0", ...folders], { LLVM_PROFILE_FILE: profile });
  const data = `${FOLDER}/${target}.profdata`;
  const options = { timeoutMs: 60_000 };
  await run(["llvm-profdata", "merge", profile, "-o", data], options);
  const report = ["report", program(target, true), `-instr-profile=${data}`];
  const sources = filesIn("csrc", ".c");
  const { output } = await run(
    ["llvm-cov", ...report, "-show-functions", ...sources],
    options,
  );
  console.log(`# ${target}: functions that are not reached`);
  console.log(
    output.split("\n").filter((line) => /^\S+\s+\d+\s+\d+\s+0\.00%/.test(line)).join("\n"),
  );
  console.log((await run(["llvm-cov", ...report, ...sources], options)).output);
}
