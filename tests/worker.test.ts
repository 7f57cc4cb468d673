import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "../examples/sqlite.ts";
import { install } from "../mod.ts";
import { numbersIn, numbersTo } from "./helpers/check.ts";
import { runProgram } from "./helpers/child.ts";
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

test("Workers terminated while they flush harm nobody", async () => {
  await using folder = new Folder();
  const { code, stdout, stderr } = await runProgram(`
    const vfs = await install();
    const connection = open(vfs.uri(${JSON.stringify(folder.file("main.db"))}));
    insertNumbers(connection, 10);
    for (let round = 0; round < 12; round++) {
      const worker = new Worker(${JSON.stringify(workerUrl.href)}, { type: "module" });
      const running = new Promise((resolve) => worker.onmessage = resolve);
      const path = ${JSON.stringify(folder.file("worker"))} + round + ".db";
      worker.postMessage({ path, count: 1e9, tellAt: 3 });
      await running;
      await sleep(Math.random() * 5);
      worker.terminate();
      connection.exec("INSERT INTO t VALUES (NULL)");
      await vfs.flush();
    }
    const worker = new Worker(${JSON.stringify(workerUrl.href)}, { type: "module" });
    const running = new Promise((resolve) => worker.onmessage = resolve);
    worker.postMessage({ path: ${JSON.stringify(folder.file("last.db"))}, count: 1e9, tellAt: 3 });
    await running;
    console.log("exiting");
    process.exit(0);
  `);
  assert.deepEqual([code, stdout, stderr], [0, "exiting", ""]);
  assert.deepEqual(numbersIn(folder.file("main.db")), numbersTo(22));
});

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
