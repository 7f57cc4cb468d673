import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "../examples/sqlite.ts";
import { install } from "../mod.ts";
import { errorOf, numbersTo, until } from "./helpers/check.ts";
import { Folder } from "./helpers/folder.ts";
import { Settings, slowDown } from "./helpers/settings.ts";

test("parameters can be read and set", async () => {
  const vfs = await install();
  using _settings = new Settings(vfs);
  await vfs.flush();
  const values = {
    halt: ["now", "idle", "never"],
    delayMs: [5, 0],
    maxQueueBytes: [0, 2 ** 40, 64 * 2 ** 20],
    onQueueFull: ["busy", "block"],
    maxDelayMs: [0, 1000],
    maxLockHoldMs: [0, vfs.maxLockHoldMs],
    diskFullRetryMs: [0, vfs.diskFullRetryMs],
    drainOnExit: [false, true],
    exitDrainMs: [1, 10_000],
    checkpointBytes: [0, 16 * 2 ** 20],
    checkpointIdleMs: [0, 1000],
    maxWalBytes: [0, 2 ** 30],
    writers: [1, 16, 4],
    pollUs: [0, 1_000_000, 500],
    commit: ["applied", "durable", "queued"],
    lockFiles: [false, true],
  };
  const parameters = vfs as unknown as Record<string, unknown>;
  for (const [name, each] of Object.entries(values)) {
    for (const value of each) {
      parameters[name] = value;
      assert.equal(parameters[name], value, name);
    }
  }
});

test("parameters refuse what they can't be and keep their value", async () => {
  const vfs = await install();
  const parameters = vfs as unknown as Record<string, unknown>;
  const refused: Record<string, unknown[]> = {
    halt: ["later", 1, true, "toString"],
    delayMs: [-1, 1.5, "5", null, 2 ** 31, Infinity],
    lockFiles: ["yes", 0, undefined],
    maxQueueBytes: [-1, NaN, 2 ** 53, 5n],
    onQueueFull: ["", "wait"],
    maxDelayMs: [-1],
    maxLockHoldMs: [-1],
    diskFullRetryMs: [-1],
    drainOnExit: [1],
    exitDrainMs: [-1],
    drainOnSignals: ["SIGTERM"],
    checkpointBytes: [-1],
    checkpointIdleMs: [0.5],
    maxWalBytes: ["1 GiB"],
    writers: [0, 17, 1.5],
    pollUs: [-1, 1_000_001],
    commit: ["", "Applied", 1],
  };
  for (const [name, each] of Object.entries(refused)) {
    const before = parameters[name];
    for (const value of each) {
      const error = await errorOf(() => parameters[name] = value);
      assert.equal(error.codeName, "SQLITE_MISUSE");
      assert.match(error.message, new RegExp(`Cannot set ${name} to .*: it must be `));
      assert.equal(parameters[name], before);
    }
  }
});

test("lockFiles is refused while a database is open", async () => {
  await using folder = new Folder();
  const vfs = await install();
  {
    using connection = open(vfs.uri(folder.file("a.db")));
    connection.exec("CREATE TABLE t(n)");
    const error = await errorOf(() => vfs.lockFiles = false);
    assert.equal(error.codeName, "SQLITE_MISUSE");
    assert.equal(vfs.lockFiles, true);
  }
  await vfs.flush();
  vfs.lockFiles = false;
  vfs.lockFiles = true;
});

test("halt and stop() keep ops queued, start() goes on with them", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using connection = open(vfs.uri(path));
  connection.exec("CREATE TABLE t(n)");
  await vfs.flush();
  using _settings = new Settings(vfs);

  vfs.halt = "now";
  connection.exec("INSERT INTO t VALUES (1)");
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.ok(vfs.status(path).queuedOps > 0);
  assert.equal(vfs.status(path).state, "halted");
  vfs.halt = "never";
  await until(() => vfs.status(path).queuedOps === 0);
  assert.equal(vfs.status(path).state, "running");

  vfs.stop({ timeoutMs: 0 });
  connection.exec("INSERT INTO t VALUES (2)");
  assert.equal(vfs.status(path).state, "halted");
  assert.equal((await errorOf(() => vfs.flush())).codeName, "SQLITE_MISUSE");
  assert.equal((await errorOf(() => vfs.flushSync())).codeName, "SQLITE_MISUSE");
  vfs.start();
  vfs.start();
  await vfs.flush();

  await slowDown(vfs, 200);
  connection.exec("INSERT INTO t VALUES (3)");
  const error = await errorOf(() => vfs.stop({ timeoutMs: 20 }));
  assert.equal(error.codeName, "SQLITE_BUSY");
  vfs.delayMs = 0;
  vfs.start();
  await vfs.flush();
  vfs.stop();
  vfs.start();
});

