import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { type Connection, open } from "../examples/sqlite.ts";
import { type CommitLevel, install } from "../mod.ts";
import { errorOf } from "./helpers/check.ts";
import { Child } from "./helpers/child.ts";
import { Folder } from "./helpers/folder.ts";
import { Settings } from "./helpers/settings.ts";

const LEVELS: CommitLevel[] = ["queued", "applied", "durable"];
const MODES = ["WAL", "DELETE", "TRUNCATE", "PERSIST"];

/** What a PRAGMA answers. */
function ask(connection: Connection, pragma: string): unknown {
  return Object.values(connection.all(`PRAGMA ${pragma}`)[0] ?? {})[0];
}

/** The numbers in a database, as plain SQLite finds them. */
function numbersIn(path: string): number[] {
  using connection = open(path);
  assert.equal(ask(connection, "integrity_check"), "ok");
  return connection.all("SELECT n FROM t ORDER BY n").map((row) => Number(row.n));
}

function assertAll(path: string, last: number): void {
  const numbers = numbersIn(path);
  assert.ok(numbers.length >= last, `${numbers.length} of ${last} commits are there`);
  numbers.forEach((n, index) => assert.equal(n, index + 1));
}

test("commit is an option, a property and what connections without a level follow", async () => {
  using folder = new Folder();
  await using _rest = folder;
  const vfs = await install();
  using _settings = new Settings(vfs);
  await install({ commit: "applied" });
  assert.equal(vfs.commit, "applied");
  using connection = open(vfs.uri(folder.file("a.db")));
  using other = open(vfs.uri(folder.file("a.db")));
  assert.equal(ask(connection, "async_commit"), "applied");
  assert.equal(ask(connection, "async_commit = durable"), "durable");
  vfs.commit = "queued";
  assert.equal(ask(connection, "async_commit"), "durable");
  assert.equal(ask(other, "async_commit"), "queued");
  assert.equal(vfs.status().commit, "queued");
  assert.equal(JSON.parse(String(ask(connection, "async_status"))).commit, "durable");
  const error = await errorOf(() => install({ commit: "safe" as CommitLevel }));
  assert.match(error.message, /commit to "safe": it must be "queued" or "applied" or "durable"/);
  assert.throws(
    () => connection.all("PRAGMA async_commit = safe"),
    /async_commit=safe: the level is to be queued, applied or durable/,
  );
});

test("a commit has come as far as its level says, also with the writers halted", async () => {
  await using folder = new Folder();
  const vfs = await install();
  using _settings = new Settings(vfs);
  for (const mode of MODES) {
    const path = folder.file(`${mode}.db`);
    using connection = open(vfs.uri(path));
    using other = open(vfs.uri(folder.file(`${mode}-2.db`)));
    other.exec("CREATE TABLE u(n)");
    other.close();
    connection.exec(`PRAGMA journal_mode = ${mode}; CREATE TABLE t(n)`);
    connection.exec(`ATTACH '${folder.file(`${mode}-2.db`)}' AS other`);
    await vfs.flush();
    vfs.halt = "now";
    for (const level of LEVELS) {
      connection.all(`PRAGMA async_commit = ${level}`);
      connection.exec("INSERT INTO t VALUES (1)");
      connection.exec("BEGIN; INSERT INTO t VALUES (1); INSERT INTO u VALUES (1); COMMIT");
      const { committed, applied, durable } = vfs.status(path);
      if (level === "queued") assert.ok(committed > applied);
      if (level === "applied") assert.equal(applied, committed);
      if (level === "durable") assert.equal(durable, committed);
    }
    vfs.halt = "never";
  }
});

test("SIGKILL takes nothing that was committed at level applied", async () => {
  for (const mode of MODES) {
    using folder = new Folder();
    const path = folder.file("a.db");
    using child = new Child(`
      const vfs = await install({ commit: "applied" });
      const connection = open(vfs.uri(${JSON.stringify(path)}));
      connection.exec("PRAGMA journal_mode = ${mode}; PRAGMA synchronous = NORMAL");
      insertNumbers(connection, 300);
      process.kill(process.pid, "SIGKILL");
      setInterval(() => {}, 1000);
    `);
    await child.ended(30_000);
    assert.equal(numbersIn(path).length, 300, mode);
  }
});

