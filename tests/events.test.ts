import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "../examples/sqlite.ts";
import { type AsyncVfs, type AsyncVfsEvent, install } from "../mod.ts";
import { errorOf, numbersIn, until } from "./helpers/check.ts";
import { Folder } from "./helpers/folder.ts";
import { Settings, slowDown } from "./helpers/settings.ts";
import { SmallDisk, whyNoSmallDisk } from "./helpers/small_disk.ts";

const skip = whyNoSmallDisk();

function listen(vfs: AsyncVfs): { events: AsyncVfsEvent[]; stop(): void } {
  const events: AsyncVfsEvent[] = [];
  const listener = (event: AsyncVfsEvent) => void events.push(event);
  const types = ["error", "diskfull", "resume"] as const;
  for (const type of types) vfs.addEventListener(type, listener);
  return {
    events,
    stop: () => types.forEach((type) => vfs.removeEventListener(type, listener)),
  };
}

/** Commit rows until a few hundred kilobytes more were written than fit. */
function overfill(path: string, vfs: AsyncVfs): ReturnType<typeof open> {
  const connection = open(vfs.uri(path));
  connection.exec("CREATE TABLE t(n INTEGER PRIMARY KEY, text)");
  const insert = connection.prepare("INSERT INTO t VALUES (NULL, hex(zeroblob(2000)))");
  for (let i = 0; i < 100; i++) insert.run();
  return connection;
}

test("a full disk: diskfull, commits go on; with room again: resume, and all is durable", {
  skip,
}, async () => {
  await using folder = new Folder();
  using disk = SmallDisk.mount(folder);
  const path = disk.file("a.db");
  const vfs = await install();
  using _settings = new Settings(vfs);
  vfs.diskFullRetryMs = 20_000;
  const { events, stop } = listen(vfs);
  disk.load(800 * 1024);
  {
    using connection = overfill(path, vfs);
    await until(() => events.length > 0);
    assert.equal(events[0]!.type, "diskfull");
    assert.equal(events[0]!.path, path);
    assert.equal(events[0]!.error?.codeName, "SQLITE_FULL");
    assert.equal(vfs.status(path).state, "disk-full");
    connection.exec("INSERT INTO t VALUES (1000, NULL)");
    disk.unload();
    await vfs.flush({ path });
    await until(() => events.length > 1);
    assert.equal(events[1]!.type, "resume");
    assert.equal(events[1]!.error, null);
    assert.equal(vfs.status(path).state, "running");
  }
  await vfs.flush();
  assert.equal(numbersIn(path).length, 101);
  stop();
});

test("a background error: error event, flush and calls fail, the file stays sound", {
  skip,
}, async () => {
  await using folder = new Folder();
  using disk = SmallDisk.mount(folder);
  const path = disk.file("a.db");
  const other = folder.file("other.db");
  const vfs = await install();
  using _settings = new Settings(vfs);
  vfs.diskFullRetryMs = 0;
  const { events, stop } = listen(vfs);
  disk.load(800 * 1024);
  {
    await slowDown(vfs, 1);
    using connection = open(vfs.uri(path));
    connection.exec("CREATE TABLE t(n INTEGER PRIMARY KEY, text)");
    const insert = connection.prepare("INSERT INTO t VALUES (NULL, hex(zeroblob(2000)))");
    for (let i = 0; i < 100; i++) insert.run();
    const flushed = errorOf(() => vfs.flush({ path }));
    vfs.delayMs = 0;
    const error = await flushed;
    assert.equal(error.codeName, "SQLITE_FULL");
    assert.ok(error.path?.startsWith(path), `${error.path}`);
    await until(() => events.some(({ type }) => type === "error"));
    const event = events.find(({ type }) => type === "error")!;
    assert.equal(event.path, path);
    assert.equal(event.error?.codeName, "SQLITE_FULL");

    const status = vfs.status(path);
    assert.equal(status.state, "failed");
    assert.equal(status.error?.codeName, "SQLITE_FULL");
    assert.equal(typeof status.error?.message, "string");
    assert.throws(() => insert.run());
    assert.equal((await errorOf(() => vfs.flushSync({ path }))).codeName, "SQLITE_FULL");

    using healthy = open(vfs.uri(other));
    healthy.exec("CREATE TABLE t(n); INSERT INTO t VALUES (1)");
    await vfs.flush({ path: other });
  }
  disk.unload();
  assert.ok(numbersIn(path).length < 100);
  {
    // All its handles are closed: a new start.
    using connection = open(vfs.uri(path));
    connection.exec("INSERT INTO t VALUES (1000, NULL)");
    await vfs.flush({ path });
  }
  stop();
});

test("listeners are typed, once and removal work as for any EventTarget", async () => {
  const vfs = await install();
  let count = 0;
  const listener = () => void count++;
  vfs.addEventListener("resume", listener, { once: true });
  vfs.dispatchEvent(new Event("resume"));
  vfs.dispatchEvent(new Event("resume"));
  assert.equal(count, 1);
  vfs.addEventListener("diskfull", listener);
  vfs.removeEventListener("diskfull", listener);
  vfs.dispatchEvent(new Event("diskfull"));
  assert.equal(count, 1);
});
