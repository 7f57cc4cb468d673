import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { locateLibrary } from "../ffi/library.ts";
import { currentRuntime } from "../ffi/runtime.ts";
import { numbersIn, numbersTo } from "./helpers/check.ts";
import { Child, type Ended, runProgram } from "./helpers/child.ts";
import { Folder } from "./helpers/folder.ts";

const ROWS = 300;
const isDeno = "Deno" in globalThis;
const isWindows = process.platform === "win32";

/** A program that commits ROWS rows, ends so, and has most of them queued at that moment. */
function program(path: string, ending: string, options: string = "{}", delayMs = 0): string {
  return `
    const vfs = await install(${options});
    const connection = open(vfs.uri(${JSON.stringify(path)}));
    vfs.halt = "now";
    connection.exec("PRAGMA synchronous = OFF"); // for the disk may be slow
    insertNumbers(connection, ${ROWS});
    vfs.delayMs = ${delayMs};
    vfs.halt = "never";
    ${ending}
  `;
}

// `deno test` tells so of the end of each file, `deno run --watch` of a reload.
test("an end that did not come is forgotten by the next install()", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const { stderr } = await runProgram(`
    const vfs = await install({ exitDrainMs: 20 });
    ${isDeno ? 'globalThis.dispatchEvent(new Event("unload"))' : 'process.emit("exit", 0)'};
    await sleep(50);
    await install();
    const connection = open(vfs.uri(${JSON.stringify(path)}));
    vfs.delayMs = 1;
    insertNumbers(connection, ${ROWS});
    connection.close(); // waits until all is in the file
    process.kill(process.pid, "SIGKILL");
  `);
  assert.deepEqual(numbersIn(path), numbersTo(ROWS), stderr);
});

const endings = {
  "at its normal end": { ending: "", code: 0 },
  "after closing the connection": { ending: "connection.close();", code: 0 },
  "after process.exit()": { ending: "process.exit(3);", code: 3 },
  "after Deno.exit()": { ending: "Deno.exit(4);", code: 4 },
  "after an uncaught error": { ending: "throw new Error('on purpose');", code: 1 },
};

for (const [name, { ending, code }] of Object.entries(endings)) {
  const skip = ending.startsWith("Deno") && !isDeno ? "Deno's" : false;
  test(`a process writes its queue ${name}`, { skip }, async () => {
    await using folder = new Folder();
    const path = folder.file("a.db");
    const ended = await runProgram(program(path, ending));
    assert.equal(ended.code, code, ended.stderr);
    assert.deepEqual(numbersIn(path), numbersTo(ROWS));
  });
}

/** What on Windows install() does besides, elsewhere too. */
const AS_ON_WINDOWS = 'Object.defineProperty(process, "platform", { value: "win32" });';

/** A program as above that says what is queued when the runtime has begun to end. */
async function leftOnWindows(path: string, ending: string, options?: string): Promise<Ended> {
  const listening = isDeno
    ? 'globalThis.addEventListener("unload", tell);'
    : 'process.on("exit", tell);';
  const tell = 'const tell = () => console.log("left", vfs.status().queuedOps);';
  const library = await locateLibrary(await currentRuntime());
  return await runProgram(
    AS_ON_WINDOWS + program(path, `${tell} ${listening} ${ending}`, options, 50),
    { SQLITE3ASYNC_LIBRARY: library },
  );
}

for (const [name, { ending }] of Object.entries(endings)) {
  const skip = ending.startsWith("Deno") && !isDeno
    ? "Deno's"
    : ending.startsWith("throw") && isDeno
    ? "Deno tells nobody of it"
    : false;
  test(`on Windows a process writes its queue ${name}, before its threads are killed`, {
    skip,
  }, async () => {
    await using folder = new Folder();
    const { stdout, stderr } = await leftOnWindows(folder.file("a.db"), ending);
    assert.equal(stdout, "left 0", stderr);
  });
}

test("on Windows who is told of the end later can still commit and flush", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const last = isDeno
    ? 'globalThis.addEventListener("unload", last);'
    : 'process.on("exit", last);';
  const { stdout, stderr } = await leftOnWindows(
    path,
    `
      const last = () => {
        connection.exec("INSERT INTO t VALUES (${ROWS + 1})");
        vfs.flushSync();
        connection.exec("INSERT INTO t VALUES (${ROWS + 2})");
        console.log(vfs.status().durable < vfs.status().committed);
      };
      ${last}
    `,
  );
  assert.deepEqual([stdout, stderr], ["left 0\ntrue", ""]);
  assert.deepEqual(numbersIn(path), numbersTo(ROWS + 2));
});

