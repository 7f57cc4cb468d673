/**
 * The documentation: its code runs, and it leaves nothing out. How blocks of code are marked is
 * said in helpers/docs.ts.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { AsyncVfs, install } from "../mod.ts";
import { execute, moduleOf, pages, type Program } from "./helpers/docs.ts";
import { programsOf, ROOT, run, runsHere, sources, textOf } from "./helpers/docs.ts";
import { RUNTIME } from "./helpers/execute.ts";
import { Folder } from "./helpers/folder.ts";
import { cMessages, piecesOf, typeScriptMessages } from "./helpers/messages.ts";

const guides = pages().filter((path) => path === "README.md" || path.startsWith("docs/guides/"));
// docs/drivers/ has a test of its own, which brings the drivers; frameworks.md one with Hono.
const withPrograms = [...pages(), ...sources()]
  .filter((path) => !path.startsWith("docs/drivers/") && path !== "docs/guides/frameworks.md");
const programs = withPrograms.flatMap((path) => programsOf(path)).filter(runsHere);

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

test("the API reference has a page for each class", {
  skip: RUNTIME === "deno" ? false : "deno doc makes it",
}, async () => {
  using folder = new Folder();
  const mod = join(ROOT, "mod.ts");
  const args = ["doc", "--html", "--name=sqlite3async", `--output=${folder.path}`, mod];
  assert.equal(await execute("deno", args, folder), "");
  assert.match(readFileSync(folder.file("~/AsyncVfs.html"), "utf8"), /maxQueueBytes/);
  assert.ok(existsSync(folder.file("~/AsyncVfsError.html")));
});

test("links between pages lead to a file, and to a heading of it", () => {
  const broken = pages().flatMap((path) => {
    return [...textOf(path).matchAll(/\]\(([^)#:]*)(?:#([^)]*))?\)/g)]
      .filter(([, link, heading]) => !leadsSomewhere(path, link!, heading))
      .map(([link]) => `${path}: ${link}`);
  });
  assert.deepEqual(broken, []);
});

function leadsSomewhere(path: string, link: string, heading: string | undefined): boolean {
  const file = link === "" ? path : join(dirname(path), link);
  if (heading === undefined || !existsSync(join(ROOT, file))) return existsSync(join(ROOT, file));
  const headings = [...textOf(file).matchAll(/^#+ (.*)$/gm)];
  return headings.some(([, text]) => {
    return text!.toLowerCase().replace(/[^\w\s-]/g, "").replaceAll(" ", "-") === heading;
  });
}

test("every guide is linked from docs/README.md", () => {
  const index = textOf("docs/README.md");
  const missing = pages().filter((path) => /^docs\/.+/.test(path) && path !== "docs/README.md")
    .map((path) => path.slice("docs/".length))
    .filter((path) => !path.startsWith("decisions/") && !index.includes(`(${path})`));
  assert.deepEqual(missing, []);
});

// ---- Nothing is left out ----

/** What the README and the guides have as code. */
const written = guides.flatMap((path) => textOf(path).match(/```.*?```|`[^`]+`/gs)).join("\n");

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
