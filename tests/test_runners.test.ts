/**
 * The test of docs/guides/testing.md under Vitest and Jest, with the package that is packed. The
 * other runners come with the runtimes: docs.test.ts runs the page's programs.
 *
 * @module
 */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { filesOf, ROOT } from "./helpers/docs.ts";
import { execute, RUNTIME } from "./helpers/execute.ts";
import { Folder } from "./helpers/folder.ts";

const TIMEOUT_MS = 60_000;
const RUNNERS = process.env.TEST_RUNNERS_DIR ?? "";
const PACKED = join(ROOT, "zig-out/pack");

function whySkipped(): string | false {
  if (RUNTIME !== "node") return "they run in Node";
  if (process.env.SQLITE3ASYNC_TEST_FULL === undefined) return "in a full run only";
  return RUNNERS === "" && "./run test --full says where the runners are";
}

/** A project with the files of the page, each test twice, and the package. */
async function furnish(folder: Folder, runner: string): Promise<void> {
  const vfs = folder.file("node_modules/@sqlite3async/vfs");
  for (const path of [vfs, folder.file("node_modules/@jest")]) mkdirSync(path, { recursive: true });
  for (const name of ["vitest", "@jest/globals"]) {
    symlinkSync(join(RUNNERS, "node_modules", name), folder.file(`node_modules/${name}`));
  }
  const archive = readdirSync(PACKED).find((name) => name.endsWith(".tgz"))!;
  const args = ["-xzf", join(PACKED, archive), "-C", vfs, "--strip-components=1"];
  const unpacked = await execute("tar", args, options(folder));
  assert.equal(unpacked.code, 0, unpacked.stderr);
  writeFileSync(folder.file("package.json"), JSON.stringify({ type: "module" }));
  const files = filesOf("docs/guides/testing.md");
  writeFileSync(folder.file("notes.js"), files.get("notes.js")!);
  const text = files.get("notes.vitest.test.js")!.replace('"vitest"', JSON.stringify(runner));
  for (const name of ["first.test.js", "second.test.js"]) writeFileSync(folder.file(name), text);
}

function options(folder: Folder, more: Record<string, string> = {}) {
  const env = { ...process.env, NODE_OPTIONS: undefined, NO_COLOR: "1", CI: "1", ...more };
  return { cwd: folder.path, env, timeoutMs: TIMEOUT_MS };
}

const VITEST = [
  ["--pool=forks"],
  ["--pool=threads"],
  ["--pool=threads", "--no-isolate"],
  ["--pool=vmThreads"],
];

for (const flags of VITEST) {
  test(`Vitest, ${flags.join(" ")}`, { skip: whySkipped() }, async () => {
    using folder = new Folder();
    await furnish(folder, "vitest");
    const args = [join(RUNNERS, "node_modules/vitest/vitest.mjs"), "run", ...flags];
    const { code, stdout, stderr } = await execute(process.execPath, args, options(folder));
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /Tests +4 passed/);
  });
}

for (const flags of [["--runInBand"], ["--maxWorkers=2"], ["--maxWorkers=2", "--workerThreads"]]) {
  test(`Jest, ${flags.join(" ")}`, { skip: whySkipped() }, async () => {
    using folder = new Folder();
    await furnish(folder, "@jest/globals");
    const args = [join(RUNNERS, "node_modules/jest/bin/jest.js"), ...flags];
    const withModules = options(folder, { NODE_OPTIONS: "--experimental-vm-modules" });
    const { code, stderr } = await execute(process.execPath, args, withModules);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /Tests: +4 passed/);
  });
}
