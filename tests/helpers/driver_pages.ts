/**
 * The programs on the pages of docs/drivers/, and a folder in which they find what they import.
 *
 * Their blocks are marked as all of the documentation's: see docs.ts.
 *
 * @module
 */
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { type Program, programsOf as programsOfPage, ROOT } from "./docs.ts";
import { execute, type Outcome, RUNTIME } from "./execute.ts";
import type { Folder } from "./folder.ts";

const TIMEOUT_MS = 60_000;

/** The names of the pages, without ".md". */
export function driverPages(): string[] {
  return readdirSync(join(ROOT, "docs/drivers")).filter((name) => name.endsWith(".md")).sort()
    .map((name) => name.slice(0, -".md".length));
}

/** The programs of a page, in their order. */
export function programsOf(page: string): Program[] {
  return programsOfPage(`docs/drivers/${page}.md`);
}

/** Prisma's client is code that its command line writes, which is too large for each run. */
const GENERATED = "prisma";

/** Where the packages of a page are installed, if they are. */
function packagesOf(page: string): string | undefined {
  return page === GENERATED ? process.env.SUITES_DIR : process.env.DRIVERS_DIR;
}

/** Why the packages of a page cannot be used here, or false. */
export function whyNoPackages(page: string): string | false {
  if (page === GENERATED && process.env.SQLITE3ASYNC_TEST_FULL === undefined) {
    return "a full run has it";
  }
  return packagesOf(page) === undefined ? "./run test says where the packages are" : false;
}

/** Let the imports of a program in this folder find this package, others and the library. */
export function furnish(folder: Folder, packages: string | undefined): void {
  const library = process.env.SQLITE3ASYNC_LIBRARY ?? join(ROOT, "zig-out/lib/libsqlite3async.so");
  symlinkSync(library, folder.file("libsqlite3async.so"));
  mkdirSync(folder.file("node_modules/@sqlite3async"), { recursive: true });
  symlinkSync(ROOT, folder.file("node_modules/@sqlite3async/vfs"));
  const installed = join(packages ?? "", "node_modules");
  for (const name of packages === undefined ? [] : readdirSync(installed)) {
    if (!name.startsWith(".")) {
      symlinkSync(join(installed, name), folder.file(`node_modules/${name}`));
    }
  }
  writeFileSync(folder.file("package.json"), JSON.stringify({ type: "module" }));
  const imports = { "@sqlite3async/vfs": join(ROOT, "mod.ts") };
  writeFileSync(folder.file("deno.json"), JSON.stringify({ nodeModulesDir: "manual", imports }));
}

/** Write the client for the schema in this folder. */
async function generateClient(folder: Folder): Promise<void> {
  const env = {
    ...process.env,
    // Without this it downloads its schema engine, which it does not use here. Any file will do.
    PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
    CHECKPOINT_DISABLE: "1",
  };
  const args = ["node_modules/prisma/build/index.js", "generate", "--schema", "schema.prisma"];
  const options = { cwd: folder.path, env, timeoutMs: TIMEOUT_MS };
  const { code, stdout, stderr } = await execute("node", args, options);
  if (code !== 0) throw new Error(`prisma generate: ${stdout}${stderr}`);
}

/**
 * Run a program of a page in a folder.
 *
 * @param commands Programs that bash finds by these names.
 */
export async function runIn(
  folder: Folder,
  page: string,
  program: Program,
  commands: Record<string, string> = {},
): Promise<Outcome> {
  furnish(folder, packagesOf(page));
  for (const [name, content] of program.files) writeFileSync(folder.file(name), content);
  mkdirSync(folder.file("bin"));
  for (const [name, path] of Object.entries(commands)) {
    writeFileSync(folder.file(`bin/${name}`), `#!/bin/sh\nexec "${path}" "$@"\n`, { mode: 0o755 });
  }
  if (page === GENERATED) await generateClient(folder);
  const code = program.lines.join("\n");
  const PATH = [folder.file("bin"), dirname(process.execPath), process.env.PATH].join(delimiter);
  const env = { ...process.env, PATH, NO_COLOR: "1" };
  const options = { cwd: folder.path, env, timeoutMs: TIMEOUT_MS };
  if (program.language === "sh") {
    return await execute("bash", ["-euo", "pipefail", "-c", code], options);
  }
  writeFileSync(folder.file("program.ts"), code);
  const flags = RUNTIME === "deno" ? ["run", "-A", "--no-check"] : [];
  return await execute(process.execPath, [...flags, "program.ts"], options);
}
