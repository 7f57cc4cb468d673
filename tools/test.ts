/**
 * All tests: `./run test [--platforms | --full [--fresh]] [FILTER]`. Builds the library and the
 * native tests, runs those, then every tests/*.test.ts under Deno, Bun and Node, each program by
 * itself.
 *
 * FILTER is a part of a program's name: "queue", "native/", "bun/install".
 *
 * --full sets SQLITE3ASYNC_TEST_FULL=1, at which tests that draw random numbers run for longer. It
 * adds the native tests under the thread sanitizer and, if there is a gcc, the address sanitizer;
 * fuzzing that follows coverage (fuzz.ts), if there is a clang to be had; the planted faults
 * (mutants.ts); the TypeScript tests under older lines of Node (older_nodes.ts); and what can be
 * run here of other platforms (platforms.ts), which --platforms runs alone. It keeps a record of
 * what has passed (record.ts) and goes on from there, unless --fresh is said, too.
 *
 * @module
 */

import { ASAN_FOLDER, buildAsan, hasGcc } from "./asan.ts";
import { cFiles, filesIn } from "./files.ts";
import { lower, LOWERED, type OlderNode, olderNodes } from "./older_nodes.ts";
import { buildPlatforms, platformPrograms, skippedPlatforms } from "./platforms.ts";
import { run, zigBuild } from "./process.ts";
import { type Entry, hashOf, RunRecord } from "./record.ts";
import {
  NOT_ON_WINDOWS,
  skippedOnWindows,
  WINDOWS_LIBRARY,
  WINDOWS_ROOT,
  windowsEnvironment,
  windowsRuntimes,
} from "./windows.ts";

interface Program {
  /** "native/queue_test", "deno/install.test.ts" */
  name: string;
  command: string[];
  /** What it consists of. */
  files: string[];
  /** In a full run: is it to do more than otherwise? */
  longer: boolean;
  /** Finds the counts in what the program wrote. */
  counts: (output: string) => Counts;
  /** Further variables. */
  env?: Record<string, string>;
}

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const full = Deno.args.includes("--full");
const fresh = Deno.args.includes("--fresh");
const platforms = Deno.args.includes("--platforms");
const filters = Deno.args.filter((arg) => !/^--(full|fresh|platforms)$/.test(arg));
if (filters.length > 1 || filters[0]?.startsWith("-") || (fresh && !full) || (platforms && full)) {
  console.error("Usage: ./run test [--platforms | --full [--fresh]] [FILTER]");
  Deno.exit(2);
}
const filter = filters[0] ?? "";
const withAsan = full && await hasGcc();
const timeoutMs = full || platforms ? 1_800_000 : 300_000;
const record = new RunRecord();
/** The variable that makes tests run for longer. */
const FULL = "SQLITE3ASYNC_TEST_FULL";

const ofPlatforms: Program[] = full || platforms
  ? [
    ...platformPrograms().map((program) => ({ ...program, longer: false, counts: nativeCounts })),
    ...windowsPrograms(),
  ]
  : [];
const ofThisSystem = platforms ? [] : [
  ...nativePrograms("native", "zig-out/native-tests"),
  ...fuzzTests("native", "zig-out/native-tests"),
  ...hostPrograms(),
  ...(full ? nativePrograms("native-tsan", "zig-out/native-tests-tsan") : []),
  ...(withAsan ? nativePrograms("native-asan", ASAN_FOLDER) : []),
  ...(withAsan ? fuzzTests("native-asan", ASAN_FOLDER) : []),
  ...(full ? fuzzTargets() : []),
  ...(full ? [mutantHunt()] : []),
  ...typeScriptPrograms("deno", ["deno", "test", "-A", "--no-check"], denoCounts),
  ...typeScriptPrograms("bun", ["bun", "test", "--timeout", String(timeoutMs)], bunCounts),
  ...nodePrograms({ name: "node", command: ["node"], folder: ".", without: [] }),
  ...(full ? olderNodes().flatMap(nodePrograms) : []),
];
const programs: Program[] = [...ofThisSystem, ...ofPlatforms]
  .filter(({ name }) => name.includes(filter));

