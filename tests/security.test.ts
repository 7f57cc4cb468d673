import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { type Connection, open } from "../examples/sqlite.ts";
import { type AsyncVfs, install, type InstallOptions } from "../mod.ts";
import { errorOf, numbersIn, numbersTo } from "./helpers/check.ts";
import { runProgram } from "./helpers/child.ts";
import { Folder } from "./helpers/folder.ts";
import { Settings } from "./helpers/settings.ts";

const isWindows = process.platform === "win32";
const isDeno = "Deno" in globalThis;
/** What an open file's folder can be renamed for. */
const posix = { skip: isWindows ? "of POSIX systems" : false };

/** A database that is about to fail: something lies where its journal would be. */
async function failing(vfs: AsyncVfs, folder: Folder, name: string): Promise<Connection> {
  mkdirSync(folder.file(name));
  const path = folder.file(`${name}/a.db`);
  const connection = open(vfs.uri(path));
  connection.exec("CREATE TABLE t(n)");
  await vfs.flush({ path });
  vfs.halt = "now";
  for (const n of numbersTo(3)) connection.exec(`INSERT INTO t VALUES (${n})`);
  mkdirSync(`${path}-journal`);
  vfs.halt = "never";
  return connection;
}

test("an error, a status and a PRAGMA about one database name no other", async () => {
  await using folder = new Folder();
  const vfs = await install();
  using _settings = new Settings(vfs);
  using first = await failing(vfs, folder, "first");
  const path = folder.file("first/a.db");
  const firstError = await errorOf(() => vfs.flush({ path }));
  assert.ok(firstError.path?.startsWith(path), firstError.message);

  // The same code, while the first is known to have failed.
  using second = await failing(vfs, folder, "second");
  const secondPath = folder.file("second/a.db");
  const pending = vfs.flush({ path: secondPath });
  const error = await errorOf(() => pending);
  assert.equal(error.code, firstError.code);
  assert.ok(error.path?.startsWith(secondPath), error.message);
  assert.ok(!error.message.includes("first"), error.message);

  const third = folder.file("third.db");
  using connection = open(vfs.uri(third));
  connection.exec("CREATE TABLE t(n); INSERT INTO t VALUES (1)");
  await vfs.flush({ path: third });
  assert.equal(vfs.status(third).error, null);
  assert.equal(vfs.status(third).state, "running");
  const told = Object.values(connection.all("PRAGMA async_status")[0]!)[0] as string;
  assert.deepEqual(JSON.parse(told).error, null);
  assert.equal(JSON.parse(told).committed, vfs.status(third).committed);
  assert.ok(!told.includes("first") && !told.includes("second"), told);
  // All together is another question; that all who listen get all events is said in the docs.
  assert.ok(vfs.status().error?.path.includes("first"));
  first.close();
  second.close();
});

