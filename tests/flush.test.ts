import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "../examples/sqlite.ts";
import { install } from "../mod.ts";
import { errorOf, numbersIn, numbersTo, until } from "./helpers/check.ts";
import { runProgram } from "./helpers/child.ts";
import { Folder } from "./helpers/folder.ts";
import { Settings, slowDown } from "./helpers/settings.ts";

test("flush() resolves once the commits before it are durable", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using _settings = new Settings(vfs);
  vfs.maxDelayMs = 0;
  using connection = open(vfs.uri(path));
  connection.exec("CREATE TABLE t(n)");
  for (const n of numbersTo(20)) {
    connection.exec(`INSERT INTO t VALUES (${n})`);
    const { committed } = vfs.status(path);
    await vfs.flush({ path });
    const { durable, applied } = vfs.status(path);
    assert.ok(durable >= committed && applied >= durable, `${committed} ${applied} ${durable}`);
  }
});

test("flush() doesn't resolve while the commits aren't durable", async () => {
  await using folder = new Folder();
  const vfs = await install();
  using connection = open(vfs.uri(folder.file("a.db")));
  connection.exec("CREATE TABLE t(n)");
  using _settings = new Settings(vfs);
  await slowDown(vfs, 50);
  connection.exec("INSERT INTO t VALUES (1)");
  let resolved = false;
  const pending = vfs.flush().then(() => resolved = true);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(resolved, false);
  vfs.delayMs = 0;
  await pending;
});

test("flush() with nothing to do resolves, also for a database that was closed", async () => {
  await using folder = new Folder();
  const vfs = await install();
  await vfs.flush();
  const path = folder.file("closed.db");
  open(vfs.uri(path)).close();
  for (let round = 0; round < 2; round++) {
    await vfs.flush({ path });
    vfs.flushSync({ path });
  }
});

test("flush() called by many at once shares syncs", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using connection = open(vfs.uri(path));
  connection.exec("PRAGMA synchronous = OFF; CREATE TABLE t(n)");
  await vfs.flush();
  const before = vfs.status(path).syncs;
  const insert = connection.prepare("INSERT INTO t VALUES (?)");
  await Promise.all(
    numbersTo(500).map((n) => {
      insert.run(n);
      return vfs.flush({ path });
    }),
  );
  const syncs = vfs.status(path).syncs - before;
  assert.ok(syncs >= 1 && syncs < 250, `${syncs} syncs for 500 flushes`);
});

test("flush() rejects with the signal's reason when aborted, that waiter alone", async () => {
  await using folder = new Folder();
  const vfs = await install();
  using connection = open(vfs.uri(folder.file("a.db")));
  connection.exec("CREATE TABLE t(n)");
  await vfs.flush();

  const reason = new Error("changed my mind");
  await assert.rejects(vfs.flush({ signal: AbortSignal.abort(reason) }), reason);

  using _settings = new Settings(vfs);
  await slowDown(vfs, 50);
  connection.exec("INSERT INTO t VALUES (1)");
  const controller = new AbortController();
  const aborted = vfs.flush({ signal: controller.signal });
  const other = vfs.flush();
  controller.abort(reason);
  await assert.rejects(aborted, reason);
  vfs.delayMs = 0;
  await other;
  await assert.rejects(vfs.flush({ signal: controller.signal }), reason);
});

test("flushSync() blocks until durable, or throws SQLITE_BUSY after timeoutMs", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using connection = open(vfs.uri(path));
  connection.exec("CREATE TABLE t(n); INSERT INTO t VALUES (1)");
  const { committed } = vfs.status(path);
  vfs.flushSync({ path });
  assert.ok(vfs.status(path).durable >= committed);

  using _settings = new Settings(vfs);
  await slowDown(vfs, 400);
  connection.exec("INSERT INTO t VALUES (2)");
  const start = performance.now();
  const error = await errorOf(() => vfs.flushSync({ path, timeoutMs: 40 }));
  const tookMs = performance.now() - start;
  vfs.delayMs = 0;
  assert.equal(error.codeName, "SQLITE_BUSY");
  assert.ok(tookMs >= 35 && tookMs < 350, `${tookMs} ms`);
  vfs.flushSync();
});

