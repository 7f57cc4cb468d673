/**
 * The flows of other people's libraries, over plain SQLite and through sqlite3async:
 * `./run suites [--plain | --ours] [NAME...]`.
 *
 * A suite is a program in tests/suites/; harness.ts there says what it prints. Each runs in a fresh
 * folder and a process of its own: over plain SQLite, then through the VFS, with a WAL and with a
 * rollback journal. Every check must pass on both sides, and must have seen the same. When the
 * program has closed its databases it waits, and plain SQLite looks at them from this process; it
 * looks once more when the program has ended. It must find what the plain run left.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { filesIn } from "./files.ts";
import { run } from "./process.ts";
import { type Report, runSuite, type Runtime, type Variant } from "./suite_process.ts";

/** A suite is tests/suites/NAME.ts. Its version is that of the package. */
interface Suite {
  name: string;
  package: string;
  runtimes: Runtime[];
}

const SUITES: Suite[] = [
  { name: "kysely", package: "kysely", runtimes: ["node", "deno", "bun"] },
  { name: "knex", package: "knex", runtimes: ["node"] },
  { name: "drizzle", package: "drizzle-orm", runtimes: ["node", "deno", "bun"] },
  { name: "libsql", package: "@libsql/client", runtimes: ["node"] },
  { name: "plainjob", package: "plainjob", runtimes: ["node", "bun"] },
  { name: "typeorm", package: "typeorm", runtimes: ["node"] },
  { name: "prisma", package: "@prisma/client", runtimes: ["node"] },
  { name: "prisma_libsql", package: "@prisma/client", runtimes: ["node"] },
  { name: "better_auth", package: "better-auth", runtimes: ["node", "deno", "bun"] },
];

const VARIANTS: Variant[] = [
  { side: "plain", journal: "WAL", way: "route" },
  { side: "plain", journal: "DELETE", way: "default" },
  { side: "ours", journal: "WAL", way: "route" },
  { side: "ours", journal: "DELETE", way: "default" },
];

const FOLDER = `${Deno.cwd()}/zig-out/suites`;
const PACKAGES = `${Deno.env.get("SUITES_DIR")}/node_modules`;

const { variants, suites } = chosen(Deno.args);
await furnish();
let passed = 0;
let failed = 0;
for (const suite of suites) {
  for (const runtime of suite.runtimes) await compare(suite, runtime);
}
console.log(`${passed} passed, ${failed} failed`);
Deno.exit(failed === 0 ? 0 : 1);

/** What the command line asks for. */
function chosen(args: string[]): { variants: Variant[]; suites: Suite[] } {
  const sides = args.filter((arg) => arg.startsWith("--"));
  const names = args.filter((arg) => !arg.startsWith("--"));
  const unknown = names.find((name) => !SUITES.some((suite) => suite.name === name));
  if (sides.length > 1 || !sides.every((side) => side === "--plain" || side === "--ours")) {
    console.error("Usage: ./run suites [--plain | --ours] [NAME...]");
    Deno.exit(2);
  }
  if (unknown !== undefined) {
    console.error(`Cannot run "${unknown}": there is no such suite; there are ${allNames()}`);
    Deno.exit(2);
  }
  return {
    variants: VARIANTS.filter(({ side }) => sides.length === 0 || sides[0] === `--${side}`),
    suites: SUITES.filter(({ name }) => names.length === 0 || names.includes(name)),
  };
}

function allNames(): string {
  return SUITES.map(({ name }) => name).join(", ");
}

/** A folder in which the programs find what they import. */
async function furnish(): Promise<void> {
  if (existsSync(FOLDER)) Deno.removeSync(FOLDER, { recursive: true });
  Deno.mkdirSync(FOLDER, { recursive: true });
  Deno.symlinkSync(PACKAGES, `${FOLDER}/node_modules`);
  for (const path of filesIn("tests/suites", ".ts", ".prisma")) {
    Deno.copyFileSync(path, `${FOLDER}/${path.split("/").at(-1)}`);
  }
  Deno.writeTextFileSync(`${FOLDER}/package.json`, JSON.stringify({ type: "module" }));
  Deno.writeTextFileSync(`${FOLDER}/deno.json`, JSON.stringify({ nodeModulesDir: "manual" }));
  if (suites.some(({ name }) => name.startsWith("prisma"))) await generatePrismaClient();
}

/** Prisma's client is code that its command line writes for a schema. */
async function generatePrismaClient(): Promise<void> {
  const prisma = ["node", "node_modules/prisma/build/index.js"];
  const env = {
    // Without this it downloads its schema engine, which it does not use here. Any file will do.
    PRISMA_SCHEMA_ENGINE_BINARY: Deno.execPath(),
    CHECKPOINT_DISABLE: "1",
  };
  const command = [...prisma, "generate", "--schema", "schema.prisma"];
  const { ok, output } = await run(command, { timeoutMs: 120_000, env, cwd: FOLDER });
  if (ok) return;
  console.error(`Cannot generate Prisma's client: ${output}`);
  Deno.exit(1);
}

/** Run a suite in all variants, and print its line. */
async function compare(suite: Suite, runtime: Runtime): Promise<void> {
  const start = performance.now();
  const { version } = JSON.parse(
    Deno.readTextFileSync(`${PACKAGES}/${suite.package}/package.json`),
  );
  const counts: string[] = [];
  const complaints: string[] = [];
  const plain = new Map<string, Report>();
  for (const variant of variants) {
    const report = await runSuite(FOLDER, suite.name, runtime, variant);
    if (variant.side === "plain") plain.set(variant.journal, report);
    const expected = plain.get(variant.journal) ?? report;
    const faults = differences(report, expected);
    const total = new Set([...report.keys(), ...expected.keys()]).size;
    const title = `${variant.side} (${variant.journal})`;
    counts.push(`${title} ${total - faults.length}/${total}`);
    complaints.push(...faults.map((fault) => `  ${title}: ${fault}`));
    passed += total - faults.length;
    failed += faults.length;
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log([`${suite.name} ${version}, ${runtime}`, ...counts, `${seconds} s`].join("  "));
  for (const complaint of complaints) console.log(complaint);
}

/** A line for each check that failed, was not made, or saw something else than in the plain run. */
function differences(report: Report, plain: Report): string[] {
  const lines: string[] = [];
  for (const name of new Set([...plain.keys(), ...report.keys()])) {
    const { error, saw } = report.get(name) ?? { error: "was not reached" };
    const expected = plain.get(name)?.saw;
    if (error !== undefined) lines.push(`"${name}": ${error}`);
    else if (expected !== undefined && saw !== expected) {
      lines.push(`"${name}": saw ${saw}, plain SQLite ${expected}`);
    }
  }
  return lines;
}
