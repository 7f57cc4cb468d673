/**
 * The documentation: its code runs, and it leaves nothing out. How blocks of code are marked is
 * said in helpers/docs.ts.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { AsyncVfs, install } from "../mod.ts";
import { execute, moduleOf, pages, type Program } from "./helpers/docs.ts";
import { programsOf, ROOT, run, runsHere, RUNTIME, sources, textOf } from "./helpers/docs.ts";
import { Folder } from "./helpers/folder.ts";

const guides = pages().filter((path) => path === "README.md" || path.startsWith("docs/guides/"));
const everyPage = [...pages(), ...sources()];
const programs = everyPage.flatMap((path) => programsOf(path)).filter(runsHere);

/** At a time: most of their time they wait. */
const JOBS = 4;
const waiting = [...programs];
const results = new Map<Program, PromiseWithResolvers<string>>(
  programs.map((program) => [program, Promise.withResolvers()]),
);
for (let job = 0; job < JOBS; job++) runWaiting();

async function runWaiting(): Promise<void> {
  for (let program = waiting.shift(); program !== undefined; program = waiting.shift()) {
    const { resolve, reject } = results.get(program)!;
    await run(program).then(resolve, reject);
  }
}

for (const [program, { promise }] of results) {
  test(`the ${program.language} at ${program.name} runs`, async () => {
    assert.equal(await promise, "");
  });
}

test("there are programs on each page that should have some", () => {
  const found = new Set(programs.map(({ name }) => name.split(":")[0]));
  const wanted = ["README.md", "mod.ts", "ffi/vfs.ts", "ffi/install.ts"];
  assert.deepEqual(wanted.filter((path) => !found.has(path)), []);
});

test("the types of all programs are right", {
  skip: RUNTIME === "deno" ? false : "Deno checks them",
}, async () => {
  using folder = new Folder();
  const files = programs.filter(({ language }) => language === "ts").map((program, index) => {
    const name = `${program.name.replace(/\W+/g, "_")}_${index}.ts`;
    writeFileSync(folder.file(name), moduleOf(program));
    return name;
  });
  assert.equal(await execute("deno", ["check", "--quiet", ...files], folder), "");
});

test("links between pages lead somewhere", () => {
  const broken = pages().flatMap((path) => {
    const links = [...textOf(path).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)];
    return links.map(([, link]) => link!)
      .filter((link) => !existsSync(join(ROOT, dirname(path), link)))
      .map((link) => `${path}: ${link}`);
  });
  assert.deepEqual(broken, []);
});

test("every guide is linked from docs/README.md", () => {
  const index = textOf("docs/README.md");
  const missing = pages().filter((path) => /^docs\/.+/.test(path) && path !== "docs/README.md")
    .map((path) => path.slice("docs/".length))
    .filter((path) => !path.startsWith("decisions/") && !index.includes(`(${path})`));
  assert.deepEqual(missing, []);
});

// ---- Nothing is left out ----

/** What the README and the guides have as code. */
const written = guides.map(textOf).join("\n");

function isNamed(word: string): boolean {
  return new RegExp(`\\b${word}\\b`).test(written);
}

/** The names of an interface's members, from its source. */
function membersOf(path: string, name: string): string[] {
  const body = textOf(path).match(
    new RegExp(`^export interface ${name} \\{\\n(.*?)^\\}`, "ms"),
  )![1]!;
  return [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??[:(]/gm)].map(([, member]) => member!);
}

test("options.md names every option with its default", async () => {
  const vfs = await install();
  const [section] = textOf("docs/guides/options.md").split("\n## Which databases");
  const rows = [...section!.matchAll(/^\| `(\w+)` +\| ([^|]*?) +\|/gm)];
  const options = membersOf("ffi/options.ts", "InstallOptions");
  assert.ok(options.length >= 17, `${options.length} options`);
  assert.deepEqual(rows.map(([, name]) => name!).sort(), options.sort());
  const units: Record<string, number> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
  for (const [, name, text] of rows) {
    if (!(name! in vfs)) continue;
    const [number = "", unit = ""] = text!.split(" ");
    const value = unit === "" ? JSON.parse(number) : Number(number) * units[unit]!;
    assert.equal(vfs[name as keyof AsyncVfs], value, name);
  }
});

test("the README or a guide names every method and property of AsyncVfs", () => {
  const inherited = Object.getOwnPropertyNames(EventTarget.prototype);
  const names = Object.getOwnPropertyNames(AsyncVfs.prototype)
    .filter((name) => name !== "constructor" && !inherited.includes(name));
  assert.ok(names.length >= 25, `${names.length} names`);
  assert.deepEqual(names.filter((name) => !isNamed(name)), []);
});

test("the README or a guide names every member of the status, every event and every PRAGMA", () => {
  const names = [
    ...membersOf("ffi/status.ts", "AsyncVfsStatus"),
    ...membersOf("ffi/events.ts", "AsyncVfsEventMap"),
    ...[...textOf("csrc/filecontrol.c").matchAll(/stricmp\(args\[1\], "(async_\w+)"\)/g)]
      .map(([, name]) => name!),
  ];
  assert.ok(names.includes("queuedOps") && names.includes("resume"), names.join());
  assert.ok(names.includes("async_flush") && names.includes("async_status"), names.join());
  assert.deepEqual(names.filter((name) => !isNamed(name)), []);
});

test("troubleshooting.md has every message", () => {
  const page = textOf("docs/guides/troubleshooting.md").replace(/\s+/g, " ");
  const messages = [...cMessages(), ...typeScriptMessages()];
  assert.ok(messages.length > 60, `${messages.length} messages`);
  const missing = messages.filter((message) => !piecesOf(message).every((p) => page.includes(p)));
  assert.deepEqual(missing, []);
});

/** The fixed parts of a message with an inset: those that have some words. */
function piecesOf(message: string): string[] {
  return message.split("\0").map((piece) => piece.trim()).filter((piece) => /\w \w/.test(piece));
}

/** The format strings of what the core says, with NUL for what is inset. */
function cMessages(): string[] {
  const call =
    /(?:async_control_error|sqlite3_log|mprintf|snprintf)\(((?:[^;"]|"(?:[^"\\]|\\.)*")*);/g;
  return readdirSync(join(ROOT, "csrc")).filter((file) => file.endsWith(".c")).flatMap((file) => {
    return [...textOf(`csrc/${file}`).matchAll(call)].map(([, parameters]) => {
      const literals = [...parameters!.matchAll(/((?:"(?:[^"\\]|\\.)*"\s*)+)/g)];
      const format = literals.map(([text]) => text).find((text) => /\w \w/.test(text)) ?? '""';
      const joined = format.replace(/"\s*"/g, "").trim();
      const filled = joined.slice(1, -1).replace("\\n", "").replaceAll('\\"', '"');
      return filled.replace(/%[.\d]*(?:ll)?[sd]/g, "\0");
    });
  }).filter((message) => piecesOf(message).length > 0);
}

/** The messages of the TypeScript side, in the same form. */
function typeScriptMessages(): string[] {
  const literal =
    /(["`])((?:Cannot|The background) (?:(?!\1).)*)\1((?:\s*\+\s*(["`])(?:(?!\4).)*\4)*)/gs;
  return sources().flatMap((path) => {
    const code = textOf(path).replace(/^\s*(\/?\*|\/\/).*$/gm, "");
    return [...code.matchAll(literal)].map(([, , first, rest]) => {
      const more = [...rest!.matchAll(/(["`])(.*?)\1/gs)].map(([, , text]) => text);
      return [first, ...more].join("").replace(/\$\{.*?\}/gs, "\0");
    });
  });
}
