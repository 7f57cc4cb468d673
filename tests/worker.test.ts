import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "../examples/sqlite.ts";
import { install } from "../mod.ts";
import { numbersIn, numbersTo, until } from "./helpers/check.ts";
import { Folder, MEMORY } from "./helpers/folder.ts";
import { Remote } from "./helpers/remote.ts";

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

/** Windows' truncation moves a position that reads of the same handle move, too. */
test("a database stays whole while a Worker reads it and checkpoints set its size", async () => {
  await using folder = new Folder(MEMORY);
  const path = folder.file("a.db");
  const vfs = await install();
  const rows = 400; // more than the Worker's cache has room for
  {
    using connection = open(vfs.uri(path));
    connection.exec("PRAGMA journal_mode = WAL; CREATE TABLE t(n INTEGER PRIMARY KEY, text)");
    connection.exec(`
      WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ${rows})
      INSERT INTO t SELECT n, printf('%03000d', n) FROM c
    `);
    await vfs.flush();
    await using reader = await Remote.open(path);
    await reader.all("PRAGMA cache_size = 5");
    const right = "SELECT count(*) AS rows FROM t WHERE text = printf('%03000d', n)";
    const update = connection.prepare("UPDATE t SET n = n WHERE n = ?");
    for (let round = 0; round < 12; round++) {
      let reading = true;
      const read = reader.all(right).finally(() => reading = false);
      for (let n = 1; reading; n = n % rows + 1) {
        update.run(n);
        connection.exec("PRAGMA wal_checkpoint(PASSIVE)");
        // The reader's answer is an event: a flush with nothing to do lets none in.
        await new Promise((resolve) => setTimeout(resolve));
      }
      assert.equal((await read)[0]?.rows, rows);
    }
  }
  await vfs.flush();
  using plain = open(path);
  assert.equal(plain.all("PRAGMA integrity_check")[0]?.integrity_check, "ok");
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
