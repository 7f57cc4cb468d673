/**
 * Planted faults: `./run mutants [--check | --plant] [NAME...]`. Plants each mutant of
 * tests/mutants.ts in a copy of its file, builds the native tests with it, and runs them until one
 * goes red: first the programs that the list names, then, if they let it live, all others. The
 * result is 0 if none lived.
 *
 *     --check   only see whether each mutant's place is found, once
 *     --plant   only build the tests with the one mutant named, into zig-out/native-tests-planted
 *
 * @module
 */

import { type Mutant, mutants } from "../tests/mutants.ts";
import { filesIn } from "./files.ts";
import { run, zigBuild } from "./process.ts";

const PLANTED = "zig-out/planted";
const PROGRAMS = "zig-out/native-tests-planted";

/** A hang is a death, too. */
const TIMEOUT_MS = 120_000;

/** A line for each mutant whose place in the core is gone, or no longer the only one. */
export function mutantFaults(): string[] {
  const names = mutants.map(({ name }) => name);
  return mutants.flatMap((mutant, index) => {
    const places = source(mutant).split(mutant.from).length - 1;
    const faults: string[] = [];
    if (places !== 1) faults.push(`its place in csrc/${mutant.file} is found ${places} times`);
    if (names.indexOf(mutant.name) !== index) faults.push("there are two of that name");
    if (mutant.killers.length === 0) faults.push("it names no killer");
    return faults.map((fault) => `tests/mutants.ts: "${mutant.name}": ${fault}`);
  });
}

function source({ file }: Mutant): string {
  return Deno.readTextFileSync(`csrc/${file}`);
}

/** What became of a mutant. */
export interface Verdict {
  mutant: Mutant;
  /** The program and the test that killed it; "" if it lives. */
  killer: string;
}

/** Plant the mutants one after the other, and tell of each. */
export async function* hunt(which: Mutant[]): AsyncGenerator<Verdict> {
  for (const mutant of which) yield { mutant, killer: await killerOf(mutant) };
}

async function killerOf(mutant: Mutant): Promise<string> {
  const named = mutant.killers.map((killer) => killer.split(" ", 1)[0]);
  const others = filesIn("tests/native", "_test.c")
    .map((path) => path.slice("tests/native/".length, -".c".length))
    .filter((program) => !named.includes(program));
  for (const killer of [...mutant.killers, ...others]) {
    const [program, ...words] = killer.split(" ");
    await plant(mutant, `-Dtest=${program}`);
    const env: Record<string, string> = words.length > 0 ? { TEST: words.join("_") } : {};
    const result = await run([`${PROGRAMS}/${program}`], { timeoutMs: TIMEOUT_MS, env });
    if (result.ok) continue;
    const test = result.output.match(/^not ok \d+ - (.*) \(\d+ ms\)/m)?.[1] ?? result.reason;
    return `${program}: ${test}`;
  }
  return "";
}

/** Build the tests with it. */
async function plant(mutant: Mutant, ...options: string[]): Promise<void> {
  const path = `${PLANTED}/${mutant.file}`;
  Deno.mkdirSync(PLANTED, { recursive: true });
  Deno.writeTextFileSync(path, source(mutant).replace(mutant.from, () => mutant.to));
  const { ok, output } = await zigBuild("native-tests", `-Dplanted=${path}`, ...options);
  if (!ok) throw new Error(`the mutant "${mutant.name}" does not compile:\n${output}`);
}

function chosen(names: string[]): Mutant[] {
  for (const name of names) {
    if (!mutants.some((mutant) => mutant.name.includes(name))) {
      console.error(`mutants: no name has "${name}" in it`);
      Deno.exit(2);
    }
  }
  return mutants.filter(({ name }) =>
    names.length === 0 || names.some((part) => name.includes(part))
  );
}

async function main(args: string[]): Promise<boolean> {
  const faults = mutantFaults();
  if (faults.length > 0) console.log(faults.join("\n"));
  if (faults.length > 0 || args[0] === "--check") return faults.length === 0;
  if (args[0] === "--plant") {
    const which = chosen(args.slice(1));
    if (args.length > 1 && which.length === 1) {
      await plant(which[0]);
      return true;
    }
    console.error(`mutants: --plant takes the name of one mutant, not of ${which.length}`);
    Deno.exit(2);
  }
  let killed = 0;
  let lived = 0;
  for await (const { mutant, killer } of hunt(chosen(args))) {
    console.log(killer === "" ? `LIVES: ${mutant.name}` : `# ${mutant.name}: ${killer}`);
    if (killer === "") lived++;
    else killed++;
  }
  console.log(`${killed} passed, ${lived} failed`);
  return lived === 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args) ? 0 : 1);
