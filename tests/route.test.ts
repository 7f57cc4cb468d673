import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { open } from "../examples/sqlite.ts";
import { install } from "../mod.ts";
import { errorOf, numbersIn, numbersTo } from "./helpers/check.ts";
import { runProgram } from "./helpers/child.ts";
import { Folder } from "./helpers/folder.ts";

const isDeno = "Deno" in globalThis;
const isWindows = process.platform === "win32";

test("uri() escapes what a URI would misread", async () => {
  const vfs = await install();
  assert.equal(vfs.uri("app.db"), "file:app.db?vfs=sqlite3async");
  assert.equal(vfs.uri("/a/app.db"), "file:///a/app.db?vfs=sqlite3async");
  const odd = "file:///a%20b/50%25%23%3F.db?vfs=sqlite3async&mode=ro";
  assert.equal(vfs.uri("/a b/50%#?.db", { mode: "ro" }), odd);
  const url = isWindows ? "file:///C:/a%20b.db" : "file:///a%20b.db";
  assert.equal(vfs.uri(new URL(url)), `${url}?vfs=sqlite3async`);
  assert.match(
    (await errorOf(() => vfs.uri(""))).message,
    /Cannot use "" in uri\(\): a database's path/,
  );
  assert.match((await errorOf(() => vfs.uri("a", { vfs: "unix" }))).message, /vfs = "unix"/);
});

test("uri() takes Windows' paths", { skip: isWindows ? false : "Windows'" }, async () => {
  const vfs = await install();
  const uris = {
    "C:\\a b\\50%#.db": "file:///C:/a%20b/50%25%23.db",
    "c:/x.db": "file:///c:/x.db",
    "a\\x.db": "file:a/x.db",
    "\\a\\x.db": "file:///a/x.db",
    "\\\\server\\share\\x.db": "file:////server/share/x.db",
  };
  for (const [path, uri] of Object.entries(uris)) {
    assert.equal(vfs.uri(path), `${uri}?vfs=sqlite3async`);
  }
});

test("uri() opens files with odd names", async () => {
  await using folder = new Folder();
  const vfs = await install();
  const names = ["a b.db", "50%.db", "q?x=1.db", "#1.db", "über 数据.db", "a+b&c=d.db"];
  for (const name of names.filter((name) => !isWindows || !name.includes("?"))) {
    const path = folder.file(name);
    {
      using connection = open(vfs.uri(path));
      connection.exec("CREATE TABLE t(n); INSERT INTO t VALUES (1)");
    }
    await vfs.flush();
    assert.deepEqual(numbersIn(path), [1]);
  }
});

test("route() sends a plain path through the VFS, unroute() takes that back", async () => {
  await using folder = new Folder();
  const [routed, other] = [folder.file("routed.db"), folder.file("other.db")];
  const vfs = await install();
  vfs.route(routed);
  {
    using a = open(routed);
    using b = open(other);
    a.exec("CREATE TABLE t(n)");
    b.exec("CREATE TABLE t(n)");
    assert.ok(vfs.status(routed).committed > 0);
    assert.equal((await errorOf(() => vfs.status(other))).codeName, "SQLITE_NOTFOUND");
    const busy = await errorOf(() => vfs.unroute(routed));
    assert.equal(busy.codeName, "SQLITE_BUSY");
    assert.equal(busy.path, routed);
  }
  await vfs.flush();
  vfs.unroute(routed);
  assert.equal((await errorOf(() => vfs.unroute(routed))).codeName, "SQLITE_NOTFOUND");
  using plain = open(routed);
  plain.exec("INSERT INTO t VALUES (1)");
  assert.equal((await errorOf(() => vfs.status(routed))).codeName, "SQLITE_NOTFOUND");
});

