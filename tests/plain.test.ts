/**
 * Never silently plain: a promise about a database that is plain SQLite's is an error, and what is
 * in use can be seen. And what is to be plain SQLite's, though the VFS is the default, is.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { open } from "../examples/sqlite.ts";
import { install } from "../mod.ts";
import { errorOf, until } from "./helpers/check.ts";
import { Child, runProgram } from "./helpers/child.ts";
import { execute, RUNTIME } from "./helpers/execute.ts";
import { Folder } from "./helpers/folder.ts";
import { Settings } from "./helpers/settings.ts";

const isWindows = process.platform === "win32";
const MOD = new URL("../mod.ts", import.meta.url).href;

/** The URI that opens a path by the VFS that would be the default without us. */
function plainUri(path: string): string {
  return `${pathToFileURL(path).href}?vfs=${isWindows ? "win32" : "unix"}`;
}

/** In a program: a second driver with an SQLite of its own; or why there is none. */
const driver = process.env.DRIVERS_DIR === undefined
  ? { skip: "./run test says where the drivers are", load: "" }
  : isWindows
  ? { skip: "the drivers are Linux'", load: "" }
  : {
    skip: false,
    load: `const BetterSqlite3 = (await import("node:module")).createRequire(${
      JSON.stringify(join(process.env.DRIVERS_DIR, "x.js"))
    })("better-sqlite3");`,
  };

// ---- Flush ----

test("flush() and flushSync() reject for a path that was never open through the VFS", async () => {
  await using folder = new Folder();
  const vfs = await install();
  const path = folder.file("a.db");
  const url = pathToFileURL(path);
  {
    using plain = open(path);
    plain.exec("CREATE TABLE t(n)");
    for (const flush of [() => vfs.flush({ path }), () => vfs.flush({ path: url })]) {
      const error = await errorOf(flush);
      assert.deepEqual([error.codeName, error.operation], ["SQLITE_NOTFOUND", "flush"]);
      assert.equal(realpathSync(error.path!), realpathSync(path));
      assert.match(error.message, /Cannot flush ".*a\.db": it is open outside of sqlite3async/);
    }
    const error = await errorOf(() => vfs.flushSync({ path }));
    assert.deepEqual([error.codeName, error.operation], ["SQLITE_NOTFOUND", "flushSync"]);
    assert.match((await errorOf(() => vfs.status(path))).message, /open outside of sqlite3async/);
    const release = await errorOf(() => vfs.release(path));
    assert.deepEqual([release.codeName, release.operation], ["SQLITE_NOTFOUND", "release"]);
  }
  const never = await errorOf(() => vfs.flush({ path }));
  assert.match(never.message, /was never open through sqlite3async .* open it by vfs\.uri\(\) or/);
  {
    using ours = open(vfs.uri(path));
    ours.exec("INSERT INTO t VALUES (1)");
    await vfs.flush({ path });
  }
  await vfs.flush({ path: url }); // it was open
  vfs.flushSync({ path });
});