test("flush() and flushSync() refuse bad arguments", async () => {
  const vfs = await install();
  assert.match(
    (await errorOf(() => vfs.flush({ path: "" }))).message,
    /Cannot use "" in flush\(\): /,
  );
  assert.match((await errorOf(() => vfs.flush({ path: "a\0b" }))).message, /NUL/);
  assert.match((await errorOf(() => vfs.flushSync({ timeoutMs: -5 }))).message, /timeoutMs = -5/);
  const wrong = [
    ["app.db", /^Cannot flush\w* with "app.db": its options are \{ path, (signal|timeoutMs) \}$/],
    [null, /^Cannot flush\w* with null: /],
    [{ Path: "a" }, /^Cannot flush\w* with an option "Path": its options are \{ path, /],
  ] as [never, RegExp][];
  for (const [options, message] of wrong) {
    assert.match((await errorOf(() => vfs.flush(options))).message, message);
    assert.match((await errorOf(() => vfs.flushSync(options))).message, message);
  }
  const signal = 5 as never;
  const noSignal = await errorOf(() => vfs.flush({ signal }));
  assert.match(noSignal.message, /^Cannot flush with signal = 5: it must be an AbortSignal$/);
  const text = await errorOf(() => vfs.flushSync({ timeoutMs: "5" as never }));
  assert.match(text.message, /timeoutMs = "5": it must be a whole number/);
});

test("flush() takes file URLs", async () => {
  await using folder = new Folder();
  const vfs = await install();
  const url = new URL(`file://${folder.file("with space.db")}`);
  using connection = open(vfs.uri(url));
  connection.exec("CREATE TABLE t(n)");
  await vfs.flush({ path: url });
  assert.ok(vfs.status(url).durable > 0);
});

test("maxDelayMs makes a commit durable unasked; 0 does not", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using _settings = new Settings(vfs);
  vfs.maxDelayMs = 0;
  using connection = open(vfs.uri(path));
  connection.exec("PRAGMA synchronous = OFF; CREATE TABLE t(n)");
  await vfs.flush();
  connection.exec("INSERT INTO t VALUES (1)");
  await new Promise((resolve) => setTimeout(resolve, 200));
  const { committed, durable, undurableMs } = vfs.status(path);
  assert.ok(durable < committed && undurableMs >= 150, `${durable} ${committed} ${undurableMs}`);
  vfs.maxDelayMs = 50;
  connection.exec("INSERT INTO t VALUES (2)");
  await until(() => vfs.status(path).durable >= vfs.status(path).committed, 2000);
});

test("a pending flush keeps the process alive, an idle VFS with listeners doesn't", async () => {
  await using folder = new Folder();
  const path = JSON.stringify(folder.file("a.db"));
  const { code, stdout, stderr } = await runProgram(`
    const vfs = await install();
    vfs.addEventListener("error", () => {});
    const connection = open(vfs.uri(${path}));
    insertNumbers(connection, 5);
    vfs.delayMs = 20;
    vfs.flush().then(() => console.log("durable"));
  `);
  assert.deepEqual([code, stdout, stderr], [0, "durable", ""]);
});

test("exiting with a flush pending ends in good order", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const { code, stdout, stderr } = await runProgram(`
    const vfs = await install();
    const connection = open(vfs.uri(${JSON.stringify(path)}));
    insertNumbers(connection, 50);
    for (let i = 0; i < 100; i++) vfs.flush();
    process.exit(7);
  `);
  assert.deepEqual([code, stdout, stderr], [7, "", ""]);
  assert.deepEqual(numbersIn(path), numbersTo(50));
});
