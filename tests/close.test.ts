import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { numbersIn, numbersTo } from "./helpers/check.ts";
import { runProgram } from "./helpers/child.ts";
import { Folder, MEMORY } from "./helpers/folder.ts";

test("close() names open databases and changes nothing", async () => {
  await using folder = new Folder();
  const path = folder.file("left-open.db");
  const { stdout, stderr } = await runProgram(`
    const vfs = await install();
    const connection = open(vfs.uri(${JSON.stringify(path)}));
    insertNumbers(connection, 3);
    const error = await vfs.close().catch((error) => error);
    console.log(error instanceof AsyncVfsError, error.codeName, error.message);
    connection.exec("INSERT INTO t VALUES (4)");
    connection.close();
    await vfs.close();
    console.log("closed");
  `);
  const lines = stdout.split("\n");
  assert.match(lines[0] ?? "", /^true SQLITE_BUSY .*left-open\.db/, stderr);
  assert.equal(lines[1], "closed", stderr);
  assert.deepEqual(numbersIn(path), numbersTo(4));
});

test("calls after close() throw, install() installs anew", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const { stdout, stderr } = await runProgram(`
    const vfs = await install();
    const uri = vfs.uri(${JSON.stringify(path)});
    await vfs.close();
    const calls = {
      uri: () => vfs.uri("a.db"), route: () => vfs.route("a.db"),
      unroute: () => vfs.unroute("a.db"),
      flush: () => vfs.flush(), flushSync: () => vfs.flushSync(), status: () => vfs.status(),
      halt: () => vfs.halt, delayMs: () => vfs.delayMs = 1, start: () => vfs.start(),
      stop: () => vfs.stop(), close: () => vfs.close(),
      addEventListener: () => vfs.addEventListener("error", () => {}),
    };
    for (const [name, call] of Object.entries(calls)) {
      let error;
      try {
        await call();
      } catch (thrown) {
        error = thrown;
      }
      if (error?.codeName !== "SQLITE_MISUSE" || !/was closed.*install/.test(error.message)) {
        console.log("not refused:", name, error);
      }
    }
    try {
      open(uri);
      console.log("the VFS is still there");
    } catch {}
    const again = await install();
    const connection = open(again.uri(${JSON.stringify(path)}));
    insertNumbers(connection, 3);
    await again.flush();
    connection.close();
    console.log(again !== vfs);
  `);
  assert.equal(stdout, "true", stderr);
  assert.deepEqual(numbersIn(path), numbersTo(3));
});

test("install() installs anew what another copy of the module has closed", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  cpSync(fileURLToPath(new URL("../ffi", import.meta.url)), folder.file("ffi"), {
    recursive: true,
  });
  const copy = pathToFileURL(folder.file("ffi/install.ts")).href;
  const { stdout, stderr } = await runProgram(`
    const copy = await import(${JSON.stringify(copy)});
    const vfs = await install();
    const ofCopy = await copy.install();
    await ofCopy.close();
    const again = await install();
    const connection = open(again.uri(${JSON.stringify(path)}));
    insertNumbers(connection, 3);
    await vfs.flush(); // the object from before is of the same VFS
    connection.close();
    console.log(ofCopy !== vfs);
  `);
  assert.equal(stdout, "true", stderr);
  assert.deepEqual(numbersIn(path), numbersTo(3));
});

test("close() and await using write everything", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const { stdout, stderr } = await runProgram(`
    const vfs = await install();
    vfs.delayMs = 1;
    const connection = open(vfs.uri(${JSON.stringify(path)}));
    insertNumbers(connection, 20);
    connection.close();
    await vfs[Symbol.asyncDispose](); // what \`await using\` does, which Node 22 lacks
    process.kill(process.pid, "SIGKILL");
  `);
  assert.deepEqual([stdout, stderr], ["", ""]);
  assert.deepEqual(numbersIn(path), numbersTo(20));
});

test("close() reports a queue that couldn't be written in time and changes nothing", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const { stdout, stderr } = await runProgram(`
    const vfs = await install();
    const connection = open(vfs.uri(${JSON.stringify(path)}));
    vfs.halt = "now"; // else the connection's close would have written it
    insertNumbers(connection, 20);
    connection.close();
    const error = await vfs.close({ timeoutMs: 50 }).catch((error) => error);
    console.log(error.codeName);
    vfs.halt = "never";
    await vfs.flush();
    await vfs.close();
  `);
  assert.equal(stdout, "SQLITE_BUSY", stderr);
  assert.deepEqual(numbersIn(path), numbersTo(20));
});

test("close() while Workers commit is refused, and works once they are done", async () => {
  await using folder = new Folder(MEMORY);
  const worker = new URL("./helpers/flush_worker.ts", import.meta.url).href;
  const { code, stdout, stderr } = await runProgram(`
    const vfs = await install();
    let running = 3;
    for (let i = 0; i < 3; i++) {
      const worker = new Worker(${JSON.stringify(worker)}, { type: "module" });
      worker.onmessage = ({ data }) => {
        console.log("flushed", data.flushed);
        worker.terminate();
        running--;
      };
      worker.postMessage({ path: ${JSON.stringify(folder.path)} + "/" + i + ".db", count: 150 });
    }
    let refused = 0;
    while (running > 0) {
      const connection = open(vfs.uri(${JSON.stringify(folder.file("main.db"))}));
      const error = await vfs.close().catch((error) => error);
      if (error?.codeName !== "SQLITE_BUSY") console.log("not refused:", error);
      refused++;
      connection.close();
      await sleep(1); // for messages to arrive
    }
    const flushed = vfs.flush(); // pending when it closes
    await vfs.close();
    await flushed;
    console.log("closed", refused > 2);
  `);
  const flushed = Array.from({ length: 3 }, () => "flushed 150").join("\n");
  assert.deepEqual([code, stdout, stderr], [0, `${flushed}\nclosed true`, ""]);
  for (let i = 0; i < 3; i++) assert.deepEqual(numbersIn(folder.file(`${i}.db`)), numbersTo(150));
});
