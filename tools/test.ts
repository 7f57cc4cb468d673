/**
 * All tests: `./run test [--platforms | --full [--fresh] | --packed] [FILTER]`. Builds the library
 * and the native tests, runs those, then every tests/*.test.ts under Deno, Bun and Node, each
 * program by itself, two at a time.
 *
 * FILTER is a part of a program's name: "queue", "native/", "bun/install".
 *
 * --full sets SQLITE3ASYNC_TEST_FULL=1, at which tests that draw random numbers run for longer. It
 * adds the native tests under the thread sanitizer and, if there is a gcc, the address sanitizer;
 * fuzzing that follows coverage (fuzz.ts), if there is a clang to be had; the planted faults
 * (mutants.ts); the TypeScript tests under older lines of Node (older_nodes.ts); the package with
 * the libraries of all platforms; and what can be run here of other platforms (platforms.ts), which
 * --platforms runs alone. It keeps a record of what has passed (record.ts) and goes on from there,
 * unless --fresh is said, too.
 *
 * --packed tests the package that `./run pack` has made, and packs none.
 *
 * @module
 */

import { hasGcc } from "./asan.ts";
import { olderNodes } from "./older_nodes.ts";
import { skippedPlatforms } from "./platforms.ts";
import { run } from "./process.ts";
import { duration, Progress } from "./progress.ts";
import { type Entry, hashOf, RunRecord } from "./record.ts";
import { packedFolder, type Preparation, preparations } from "./test_preparations.ts";
import { type Choice, library, type Program, testPrograms } from "./test_programs.ts";
import { skippedOnWindows } from "./windows.ts";

/** The variable that makes tests run for longer. */
const FULL = "SQLITE3ASYNC_TEST_FULL";
/** Programs at a time. */
const JOBS = 2;

/** Programs that measure times of some ms: nothing else runs beside them. */
const ALONE = ["flush.test.ts", "help_test", "pool_test", "walindex_test"];

/** Programs that take longest: they begin first, so that none is left at the end. */
const LONG = [
  ...["closed.test.ts", "signals_test", "power_test", "kill.test.ts"],
  ...["io_fault_test", "moved_test", "wal.test.ts", "contention.test.ts", "exit_test"],
];

const startMs = performance.now();
const { choice, fresh, filter } = await chosen(Deno.args);
const { full, platforms, timeoutMs } = choice;
const programs = testPrograms(choice).filter(({ name }) => name.includes(filter));
const record = new RunRecord();
const progress = new Progress();

let passed = 0;
let failed = 0;
for (const skipped of skippedKinds()) progress.say(`skipped ${skipped}`);
if (programs.length === 0) fail(`no test program is called "*${filter}*"`);
await runTogether(await prepare());
progress.say(`in ${duration((performance.now() - startMs) / 1000)}`);
console.log(`${passed} passed, ${failed} failed`);
Deno.exit(failed === 0 ? 0 : 1);

async function chosen(args: string[]): Promise<{ choice: Choice; fresh: boolean; filter: string }> {
  const [options, filters] = [true, false].map((is) =>
    args.filter((a) => a.startsWith("--") === is)
  );
  const has = (option: string) => options!.includes(option);
  const [full, fresh] = [has("--full"), has("--fresh")];
  const [platforms, packed] = [has("--platforms"), has("--packed")];
  const known = [full, fresh, platforms, packed].filter(Boolean).length;
  const kinds = [full, platforms, packed].filter(Boolean).length;
  if (filters!.length > 1 || known !== options!.length || kinds > 1 || (fresh && !full)) {
    console.error("Usage: ./run test [--platforms | --full [--fresh] | --packed] [FILTER]");
    Deno.exit(2);
  }
  const timeoutMs = full || platforms ? 1_800_000 : 300_000;
  const asan = full && await hasGcc();
  return { choice: { full, platforms, packed, asan, timeoutMs }, fresh, filter: filters![0] ?? "" };
}

/** What is not run, for something is missing here. */
function skippedKinds(): string[] {
  if (!full && !platforms) return [];
  const skipped = [...skippedPlatforms(), ...skippedOnWindows()];
  if (full && olderNodes().length === 0) {
    skipped.push("node22, node24: they could not be installed here");
  }
  if (full && !choice.asan) skipped.push("native-asan: there is no gcc on PATH");
  return skipped;
}

/** Make what the programs need. Returns those that have all of it; the others have failed. */
async function prepare(): Promise<Program[]> {
  const missing: Preparation[] = [];
  for (const preparation of preparations(choice)) {
    const { need, what, make } = preparation;
    if (!programs.some(({ needs }) => needs.includes(need))) continue;
    progress.say(`make    ${what}`);
    const start = performance.now();
    const { ok, reason, output } = await progress.during(what, make);
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    if (ok) {
      progress.say(`made    ${what} (${seconds} s)`);
    } else {
      missing.push(preparation);
      fail(`${what} (${seconds} s): ${reason}`, output);
    }
  }
  return programs.filter(({ name, needs }) => {
    const lacking = missing.find(({ need }) => needs.includes(need));
    if (lacking !== undefined) fail(`${name}: not run, for it needs ${lacking.what}`);
    return lacking === undefined;
  });
}

/** Run programs: what needs the machine for itself last, alone. */
async function runTogether(ready: Program[]): Promise<void> {
  const rank = ({ name }: Program) => {
    const index = LONG.findIndex((long) => name.endsWith(`/${long}`));
    return index < 0 ? LONG.length : index;
  };
  const isAlone = ({ name }: Program) => ALONE.some((test) => name.endsWith(`/${test}`));
  const waiting = ready.filter((program) => !isAlone(program)).sort((a, b) => rank(a) - rank(b));
  await Promise.all(Array.from({ length: JOBS }, () => runAll(waiting)));
  await runAll(ready.filter(isAlone));
}

/** Run what nobody else has begun, one after the other. */
async function runAll(waiting: Program[]): Promise<void> {
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
    SQLITE3ASYNC_PACKED: packedFolder(choice),
    ...(longer ? { [FULL]: "1" } : {}),
    ...program.env,
  };
  const result = await progress.during(name, () => run(command, { timeoutMs, env }));
  const found = counts(result.output);
  const isEmpty = found.passed + found.failed + found.skipped === 0;
  const summary = `${name}: ${found.passed} passed, ${found.failed} failed, ` +
    `${found.skipped} skipped (${result.seconds.toFixed(1)} s)`;
  passed += found.passed;
  if (result.ok && found.failed === 0 && !isEmpty) {
    const notes = notesIn(result.output);
    progress.say(`ok      ${summary}`);
    const told = full ? notes : new Set(result.output.match(/^# skipped: .*$/gm));
    for (const note of told) progress.say(`        ${note}`);
    if (full) record.note(name, { hash, ...found, seconds: result.seconds, notes });
  } else {
    if (full) record.note(name);
    const reason = result.ok && isEmpty ? "it reports no test" : result.reason;
    fail(`${summary}: ${reason}`, result.output, Math.max(found.failed, 1));
  }
}

function tellEarlier(name: string, entry: Entry): void {
  passed += entry.passed;
  progress.say(
    `ok      ${name}: ${entry.passed} passed, ${entry.skipped} skipped in an earlier run`,
  );
}

/** What the program said of what it has done: in lines that begin with "# ". */
function notesIn(output: string): string[] {
  return output.match(/^# (?!SEED).*$/gm) ?? [];
}

function fail(what: string, output: string = "", count: number = 1): void {
  failed += count;
  progress.say(`FAILED  ${what}`);
  if (output !== "") progress.say(output.trimEnd().replace(/^/gm, "        "));
}
