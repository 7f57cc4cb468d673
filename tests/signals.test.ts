import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { install } from "../mod.ts";
import { numbersIn, numbersTo } from "./helpers/check.ts";
import { Child, runProgram } from "./helpers/child.ts";
import { Folder } from "./helpers/folder.ts";

const ROWS = 100;
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR2"] as const;
type Signal = (typeof SIGNALS)[number];

const isDeno = "Deno" in globalThis;
const isBun = "Bun" in globalThis;
const skip = process.platform === "win32" ? "Windows has no such signals" : false;
const skipWithoutExecve = "execve" in process && process.platform !== "win32"
  ? false
  : "no process.execve()";

/** A program that has all its rows queued when it says "ready", and lives on. */
function program(path: string, { options = "{}", first = "", later = "" } = {}): string {
  return `
    ${first}
    const vfs = await install(${options});
    const connection = open(vfs.uri(${JSON.stringify(path)}));
    connection.exec("PRAGMA synchronous = OFF"); // for the disk may be slow
    ${later}
    vfs.halt = "now";
    insertNumbers(connection, ${ROWS});
    setInterval(() => {}, 1000);
    console.log("ready");
  `;
}

/** What a child writes before it dies of the signal: all rows. */
async function checkDeath(text: string, path: string, signal: Signal, said = ""): Promise<void> {
  using child = new Child(text);
  await child.printed("ready");
  child.kill(signal);
  const ended = await child.ended(60_000);
  assert.deepEqual([ended.signal, ended.stderr], [signal, ""]);
  assert.equal(ended.stdout, `ready${said}`);
  assert.deepEqual(numbersIn(path), numbersTo(ROWS));
}

/** A test for each signal, in a folder of its own. */
function testEach(name: string, run: (signal: Signal, path: string) => Promise<void>): void {
  for (const signal of SIGNALS) {
    test(`${signal} ${name}`, { skip }, async () => {
      await using folder = new Folder();
      await run(signal, folder.file("a.db"));
    });
  }
}

testEach("ends the process once its queue is written", async (signal, path) => {
  await checkDeath(program(path), path, signal);
});

testEach("with drainOnSignals: false leaves what is queued", async (signal, path) => {
  using child = new Child(program(path, { options: "{ drainOnSignals: false }" }));
  await child.printed("ready");
  child.kill(signal);
  const ended = await child.ended(60_000);
  assert.deepEqual([ended.signal, ended.stderr], [signal, ""]);
  assert.throws(() => numbersIn(path), /no such table/);
});

/** A handler that lives through the signal, and at the second one exits. */
const handler = (signal: Signal) => `
  let caught = 0;
  process.on("${signal}", () => {
    console.log("caught");
    if (++caught === 2) process.exit(5);
  });
`;

for (const when of ["before", "after"] as const) {
  testEach(`is the program's own, with a handler from ${when} install()`, async (signal, path) => {
    const part = when === "before" ? "first" : "later";
    using child = new Child(program(path, { [part]: handler(signal) }));
    await child.printed("ready");
    child.kill(signal);
    await child.printed("caught");
    child.kill(signal);
    const ended = await child.ended(60_000);
    assert.deepEqual([ended.code, ended.signal, ended.stderr], [5, null, ""]);
    assert.equal(ended.stdout, "ready\ncaught\ncaught");
    assert.deepEqual(numbersIn(path), numbersTo(ROWS));
  });
}

testEach("ends it after a handler that was there before install()", async (signal, path) => {
  const first = `
    const none = () => {};
    process.on("${signal}", none);
    process.off("${signal}", none);
  `;
  await checkDeath(program(path, { first }), path, signal);
});

/** The writer looks, when it has something to write, whether our handlers are in place. */
const WRITE_A_WHILE = `
  connection.exec("CREATE TABLE other(n)");
  for (let n = 0; n < 10; n++) {
    connection.exec("INSERT INTO other VALUES (1)");
    await sleep(10);
  }
`;

testEach("ends it after a handler that was there for a while", async (signal, path) => {
  const later = `
    const none = () => {};
    process.on("${signal}", none);
    process.off("${signal}", none);
    ${WRITE_A_WHILE}
  `;
  await checkDeath(program(path, { later }), path, signal);
});

