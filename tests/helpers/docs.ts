/**
 * The code in the documentation: found, and made into programs that can be run.
 *
 * What is fenced in README.md, in docs/ and in doc comments is a block. Its first word is the
 * language; the others say how it is run:
 *
 *     ```ts               a program, in the runtime that runs the tests
 *     ```ts deno node     only in these runtimes
 *     ```ts continues     goes on with the program of the block before it, in the same module
 *     ```sql              statements, run through sqlite3async; may continue, too
 *     ```sh               commands for bash; they find csrc/, and SQLite's header and library
 *                         in sqlite/
 *     ```c file=app.c     of any language: not run by itself, but a file that the programs after
 *                         it on the page find
 *
 * An HTML comment that begins with such a line, without the fence, is a hidden block: for what a
 * program needs before its visible part, and for assertions after it.
 *
 *     <!-- ts continues
 *     assert.equal(rows, 1);
 *     -->
 *
 * Any other block is not run, so a comment right before it has to say why; one that is `text`,
 * such as output, need not. What is indented are commands in the checkout, such as `./run test`.
 *
 *     <!-- not run: it needs Docker -->
 *
 * Each program runs in a fresh folder and in a process of its own, for at most two minutes. Its
 * module has the lines of the page, so that an error's line is the page's.
 *
 * @module
 */
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { execute as executeIn, RUNTIME } from "./execute.ts";
import { Folder } from "./folder.ts";

/** The checkout. */
export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

const RUNTIMES = ["deno", "bun", "node"];
const LANGUAGES = ["ts", "sql", "sh"];
const TIMEOUT_MS = 120_000;

/** A fenced block, or a hidden one. */
interface Block {
  /** Where it begins: `README.md:43`. */
  place: string;
  language: string;
  words: string[];
  /** The number of the line before its first. */
  line: number;
  lines: string[];
  /** Why it is not run, if that is said. */
  notRun: string | undefined;
}

/** What can be run. */
export interface Program {
  /** Where it begins: `README.md:43`. */
  name: string;
  language: string;
  /** Those that run it; all if empty. */
  runtimes: string[];
  /** The lines of the page; empty what is not part of it. */
  lines: string[];
  /** Files that it finds. */
  files: Map<string, string>;
}

/** The pages, as paths in the checkout. */
export function pages(): string[] {
  const docs = readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md"))
    .map((path) => `docs/${path.replaceAll("\\", "/")}`);
  return ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ...docs.sort()];
}

/** The sources with doc comments for users, as paths in the checkout. */
export function sources(): string[] {
  const files = readdirSync(join(ROOT, "ffi")).filter((path) => path.endsWith(".ts"));
  return ["mod.ts", ...files.sort().map((file) => `ffi/${file}`)];
}

/** The text of a file of the checkout. */
export function textOf(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** The lines of a source's doc comments, without their stars; the others empty. */
function docComments(source: string): string[] {
  let inside = false;
  return source.split("\n").map((line) => {
    inside ||= /^\s*\/\*\*/.test(line);
    const text = inside ? line.replace(/^\s*\/?\*+\/? ?/, "") : "";
    if (line.trimEnd().endsWith("*/")) inside = false;
    return text;
  });
}

/** The blocks of a page, or of a source's doc comments, in their order. */
function blocksOf(path: string): Block[] {
  const text = textOf(path);
  const lines = path.endsWith(".ts") ? docComments(text) : text.split("\n");
  const blocks: Block[] = [];
  let before = ""; // the last line that isn't empty
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index]!;
    const [, fence, info] = line.match(/^(`{3,}|<!-- (?=(?:ts|sql|sh)(?: |$)))(.*)$/) ?? [];
    if (fence !== undefined) {
      const place = `${path}:${index + 1}`;
      const end = lines.indexOf(fence.startsWith("`") ? fence : "-->", index + 1);
      if (end < 0) throw new Error(`${place}: this block has no end`);
      const [language = "", ...words] = (info ?? "").trim().split(/\s+/);
      const notRun = before.match(/^<!-- not run: (.+) -->$/)?.[1];
      const code = lines.slice(index + 1, end);
      blocks.push({ place, language, words, line: index + 1, lines: code, notRun });
      index = end;
    }
    if (line !== "") before = line;
  }
  return blocks;
}

/** The name of the file that a block is, if it is one. */
function fileOf({ words }: Block): string | undefined {
  return words.find((word) => word.startsWith("file="))?.slice("file=".length);
}

/** The files that a page has, by name, as they stand there. */
export function filesOf(path: string): Map<string, string> {
  const blocks = blocksOf(path).filter((block) => fileOf(block) !== undefined);
  return new Map(blocks.map((block) => [fileOf(block)!, block.lines.join("\n") + "\n"]));
}

