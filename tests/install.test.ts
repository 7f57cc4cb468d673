import assert from "node:assert/strict";
import { cpSync, existsSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { AsyncVfs, install } from "../mod.ts";
import { open } from "../examples/sqlite.ts";
import { locateLibrary } from "../ffi/library.ts";
import { currentRuntime } from "../ffi/runtime.ts";
import { errorOf } from "./helpers/check.ts";
import { runProgram } from "./helpers/child.ts";
import { Folder } from "./helpers/folder.ts";
import { Settings } from "./helpers/settings.ts";

const isNode = !("Deno" in globalThis || "Bun" in globalThis);

test("install() called again gives the same VFS and keeps its parameters", async () => {
  const vfs = await install();
  using _settings = new Settings(vfs);
  await install({ maxDelayMs: 777 });
  assert.ok(vfs instanceof AsyncVfs);
  assert.equal(await install(), vfs);
  assert.equal(vfs.maxDelayMs, 777);
});

test("install() registers a VFS that SQLite finds by name", async () => {
  await using folder = new Folder();
  const vfs = await install();
  assert.equal(vfs.name, "sqlite3async");
  using connection = open(vfs.uri(folder.file("a.db")));
  connection.exec("CREATE TABLE t(n)");
  assert.equal(vfs.status(folder.file("a.db")).state, "running");
  await vfs.flush();
});

test("install() starts with the documented defaults", async () => {
  const { stdout, stderr } = await runProgram(`
    const vfs = await install();
    const { halt, delayMs, lockFiles, maxQueueBytes, onQueueFull, maxDelayMs, drainOnExit } = vfs;
    const { exitDrainMs, drainOnSignals } = vfs;
    console.log(JSON.stringify({
      halt, delayMs, lockFiles, maxQueueBytes, onQueueFull, maxDelayMs, drainOnExit, exitDrainMs,
      drainOnSignals, locksAreHandedBack: vfs.maxLockHoldMs > 0,
    }));
  `);
  assert.deepEqual(JSON.parse(stdout || `"${stderr}"`), {
    halt: "never",
    delayMs: 0,
    lockFiles: true,
    maxQueueBytes: 64 * 2 ** 20,
    onQueueFull: "block",
    maxDelayMs: 1000,
    drainOnExit: true,
    exitDrainMs: 10000,
    drainOnSignals: true,
    locksAreHandedBack: true,
  });
});

test("install() sets the parameters it is given before the writer starts", async () => {
  const { stdout } = await runProgram(`
    const vfs = await install({
      maxQueueBytes: 0, onQueueFull: "busy", maxDelayMs: 0, maxLockHoldMs: 12, diskFullRetryMs: 34,
      lockFiles: false, drainOnExit: false, exitDrainMs: 56, drainOnSignals: false,
    });
    console.log(vfs.maxQueueBytes, vfs.onQueueFull, vfs.maxDelayMs, vfs.maxLockHoldMs,
      vfs.diskFullRetryMs, vfs.lockFiles, vfs.drainOnExit, vfs.exitDrainMs, vfs.drainOnSignals);
  `);
  assert.equal(stdout, "0 busy 0 12 34 false false 56 false");
});

test("install() refuses unknown options and bad values and changes nothing", async () => {
  const vfs = await install({ maxDelayMs: 1000 });
  const refused: [Record<string, unknown>, RegExp][] = [
    [{ maxDelayMs: 5, bogus: 1 }, /no option "bogus"; there are library, .*, drainOnSignals/],
    [{ maxDelayMs: 5, halt: "now" }, /no option "halt"; it is a property of the VFS/],
    [{ maxDelayMs: -1 }, /Cannot set maxDelayMs to -1: it must be a whole number/],
    [{ maxDelayMs: 1.5 }, /maxDelayMs to 1.5/],
    [{ maxDelayMs: "5" }, /maxDelayMs to "5"/],
    [{ maxDelayMs: NaN }, /maxDelayMs to NaN/],
    [{ maxDelayMs: 2 ** 31 }, /maxDelayMs to 2147483648/],
    [{ maxDelayMs: Object.create(null) }, /maxDelayMs to an object: /],
    [{ maxDelayMs: 5, maxQueueBytes: 64n }, /maxQueueBytes to 64n: /],
    [{ maxDelayMs: 5, maxQueueBytes: null }, /maxQueueBytes to null/],
    [{ maxDelayMs: 5, onQueueFull: "wait" }, /onQueueFull to "wait": it must be "block" or "busy"/],
    [{ maxDelayMs: 5, lockFiles: 1 }, /lockFiles to 1: it must be true or false/],
    [{ maxDelayMs: 5, makeDefault: "yes" }, /makeDefault = "yes"/],
    [{ maxDelayMs: 5, parent: "" }, /parent = ""/],
    [{ maxDelayMs: 5, library: 5 }, /library = 5/],
  ];
  const noOptions = [null, 5, "app.db", () => {}].map((value): [never, RegExp] => {
    return [value as never, /^Cannot install .* with (null|5|"app.db"|a function): options are an/];
  });
  for (const [options, message] of [...refused, ...noOptions]) {
    const error = await errorOf(() => install(options));
    assert.match(error.message, message);
    assert.equal(error.codeName, "SQLITE_MISUSE");
    assert.equal(error.code, 21);
    assert.equal(vfs.maxDelayMs, 1000);
  }
});

test("install() refuses another library, parent or default once installed", async () => {
  await using folder = new Folder();
  await install();
  writeFileSync(folder.file("other.so"), "");
  const library = await errorOf(() => install({ library: folder.file("other.so") }));
  assert.match(library.message, /it is installed from/);
  assert.equal((await errorOf(() => install({ parent: "unix-none" }))).codeName, "SQLITE_MISUSE");
  assert.equal((await errorOf(() => install({ makeDefault: true }))).codeName, "SQLITE_MISUSE");
});

test("install() explains a missing or foreign library", async () => {
  await using folder = new Folder();
  const missing = folder.file("nothing.so");
  const url = pathToFileURL(folder.file("such x.so")).href;
  const text = folder.file("text.so");
  writeFileSync(text, "not a library");
  const { stdout, stderr } = await runProgram(`
    const tried = [${JSON.stringify(missing)}, ${JSON.stringify(text)}, ${
    JSON.stringify(folder.path)
  }];
    const urls = [${JSON.stringify(url)}, new URL("https://example.com/x.so")];
    for (const library of [...tried, ...urls]) {
      const error = await install({ library }).catch((error) => error);
      console.log(error instanceof AsyncVfsError, error.codeName, error.message);
    }
    await install();
    console.log("installed");
  `);
  const lines = stdout.split("\n");
  assert.match(lines[0]!, /^true SQLITE_CANTOPEN .*nothing\.so": no such file/, stderr);
  assert.match(lines[1]!, /^true SQLITE_CANTOPEN .*text\.so": it is not a sqlite3async library/);
  assert.match(lines[2]!, /^true SQLITE_CANTOPEN .*not a sqlite3async library/);
  assert.match(lines[3]!, /^true SQLITE_CANTOPEN .*[/\\]such x\.so": no such file/);
  assert.match(lines[4]!, /^true SQLITE_CANTOPEN .*not a file on this machine/);
  assert.equal(lines.at(-1), "installed");
});

test("install() refuses a real library that isn't ours", {
  skip: process.platform === "linux" ? false : "libm.so.6 is Linux's",
}, async () => {
  const { stdout, stderr } = await runProgram(`
    import { existsSync } from "node:fs";
    const library = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib"]
      .map((folder) => folder + "/libm.so.6").find(existsSync);
    const error = await install({ library }).catch((error) => error);
    console.log(error.codeName, error.message);
  `);
  assert.match(stdout, /^SQLITE_CANTOPEN .*libm.*not a sqlite3async library/, stderr);
});

test("install() says that it can't be under Node's permission model", {
  skip: isNode ? false : "Node's",
}, async () => {
  for (const more of ["", " --allow-fs-write=* --allow-addons"]) {
    const { stdout, stderr } = await runProgram(
      `
      const { codeName, message } = await install().catch((error) => error);
      console.log(codeName, message);
      `,
      { NODE_OPTIONS: `--permission --allow-fs-read=*${more}` },
    );
    assert.match(
      stdout,
      /^SQLITE_PERM Cannot .* loads no extension.* without --permission$/,
      stderr,
    );
  }
});

test("install() takes the library from SQLITE3ASYNC_LIBRARY", async () => {
  const { stdout } = await runProgram(
    `console.log((await install().catch((error) => error)).message);`,
    { SQLITE3ASYNC_LIBRARY: "/no/such/library.so" },
  );
  const path = resolve("/no/such/library.so"); // in Windows with a drive
  assert.ok(stdout.includes(`"${path}": no such file`), stdout);
  assert.ok(stdout.includes("SQLITE3ASYNC_LIBRARY"), stdout);
});

test("install() names ./run build when the library wasn't built", async () => {
  // A checkout without what is built: a copy of the sources alone.
  await using folder = new Folder();
  const filter = (path: string) => !/prebuilt[/\\]/.test(path);
  cpSync(new URL("../ffi", import.meta.url), folder.file("ffi"), { recursive: true, filter });
  const { stdout, stderr } = await runProgram(
    `
    delete process.env.SQLITE3ASYNC_LIBRARY;
    const copy = await import("${pathToFileURL(folder.file("ffi/install.ts"))}");
    console.log((await copy.install().catch((error) => error)).message);
  `,
  );
  assert.match(stdout, /no such file; build it with "\.\/run build"/, stderr);
});

test("install({ parent }) refuses a VFS that doesn't exist", async () => {
  const { stdout } = await runProgram(`
    const error = await install({ parent: "no-such-vfs" }).catch((error) => error);
    console.log(error instanceof AsyncVfsError, error.message);
    console.log((await install()).name);
  `);
  const [error, name] = stdout.split("\n");
  assert.match(error!, /^true .*no-such-vfs/);
  assert.equal(name, "sqlite3async");
});

test("install({ makeDefault: true }) serves databases that name no VFS", async () => {
  await using folder = new Folder();
  const { stdout, stderr } = await runProgram(`
    const vfs = await install({ makeDefault: true });
    const path = ${JSON.stringify(folder.file("a.db"))};
    const connection = open(path);
    insertNumbers(connection, 10);
    console.log(vfs.status(path).committed > 0);
  `);
  assert.equal(stdout, "true", stderr);
});

test("install() and routes work under Deno's scoped permissions", {
  skip: "Deno" in globalThis ? false : "Deno's",
}, async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const { stdout, stderr } = await runProgram(
    `
    const vfs = await install();
    vfs.route(${JSON.stringify(path)});
    const connection = open(${JSON.stringify(path)});
    insertNumbers(connection, 3);
    await vfs.flush();
    console.log(vfs.status(${JSON.stringify(path)}).durable > 0);
    `,
    {},
    ["--allow-ffi", `--allow-read=${folder.path}`, `--allow-write=${folder.path}`],
  );
  assert.equal(stdout, "true", stderr);
});

test("a second SQLite library in the process is refused", {
  skip: systemSqlite() === undefined
    ? "there is no system SQLite to load"
    : isNode
    ? "Node has nothing to load it with"
    : false,
}, async () => {
  const library = await locateLibrary(await currentRuntime());
  const { stdout, stderr } = await runProgram(`
    await install();
    const table = {
      sqlite3_open: ["buffer", "buffer"],
      sqlite3_enable_load_extension: ["i64", "i32"],
      sqlite3_load_extension: ["i64", "buffer", "i64", "buffer"],
    };
    const map = (shape) => Object.fromEntries(Object.entries(table).map(([name, types]) => {
      return [name, shape(types)];
    }));
    const path = ${JSON.stringify(systemSqlite())};
    const { symbols } = "Deno" in globalThis
      ? Deno.dlopen(path, map((parameters) => ({ parameters, result: "i32" })))
      : (await import("bun:ffi")).dlopen(path, map((args) => ({ args, returns: "i32" })));
    const text = (value) => new TextEncoder().encode(value + "\\0");
    const out = new BigInt64Array(1);
    symbols.sqlite3_open(text(":memory:"), out);
    const database = out[0];
    symbols.sqlite3_enable_load_extension(database, 1);
    const rc = symbols.sqlite3_load_extension(database, text(${JSON.stringify(library)}), 0n, out);
    console.log(rc !== 0);
    console.log((await install()).status().state);
  `);
  assert.equal(stdout, "true\nrunning", stderr);
});

/** A SQLite library that isn't the runtime's. */
function systemSqlite(): string | undefined {
  if (process.platform !== "linux") return undefined;
  const folders = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
  return folders.map((folder) => `${folder}/libsqlite3.so.0`).find(existsSync);
}

test("install() in a Worker gives the VFS of the process", async () => {
  const vfs = await install();
  using _settings = new Settings(vfs);
  vfs.diskFullRetryMs = 4321;
  const worker = new Worker(new URL("./helpers/install_worker.ts", import.meta.url), {
    type: "module",
  });
  const { promise, resolve } = Promise.withResolvers<unknown>();
  worker.onmessage = ({ data }) => resolve(data);
  assert.deepEqual(await promise, { name: "sqlite3async", diskFullRetryMs: 4321 });
  worker.terminate();
  assert.equal(vfs.diskFullRetryMs, 4321);
});

test("install() refuses another copy of the library in the process", async () => {
  await using folder = new Folder();
  const copy = folder.file("copy.so");
  cpSync(await locateLibrary(await currentRuntime()), copy);
  const url = (path: string) => new URL(path, import.meta.url).href;
  const { stdout, stderr } = await runProgram(`
    import { currentRuntime } from "${url("../ffi/runtime.ts")}";
    const vfs = await install();
    const loadCopy = (await currentRuntime()).loadExtension.bind(null, ${JSON.stringify(copy)});
    try {
      loadCopy();
    } catch (error) {
      console.log(error.message);
    }
    await vfs.close();
    loadCopy();
    await install().catch((error) => console.log(error.message));
  `);
  const lines = stdout.split("\n");
  assert.equal(lines.length, 2, stdout + stderr);
  for (const line of lines) {
    assert.match(line, /another copy of sqlite3async is in use in this process/);
  }
});