test("route() refuses what is open already, folders and paths that can't be", async () => {
  await using folder = new Folder();
  const vfs = await install();
  const path = folder.file("a.db");
  {
    using connection = open(path);
    connection.exec("CREATE TABLE t(n)");
    const error = await errorOf(() => vfs.route(path));
    assert.equal(error.codeName, "SQLITE_BUSY");
    assert.equal(error.operation, "route");
    assert.ok(error.message.includes(path), error.message);
  }
  vfs.route(path);
  vfs.unroute(path);
  mkdirSync(folder.file("folder"));
  assert.equal((await errorOf(() => vfs.route(folder.file("folder")))).codeName, "SQLITE_CANTOPEN");
  assert.equal((await errorOf(() => vfs.route(""))).codeName, "SQLITE_MISUSE");
});

test("databases that aren't routed are untouched, those open before included", async () => {
  await using folder = new Folder();
  const before = folder.file("before.db");
  const after = folder.file("after.db");
  const { stdout, stderr } = await runProgram(`
    const before = open(${JSON.stringify(before)});
    insertNumbers(before, 3);
    const vfs = await install();
    vfs.route(${JSON.stringify(folder.file("routed.db"))});
    before.exec("INSERT INTO t VALUES (4)");
    const after = open(${JSON.stringify(after)});
    after.exec("PRAGMA journal_mode = WAL");
    insertNumbers(after, 3);
    console.log(after.all("PRAGMA journal_mode")[0].journal_mode, vfs.status().opsApplied);
  `);
  assert.equal(stdout, "wal 0", stderr);
  assert.deepEqual(numbersIn(before), numbersTo(4));
  assert.deepEqual(numbersIn(after), numbersTo(3));
});

test("unroute() takes a database that was closed and flushed just before", async () => {
  await using folder = new Folder();
  const vfs = await install();
  for (let round = 0; round < 40; round++) {
    const path = folder.file(`${round}.db`);
    vfs.route(path);
    {
      using connection = open(path);
      connection.exec("PRAGMA journal_mode = WAL; CREATE TABLE t(n)");
    }
    await vfs.flush();
    vfs.unroute(path); // its writer may not have turned away from it yet
  }
});

test("Deno's localStorage works as before while a route exists", {
  skip: isDeno ? false : "Deno's",
}, async () => {
  await using folder = new Folder();
  const program = (what: string) => `
    const vfs = await install();
    vfs.route(${JSON.stringify(folder.file("routed.db"))});
    ${what}
    console.log(localStorage.getItem("key"), vfs.status().opsApplied);
  `;
  const env = { DENO_DIR: folder.file("deno") };
  const flags = ["--location=https://example.com"];
  const first = await runProgram(program(`localStorage.setItem("key", "value");`), env, flags);
  assert.equal(first.stdout, "value 0", first.stderr);
  const second = await runProgram(program(""), env, flags);
  assert.equal(second.stdout, "value 0", second.stderr);
});

test("Deno.openKv works unrouted as before, and on a routed path through the VFS", {
  skip: isDeno ? false : "Deno's",
}, async () => {
  await using folder = new Folder();
  const [routed, other] = [folder.file("routed.kv"), folder.file("other.kv")];
  const program = (what: string) => `
    const vfs = await install();
    vfs.route(${JSON.stringify(routed)});
    const values = [];
    for (const path of ${JSON.stringify([routed, other])}) {
      const kv = await Deno.openKv(path);
      ${what}
      for (let i = 0; i < 20; i++) values.push((await kv.get(["key", i])).value);
      kv.close();
    }
    const whole = values.every((value, i) => value === i % 20);
    console.log(whole, values.length, vfs.status().opsApplied > 0);
  `;
  const flags = ["--unstable-kv"];
  const set = "for (let i = 0; i < 20; i++) await kv.set(['key', i], i);";
  const first = await runProgram(program(`${set} await vfs.flush();`), {}, flags);
  assert.equal(first.stdout, "true 40 true", first.stderr);
  const second = await runProgram(program(""), {}, flags);
  assert.match(second.stdout, /^true 40/, second.stderr);
});
