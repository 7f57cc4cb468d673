/**
 * The programs on the pages of docs/drivers/: each creates a database through sqlite3async,
 * migrates it, writes, reads, flushes and asks for the status; and then plain SQLite reads what it
 * left.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { open } from "../examples/sqlite.ts";
import { driverPages, programsOf, runIn, whyNoPackages } from "./helpers/driver_pages.ts";
import { type Outcome, RUNTIME } from "./helpers/execute.ts";
import { Folder } from "./helpers/folder.ts";

const NOTES = ["first", "second", "third", "fourth"];

/** What plain SQLite finds. */
function notesIn(path: string): unknown[] {
  using connection = open(path);
  assert.equal(connection.all("PRAGMA integrity_check")[0]?.integrity_check, "ok");
  assert.equal(connection.all("PRAGMA journal_mode")[0]?.journal_mode, "wal");
  return connection.all("SELECT text FROM note ORDER BY id").map(({ text }) => text);
}

/** A line for each that the page's comments promise. */
function assertPrinted(outcome: Outcome, wanted: RegExp): void {
  assert.equal(outcome.code, 0, outcome.stderr);
  assert.match(outcome.stdout, wanted, outcome.stderr);
}

const IN_TYPESCRIPT = [
  "better-sqlite3",
  "bun-sqlite",
  "drizzle",
  "kysely",
  "libsql",
  "node-sqlite",
];

for (const page of IN_TYPESCRIPT) {
  const programs = programsOf(page);
  assert.ok(programs.length > 0, page);
  for (const [index, program] of programs.entries()) {
    const { runtimes } = program;
    const elsewhere = runtimes.length > 0 && !runtimes.includes(RUNTIME);
    const skip = elsewhere ? `it is for ${runtimes.join(" and ")}` : whyNoPackages();
    test(`program ${index + 1} of docs/drivers/${page}.md`, { skip }, async () => {
      using folder = new Folder();
      assertPrinted(await runIn(folder, program), /^3\ntrue\ntrue\n(true\n)?$/);
      assert.deepEqual(notesIn(folder.file("app.db")), NOTES);
    });
  }
}

/** The path of a Python whose module sqlite3 loads extensions. */
function findPython(): string | undefined {
  const script =
    "import sqlite3, sys; sqlite3.Connection.enable_load_extension; print(sys.executable)";
  return ["python3", "/usr/bin/python3"]
    .map((python) => spawnSync(python, ["-c", script], { encoding: "utf8" }))
    .find(({ status }) => status === 0)?.stdout.trim();
}

const python = findPython();

test("the program of docs/drivers/python.md", {
  skip: python === undefined ? "no python3 here has sqlite3 with extensions" : false,
}, async () => {
  using folder = new Folder();
  const program = programsOf("python")[0]!;
  assertPrinted(await runIn(folder, program, { python3: python! }), /^3\nTrue\n$/);
  assert.deepEqual(notesIn(folder.file("app.db")), NOTES);
});

/** A sqlite3 that loads extensions. */
function findSqlite3(): string | undefined {
  const asked = spawnSync("sqlite3", [":memory:", "PRAGMA compile_options"], { encoding: "utf8" });
  const able = asked.status === 0 && !asked.stdout.includes("OMIT_LOAD_EXTENSION");
  return able ? "sqlite3" : undefined;
}

test("the commands of docs/drivers/sqlite3-cli.md", {
  skip: findSqlite3() === undefined ? "there is no sqlite3 that loads extensions" : false,
}, async () => {
  using folder = new Folder();
  const outcome = await runIn(folder, programsOf("sqlite3-cli")[0]!);
  assertPrinted(
    outcome,
    /^wal\n3\napplied\n[1-9]\d*\n\{"commit":"applied",.*"durable":[1-9].*\}\nqueued\n$/,
  );
  assert.deepEqual(notesIn(folder.file("app.db")), NOTES);
});

test("every page of docs/drivers is tested", () => {
  assert.deepEqual(driverPages(), [...IN_TYPESCRIPT, "python", "sqlite3-cli"].sort());
});
