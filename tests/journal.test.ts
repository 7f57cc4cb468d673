import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { open } from "../examples/sqlite.ts";
import { install } from "../mod.ts";
import { numbersIn, numbersTo } from "./helpers/check.ts";
import { Folder } from "./helpers/folder.ts";
import { Settings } from "./helpers/settings.ts";

/** bun:sqlite opens databases in defensive mode, which forbids some. */
function plainRefuses(mode: string): string | false {
  using folder = new Folder();
  using connection = open(folder.file("a.db"));
  const [row] = connection.all(`PRAGMA journal_mode = ${mode}`);
  return row?.journal_mode === mode ? false : "plain SQLite refuses it in this runtime";
}

for (const mode of ["delete", "truncate", "persist", "memory", "off"]) {
  const name = `journal_mode ${mode}: what was written is read, flushed and found by plain SQLite`;
  test(name, { skip: plainRefuses(mode) }, async () => {
    await using folder = new Folder();
    const path = folder.file("a.db");
    const vfs = await install();
    using _settings = new Settings(vfs);
    vfs.halt = "now"; // all of it is read from the queue
    {
      using connection = open(vfs.uri(path));
      const [row] = connection.all(`PRAGMA journal_mode = ${mode}`);
      assert.equal(row?.journal_mode, mode);
      connection.exec("CREATE TABLE t(n INTEGER PRIMARY KEY, text)");
      const insert = connection.prepare("INSERT INTO t VALUES (?, ?)");
      for (const n of numbersTo(200)) insert.run(n, "x".repeat(n * 7));
      connection.exec("DELETE FROM t WHERE n > 150; UPDATE t SET text = 'y' WHERE n % 2 = 0");
      const expected = [{ rows: 150, length: 75 * 75 * 7 + 75 }];
      const sql = "SELECT count(*) AS rows, sum(length(text)) AS length FROM t";
      assert.deepEqual(connection.all(sql).map((row) => ({ ...row })), expected);
      assert.ok(vfs.status(path).queuedOps > 0);
      vfs.halt = "never";
      await vfs.flush({ path });
      assert.equal(vfs.status(path).queuedOps, 0);
      assert.deepEqual(connection.all(sql).map((row) => ({ ...row })), expected);
    }
    await vfs.flush();
    assert.deepEqual(numbersIn(path), numbersTo(150));
    assert.equal(existsSync(`${path}-journal`), mode === "truncate" || mode === "persist");
  });
}

test("a rolled back transaction leaves no trace", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  {
    using connection = open(vfs.uri(path));
    connection.exec("PRAGMA cache_size = 5; CREATE TABLE t(n INTEGER PRIMARY KEY, text)");
    connection.exec("INSERT INTO t VALUES (1, 'kept')");
    connection.exec("BEGIN");
    // More than the cache holds, so that pages are written before the rollback.
    const insert = connection.prepare("INSERT INTO t VALUES (?, ?)");
    for (let n = 2; n < 500; n++) insert.run(n, "x".repeat(1000));
    connection.exec("ROLLBACK");
    assert.equal(connection.all("SELECT count(*) AS rows FROM t")[0]?.rows, 1);
  }
  await vfs.flush();
  assert.deepEqual(numbersIn(path), [1]);
});

test("ATTACH: a transaction over two databases arrives in both", async () => {
  await using folder = new Folder();
  const [a, b] = [folder.file("a.db"), folder.file("b.db")];
  const vfs = await install();
  using _settings = new Settings(vfs);
  {
    using connection = open(vfs.uri(a));
    connection.exec(`ATTACH '${vfs.uri(b)}' AS b`);
    connection.exec("CREATE TABLE main.t(n INTEGER PRIMARY KEY); CREATE TABLE b.t(n INTEGER)");
    vfs.halt = "now";
    for (const n of numbersTo(20)) {
      connection.exec(`BEGIN; INSERT INTO main.t VALUES (${n}); INSERT INTO b.t VALUES (${n})`);
      connection.exec(n % 5 === 0 ? "ROLLBACK" : "COMMIT");
    }
    vfs.halt = "never";
    await vfs.flush({ path: b });
  }
  await vfs.flush();
  const kept = numbersTo(20).filter((n) => n % 5 !== 0);
  assert.deepEqual(numbersIn(a), kept);
  assert.deepEqual(numbersIn(b), kept);
});

test("two connections of a process see each other's commits at once", async () => {
  await using folder = new Folder();
  const vfs = await install();
  using _settings = new Settings(vfs);
  vfs.halt = "now";
  using writer = open(vfs.uri(folder.file("a.db")));
  writer.exec("CREATE TABLE t(n)");
  using reader = open(vfs.uri(folder.file("a.db")));
  for (const n of numbersTo(10)) {
    writer.exec(`INSERT INTO t VALUES (${n})`);
    assert.equal(reader.all("SELECT count(*) AS rows FROM t")[0]?.rows, n);
  }
});