test("flush() of all rejects while a routed path is open outside of the VFS", {
  skip: isWindows ? "one connection keeps out who asks who has it open" : false,
}, async () => {
  await using folder = new Folder();
  const vfs = await install();
  const path = folder.file("a.db");
  vfs.route(path);
  await vfs.flush();
  const plain = open(plainUri(path));
  plain.exec("CREATE TABLE t(n)");
  let error: unknown;
  for (let i = 0; i < 500 && error === undefined; i++) {
    error = await vfs.flush().catch((error) => error);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.match(String(error), /Cannot flush ".*a\.db": it is open outside of sqlite3async/);
  assert.equal((await errorOf(() => vfs.flushSync())).codeName, "SQLITE_NOTFOUND");
  plain.close();
  await vfs.flush();
  vfs.unroute(path);
});

test("a second copy of a driver is noticed by whoever asks for a promise", {
  skip: driver.skip,
}, async () => {
  await using folder = new Folder();
  const { stdout, stderr } = await runProgram(`
    ${driver.load}
    process.chdir(${JSON.stringify(folder.path)});
    const vfs = await install();
    vfs.route("app.db");
    const database = new BetterSqlite3("app.db"); // of its own SQLite, which has no VFS
    database.exec("CREATE TABLE t(n)");
    const ask = (name, action) => new Promise((resolve) => resolve(action())).then(
      () => console.log(name, "resolved"),
      ({ codeName, message }) => console.log(name, codeName, /outside of/.test(message)),
    );
    await ask("flush", () => vfs.flush());
    await ask("flush path", () => vfs.flush({ path: "app.db" }));
    await ask("flushSync", () => vfs.flushSync());
    await ask("durable", () => vfs.durable(() => database.exec("INSERT INTO t VALUES (1)")));
    await ask("durable database", () => vfs.durable(database, () => {}));
    console.log(database.prepare("SELECT count(*) AS n FROM t").get().n, vfs.databases().length);
    await vfs.close();
    console.log("closed");
  `);
  assert.deepEqual(stdout.split("\n"), [
    "flush SQLITE_NOTFOUND true",
    "flush path SQLITE_NOTFOUND true",
    "flushSync SQLITE_NOTFOUND true",
    "durable SQLITE_NOTFOUND false",
    "durable database SQLITE_MISUSE false",
    "0 0",
    "closed",
  ], stderr);
});

// ---- Names ----

/** Each opens a name that SQLite must not read as a URI. */
const byName = [
  { name: "a name that begins with ./", skip: false, load: "", open: `open("./" + uri)` },
  {
    name: "bun:sqlite without flags",
    skip: RUNTIME === "bun" ? false : "Bun's",
    load: `const { Database } = await import("bun:sqlite");`,
    open: `new Database(uri)`,
  },
  {
    name: "better-sqlite3",
    skip: driver.skip,
    load: driver.load,
    open: `new BetterSqlite3(uri)`,
    host: `{ host: new BetterSqlite3(":memory:") }`,
  },
];

for (const { name, skip, load, open, host } of byName) {
  for (const options of [host ?? "{}", ...(host === undefined ? [`{ makeDefault: true }`] : [])]) {
    test(`a URI taken for the name of a file is refused: ${name}, install(${options})`, {
      skip: skip || (isWindows ? "no file can have such a name" : false),
    }, async () => {
      await using folder = new Folder();
      const [uri, old] = ["app.db", "old.db"].map((name) => `file:${name}?vfs=sqlite3async`);
      writeFileSync(folder.file(old!), "kept");
      const { stdout, stderr } = await runProgram(`
        ${load}
        process.chdir(${JSON.stringify(folder.path)});
        const vfs = await install(${options});
        for (const uri of [vfs.uri("app.db"), vfs.uri("app.db"), vfs.uri("old.db")]) {
          try {
            ${open};
            console.log("opened");
          } catch (error) {
            console.log(/unable to open database file/.test(error.message));
          }
        }
      `);
      assert.equal(stdout, "true\ntrue\ntrue", stderr);
      const said = stderr.split("\n");
      assert.equal(said.length, 2, stderr);
      for (const [index, shown] of [uri!, old!].entries()) {
        assert.ok(said[index]!.startsWith(`sqlite3async: Cannot open "${shown}": a driver took`));
        assert.match(said[index]!, /0x46.*vfs\.route\(path\).*better-sqlite3/);
      }
      assert.deepEqual(readdirSync(folder.path), [old]);
    });
  }
}

test("Deno under scoped permissions takes a URI for a name, and it is refused", {
  skip: RUNTIME === "deno" ? false : "Deno's",
}, async () => {
  await using folder = new Folder();
  const flags = ["--allow-ffi", "--allow-env", "--allow-read", `--allow-write=${folder.path}`];
  const { stdout, stderr } = await runProgram(
    `
    process.chdir(${JSON.stringify(folder.path)});
    const vfs = await install();
    try {
      open(vfs.uri("app.db"));
      console.log("opened");
    } catch (error) {
      console.log(/unable to open database file/.test(error.message));
    }
    vfs.route("app.db");
    open("app.db").exec("CREATE TABLE t(n)");
    console.log(vfs.databases().length);
  `,
    {},
    flags,
  );
  assert.equal(stdout, "true\n1", stderr);
  assert.match(stderr, /^sqlite3async: Cannot open "file:app\.db\?vfs=sqlite3async": .*$/);
});

test("after close() nothing of ours is in the way", { skip: isWindows }, async () => {
  await using folder = new Folder();
  const { stdout, stderr } = await runProgram(`
    process.chdir(${JSON.stringify(folder.path)});
    const vfs = await install();
    const name = "./" + vfs.uri("app.db");
    await vfs.close();
    open(name).exec("CREATE TABLE t(n)");
    console.log("opened");
  `);
  assert.deepEqual([stdout, stderr], ["opened", ""]);
});

test("route() refuses what names no file", async () => {
  const vfs = await install();
  const wrong = { ":memory:": /it names no file/, "file:app.db": /it is a URI; give the path/ };
  for (const [path, words] of Object.entries(wrong)) {
    const error = await errorOf(() => vfs.route(path));
    assert.deepEqual([error.codeName, error.path], ["SQLITE_MISUSE", path]);
    assert.match(error.message, words);
  }
});

// ---- What is in use ----

test("databases() lists what is open through the VFS, each with its status", async () => {
  await using folder = new Folder();
  const vfs = await install();
  using _settings = new Settings(vfs);
  vfs.checkpointIdleMs = 0;
  const [a, b] = [folder.file("a.db"), folder.file("b.db")];
  const mine = () => {
    const folderPath = realpathSync(folder.path);
    return vfs.databases().filter(({ path }) => path.startsWith(folderPath))
      .sort((one, other) => one.path < other.path ? -1 : 1);
  };
  assert.deepEqual(mine(), []);
  const connections = [a, a, b].map((path) => open(vfs.uri(path)));
  using plain = open(folder.file("plain.db"));
  plain.exec("CREATE TABLE t(n)");
  connections[0]!.exec("PRAGMA journal_mode = WAL; CREATE TABLE t(n)");
  const found = mine();
  assert.deepEqual(found.map(({ path }) => path), [realpathSync(a), realpathSync(b)]);
  assert.deepEqual(found.map(({ connections }) => connections), [2, 1]);
  assert.deepEqual(found.map(({ state }) => state), ["running", "running"]);
  assert.ok(found[0]!.committed >= 1 && found[1]!.committed === 0);
  assert.deepEqual(
    Object.keys(found[0]!).sort(),
    [
      ...Object.keys(vfs.status(a)),
      "path",
      "connections",
    ].sort(),
  );
  connections[1]!.close();
  assert.deepEqual(mine().map(({ connections }) => connections), [1, 1]);
  connections[0]!.close();
  connections[2]!.close();
  await until(() => mine().length === 0);
});

test("databases() has room for many", async () => {
  await using folder = new Folder();
  const vfs = await install();
  const connections = Array.from({ length: 100 }, (_, i) => open(vfs.uri(folder.file(`${i}.db`))));
  assert.ok(vfs.databases().length >= 100);
  for (const connection of connections) connection.close();
});

test("console.log() of the VFS tells what is in use, and that it is closed", async () => {
  await using folder = new Folder();
  const { stdout, stderr } = await runProgram(`
    const vfs = await install({ maxDelayMs: 250, onQueueFull: "busy" });
    console.log(vfs);
    console.log("----");
    const database = open(vfs.uri(${JSON.stringify(folder.file("a.db"))}));
    database.exec("CREATE TABLE t(n)");
    console.log({ deep: [vfs] });
    console.log("----");
    const { inspect } = await import("node:util");
    console.log(/a\\.db/.test(inspect(vfs)), Object.keys(vfs).length < 3);
    console.log(Object.create(vfs)); // it is none, and that is no reason to throw
    console.log("shown");
    database.close(); // not before, by the collector
  `);
  const [idle, busy, other] = stdout.replace(/\s+/g, " ").replaceAll("'", '"').split(" ---- ");
  const name = 'AsyncVfs { name: "sqlite3async", state: "running",';
  const set = 'onQueueFull: "busy", maxDelayMs: 250';
  assert.equal(idle, `${name} databases: [], ${set} }`, stderr);
  assert.ok(busy!.includes(`${name} databases: [ "`) && busy!.includes(`a.db" ], ${set} }`), busy);
  assert.match(other!, /^true true .*shown$/, stderr);
  const after = await runProgram(`
    const vfs = await install();
    await vfs.close();
    console.log(vfs);
  `);
  const closed = after.stdout.replaceAll("'", '"');
  assert.equal(closed, 'AsyncVfs { name: "sqlite3async", state: "closed" }', after.stderr);
});

// ---- What is the runtime's ----

/** Two processes at once; each prints a line, and that of the second is the result. */
async function besideItself(
  program: string,
  env: Record<string, string>,
  flags: string[],
): Promise<string> {
  using first = new Child(`${program}; await sleep(60_000);`, env, flags);
  await first.printed("\n");
  const second = await runProgram(program, env, flags);
  return `${second.stdout} ${second.stderr}`;
}

test("with makeDefault two Denos of one origin have their stores, and the program has its own", {
  skip: RUNTIME === "deno" ? false : "Deno's",
}, async () => {
  await using folder = new Folder();
  const env = { DENO_DIR: folder.file("deno") };
  const flags = ["--location=https://example.com", "--unstable-kv"];
  const shown = await besideItself(
    `
    const vfs = await install({ makeDefault: true });
    localStorage.setItem("key", "value");
    const cache = await caches.open("v1");
    await cache.put("https://example.com/a", new Response("cached"));
    const kv = await Deno.openKv();
    await kv.set(["key"], "kept");
    const own = await Deno.openKv(Deno.makeTempFileSync({ dir: ${JSON.stringify(folder.path)} }));
    await own.set(["key"], "own");
    console.log(
      localStorage.getItem("key"),
      await (await cache.match("https://example.com/a")).text(),
      (await kv.get(["key"])).value,
      (await own.get(["key"])).value,
      vfs.databases().length,
    );
  `,
    env,
    flags,
  );
  assert.equal(shown.trim(), "value cached kept own 1");
});

test("Deno's stores are found in the user's cache folder, too", {
  skip: RUNTIME === "deno" ? false : "Deno's",
}, async () => {
  await using folder = new Folder();
  const flags = ["--location=https://example.com"];
  for (const name of ["XDG_CACHE_HOME", "HOME"]) {
    const env = { DENO_DIR: "", XDG_CACHE_HOME: "", HOME: "", [name]: folder.file(name) };
    const { stdout, stderr } = await runProgram(
      `
      const vfs = await install({ makeDefault: true });
      localStorage.setItem("key", "value");
      console.log(vfs.databases().length);
    `,
      env,
      flags,
    );
    assert.equal(stdout, "0", stderr);
    assert.ok(existsSync(folder.file(name)), "it kept them elsewhere");
  }
});

test("with makeDefault two Nodes share the file of their localStorage", {
  skip: RUNTIME === "node" && Number(process.versions.node.split(".")[0]) >= 25
    ? false
    : "Node's, from 25 on",
}, async () => {
  await using folder = new Folder();
  for (const sign of ["=", " "]) {
    const flag = `--localstorage-file${sign}${folder.file("storage")}`;
    const shown = await besideItself(
      `
      const vfs = await install({ makeDefault: true });
      localStorage.setItem("key", "value");
      console.log(localStorage.getItem("key"), vfs.databases().length);
    `,
      { NODE_OPTIONS: flag },
      [],
    );
    assert.equal(shown.trim(), "value 0");
  }
});

test("install() in a test of Deno's leaks nothing that its sanitizers know", {
  skip: RUNTIME === "deno" ? false : "Deno's",
}, async () => {
  await using folder = new Folder();
  mkdirSync(folder.file("tests"));
  writeFileSync(
    folder.file("tests/leak_test.ts"),
    `
    import { install } from "${MOD}";
    import { DatabaseSync } from "node:sqlite";
    const sanitize = { sanitizeResources: true, sanitizeOps: true, sanitizeExit: true };
    for (const name of ["first", "second"]) {
      Deno.test({ name, ...sanitize, fn: async () => {
        const vfs = await install();
        const database = new DatabaseSync(vfs.uri(${JSON.stringify(folder.file("a.db"))}));
        database.exec("CREATE TABLE IF NOT EXISTS t(n)");
        await vfs.flush();
        database.close();
      } });
    }
    Deno.test({ name: "closed", ...sanitize, fn: async () => {
      const vfs = await install();
      await vfs.close();
    } });
  `,
  );
  const outcome = await execute(
    process.execPath,
    ["test", "-A", "--no-check", folder.file("tests")],
    { cwd: folder.path, env: { ...process.env, NO_COLOR: "1" }, timeoutMs: 60_000 },
  );
  assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
  assert.match(outcome.stdout, /3 passed \| 0 failed/);
});