test("status() has the documented fields with sound values", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using connection = open(vfs.uri(path));
  connection.exec("CREATE TABLE t(n, text)");
  await vfs.flush();
  using _settings = new Settings(vfs);
  vfs.halt = "now";
  for (const n of numbersTo(10)) connection.exec(`INSERT INTO t VALUES (${n}, hex(zeroblob(999)))`);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const halted = vfs.status(path);
  vfs.halt = "never";
  await vfs.flush();
  const flushed = vfs.status(path);

  for (const status of [halted, flushed, vfs.status()]) {
    assert.deepEqual(Object.keys(status).toSorted(), FIELDS);
    assert.equal(status.error, null);
    assert.ok(status.committed >= status.applied && status.applied >= status.durable);
  }
  assert.equal(halted.state, "halted");
  assert.ok(halted.queuedOps >= 10, `${halted.queuedOps}`);
  assert.ok(halted.queuedBytes > 10 * 2000, `${halted.queuedBytes}`);
  assert.ok(halted.oldestQueuedMs >= 15, `${halted.oldestQueuedMs}`);
  assert.ok(halted.undurableMs >= 15, `${halted.undurableMs}`);
  assert.ok(halted.committed > halted.applied);

  assert.equal(flushed.state, "running");
  assert.deepEqual([flushed.queuedOps, flushed.queuedBytes, flushed.undurableMs], [0, 0, 0]);
  assert.equal(flushed.committed, flushed.durable);
  assert.ok(flushed.peakQueuedBytes >= halted.queuedBytes);
  assert.ok(flushed.opsApplied > halted.opsApplied);
  assert.ok(flushed.bytesWritten > halted.bytesWritten);
  assert.ok(
    flushed.syncs > 0 && flushed.syncMsTotal >= flushed.syncMsMax && flushed.syncMsMax >= 0,
  );
});

const FIELDS = [
  "applied",
  "bytesWritten",
  "checkpointBlocked",
  "checkpointError",
  "checkpoints",
  "commit",
  "committed",
  "durable",
  "error",
  "fullWaitMs",
  "fullWaits",
  "lateFlushes",
  "oldestQueuedMs",
  "opsApplied",
  "peakQueuedBytes",
  "queuedBytes",
  "queuedOps",
  "state",
  "syncMsMax",
  "syncMsTotal",
  "syncs",
  "undurableMs",
  "undurableMsMax",
  "walBytes",
];

test("PRAGMA async_status gives the same names as status()", async () => {
  await using folder = new Folder();
  const vfs = await install();
  using connection = open(vfs.uri(folder.file("a.db")));
  connection.exec("CREATE TABLE t(n)");
  const [row] = connection.all("PRAGMA async_status");
  const status = JSON.parse(String(Object.values(row!)[0]));
  assert.deepEqual(Object.keys(status).toSorted(), FIELDS);
  assert.ok(status.committed > 0);
});

test("PRAGMA async_flush gives the durable mark, or fails after its timeout", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using connection = open(vfs.uri(path));
  connection.exec("CREATE TABLE t(n)");
  const { committed } = vfs.status(path);
  const [row] = connection.all("PRAGMA async_flush");
  assert.ok(Number(Object.values(row!)[0]) > 0);
  assert.ok(vfs.status(path).durable >= committed);
  using _settings = new Settings(vfs);
  await slowDown(vfs, 300);
  connection.exec("INSERT INTO t VALUES (1)");
  assert.throws(() => connection.all("PRAGMA async_flush = 20"));
  vfs.delayMs = 0;
  connection.all("PRAGMA async_flush = 5000");
});