/** The programs of a page. Throws if a block is neither run nor says why not. */
export function programsOf(path: string): Program[] {
  const programs: Program[] = [];
  const files = new Map<string, string>();
  for (const block of blocksOf(path)) {
    if (block.language === "text" || block.notRun !== undefined) continue;
    const file = fileOf(block);
    if (file !== undefined) files.set(file, resolveImports(block.lines.join("\n")));
    else addBlock(programs, block, files);
  }
  return programs;
}

function addBlock(programs: Program[], block: Block, files: Map<string, string>): void {
  const { place: name, language, words } = block;
  if (!LANGUAGES.includes(language)) {
    throw new Error(
      `${name}: a block in "${language}" is not run: say why in a comment before it, ` +
        `<!-- not run: ... -->, or mark it as "text" if it is output`,
    );
  }
  const unknown = words.find((word) => word !== "continues" && !RUNTIMES.includes(word));
  if (unknown !== undefined) {
    throw new Error(`${name}: what is "${unknown}"? See tests/helpers/docs.ts`);
  }
  if (!words.includes("continues")) {
    programs.push({ name, language, runtimes: words, lines: [], files: new Map(files) });
  }
  const program = programs.at(-1);
  if (program?.language !== language) {
    throw new Error(`${name}: the program before it is none in "${language}" to continue`);
  }
  while (program.lines.length < block.line) program.lines.push("");
  program.lines.push(...block.lines);
}

/** The package, by the name that users import, is this checkout. */
function resolveImports(code: string): string {
  const url = new URL("../../mod.ts", import.meta.url).href;
  return code.replaceAll('"@sqlite3async/vfs"', JSON.stringify(url));
}

/** How SQL is run: through sqlite3async, by the driver that all runtimes have. */
function sqlProgram(sql: string): string {
  return `
    import { DatabaseSync } from "node:sqlite";
    import { install } from "@sqlite3async/vfs";
    const vfs = await install();
    const database = new DatabaseSync(vfs.uri("app.db"));
    database.exec(${JSON.stringify(sql)});
  `;
}

/** The module that a program in TypeScript or SQL is. */
export function moduleOf(program: Program): string {
  const code = program.lines.join("\n");
  return resolveImports(program.language === "sql" ? sqlProgram(code) : code) + "\nexport {};\n";
}

/** Does it run here? What does not depend on the runtime is run once, in Deno's tests. */
export function runsHere({ language, runtimes }: Program): boolean {
  if (runtimes.length > 0) return runtimes.includes(RUNTIME);
  return language === "ts" || RUNTIME === "deno";
}

/** Run a program. Returns what is wrong, in words; "" if nothing is. */
export async function run(program: Program): Promise<string> {
  using folder = new Folder();
  for (const [name, content] of program.files) {
    mkdirSync(dirname(folder.file(name)), { recursive: true });
    writeFileSync(folder.file(name), content);
  }
  if (program.language === "sh") {
    linkSources(folder);
    return await execute("bash", ["-euo", "pipefail", "-c", program.lines.join("\n")], folder);
  }
  const file = folder.file("program.ts");
  writeFileSync(file, moduleOf(program));
  const flags = RUNTIME === "deno" ? ["run", "-A", "--no-check"] : [];
  return await execute(process.execPath, [...flags, file], folder);
}

/** What a C program is compiled with: csrc/, and SQLite as sqlite/. `./run test` builds it. */
function linkSources(folder: Folder): void {
  symlinkSync(join(ROOT, "csrc"), folder.file("csrc"));
  mkdirSync(folder.file("sqlite"));
  symlinkSync(join(process.env.SQLITE_DIR ?? "", "sqlite3.h"), folder.file("sqlite/sqlite3.h"));
  const archive = join(ROOT, "zig-out/native-tests/libsqlite3.a");
  symlinkSync(archive, folder.file("sqlite/libsqlite3.a"));
}

/** Run a command in a folder. Returns what is wrong. */
export async function execute(command: string, args: string[], folder: Folder): Promise<string> {
  const PATH = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`;
  const env = { ...process.env, PATH, NO_COLOR: "1" };
  try {
    const options = { cwd: folder.path, env, timeoutMs: TIMEOUT_MS };
    const { code, signal, stdout, stderr, late } = await executeIn(command, args, options);
    const reason = late ? `no end after ${TIMEOUT_MS} ms` : `it ended with ${code ?? signal}`;
    return code === 0 ? "" : `${reason}\n${stdout}${stderr}`;
  } catch (error) {
    return `${command}: ${(error as Error).message}`;
  }
}
