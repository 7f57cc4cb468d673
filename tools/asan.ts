/**
 * The native tests under the address sanitizer, built by gcc, for Zig comes without its runtime.
 *
 * @module
 */

import { filesIn } from "./files.ts";
import { type Result, run } from "./process.ts";

/** Where the programs are put. */
export const ASAN_FOLDER = "zig-out/native-tests-asan";

const OBJECTS = ".zig-cache/asan";
const SANITIZE = [
  ..."-g -O1 -fno-omit-frame-pointer".split(" "),
  "-fsanitize=address,undefined",
  "-fno-sanitize-recover=all", // or what is undefined would only be told
];

/** As `interposed` in build.zig. */
const INTERPOSED = [
  ..."malloc calloc realloc free mmap munmap fsync clock_gettime nanosleep".split(" "),
  ..."pthread_create pthread_join pthread_mutex_lock pthread_mutex_unlock".split(" "),
  ..."pthread_cond_wait pthread_cond_timedwait pthread_cond_broadcast".split(" "),
].map((name) => `-D${name}=test_${name}`).concat("-Dstat(path, out)=test_stat(path, out)");

/** Is there a gcc to build with? */
export async function hasGcc(): Promise<boolean> {
  try {
    return (await run(["gcc", "--version"], { timeoutMs: 60_000 })).ok;
  } catch {
    return false;
  }
}

/**
 * Build every tests/native/*_test.c, and every tests/fuzz/*_fuzz.c as an ordinary test. The result
 * is the first failure, or the last success.
 */
export async function buildAsan(): Promise<Result> {
  await Deno.mkdir(OBJECTS, { recursive: true });
  await Deno.mkdir(ASAN_FOLDER, { recursive: true });
  const sqlite = Deno.env.get("SQLITE_DIR")!;
  const flags = ["-DSQLITE_CORE=1", "-Icsrc", "-isystem", sqlite];

  const objects = [`${OBJECTS}/sqlite3.o`];
  const commands: string[][] = [];
  if (!isNewer(objects[0], `${sqlite}/sqlite3.c`)) {
    const options = ["-O2", "-w", "-DSQLITE_OMIT_LOAD_EXTENSION=1"];
    commands.push(["gcc", ...options, "-c", `${sqlite}/sqlite3.c`, "-o", objects[0]]);
  }
  for (const path of filesIn("csrc", ".c")) {
    const object = path.replace("csrc", OBJECTS).replace(/\.c$/, ".o");
    objects.push(object);
    const core = ["-std=c11", "-Wall", ...SANITIZE, ...flags, ...INTERPOSED];
    commands.push(["gcc", ...core, "-c", path, "-o", object]);
  }
  for (const path of filesIn("tests/native", ".c")) {
    if (path.endsWith("_test.c")) continue;
    const object = path.replace("tests/native", OBJECTS).replace(/\.c$/, ".helper.o");
    objects.push(object);
    commands.push(["gcc", "-std=gnu11", ...SANITIZE, ...flags, "-c", path, "-o", object]);
  }
  for (const path of filesIn("tests/native", "_test.c")) {
    const program = path.replace("tests/native", ASAN_FOLDER).replace(/\.c$/, "");
    const libraries = ["-lpthread", "-ldl", "-lm"];
    const inputs = [path, ...objects, ...libraries];
    commands.push(["gcc", "-std=gnu11", ...SANITIZE, ...flags, ...inputs, "-o", program]);
  }
  const fuzzHelpers = filesIn("tests/fuzz", ".c").filter((path) =>
    !/fuzz_start|_fuzz\.c/.test(path)
  );
  for (const path of filesIn("tests/fuzz", "_fuzz.c")) {
    const program = path.replace("tests/fuzz", ASAN_FOLDER).replace(/\.c$/, "_test");
    const inputs = [path, ...fuzzHelpers, ...objects, "-lpthread", "-ldl", "-lm"];
    const include = ["-Itests/native", "-Itests/fuzz"];
    commands.push([
      "gcc",
      "-std=gnu11",
      ...SANITIZE,
      ...flags,
      ...include,
      ...inputs,
      "-o",
      program,
    ]);
  }

  let result: Result = { ok: true, reason: "", output: "", seconds: 0 };
  for (const command of commands) {
    result = await run(command, { timeoutMs: 600_000 });
    if (!result.ok) break;
  }
  return result;
}

function isNewer(file: string, source: string): boolean {
  try {
    return Deno.statSync(file).mtime! > Deno.statSync(source).mtime!;
  } catch {
    return false;
  }
}
