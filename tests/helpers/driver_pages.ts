/**
 * The programs on the pages of docs/drivers/, and a folder in which they find what they import.
 *
 * What is fenced is a block. The first word is its language, the others say how it is run:
 *
 *     ```ts             a program, in the runtime that runs the tests
 *     ```ts bun         only in these runtimes
 *     ```ts continues   goes on with the program of the block before it
 *     ```sh             commands for bash
 *     ```py file=a.py   a file that the programs after it find
 *
 * An HTML comment that begins with such a line, without the fence, is a hidden block.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Folder } from "./folder.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PAGES = join(ROOT, "docs/drivers");

/** The runtime that runs the tests, as blocks name it. */
export const RUNTIME: string = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";

const RUNTIMES = ["deno", "bun", "node"];
const TIMEOUT_MS = 60_000;

/** A program on a page. */
export interface Program {
  language: string;
  /** Those that run it; all if empty. */
  runtimes: string[];
  code: string;
  /** Files that it finds, by name. */
  files: Map<string, string>;
}

/** What a program did. */
export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The names of the pages, without ".md". */
export function driverPages(): string[] {
  return readdirSync(PAGES).filter((name) => name.endsWith(".md")).sort()
    .map((name) => name.slice(0, -".md".length));
}

/** The programs of a page, in their order. */
export function programsOf(page: string): Program[] {
  const text = readFileSync(join(PAGES, `${page}.md`), "utf8");
  const block = /^(?:```(\w+)([^\n]*)\n(.*?)^```|<!-- (ts|sh)\b([^\n]*)\n(.*?)^-->)$/gms;
  const programs: Program[] = [];
  const files = new Map<string, string>();
  for (const found of text.matchAll(block)) {
    const [, fenced, fencedWords, fencedCode, hidden, hiddenWords, hiddenCode] = found;
    const language = (fenced ?? hidden)!;
    const words = (fencedWords ?? hiddenWords)!.trim().split(" ").filter((word) => word !== "");
    const code = (fencedCode ?? hiddenCode)!;
    const file = words.find((word) => word.startsWith("file="))?.slice("file=".length);
    const last = programs.at(-1);
    if (file !== undefined) files.set(file, code);
    else if (!words.includes("continues")) {
      const runtimes = words.filter((word) => RUNTIMES.includes(word));
      programs.push({ language, runtimes, code, files: new Map(files) });
    } else if (last?.language === language) last.code += code;
    else throw new Error(`${page}.md: nothing in "${language}" to continue`);
  }
  return programs;
}

/** Why the drivers cannot be used here, or false. */
export function whyNoPackages(): string | false {
  return process.env.DRIVERS_DIR === undefined ? "./run test says where the drivers are" : false;
}

/** Let the imports of a program in this folder find this package, the drivers and the library. */
function furnish(folder: Folder): void {
  const library = process.env.SQLITE3ASYNC_LIBRARY ?? join(ROOT, "zig-out/lib/libsqlite3async.so");
  symlinkSync(library, folder.file("libsqlite3async.so"));
  mkdirSync(folder.file("node_modules/@sqlite3async"), { recursive: true });
  symlinkSync(ROOT, folder.file("node_modules/@sqlite3async/vfs"));
  const installed = join(process.env.DRIVERS_DIR ?? "", "node_modules");
  for (const name of process.env.DRIVERS_DIR === undefined ? [] : readdirSync(installed)) {
    if (!name.startsWith(".")) {
      symlinkSync(join(installed, name), folder.file(`node_modules/${name}`));
    }
  }
  writeFileSync(folder.file("package.json"), JSON.stringify({ type: "module" }));
  const imports = { "@sqlite3async/vfs": join(ROOT, "mod.ts") };
  writeFileSync(folder.file("deno.json"), JSON.stringify({ nodeModulesDir: "manual", imports }));
}

/**
 * Run a program in a folder.
 *
 * @param commands Programs that bash finds by these names.
 */
export async function runIn(
  folder: Folder,
  program: Program,
  commands: Record<string, string> = {},
): Promise<Outcome> {
  furnish(folder);
  for (const [name, content] of program.files) writeFileSync(folder.file(name), content);
  mkdirSync(folder.file("bin"));
  for (const [name, path] of Object.entries(commands)) {
    writeFileSync(folder.file(`bin/${name}`), `#!/bin/sh\nexec "${path}" "$@"\n`, { mode: 0o755 });
  }
  if (program.language === "sh") {
    return await execute("bash", ["-euo", "pipefail", "-c", program.code], folder);
  }
  writeFileSync(folder.file("program.ts"), program.code);
  const flags = RUNTIME === "deno" ? ["run", "-A", "--no-check"] : [];
  return await execute(process.execPath, [...flags, "program.ts"], folder);
}

function execute(command: string, args: string[], folder: Folder): Promise<Outcome> {
  const PATH = [folder.file("bin"), dirname(process.execPath), process.env.PATH].join(delimiter);
  const child = spawn(command, args, {
    cwd: folder.path,
    env: { ...process.env, PATH, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  const outcome: Outcome = { code: null, stdout: "", stderr: "" };
  child.stdout.on("data", (chunk) => outcome.stdout += chunk);
  child.stderr.on("data", (chunk) => outcome.stderr += chunk);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ ...outcome, code }));
  });
}