test("hostile names are names and nothing else", async () => {
  await using folder = new Folder();
  const vfs = await install();
  const names = [
    "a?vfs=unix&mode=memory",
    "50%00.db",
    "file:x.db",
    "q'\"`.db",
    "a-journal",
    "a-wal",
    "a-mj012345970",
    "x;DROP TABLE t.db",
    "-",
    "données 数据 🐘.db",
  ];
  if (!isWindows) names.push("new\nline", "\x1b]0;title\x07", "back\\slash", ":memory:", "a|b<c>d");
  const paths = names.map((name) => {
    return folder.file(isWindows ? name.replaceAll(/[?:"]/g, "_") : name);
  });
  for (const path of paths) {
    using connection = open(vfs.uri(path));
    connection.exec("CREATE TABLE t(n); INSERT INTO t VALUES (1)");
    assert.equal(vfs.status(path).committed, 2, JSON.stringify(path));
  }
  await vfs.flush();
  for (const path of paths) assert.deepEqual(numbersIn(path), [1], JSON.stringify(path));
});

test("a path or a parameter that would mean something else in C is refused", async () => {
  await using folder = new Folder();
  const vfs = await install();
  const path = folder.file("a.db");
  for (const bad of [`${path}\0`, `\0${path}`, `${path}\0x`, `${path}\ud800`]) {
    const calls = [
      () => vfs.uri(bad),
      () => vfs.route(bad),
      () => vfs.unroute(bad),
      () => vfs.status(bad),
      () => vfs.flush({ path: bad }),
      () => vfs.flushSync({ path: bad }),
      () => vfs.release(bad),
    ];
    for (const call of calls) assert.equal((await errorOf(call)).codeName, "SQLITE_MISUSE");
  }
  // SQLite takes this for the parameter "vfs", and the last one counts.
  const params = [{ "vfs\0": "unix" }, { "vfs\0x": "unix" }, { mode: "ro\0" }, { mode: "\udc00" }];
  for (const each of params) {
    const error = await errorOf(() => vfs.uri(path, each as unknown as Record<string, string>));
    assert.equal(error.codeName, "SQLITE_MISUSE");
  }
  using connection = open(vfs.uri(path, { "x&vfs": "unix", "y#": "z" }));
  connection.exec("CREATE TABLE t(n)");
  assert.equal(vfs.status(path).committed, 1);
});

test("options and arguments of any kind are taken or refused, with nothing changed", async () => {
  const vfs = await install();
  const before = JSON.stringify([vfs.maxQueueBytes, vfs.maxDelayMs, vfs.onQueueFull, vfs.halt]);
  const odd: unknown[] = [
    NaN,
    Infinity,
    -0.5,
    -1,
    2 ** 53,
    1e308,
    "1",
    "",
    5n,
    {},
    [],
    Symbol.iterator,
  ];
  const names = ["maxQueueBytes", "maxDelayMs", "checkpointBytes", "exitDrainMs", "onQueueFull"];
  for (const value of odd) {
    for (const name of [...names, "lockFiles", "parent", "makeDefault", "__proto__x", "halt"]) {
      const options = { [name]: value } as unknown as InstallOptions;
      assert.equal((await errorOf(() => install(options))).codeName, "SQLITE_MISUSE", name);
    }
    const timeoutMs = value as number;
    for (const call of [() => vfs.flushSync({ timeoutMs }), () => vfs.stop({ timeoutMs })]) {
      assert.equal((await errorOf(call)).codeName, "SQLITE_MISUSE");
    }
  }
  for (const value of odd.filter((each) => typeof each !== "string" || each === "")) {
    const path = value as string;
    assert.equal((await errorOf(() => vfs.status(path))).codeName, "SQLITE_MISUSE");
    assert.equal((await errorOf(() => vfs.flush({ path }))).codeName, "SQLITE_MISUSE");
  }
  assert.equal(
    JSON.stringify([vfs.maxQueueBytes, vfs.maxDelayMs, vfs.onQueueFull, vfs.halt]),
    before,
  );
});

test("the library is the file that was named, wherever the loader looks", posix, async () => {
  await using folder = new Folder();
  const decoy = folder.file("libsqlite3async.so");
  writeFileSync(decoy, "not a library");
  const env = { LD_LIBRARY_PATH: folder.path, DYLD_LIBRARY_PATH: folder.path };
  const program = `
    process.chdir(${JSON.stringify(folder.path)});
    const vfs = await install();
    console.log(vfs.name);
  `;
  const ended = await runProgram(program, env);
  assert.equal(ended.stdout, "sqlite3async", ended.stderr);
  const error = await errorOf(() => install({ library: `${decoy}\0.so` }));
  assert.match(error.message, /NUL/);
});

test("the native code reads no environment variable", {
  skip: process.platform === "linux" ? false : "of Linux's libraries",
}, () => {
  // The names of the functions that a library calls are in it.
  const library = readFileSync(new URL("../zig-out/lib/libsqlite3async.so", import.meta.url));
  assert.ok(library.includes("pthread_create"));
  assert.ok(!library.includes("getenv"));
});

test("the library's variable is not read without permission, and a link is resolved", {
  skip: isDeno ? posix.skip : "of Deno's permissions",
}, async () => {
  await using folder = new Folder();
  const built = new URL("../zig-out/lib/libsqlite3async.so", import.meta.url);
  copyFileSync(built, folder.file("real.so"));
  symlinkSync("real.so", folder.file("link.so"));
  writeFileSync(folder.file("evil.so"), "not a library");
  const flags = ["--allow-ffi", "--allow-read"];
  const program = `const vfs = await install(); console.log(vfs.name);`;
  const evil = { SQLITE3ASYNC_LIBRARY: folder.file("evil.so") };
  assert.equal((await runProgram(program, evil, flags)).stdout, "sqlite3async");
  const refused = await runProgram(program, evil, [...flags, "--allow-env"]);
  assert.match(refused.stderr, /evil\.so/);
  const both = `
    await install({ library: ${JSON.stringify(folder.file("link.so"))} });
    const vfs = await install({ library: ${JSON.stringify(folder.file("real.so"))} });
    console.log(vfs.name);
  `;
  assert.equal((await runProgram(both, {}, flags)).stdout, "sqlite3async");
});
