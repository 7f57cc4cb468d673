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
const SANITIZE = "-g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined".split(" ");

/** Is there a gcc to build with? */
export async function hasGcc(): Promise<boolean> {
  try {
    return (await run(["gcc", "--version"], { timeoutMs: 60_000 })).ok;
  } catch {
    return false;
  }
}

/** Build every tests/native/*_test.c. The result is the first failure, or the last success. */
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
    const seams = ["-Dfsync=test_fsync"]; // as in build.zig
    const options = ["-std=c11", "-Wall", ...SANITIZE, ...flags, ...seams];
    commands.push(["gcc", ...options, "-c", path, "-o", object]);
  }
  const helpers = filesIn("tests/native", ".c").filter((path) => !path.endsWith("_test.c"));
  for (const path of filesIn("tests/native", "_test.c")) {
    const program = path.replace("tests/native", ASAN_FOLDER).replace(/\.c$/, "");
    const libraries = ["-lpthread", "-ldl", "-lm"];
    const inputs = [path, ...helpers, ...objects, ...libraries];
    commands.push(["gcc", "-std=gnu11", ...SANITIZE, ...flags, ...inputs, "-o", program]);
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
