/**
 * The programs that `./run test` runs: which there are, what each needs, and how its output is
 * read.
 *
 * @module
 */

import { ASAN_FOLDER } from "./asan.ts";
import { cFiles, filesIn } from "./files.ts";
import { LOWERED, type OlderNode, olderNodes } from "./older_nodes.ts";
import { platformPrograms } from "./platforms.ts";
import { bunCounts, type Counts, denoCounts, nativeCounts, nodeCounts } from "./test_counts.ts";
import {
  NOT_ON_WINDOWS,
  WINDOWS_LIBRARY,
  WINDOWS_ROOT,
  windowsEnvironment,
  windowsRuntimes,
} from "./windows.ts";

/** A test program. */
export interface Program {
  /** "native/queue_test", "deno/install.test.ts" */
  name: string;
  command: string[];
  /** What it consists of. */
  files: string[];
  /** What has to be made before, by the names of test_preparations.ts. */
  needs: string[];
  /** In a full run: is it to do more than otherwise? */
  longer: boolean;
  /** Finds the counts in what the program wrote. */
  counts: (output: string) => Counts;
  /** Further variables. */
  env?: Record<string, string>;
}

/** What is asked for. */
export interface Choice {
  /** The long forms, sanitizers, older Nodes and so on. */
  full: boolean;
  /** What is built for other platforms, and nothing else. */
  platforms: boolean;
  /** Is there a gcc for the address sanitizer? */
  asan: boolean;
  /** Has `./run pack` just packed what package.test.ts installs? */
  packed: boolean;
  /** How long a program may take. */
  timeoutMs: number;
}

/** All programs that are asked for, in the order in which they are told. */
export function testPrograms(choice: Choice): Program[] {
  const { full, platforms, asan } = choice;
  const ofThisSystem = platforms ? [] : [
    ...nativePrograms("native", choice),
    ...hostPrograms(),
    ...(full ? nativePrograms("native-tsan", choice) : []),
    ...(full && asan ? nativePrograms("native-asan", choice) : []),
    ...(full ? [...fuzzTargets(), mutantHunt()] : []),
    ...typeScriptPrograms("deno", ["deno", "test", "-A", "--no-check"], denoCounts, choice),
    ...typeScriptPrograms("bun", bunTest(["bun"], choice), bunCounts, choice),
    ...nodePrograms({ name: "node", command: ["node"], folder: ".", without: [] }, choice),
    ...(full ? olderNodes().flatMap((node) => nodePrograms(node, choice)) : []),
  ];
  const ofOthers = full || platforms ? [...otherPlatforms(), ...windowsPrograms(choice)] : [];
  return [...ofThisSystem, ...ofOthers];
}

/** Where the native tests are, by the name of what runs them, which is also what they need. */
const NATIVE_FOLDERS: Record<string, string> = {
  native: "zig-out/native-tests",
  "native-tsan": "zig-out/native-tests-tsan",
  "native-asan": ASAN_FOLDER,
};

/** The native tests, and the fuzz targets as such: with what is kept of their inputs. */
function nativePrograms(runner: string, { full }: Choice): Program[] {
  const tests = filesIn("tests/native", "_test.c").map((path) => path.replace(/^.*\/|\.c$/g, ""));
  const targets = filesIn("tests/fuzz", "_fuzz.c");
  if (runner !== "native-tsan") {
    tests.push(...targets.map((path) => path.replace(/^.*\/|\.c$/g, "") + "_test"));
  }
  return tests.map((name) => {
    const program = `${NATIVE_FOLDERS[runner]}/${name}`;
    return {
      name: `${runner}/${name}`,
      command: [program],
      files: [program],
      needs: [runner],
      longer: full && runner === "native", // with sanitizers all takes many times as long
      counts: nativeCounts,
    };
  });
}

/** What is built for other platforms. */
function otherPlatforms(): Program[] {
  return platformPrograms().map((program) => ({
    ...program,
    needs: [program.name.slice(0, program.name.indexOf("/"))],
    longer: false,
    counts: nativeCounts,
  }));
}