test("an exit does not wait, and leaves all", async () => {
  for (const end of ["process.exit(3)", "throw new Error('on purpose')"]) {
    using folder = new Folder();
    const path = folder.file("a.db");
    using child = new Child(`
      const vfs = await install({ commit: "durable", exitDrainMs: 60000 });
      const connection = open(vfs.uri(${JSON.stringify(path)}));
      connection.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
      insertNumbers(connection, 20);
      process.on("exit", () => {
        connection.exec("INSERT INTO t VALUES (21)");
        console.log("committed at exit");
      });
      vfs.halt = "now";
      ${end};
    `);
    const { code, stdout, stderr } = await child.ended(20_000);
    assert.equal(code, end.startsWith("throw") ? 1 : 3, stderr);
    assert.doesNotMatch(stderr, /sqlite3async:/);
    // Deno does not tell of an end by an error.
    assert.equal(numbersIn(path).length, stdout === "" ? 20 : 21);
  }
});

test("what Workers that are terminated have committed is on disk", async () => {
  const worker = new URL("./helpers/level_worker.ts", import.meta.url).href;
  for (const level of ["applied", "durable"]) {
    for (const mode of ["WAL", "DELETE"]) {
      using folder = new Folder();
      const path = folder.file("a.db");
      using child = new Child(`
        const vfs = await install();
        const path = ${JSON.stringify(path)};
        const connection = open(vfs.uri(path));
        connection.exec("PRAGMA journal_mode = ${mode}; PRAGMA busy_timeout = 15000");
        connection.exec("CREATE TABLE t(n INTEGER PRIMARY KEY)");
        await vfs.flush();
        const shared = new SharedArrayBuffer(4);
        const told = new Int32Array(shared);
        for (let i = 0; i < 3; i++) {
          const before = told[0];
          const worker = new Worker(${JSON.stringify(worker)}, { type: "module" });
          worker.postMessage({ path, level: "${level}", shared });
          while (Atomics.load(told, 0) < before + 20) await sleep(1);
          worker.terminate();
          await sleep(5);
        }
        const last = Atomics.load(told, 0); // that of the table comes on top
        console.log("told", last, vfs.status(path).durable);
        process.kill(process.pid, "SIGKILL");
        setInterval(() => {}, 1000);
      `);
      const { stdout, stderr } = await child.ended(60_000);
      assert.equal(stderr, "");
      const [, last, durable] = stdout.match(/told (\d+) (\d+)/) ?? [];
      assert.ok(Number(last) >= 60, stdout);
      if (level === "durable") assert.ok(Number(durable) > Number(last), stdout);
      assert.ok(Number(last) > 0);
      assertAll(path, Number(last));
    }
  }
});

test("at a signal every commit that returned is there, whatever its level", {
  skip: process.platform === "win32" ? "Windows has no such signals" : false,
}, async () => {
  using folder = new Folder();
  const path = folder.file("a.db");
  using child = new Child(`
    const vfs = await install({ commit: "applied" });
    const connection = open(vfs.uri(${JSON.stringify(path)}));
    connection.exec("PRAGMA journal_mode = WAL; CREATE TABLE t(n INTEGER PRIMARY KEY)");
    const insert = connection.prepare("INSERT INTO t VALUES (?)");
    const { writeSync } = await import("node:fs");
    for (let n = 1;; n++) {
      const level = n % 200 === 0 ? "applied" : "queued";
      if (n % 100 === 0) connection.all("PRAGMA async_commit = " + level);
      insert.run(n);
      tell(n + "\\n");
    }
    function tell(line) {
      for (;;) {
        try {
          return writeSync(1, line);
        } catch (error) {
          if (error.code !== "EAGAIN") throw error; // the reader is busy, and the pipe full
        }
      }
    }
  `);
  await child.printed("500\n");
  child.kill("SIGTERM");
  const { signal, stdout, stderr } = await child.ended(30_000);
  assert.deepEqual([signal, stderr], ["SIGTERM", ""]);
  assertAll(path, Number(stdout.trim().split("\n").at(-1)));
});