/** Programs at a time. Most have one thread; a full run shall end some time. */
const JOBS = full || platforms ? 2 : 1;
const waiting = [...programs];

let passed = 0;
let failed = 0;
await build();
if (failed === 0) {
  await Promise.all(Array.from({ length: JOBS }, runPrograms));
  if (programs.length === 0) fail(`no test program is called "*${filter}*"`);
}
console.log(`${passed} passed, ${failed} failed`);
Deno.exit(failed === 0 ? 0 : 1);

async function build(): Promise<void> {
  if (full || platforms) {
    const { ok, output } = await buildPlatforms(programs);
    if (!ok) fail("the tests for other platforms", output);
    for (const skipped of skippedPlatforms()) console.log(`skipped ${skipped}`);
    for (const skipped of skippedOnWindows()) console.log(`skipped ${skipped}`);
  }
  if (programs.some(({ command }) => command.at(-1)!.startsWith(`./${LOWERED}/`))) {
    const { ok, output } = await lower();
    if (!ok) fail("the tests for Node 22, by esbuild", output);
  }
  if (platforms) return;
  const hosts = hostFolders().map((folder) => `-Dhost=${folder}`);
  const builds = [
    ["install", "native-tests", "hosts", ...hosts],
    ...(full ? [["native-tests", "-Dtsan=true"]] : []),
  ];
  for (const args of builds) {
    const { ok, output } = await zigBuild(...args);
    if (!ok) fail(`zig build ${args.join(" ")}`, output);
  }
  const ofPackage = full
    ? /\/(package|bundlers|test_runners)\.test\.ts$/
    : /\/(package|bundlers)\.test\.ts$/;
  if (programs.some(({ name }) => ofPackage.test(name))) {
    for (const tool of ["tools/prebuilt.ts", "tools/pack.ts"]) {
      const { ok, output } = await run(["deno", "run", "-A", tool], { timeoutMs: 1_200_000 });
      if (!ok) fail(`${tool}, for the tests of the package`, output);
    }
  }
  if (full && olderNodes().length === 0) {
    console.log("skipped node22, node24: they could not be installed here");
  }
  if (withAsan) {
    const { ok, output } = await buildAsan();
    if (!ok) fail("the native tests, built by gcc", output);
  } else if (full) {
    console.log("skipped native-asan: there is no gcc on PATH");
  }
}

/** Run what nobody else has begun, one after the other. */
async function runPrograms(): Promise<void> {
  for (let program = waiting.shift(); program; program = waiting.shift()) {
    await runProgram(program);
  }
}