for (const when of ["before", "after"] as const) {
  testEach(`ends it after a handler for one time from ${when} install()`, async (signal, path) => {
    const once = `
      let caught = false;
      process.once("${signal}", () => caught = true);
    `;
    const later = `
      process.kill(process.pid, "${signal}");
      while (!caught) await sleep(1);
      ${WRITE_A_WHILE}
    `;
    const parts = when === "before" ? { first: once, later } : { later: once + later };
    await checkDeath(program(path, parts), path, signal);
  });
}

testEach("ends it by a handler that sends it again", async (signal, path) => {
  const later = `
    process.once("${signal}", () => {
      console.log("caught");
      process.kill(process.pid, "${signal}");
    });
  `;
  await checkDeath(program(path, { later }), path, signal, "\ncaught");
});

testEach("that is ignored does what it does without us", async (signal, path) => {
  // Node and, half a second after its start, Deno put handlers of their own over that.
  const dies = !isBun && (!isDeno || ["SIGTERM", "SIGINT", "SIGHUP"].includes(signal));
  const ignoring = ["sh", "-c", `trap "" ${signal.slice(3)}; exec "$0" "$@"`];
  const text = program(path, { later: "setTimeout(() => process.exit(6), 3000);" });
  using child = new Child(text, {}, [], ignoring);
  await child.printed("ready");
  child.kill(signal);
  const ended = await child.ended(60_000);
  assert.deepEqual([ended.code, ended.signal], dies ? [null, signal] : [6, null], ended.stderr);
  assert.deepEqual(numbersIn(path), numbersTo(ROWS));
});

test("a child process of the program ignores and blocks the signals that it did before", {
  skip: process.platform === "linux" ? false : "no /proc",
}, async () => {
  const { stdout, stderr } = await runProgram(`
    import { execFileSync } from "node:child_process";
    const look = () => {
      const status = execFileSync("cat", ["/proc/self/status"], { encoding: "utf8" });
      return status.match(/^(SigBlk|SigIgn|SigCgt):.*$/gm).join(" ");
    };
    const before = look();
    await install();
    console.log(look() === before);
  `);
  assert.deepEqual([stdout, stderr], ["true", ""]);
});

test("drainOnSignals is on, and another install() does not undo a false", async () => {
  const vfs = await install();
  assert.equal(vfs.drainOnSignals, true);
  vfs.drainOnSignals = false;
  assert.equal((await install()).drainOnSignals, false);
  assert.equal((await install({ maxDelayMs: 500 })).drainOnSignals, false);
  assert.equal((await install({ drainOnSignals: true })).drainOnSignals, true);
});

// ---- Replacing the process ----

const REPLACEMENT = `"/bin/echo", ["echo", "replaced"]`;

test("process.execve() writes the queue before the process is replaced", {
  skip: skipWithoutExecve,
}, async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const ended = await runProgram(`
    ${program(path)}
    process.execve(${REPLACEMENT});
  `);
  assert.deepEqual([ended.code, ended.stdout], [0, "ready\nreplaced"], ended.stderr);
  assert.deepEqual(numbersIn(path), numbersTo(ROWS));
});

test(
  "a process.execve() that fails leaves all as it was",
  { skip: skipWithoutExecve },
  async () => {
    await using folder = new Folder();
    const path = folder.file("a.db");
    const ended = await runProgram(`
    ${program(path)}
    try {
      process.execve("/nowhere/at all", ["nothing"]);
    } catch (error) {
      console.log(error.code);
    }
    vfs.halt = "never";
    connection.exec("INSERT INTO t VALUES (${ROWS + 1})");
    await vfs.flush();
    console.log(vfs.status().queuedOps);
    process.exit(0);
  `);
    assert.deepEqual([ended.code, ended.stdout], [0, "ready\nENOENT\n0"], ended.stderr);
    assert.deepEqual(numbersIn(path), numbersTo(ROWS + 1));
  },
);

test("what process.execve() could not write in time is told", {
  skip: skipWithoutExecve,
}, async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const options = "{ exitDrainMs: 0 }";
  const ended = await runProgram(`
    ${program(path, { options })}
    process.execve(${REPLACEMENT});
  `);
  assert.equal(ended.stdout, "ready\nreplaced");
  assert.match(ended.stderr, /^sqlite3async: execve: .*not all was written within 0 ms$/m);
});
