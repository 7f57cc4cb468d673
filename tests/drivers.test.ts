/**
 * The programs on the pages of docs/drivers/: each creates a database through sqlite3async,
 * migrates it, writes, reads, flushes and asks for the status; and then plain SQLite reads what it
 * left.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { open } from "../examples/sqlite.ts";
import type { Program } from "./helpers/docs.ts";
import { driverPages, programsOf, runIn, whyNoPackages } from "./helpers/driver_pages.ts";
import { type Outcome, RUNTIME } from "./helpers/execute.ts";
import { Folder } from "./helpers/folder.ts";

const FULL = process.env.SQLITE3ASYNC_TEST_FULL !== undefined;

const NOTES = ["first", "second", "third", "fourth"];

const QUERY = "SELECT text FROM note ORDER BY id";
const QUERIES = new Map([["better-auth", "SELECT name AS text FROM user ORDER BY rowid"]]);

/** What plain SQLite finds. */
function notesIn(path: string, query: string = QUERY): unknown[] {
  using connection = open(path);
  assert.equal(connection.all("PRAGMA integrity_check")[0]?.integrity_check, "ok");
  assert.equal(connection.all("PRAGMA journal_mode")[0]?.journal_mode, "wal");
  return connection.all(query).map(({ text }) => text);
}

/** A line for each that the page's comments promise. */
function assertPrinted(outcome: Outcome, wanted: RegExp): void {
  assert.equal(outcome.code, 0, outcome.stderr);
  assert.match(outcome.stdout, wanted, outcome.stderr);
}

const IN_TYPESCRIPT = [
  "better-auth",
  "better-sqlite3",
  "bun-sql",
  "bun-sqlite",
  "drizzle",
  "knex",
  "kysely",
  "libsql",
  "mikro-orm",
  "node-sqlite",
  "prisma",
  "typeorm",
];

/** Pages whose programs run in one runtime by default, and in each in a full run. */
const MOSTLY_IN_NODE = ["better-auth", "knex", "mikro-orm", "prisma", "typeorm"];

function whyNot(page: string, { runtimes }: Program): string | false {
  if (runtimes.length > 0) {
    return runtimes.includes(RUNTIME) ? whyNoPackages(page) : `it is for ${runtimes.join(" and ")}`;
  }
  const later = MOSTLY_IN_NODE.includes(page) && RUNTIME !== "node" && !FULL;
  return later ? "a full run has it in this runtime, too" : whyNoPackages(page);
}

for (const page of IN_TYPESCRIPT) {
  const programs = programsOf(page);
  assert.ok(programs.length > 0, page);
  for (const [index, program] of programs.entries()) {
    const skip = whyNot(page, program);
    test(`program ${index + 1} of docs/drivers/${page}.md`, { skip }, async () => {
      using folder = new Folder();
      assertPrinted(await runIn(folder, page, program), /^3\ntrue\ntrue\n(true\n)?$/);
      assert.deepEqual(notesIn(folder.file("app.db"), QUERIES.get(page)), NOTES);
    });
  }
}

test("an ORM that loads another copy of its driver than the host's is told of", {
  skip: RUNTIME === "node" ? whyNoPackages("mikro-orm") : "one runtime will do",
}, async () => {
  const code = `
    import { install } from "@sqlite3async/vfs";
    import Database from "better-sqlite3";
    import { MikroORM } from "@mikro-orm/sqlite";
    import { createRequire } from "node:module";
    const ofOrm = createRequire(import.meta.resolve("@mikro-orm/sqlite"))("better-sqlite3");
    console.log(ofOrm === Database);
    const vfs = await install({ host: new Database(":memory:") });
    vfs.route("app.db");
    const orm = await MikroORM.init({ dbName: "app.db", discovery: { warnWhenNoEntities: false } });
    await orm.em.execute("CREATE TABLE note(id INTEGER PRIMARY KEY)");
    console.log(vfs.databases().length);
    await vfs.flush({ path: "app.db" }).catch(({ message }) => console.log(message));
    await install({ host: new ofOrm(":memory:") }).catch(({ message }) => console.log(message));
    await orm.close();
  `;
  using folder = new Folder();
  const program = { name: "", language: "ts", runtimes: [], lines: [code], files: new Map() };
  const { stdout, stderr } = await runIn(folder, "mikro-orm", program);
  const [same, listed, flushed, installed] = stdout.split("\n");
  assert.deepEqual([same, listed], ["false", "0"], stderr);
  assert.match(flushed!, /it is open outside of sqlite3async, by a second copy of a driver /);
  assert.match(installed!, /in use already by another SQLite library of this process/);
});

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
  assertPrinted(await runIn(folder, "python", program, { python3: python! }), /^3\nTrue\n$/);
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
  const outcome = await runIn(folder, "sqlite3-cli", programsOf("sqlite3-cli")[0]!);
  assertPrinted(
    outcome,
    /^wal\n3\napplied\n[1-9]\d*\n\{"commit":"applied",.*"durable":[1-9].*\}\nqueued\n$/,
  );
  assert.deepEqual(notesIn(folder.file("app.db")), NOTES);
});

test("every page of docs/drivers is tested", () => {
  assert.deepEqual(driverPages(), [...IN_TYPESCRIPT, "python", "sqlite3-cli"].sort());
});