async function runProgram(program: Program): Promise<void> {
  const { name, command, counts, longer } = program;
  const hash = full ? await hashOf(program.files) : "";
  const earlier = full && !fresh ? record.find(name, hash) : undefined;
  if (earlier) return tellEarlier(name, earlier);
  const env = {
    SQLITE3ASYNC_LIBRARY: library(),
    ...(longer ? { [FULL]: "1" } : {}),
    ...program.env,
  };
  const result = await run(command, { timeoutMs, env });
  const found = counts(result.output);
  const isEmpty = found.passed + found.failed + found.skipped === 0;
  const summary = `${name}: ${found.passed} passed, ${found.failed} failed, ` +
    `${found.skipped} skipped (${result.seconds.toFixed(1)} s)`;
  passed += found.passed;
  if (result.ok && found.failed === 0 && !isEmpty) {
    const notes = notesIn(result.output);
    console.log(`ok      ${summary}`);
    const told = full ? notes : new Set(result.output.match(/^# skipped: .*$/gm));
    for (const note of told) console.log(`        ${note}`);
    if (full) record.note(name, { hash, ...found, seconds: result.seconds, notes });
  } else {
    if (full) record.note(name);
    const reason = result.ok && isEmpty ? "it reports no test" : result.reason;
    fail(`${summary}: ${reason}`, result.output, Math.max(found.failed, 1));
  }
}

function tellEarlier(name: string, entry: Entry): void {
  passed += entry.passed;
  console.log(
    `ok      ${name}: ${entry.passed} passed, ${entry.skipped} skipped in an earlier run`,
  );
}

/** What the program said of what it has done: in lines that begin with "# ". */
function notesIn(output: string): string[] {
  return output.match(/^# (?!SEED).*$/gm) ?? [];
}

function fail(what: string, output: string = "", count: number = 1): void {
  failed += count;
  console.log(`FAILED  ${what}`);
  if (output !== "") console.log(output.trimEnd().replace(/^/gm, "        "));
}

function nativePrograms(runner: string, folder: string): Program[] {
  return filesIn("tests/native", "_test.c").map((path) => {
    const name = path.slice("tests/native/".length, -".c".length);
    return nativeProgram(runner, name, folder);
  });
}

function nativeProgram(runner: string, name: string, folder: string): Program {
  const program = `${folder}/${name}`;
  return {
    name: `${runner}/${name}`,
    command: [program],
    files: [program],
    longer: full && runner === "native", // with sanitizers all takes many times as long
    counts: nativeCounts,
  };
}

/** Folders with SQLite in other versions: some older ones, and that of the other tests. */
function hostFolders(): string[] {
  const folders = (Deno.env.get("SQLITE_HOSTS") ?? "").split(":");
  return [...folders, Deno.env.get("SQLITE_DIR") ?? ""].filter((folder) => folder !== "");
}

/** The library in each of these. */
function hostPrograms(): Program[] {
  return hostFolders().map((folder) => {
    const name = folder.slice(folder.lastIndexOf("/") + 1);
    const program = `zig-out/hosts/${name}`;
    return {
      name: `host/${name}`,
      command: [program],
      files: [program, library()],
      longer: false,
      counts: nativeCounts,
    };
  });
}

/** The fuzz targets as ordinary tests: what is kept of their inputs, and some random ones. */
function fuzzTests(runner: string, folder: string): Program[] {
  return filesIn("tests/fuzz", "_fuzz.c").map((path) => {
    const name = `${path.slice("tests/fuzz/".length, -".c".length)}_test`;
    return nativeProgram(runner, name, folder);
  });
}

/** The fuzz targets, following coverage. */
function fuzzTargets(): Program[] {
  return filesIn("tests/fuzz", "_fuzz.c").map((path) => {
    const target = path.slice("tests/fuzz/".length, -"_fuzz.c".length);
    return {
      name: `fuzz/${target}`,
      command: ["./run", "fuzz", target],
      files: ["tools/fuzz.ts", ...cFiles()],
      longer: full,
      counts: nativeCounts,
    };
  });
}

function typeScriptPrograms(
  runner: string,
  command: string[],
  counts: Program["counts"],
): Program[] {
  const folders = ["ffi", "tests/helpers", "examples", "bench"];
  const packing = ["deno.json", "package.json", "tools/embed.ts", "tools/pack.ts"];
  const ofFolders = folders.flatMap((folder) => filesIn(folder, ".ts"));
  const sources = ["mod.ts", ...packing, ...ofFolders, ...filesIn("tests/preload", ".c")];
  return filesIn("tests", ".test.ts").map((path) => {
    const name = `${runner}/${path.slice("tests/".length)}`;
    const files = [library(), path, ...sources];
    return { name, command: [...command, `./${path}`], files, longer: full, counts };
  });
}

/** Node runs a test file as any program. The programs that a test starts get the same flags. */
function nodePrograms(node: OlderNode): Program[] {
  const { name, command, folder, without, root = Deno.cwd() } = node;
  const worker = `file://${root}/${folder}/tests/helpers/node_worker.ts`;
  const flags = [
    ...["--import", worker, "--test-reporter=spec"],
    "--disable-warning=ExperimentalWarning", // Node 22: of node:sqlite and of TypeScript
  ];
  const able = (program: Program) => !without.some((test) => program.name.endsWith(`/${test}`));
  const programs = typeScriptPrograms(name, [...command, ...flags], nodeCounts).filter(able);
  return programs.map((program) => ({
    ...program,
    command: [...program.command.slice(0, -1), `./${folder}/${program.command.at(-1)}`],
    longer: full && folder === "." && name === "node",
  }));
}

/** The TypeScript tests for Windows. */
function windowsPrograms(): Program[] {
  const runtimes = windowsRuntimes();
  if (runtimes === undefined) return [];
  const bun = [...runtimes.bun, "test", "--timeout", String(timeoutMs)];
  const node22 = { command: runtimes.node22, folder: LOWERED, without: [], root: WINDOWS_ROOT };
  return [
    ...typeScriptPrograms("x64-windows/bun", bun, bunCounts),
    ...nodePrograms({ name: "x64-windows/node22", ...node22 }),
  ].filter(({ name }) => !NOT_ON_WINDOWS.includes(name.slice(name.lastIndexOf("/") + 1)))
    .map((program) => ({
      ...program,
      files: [WINDOWS_LIBRARY, ...program.files.slice(1)],
      longer: false,
      env: windowsEnvironment(),
    }));
}

/** Faults are planted in the core, and the native tests must find each. */
function mutantHunt(): Program {
  return {
    name: "mutants",
    command: ["deno", "run", "-A", "tools/mutants.ts"],
    files: ["tests/mutants.ts", "tools/mutants.ts", ...cFiles()],
    longer: false,
    counts: nativeCounts,
  };
}

/** `12 passed, 0 failed`, and maybe `, 1 skipped` */
function nativeCounts(output: string): Counts {
  const line = output.match(/^\d+ passed, \d+ failed(, \d+ skipped)?$/gm)?.at(-1) ?? "";
  return {
    passed: count(line, "passed"),
    failed: count(line, "failed"),
    skipped: count(line, "skipped"),
  };
}

/** `ok | 12 passed (3 steps) | 0 failed | 1 ignored (2s)` */
function denoCounts(output: string): Counts {
  const line = output.match(/^(?:ok|FAILED) \| .*$/gm)?.at(-1) ?? "";
  return {
    passed: count(line, "passed"),
    failed: count(line, "failed"),
    skipped: count(line, "ignored"),
  };
}

/** ` 12 pass`, ` 1 skip` and ` 0 fail`, each on a line of its own */
function bunCounts(output: string): Counts {
  const lines = output.match(/^ *\d+ (?:pass|skip|fail)$/gm)?.slice(-3).join("\n") ?? "";
  return {
    passed: count(lines, "pass"),
    failed: count(lines, "fail"),
    skipped: count(lines, "skip"),
  };
}

/** `ℹ pass 12`, `ℹ fail 0`, `ℹ cancelled 0` and `ℹ skipped 1`, each on a line of its own */
function nodeCounts(output: string): Counts {
  const countOf = (word: string) => {
    return Number(output.match(new RegExp(`^ℹ ${word} (\\d+)$`, "m"))?.[1] ?? 0);
  };
  return {
    passed: countOf("pass"),
    failed: countOf("fail") + countOf("cancelled"),
    skipped: countOf("skipped"),
  };
}

/** The number before a word, 0 if it isn't there. */
function count(text: string, word: string): number {
  return Number(text.match(new RegExp(`(\\d+) ${word}`))?.[1] ?? 0);
}

function library(): string {
  const file = {
    darwin: "lib/libsqlite3async.dylib",
    windows: "lib/sqlite3async.dll",
  }[Deno.build.os as string] ?? "lib/libsqlite3async.so";
  return `${Deno.cwd()}/zig-out/${file}`;
}
