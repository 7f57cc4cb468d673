import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "../examples/sqlite.ts";
import { install } from "../mod.ts";
import { numbersIn, numbersTo, until } from "./helpers/check.ts";
import { Folder } from "./helpers/folder.ts";

const workerUrl = new URL("./helpers/flush_worker.ts", import.meta.url);

test("flush() works in a Worker", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  const worker = new Worker(workerUrl, { type: "module" });
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = reject;
  worker.postMessage({ path, count: 100 });
  assert.deepEqual(await promise, { flushed: 100 });
  worker.terminate();
  await vfs.flush();
  assert.deepEqual(numbersIn(path), numbersTo(100));
});

test("a Worker that ends by itself while it flushes harms nobody", async () => {
  await using folder = new Folder();
  const vfs = await install();
  using connection = open(vfs.uri(folder.file("main.db")));
  connection.exec("CREATE TABLE t(n INTEGER PRIMARY KEY)");
  for (let round = 0; round < 3; round++) {
    const worker = new Worker(workerUrl, { type: "module" });
    const told = new Promise((resolve) => worker.onmessage = resolve);
    worker.postMessage({ path: folder.file(`${round}.db`), count: 1e9, tellAt: 3, exitAt: 3 });
    await told;
    connection.exec("INSERT INTO t VALUES (NULL)");
    await vfs.flush();
  }
  assert.deepEqual(numbersIn(folder.file("main.db")), numbersTo(3));
  for (let round = 0; round < 3; round++) {
    await until(() => hasFour(folder.file(`${round}.db`))); // the last one was not flushed
  }
});

function hasFour(path: string): boolean {
  try {
    const numbers = numbersIn(path);
    assert.deepEqual(numbers, numbersTo(numbers.length));
    return numbers.length === 4;
  } catch (error) {
    if (/locked/.test(String(error))) return false;
    throw error;
  }
}

test("a Worker that ends inside a transaction releases its lock", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using connection = open(vfs.uri(path));
  connection.exec("PRAGMA busy_timeout = 5000; CREATE TABLE t(n INTEGER PRIMARY KEY)");
  const worker = new Worker(workerUrl, { type: "module" });
  const begun = new Promise((resolve) => worker.onmessage = resolve);
  worker.postMessage({ path, count: 0, begin: true });
  await begun;
  worker.terminate();
  connection.exec("INSERT INTO t VALUES (1)");
  await vfs.flush();
});
