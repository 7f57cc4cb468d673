/**
 * The gate: `./run check [--fix] [--platforms]`. One line a step; with --fix the formatters rewrite
 * instead of complain. With --platforms also the libraries of all platforms are built, and looked
 * at; else only this one's is.
 *
 * @module
 */

import { builtLibraries, moduleFaults, writeModules } from "./embed.ts";
import { cFiles, filesIn } from "./files.ts";
import { layerFaults } from "./layers.ts";
import { limitViolations } from "./limits.ts";
import { mutantFaults } from "./mutants.ts";
import { run, zigBuild } from "./process.ts";
import { Progress } from "./progress.ts";
import { symbolFaults } from "./symbols.ts";
import { versionFaults } from "./version.ts";

/** Returns what is wrong, in words; "" if nothing is. */
type Check = () => string | Promise<string>;

const fix = Deno.args.includes("--fix");
const platforms = Deno.args.includes("--platforms");
for (const arg of Deno.args) {
  if (arg !== "--fix" && arg !== "--platforms") {
    console.error(`check: no such option: "${arg}"`);
    Deno.exit(2);
  }
}

const steps: [name: string, check: Check][] = [
  ["format of TypeScript, JSON, Markdown", () => format("deno fmt", "--check")],
  ["format of C", () => formatC()],
  ["format of Zig", () => format("zig fmt", "--check", "", ["build.zig", "build.zig.zon"])],
  ["limits of lines, functions, files, headers", () => limitViolations().join("\n")],
  ["layers of the C core", () => layerFaults().join("\n")],
  ["places of the planted faults", () => mutantFaults().join("\n")],
  ["versions agree", () => versionFaults().join("\n")],
  ["lint", () => program("deno", "lint")],
  ...libraryChecks(),
  ["types", () => program("deno", "check")],
  ["documentation of mod.ts", () => program("deno", "doc", "--lint", "mod.ts")],
  ["package for Deno", () => program("deno", "publish", "--dry-run", "--allow-dirty")],
];

const progress = new Progress();
let failed = 0;
for (const [name, check] of steps) {
  const start = performance.now();
  const complaint = (await progress.during(name, async () => await check())).trim();
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  progress.say(`${complaint === "" ? "ok    " : "FAILED"}  ${name} (${seconds} s)`);
  if (complaint !== "") {
    console.log(complaint.replace(/^/gm, "        "));
    failed++;
  }
}
if (failed > 0) console.log(`${failed} of ${steps.length} checks failed`);
Deno.exit(failed > 0 ? 1 : 0);

async function program(...command: string[]): Promise<string> {
  const { ok, reason, output } = await run(command, { timeoutMs: 300_000 });
  return ok ? "" : `${output.trim()}\n${command.slice(0, 2).join(" ")}: ${reason}`;
}

function libraryChecks(): [name: string, check: Check][] {
  if (!platforms) {
    return [
      ["library", () => build("install")],
      ["exported symbols", () => libraryHere().flatMap(symbolFaults).join("\n")],
    ];
  }
  const libraries = () => [...libraryHere(), ...builtLibraries().map(({ path }) => path)];
  return [
    ["library, for here and for all platforms", () => build("install", "prebuilt")],
    ["exported symbols", () => libraries().flatMap(symbolFaults).join("\n")],
    ["libraries as modules", () => modules()],
  ];
}

async function build(...zigSteps: string[]): Promise<string> {
  if (zigSteps.includes("prebuilt")) {
    // A file from an earlier build must not pass for one of this.
    await Deno.remove("zig-out/prebuilt", { recursive: true }).catch(() => {});
  }
  const { ok, reason, output } = await zigBuild(...zigSteps);
  return ok ? "" : `${output.trim()}\nzig build: ${reason}`;
}

async function formatC(): Promise<string> {
  const complaint = await format("clang-format", "--dry-run --Werror", "-i", cFiles());
  const lines = complaint.match(/^\S+:\d+:\d+: error.*$/gm);
  if (lines === null) return complaint;
  const files = new Set(lines.map((line) => line.split(":")[0]));
  return `not formatted: ${[...files].join(", ")}\nTo format: ./run check --fix`;
}

/** Format files, or only check that they are formatted. */
async function format(
  command: string,
  checkOption: string,
  fixOption: string = "",
  files: string[] = [],
): Promise<string> {
  const words = `${command} ${fix ? fixOption : checkOption}`.trim().split(" ");
  const complaint = await program(...words, ...files);
  return complaint === "" || fix ? complaint : `${complaint}\nTo format: ./run check --fix`;
}

function libraryHere(): string[] {
  const here = filesIn("zig-out/lib", ".so", ".dylib", ".dll");
  if (here.length === 0) throw new Error("no library was built");
  return here;
}

/** Also so that the next step can see their types. */
function modules(): string {
  writeModules();
  return moduleFaults().join("\n");
}
