/** install() into the SQLite of another driver: the option `host`. @module */
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { install } from "../mod.ts";
import { errorOf, numbersIn, numbersTo } from "./helpers/check.ts";
import { runProgram } from "./helpers/child.ts";
import { Folder } from "./helpers/folder.ts";

const skip = process.env.DRIVERS_DIR === undefined
  ? "./run test says where the drivers are"
  : process.platform === "win32"
  ? "the drivers there are Linux's"
  : false;

/** What each program begins with. */
const DRIVERS = `
import { createRequire } from "node:module";
import { DatabaseSync } from "node:sqlite";
const require = createRequire(process.env.DRIVERS_DIR + "/package.json");
const BetterSqlite3 = require("better-sqlite3");
const Libsql = require("libsql");
const versionOf = (connection) => connection.prepare("SELECT sqlite_version() AS v").get().v;
`;

for (const driver of ["BetterSqlite3", "Libsql"]) {
  test(`install({ host }) loads into ${driver}'s SQLite`, { skip }, async () => {
    await using folder = new Folder();
    const path = folder.file("a.db");
    const { stdout, stderr } = await runProgram(`${DRIVERS}
      const host = new ${driver}(":memory:");
      const vfs = await install({ host });
      host.close();
      const path = ${JSON.stringify(path)};
      vfs.route(path);
      const connection = new ${driver}(path);
      connection.exec("PRAGMA journal_mode = WAL");
      insertNumbers(connection, 20);
      await vfs.flush();
      const { committed, durable } = vfs.status(path);
      console.log(committed >= 21, committed === durable);
      console.log(connection.prepare("SELECT count(*) AS n FROM t").get().n);
      connection.exec("BEGIN; INSERT INTO t VALUES (21); COMMIT");
    `);
    assert.equal(stdout, "true true\n20", stderr);
    assert.deepEqual(numbersIn(path), numbersTo(21));
  });
}

test("install({ host }) again with the same SQLite gives the same VFS", { skip }, async () => {
  const { stdout, stderr } = await runProgram(`${DRIVERS}
    const vfs = await install({ host: new BetterSqlite3(":memory:") });
    console.log(await install() === vfs);
    console.log(await install({ host: new BetterSqlite3(":memory:"), maxDelayMs: 5 }) === vfs);
    console.log(vfs.maxDelayMs);
  `);
  assert.equal(stdout, "true\ntrue\n5", stderr);
});

test("a second host is refused, and the first goes on", { skip }, async () => {
  const { stdout, stderr } = await runProgram(`${DRIVERS}
    const first = new BetterSqlite3(":memory:");
    const second = new Libsql(":memory:");
    const vfs = await install({ host: first });
    const error = await install({ host: second, maxDelayMs: 5 }).catch((error) => error);
    console.log(error instanceof AsyncVfsError, error.codeName, error.operation);
    const versions = [versionOf(first), versionOf(second)];
    const named = versions.map((version) => error.message.includes(version));
    console.log(...named, error.message.startsWith("Cannot load "), error.message);
    console.log(vfs.status().state, vfs.maxDelayMs);
  `);
  const [kind, words, state] = stdout.split("\n");
  assert.equal(kind, "true SQLITE_ERROR install", stderr);
  assert.match(words!, /^true true true .* into the SQLite of the option "host": .*in use already/);
  assert.equal(state, "running 1000");
});

test("a host is refused after the runtime's own SQLite, and the reverse", { skip }, async () => {
  const refused = async (first: string, second: string) => {
    const { stdout, stderr } = await runProgram(`${DRIVERS}
      const vfs = await install(${first});
      await vfs.close();
      const error = await install(${second}).catch((error) => error);
      console.log(error.codeName, error.message);
    `);
    return stdout || stderr;
  };
  const host = `{ host: new BetterSqlite3(":memory:") }`;
  assert.match(await refused("", host), /^SQLITE_ERROR .*option "host".*in use already/);
  assert.match(await refused(host, ""), /^SQLITE_ERROR .*the runtime's SQLite.*in use already/);
});

test("install({ host }) refuses what is no connection, or may not load extensions", async () => {
  await install();
  const wrong: [unknown, string][] = [
    ["app.db", '"app.db"'],
    [null, "null"],
    [7, "7"],
    [{}, "an object"],
    [Object.create(null), "an object"],
    [{ loadExtension: true }, "an object"],
  ];
  for (const [host, shown] of wrong) {
    const error = await errorOf(() => install({ host } as object));
    assert.equal(
      error.message,
      `Cannot install sqlite3async with the option host = ${shown}: ` +
        "it must be a driver's connection, with a method loadExtension(path)",
    );
    assert.equal(error.codeName, "SQLITE_MISUSE");
  }
  const { stdout, stderr } = await runProgram(`
    import { DatabaseSync } from "node:sqlite";
    const refuse = async (host) => {
      const error = await install({ host }).catch((error) => error);
      console.log(error instanceof AsyncVfsError, error.message, error.cause?.message);
    };
    await refuse(new DatabaseSync(":memory:"));
    await refuse({ loadExtension() { throw new Error("not today"); } });
    await refuse({ loadExtension() {} });
    console.log((await install()).status().state);
  `);
  const [forbidden, thrown, nothing, state] = stdout.split("\n");
  assert.match(forbidden!, /^true Cannot load ".*" into the SQLite of the option "host": /, stderr);
  assert.match(thrown!, /^true Cannot load .*: not today not today$/);
  assert.match(nothing!, /^true .*not registered/);
  assert.equal(state, "running");
});