test("on Windows that has its deadline, too, and drainOnExit: false leaves it all", async () => {
  await using folder = new Folder();
  for (const options of ["{ drainOnExit: false }", "{ exitDrainMs: 0 }"]) {
    const ended = await leftOnWindows(folder.file("a.db"), "process.exit(0);", options);
    assert.match(ended.stdout, /^left [1-9]/, JSON.stringify(ended));
  }
});

test("on Windows the end of a Worker is not the process's", async () => {
  await using folder = new Folder();
  const worker = new URL("./helpers/exit_worker.ts", import.meta.url).href;
  const { stdout, stderr } = await leftOnWindows(
    folder.file("a.db"),
    `
      const worker = new Worker(${JSON.stringify(worker)}, { type: "module" });
      await new Promise((resolve) => worker.onmessage = resolve);
      await sleep(500); // it has ended
      console.log(vfs.status().queuedOps > 0);
      process.exit(0);
    `,
  );
  assert.equal(stdout, "true\nleft 0", stderr);
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`a process on a slow disk writes its queue at ${signal}, and dies of it`, {
    skip: isWindows ? "no signals" : false,
  }, async () => {
    await using folder = new Folder();
    const path = folder.file("a.db");
    // By the time of the signal Deno has put handlers of its own in place, half a second after
    // its start. Nothing is written before, so that draining takes a while.
    const ending = `
      vfs.halt = "now";
      setTimeout(() => console.log("ready"), 800);
      setInterval(() => {}, 1000);
    `;
    using child = new Child(program(path, ending, "{}", 10));
    await child.printed("ready");
    child.kill(signal);
    const ended = await child.ended();
    assert.equal(ended.signal, signal, ended.stderr);
    assert.deepEqual(numbersIn(path), numbersTo(ROWS));
  });
}

test("what was told as committed before a signal's end is there", {
  skip: isWindows ? "no signals" : false,
}, async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  using child = new Child(`
    import { openSync, writeSync } from "node:fs";
    const vfs = await install({ exitDrainMs: 60_000 }); // the disk may be busy
    const connection = open(vfs.uri(${JSON.stringify(path)}));
    connection.exec("CREATE TABLE t(n INTEGER PRIMARY KEY)");
    const insert = connection.prepare("INSERT INTO t VALUES (?)");
    const told = openSync(${JSON.stringify(folder.file("told"))}, "w");
    await sleep(800); // as above
    for (let n = 1;; n++) {
      insert.run(n);
      writeSync(told, n + "\\n");
      if (n === 100) console.log("100");
    }
  `);
  await child.printed("100\n");
  child.kill("SIGTERM");
  const ended = await child.ended(90_000);
  assert.equal(ended.signal, "SIGTERM", ended.stderr);
  assert.equal(ended.stderr, "");
  const told = Number(readFileSync(folder.file("told"), "utf8").trim().split("\n").at(-1));
  const found = numbersIn(path);
  assert.deepEqual(found, numbersTo(found.length));
  assert.ok(found.length >= told, `${found.length} found, ${told} told`);
});

test("the drain at exit ends at its deadline and says on stderr what is left", async () => {
  await using folder = new Folder();
  const path = folder.file("slow.db");
  const start = performance.now();
  const ended = await runProgram(
    program(path, "process.exit(0);", "{ exitDrainMs: 1 }", 2000),
  );
  assert.ok(performance.now() - start < 8000);
  assert.equal(ended.code, 0);
  assert.match(ended.stderr, /sqlite3async: .*slow\.db/);
  assert.match(ended.stderr, /\d+ committed transactions/);
  assert.equal(ended.stderr.split("\n").length, 1);
  const found = numbersSoFarIn(path);
  assert.ok(found.length < ROWS);
});

/** The numbers in a database that may not even have its table yet. */
function numbersSoFarIn(path: string): number[] {
  try {
    return numbersIn(path);
  } catch (error) {
    assert.match(String(error), /no such table/);
    return [];
  }
}

test("drainOnExit: false leaves the queue unwritten", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const ended = await runProgram(
    program(path, "process.exit(0);", "{ drainOnExit: false }", 50),
  );
  assert.equal(ended.code, 0, ended.stderr);
  assert.ok(numbersSoFarIn(path).length < ROWS);
});