/** Folders with SQLite in other versions: some older ones, and that of the other tests. */
export function hostFolders(): string[] {
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
      needs: ["library", "hosts"],
      longer: false,
      counts: nativeCounts,
    };
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
      needs: [],
      longer: true,
      counts: nativeCounts,
    };
  });
}

/** What some TypeScript tests need besides the library. */
const NEEDS: Record<string, string[]> = {
  "docs.test.ts": ["native"], // links the pages' C programs with the SQLite of these
  "package.test.ts": ["package"],
  "bundlers.test.ts": ["package"],
};

/** The same, in a full run. */
const NEEDS_FULL: Record<string, string[]> = {
  "frameworks.test.ts": ["package"],
  "test_runners.test.ts": ["package"],
};

function bunTest(bun: string[], { timeoutMs }: Choice): string[] {
  return [...bun, "test", "--timeout", String(timeoutMs)];
}

function typeScriptPrograms(
  runner: string,
  command: string[],
  counts: Program["counts"],
  { full }: Choice,
): Program[] {
  const folders = ["ffi", "tests/helpers", "examples", "bench"];
  const packing = ["deno.json", "package.json", "tools/embed.ts", "tools/pack.ts"];
  const ofFolders = folders.flatMap((folder) => filesIn(folder, ".ts"));
  const sources = ["mod.ts", ...packing, ...ofFolders, ...filesIn("tests/preload", ".c")];
  return filesIn("tests", ".test.ts").map((path) => {
    const test = path.slice("tests/".length);
    const name = `${runner}/${test}`;
    const files = [library(), path, ...sources];
    const needs = ["library", ...(NEEDS[test] ?? []), ...(full ? NEEDS_FULL[test] ?? [] : [])];
    return { name, command: [...command, `./${path}`], files, needs, longer: full, counts };
  });
}

/** Node runs a test file as any program. The programs that a test starts get the same flags. */
function nodePrograms(node: OlderNode, choice: Choice): Program[] {
  const { name, command, folder, without, root = Deno.cwd() } = node;
  const worker = `file://${root}/${folder}/tests/helpers/node_worker.ts`;
  const flags = [
    ...["--import", worker, "--test-reporter=spec"],
    "--disable-warning=ExperimentalWarning", // Node 22: of node:sqlite and of TypeScript
  ];
  const able = (program: Program) => !without.some((test) => program.name.endsWith(`/${test}`));
  const all = typeScriptPrograms(name, [...command, ...flags], nodeCounts, choice);
  return all.filter(able).map((program) => ({
    ...program,
    needs: [...program.needs, ...(folder === LOWERED ? ["lowered"] : [])],
    command: [...program.command.slice(0, -1), `./${folder}/${program.command.at(-1)}`],
    longer: choice.full && folder === "." && name === "node",
  }));
}

/** The TypeScript tests for Windows. */
function windowsPrograms(choice: Choice): Program[] {
  const runtimes = windowsRuntimes();
  if (runtimes === undefined) return [];
  const node22 = { command: runtimes.node22, folder: LOWERED, without: [], root: WINDOWS_ROOT };
  return [
    ...typeScriptPrograms("x64-windows/bun", bunTest(runtimes.bun, choice), bunCounts, choice),
    ...nodePrograms({ name: "x64-windows/node22", ...node22 }, choice),
  ].filter(({ name }) => !NOT_ON_WINDOWS.includes(name.slice(name.lastIndexOf("/") + 1)))
    .map((program) => ({
      ...program,
      files: [WINDOWS_LIBRARY, ...program.files.slice(1)],
      needs: ["x64-windows", ...program.needs.filter((need) => need === "lowered")],
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
    needs: [],
    longer: false,
    counts: nativeCounts,
  };
}

/** The library for this system. */
export function library(): string {
  const file = {
    darwin: "lib/libsqlite3async.dylib",
    windows: "lib/sqlite3async.dll",
  }[Deno.build.os as string] ?? "lib/libsqlite3async.so";
  return `${Deno.cwd()}/zig-out/${file}`;
}
