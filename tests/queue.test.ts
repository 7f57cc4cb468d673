import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "../examples/sqlite.ts";
import { install } from "../mod.ts";
import { numbersIn, numbersTo } from "./helpers/check.ts";
import { Folder } from "./helpers/folder.ts";
import { Settings, slowDown } from "./helpers/settings.ts";

const BOUND = 256 * 1024;

/** The error that an SQL statement ends in. */
function sqlError(action: () => void): string {
  try {
    action();
  } catch (error) {
    return String(error);
  }
  return "no error";
}

test('a full queue with onQueueFull "block" makes the commit wait', async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using _settings = new Settings(vfs);
  vfs.maxQueueBytes = BOUND;
  vfs.delayMs = 1;
  {
    using connection = open(vfs.uri(path));
    connection.exec("CREATE TABLE t(n INTEGER PRIMARY KEY, text)");
    const insert = connection.prepare("INSERT INTO t VALUES (?, hex(zeroblob(3000)))");
    for (const n of numbersTo(100)) insert.run(n);
    const { fullWaits, fullWaitMs, peakQueuedBytes } = vfs.status(path);
    assert.ok(fullWaits > 0 && fullWaitMs > 0, `${fullWaits} waits, ${fullWaitMs} ms`);
    // One op is at most 65,536 bytes.
    assert.ok(
      peakQueuedBytes > BOUND / 2 && peakQueuedBytes <= BOUND + 65_536,
      `${peakQueuedBytes}`,
    );
    vfs.delayMs = 0;
    await vfs.flush();
  }
  await vfs.flush();
  assert.deepEqual(numbersIn(path), numbersTo(100));
});

test('a full queue with onQueueFull "busy" refuses transactions until there is room', async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using _settings = new Settings(vfs);
  const committed = [];
  {
    using connection = open(vfs.uri(path));
    connection.exec("CREATE TABLE t(n INTEGER PRIMARY KEY, text)");
    await slowDown(vfs, 5);
    vfs.maxQueueBytes = BOUND;
    vfs.onQueueFull = "busy";
    const insert = connection.prepare("INSERT INTO t VALUES (?, hex(zeroblob(3000)))");
    let error = "no error";
    for (let n = 1; n <= 100 && error === "no error"; n++) {
      error = sqlError(() => insert.run(n));
      if (error === "no error") committed.push(n);
    }
    assert.match(error, /locked|busy/i);
    assert.ok(committed.length > 5, `${committed.length} transactions before the queue was full`);
    assert.ok(vfs.status(path).peakQueuedBytes <= BOUND + 65_536);
    assert.equal(vfs.status(path).queuedBytes > 0, true);
    vfs.delayMs = 0;
    await vfs.flush();
    insert.run(1000);
    committed.push(1000);
  }
  await vfs.flush();
  assert.deepEqual(numbersIn(path), committed);
});

test("a full queue with no writer running is an error at once and no hang", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using _settings = new Settings(vfs);
  let committed = 0;
  {
    using connection = open(vfs.uri(path));
    connection.exec("CREATE TABLE t(n INTEGER PRIMARY KEY, text)");
    await vfs.flush();
    vfs.maxQueueBytes = BOUND;
    vfs.stop({ timeoutMs: 0 });
    const insert = connection.prepare("INSERT INTO t VALUES (?, hex(zeroblob(3000)))");
    const start = performance.now();
    let error = "no error";
    for (let n = 1; n <= 200 && error === "no error"; n++) {
      error = sqlError(() => insert.run(n));
      if (error === "no error") committed = n;
    }
    assert.match(error, /full|busy|locked/i);
    assert.ok(performance.now() - start < 2000);
    vfs.start();
    await vfs.flush();
  }
  await vfs.flush();
  assert.ok(committed > 5);
  assert.deepEqual(numbersIn(path), numbersTo(committed));
});
