import assert from "node:assert/strict";
import { copyFileSync, existsSync, statSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { type Connection, open } from "../examples/sqlite.ts";
import { type AsyncVfs, install } from "../mod.ts";
import { errorOf, numbersIn, numbersTo, until } from "./helpers/check.ts";
import { Child, runProgram } from "./helpers/child.ts";
import { Folder } from "./helpers/folder.ts";
import { Remote } from "./helpers/remote.ts";
import { Settings, slowDown } from "./helpers/settings.ts";

/** A new database in WAL mode with an empty table t. */
function create(vfs: AsyncVfs, path: string): Connection {
  const connection = open(vfs.uri(path));
  assert.equal(connection.all("PRAGMA journal_mode = WAL")[0]?.journal_mode, "wal");
  connection.exec("CREATE TABLE t(n INTEGER PRIMARY KEY, text)");
  return connection;
}

function numbersSeenBy(connection: Connection): number[] {
  return connection.all("SELECT n FROM t ORDER BY n").map((row) => Number(row.n));
}

function autocheckpointOf(connection: Connection): unknown {
  return Object.values(connection.all("PRAGMA wal_autocheckpoint")[0] ?? {})[0];
}

/** A program that opens a database with plain SQLite, or through the VFS, and runs statements. */
function program(path: string, busyMs: number, body: string, through = false): string {
  return `
    const path = ${JSON.stringify(path)};
    const connection = open(${through} ? (await install()).uri(path) : path);
    connection.exec("PRAGMA busy_timeout = ${busyMs}");
    console.log("opened");
    try {
      ${body}
    } catch (error) {
      console.log(error.message);
    }
    connection.close();
  `;
}

const READ = `console.log(connection.all("SELECT n FROM t ORDER BY n").map(({ n }) => n).join());`;
const WRITE = (n: number) => `connection.exec("INSERT INTO t VALUES (${n}, 'by the child')");`;

/** The lines that such a program prints from its opening on. */
async function linesOf(path: string, busyMs: number, body: string, through = false) {
  const { code, stdout, stderr } = await runProgram(program(path, busyMs, body, through));
  assert.equal(code, 0, stderr);
  return stdout.split("\n").slice(1);
}

// ---- Connections of the process ----

test("others, also in Workers, see a commit in WAL mode before it's written", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using _settings = new Settings(vfs);
  vfs.halt = "now";
  {
    using first = create(vfs, path);
    using second = open(vfs.uri(path));
    await using worker = await Remote.open(path);
    await using another = await Remote.open(path);
    first.exec("INSERT INTO t VALUES (1, 'first')");
    assert.deepEqual(numbersSeenBy(second), [1]);
    assert.deepEqual(await worker.all("SELECT n FROM t"), [{ n: 1 }]);
    await worker.all("INSERT INTO t VALUES (2, 'worker')");
    assert.deepEqual(numbersSeenBy(first), [1, 2]);
    assert.deepEqual(await another.all("SELECT max(n) AS n FROM t"), [{ n: 2 }]);
    await another.all("INSERT INTO t VALUES (3, 'another')");
    second.exec("INSERT INTO t VALUES (4, 'second')");
    assert.deepEqual(numbersSeenBy(first), numbersTo(4));
    assert.deepEqual(await worker.all("SELECT count(*) AS n FROM t"), [{ n: 4 }]);
    const { committed, applied } = vfs.status(path);
    // Switching to WAL and creating the table are transactions, too.
    assert.ok(committed >= 5 && applied <= 1, `${committed} committed, ${applied} applied`);
    assert.ok(!existsSync(`${path}-wal`) || statSync(`${path}-wal`).size === 0);
    vfs.halt = "never";
  }
  await vfs.flush();
  assert.deepEqual(numbersIn(path), numbersTo(4));
});

test("a reader in WAL mode keeps its snapshot while another connection writes", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using writer = create(vfs, path);
  await using reader = await Remote.open(path);
  writer.exec("INSERT INTO t VALUES (1, NULL)");
  await reader.all("BEGIN");
  assert.deepEqual(await reader.all("SELECT n FROM t"), [{ n: 1 }]);
  for (let n = 2; n <= 50; n++) writer.exec(`INSERT INTO t VALUES (${n}, NULL)`);
  await vfs.flush();
  assert.deepEqual(await reader.all("SELECT n FROM t"), [{ n: 1 }]);
  await reader.all("COMMIT");
  assert.deepEqual(await reader.all("SELECT count(*) AS n FROM t"), [{ n: 50 }]);
});

test("flush() in WAL mode resolves once the commits before it are durable", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using _settings = new Settings(vfs);
  vfs.maxDelayMs = 0;
  using connection = create(vfs, path);
  for (const synchronous of ["OFF", "NORMAL", "FULL"]) {
    connection.exec(`PRAGMA synchronous = ${synchronous}`);
    for (let i = 0; i < 10; i++) {
      connection.exec("INSERT INTO t VALUES (NULL, NULL)");
      const { committed } = vfs.status(path);
      await vfs.flush({ path });
      const { durable, applied } = vfs.status(path);
      assert.ok(durable >= committed && applied >= durable, `${committed} ${applied} ${durable}`);
    }
  }
});

test("maxDelayMs makes a commit in WAL mode durable unasked", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using _settings = new Settings(vfs);
  vfs.maxDelayMs = 0;
  vfs.checkpointIdleMs = 0;
  using connection = create(vfs, path);
  connection.exec("PRAGMA synchronous = NORMAL");
  await vfs.flush();
  connection.exec("INSERT INTO t VALUES (1, NULL)");
  await until(() => vfs.status(path).applied === vfs.status(path).committed);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(vfs.status(path).durable < vfs.status(path).committed, "durable with nobody asking");
  vfs.maxDelayMs = 50;
  connection.exec("INSERT INTO t VALUES (2, NULL)");
  const { committed } = vfs.status(path);
  await until(() => vfs.status(path).durable >= committed, 5000);
  assert.ok(vfs.status(path).undurableMsMax > 0);
});

test("PRAGMA wal_autocheckpoint reads 0 in WAL mode, unless it was set", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using connection = create(vfs, path);
  assert.equal(autocheckpointOf(connection), 0);
  connection.exec("PRAGMA wal_autocheckpoint = 70");
  connection.exec("INSERT INTO t VALUES (1, NULL)");
  assert.equal(autocheckpointOf(connection), 70);

  using second = open(vfs.uri(path));
  second.exec("PRAGMA wal_autocheckpoint = 1000"); // the default, but asked for
  numbersSeenBy(second);
  second.exec("INSERT INTO t VALUES (2, NULL)");
  assert.equal(autocheckpointOf(second), 1000);

  using third = open(vfs.uri(path));
  numbersSeenBy(third);
  assert.equal(autocheckpointOf(third), 0);

  using plain = open(folder.file("plain.db"));
  plain.exec("PRAGMA journal_mode = WAL; CREATE TABLE t(n)");
  assert.equal(autocheckpointOf(plain), 1000);
});

test("a database goes from WAL to DELETE mode and back with its content", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using _settings = new Settings(vfs);
  vfs.checkpointBytes = 16 * 1024; // the checkpointer is at it, and must not be in the way
  const modes = ["delete", "wal", "truncate", "wal", "delete", "wal", "persist", "wal"];
  let n = 0;
  {
    using connection = create(vfs, path);
    for (const mode of modes) {
      for (let i = 0; i < 20; i++) connection.exec(`INSERT INTO t VALUES (${++n}, zeroblob(2000))`);
      const [row] = connection.all(`PRAGMA journal_mode = ${mode}`);
      assert.equal(row?.journal_mode, mode);
      assert.deepEqual(numbersSeenBy(connection), numbersTo(n));
    }
    {
      using second = open(vfs.uri(path));
      assert.deepEqual(numbersSeenBy(second), numbersTo(n));
      assert.throws(() => connection.all("PRAGMA journal_mode = DELETE"), /locked/);
    }
    assert.equal(connection.all("PRAGMA journal_mode = DELETE")[0]?.journal_mode, "delete");
    await vfs.flush();
    assert.equal(existsSync(`${path}-wal`), false);
    // Out of WAL mode it is the process's only while it writes.
    assert.deepEqual(numbersIn(path), numbersTo(n));
  }
});

test("a transaction in WAL mode that finds the queue full goes on", async () => {
  for (const pageSize of [512, 4096, 65_536]) {
    for (const maxQueueBytes of [600, 65_536, 100_000]) {
      await using folder = new Folder();
      const path = folder.file("a.db");
      const { code, signal, stderr } = await runProgram(`
        const vfs = await install({ maxQueueBytes: ${maxQueueBytes} });
        const connection = open(vfs.uri(${JSON.stringify(path)}));
        connection.exec("PRAGMA page_size = ${pageSize}; PRAGMA journal_mode = WAL");
        connection.exec("PRAGMA cache_size = 3");
        insertNumbers(connection, 20);
        connection.exec("CREATE TABLE u(blob); BEGIN");
        for (let i = 0; i < 20; i++) connection.exec("INSERT INTO u VALUES (zeroblob(20000))");
        connection.exec("COMMIT");
      `);
      const about = `page_size ${pageSize}, maxQueueBytes ${maxQueueBytes}: ${stderr}`;
      assert.deepEqual([code, signal], [0, null], about);
      assert.deepEqual(numbersIn(path), numbersTo(20), about);
    }
  }
});

test("a process writes its queue in WAL mode when it exits", async () => {
  await using folder = new Folder();
  for (const ending of ["", "connection.close();", "process.exit(0);"]) {
    const path = folder.file(`${ending.length}.db`);
    const { code, stderr } = await runProgram(`
      const vfs = await install();
      const connection = open(vfs.uri(${JSON.stringify(path)}));
      connection.exec("PRAGMA journal_mode = WAL");
      vfs.halt = "now";
      insertNumbers(connection, 300);
      vfs.halt = "never";
      ${ending}
    `);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.deepEqual(numbersIn(path), numbersTo(300));
  }
});

// ---- Other processes ----

for (const [name, through] of [["plain SQLite", false], ["sqlite3async", true]] as const) {
  test(`a process with ${name} gets SQLITE_BUSY while a WAL database is open here`, async () => {
    await using folder = new Folder();
    const path = folder.file("a.db");
    const vfs = await install();
    create(vfs, path).close();
    await vfs.flush();
    {
      using connection = open(vfs.uri(path));
      assert.deepEqual(numbersSeenBy(connection), []); // to read is enough
      assert.deepEqual(await linesOf(path, 0, READ, through), ["database is locked"]);
      connection.exec("INSERT INTO t VALUES (1, NULL)");
      await vfs.flush();
      assert.throws(() => numbersIn(path), /locked/); // by this process without the VFS
      assert.deepEqual(await linesOf(path, 0, READ, through), ["database is locked"]);
      assert.deepEqual(await linesOf(path, 0, WRITE(2), through), ["database is locked"]);

      using patient = new Child(program(path, 20_000, READ + WRITE(100) + READ, through));
      await patient.printed("opened");
      connection.exec("INSERT INTO t VALUES (2, NULL)");
      await new Promise((resolve) => setTimeout(resolve, 150));
      connection.exec("INSERT INTO t VALUES (3, NULL)");
      connection.close();
      await vfs.flush();
      const { stdout, stderr } = await patient.ended();
      assert.deepEqual(stdout.split("\n"), ["opened", "1,2,3", "1,2,3,100"], stderr);
    }
    assert.deepEqual(numbersIn(path), [1, 2, 3, 100]);
  });
}

test("a WAL that plain SQLite left behind in a crash is recovered", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  using child = new Child(`
    const connection = open(${JSON.stringify(path)});
    connection.exec("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 7");
    insertNumbers(connection, 50);
    connection.exec("BEGIN; INSERT INTO t VALUES (51)");
    console.log("ready");
    await sleep(60_000);
  `);
  await child.printed("ready");
  child.kill("SIGKILL");
  await child.ended();
  assert.ok(statSync(`${path}-wal`).size > 0);
  const vfs = await install();
  using connection = open(vfs.uri(path));
  assert.deepEqual(numbersSeenBy(connection), numbersTo(50));
  assert.equal(connection.all("PRAGMA journal_mode")[0]?.journal_mode, "wal");
});

test("release() lets another process read and write while connections stay open", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  {
    using connection = create(vfs, path);
    using second = open(vfs.uri(path));
    await using worker = await Remote.open(path);
    await worker.all("SELECT n FROM t"); // its cache is to notice, too
    for (let n = 1; n < 20; n += 3) {
      connection.exec(`INSERT INTO t VALUES (${n}, NULL)`);
      await vfs.release(path);
      const [read] = await linesOf(path, 0, READ + WRITE(n + 1), n % 2 === 0);
      assert.equal(read, numbersTo(n).join());
      assert.deepEqual(numbersSeenBy(second), numbersTo(n + 1));
      await worker.all(`INSERT INTO t VALUES (${n + 2}, NULL)`);
      assert.deepEqual(numbersSeenBy(connection), numbersTo(n + 2));
    }
    assert.deepEqual(await linesOf(path, 0, READ), ["database is locked"]);
  }
  await vfs.flush();
});

test("after release() connections that only read see what other processes wrote", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using connection = create(vfs, path);
  connection.exec("INSERT INTO t VALUES (1, NULL)");
  using second = open(vfs.uri(path));
  for (let n = 2; n <= 5; n++) {
    await vfs.release(path);
    // Their WAL is gone when they are, so to us it is empty each time.
    await linesOf(path, 0, WRITE(n), n % 2 === 0);
    assert.deepEqual(numbersSeenBy(connection), numbersTo(n));
    assert.deepEqual(numbersSeenBy(second), numbersTo(n));
  }
});

test("after release() a transaction gets SQLITE_BUSY while another process is in it", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using connection = create(vfs, path);
  connection.exec("INSERT INTO t VALUES (1, NULL)");
  await vfs.release(path);
  await vfs.release(path); // is released already
  const stop = folder.file("stop");
  using child = new Child(program(
    path,
    0,
    `${WRITE(2)}
    console.log("in");
    const { existsSync } = await import("node:fs");
    while (!existsSync(${JSON.stringify(stop)})) await sleep(5);`,
  ));
  await child.printed("in");
  assert.throws(() => numbersSeenBy(connection), /locked/);
  assert.throws(() => connection.exec("INSERT INTO t VALUES (3, NULL)"), /locked/);
  writeFileSync(stop, "");
  connection.exec("PRAGMA busy_timeout = 10000");
  assert.deepEqual(numbersSeenBy(connection), [1, 2]);
  connection.exec("INSERT INTO t VALUES (3, NULL)");
  assert.equal((await child.ended()).code, 0);
  assert.deepEqual(numbersSeenBy(connection), [1, 2, 3]);
});

test("release() rejects with SQLITE_BUSY during a transaction and waits for its end", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using connection = create(vfs, path);
  for (const statements of ["BEGIN; SELECT n FROM t", "BEGIN IMMEDIATE"]) {
    for (const sql of statements.split("; ")) connection.all(sql);
    const error = await errorOf(() => vfs.release(path, { timeoutMs: 30 }));
    assert.equal(error.codeName, "SQLITE_BUSY");
    const released = vfs.release(path, { timeoutMs: 10_000 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    connection.exec("COMMIT");
    await released;
    assert.deepEqual(numbersIn(path), []);
  }
});

test("release() rejects with SQLITE_BUSY if the commits are not durable in time", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using _settings = new Settings(vfs);
  using connection = create(vfs, path);
  await slowDown(vfs, 300);
  for (const n of numbersTo(10)) {
    connection.exec(`INSERT INTO t VALUES (${n}, zeroblob(90000))`);
  }
  const start = performance.now();
  const error = await errorOf(() => vfs.release(path, { timeoutMs: 50 }));
  const tookMs = performance.now() - start;
  assert.equal(error.codeName, "SQLITE_BUSY");
  assert.match(error.message, /within 50 ms/);
  assert.ok(tookMs >= 40 && tookMs < 1000, `${tookMs} ms`);
  vfs.delayMs = 0;
  await vfs.release(path);
  assert.deepEqual(numbersIn(path), numbersTo(10));
});

test("release() rejects with SQLITE_NOTFOUND for what isn't open", async () => {
  await using folder = new Folder();
  const vfs = await install();
  const error = await errorOf(() => vfs.release(folder.file("unknown.db")));
  assert.equal(error.codeName, "SQLITE_NOTFOUND");
  assert.match(error.message, /unknown\.db/);
  assert.equal((await errorOf(() => vfs.release(""))).codeName, "SQLITE_MISUSE");
  const refused = await errorOf(() => vfs.release("a.db", { timeoutMs: -1 }));
  assert.equal(refused.codeName, "SQLITE_MISUSE");
});

test("release() in DELETE mode is for nothing and does no harm", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using connection = open(vfs.uri(path));
  connection.exec("CREATE TABLE t(n INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)");
  await vfs.release(path);
  await vfs.release(path);
  assert.deepEqual(numbersIn(path), [1]);
  connection.exec("INSERT INTO t VALUES (2)");
  assert.deepEqual(numbersSeenBy(connection), [1, 2]);
});

// ---- The checkpointer ----

test("the checkpointer bounds the WAL under many commits", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using _settings = new Settings(vfs);
  vfs.checkpointBytes = 256 * 1024;
  vfs.maxQueueBytes = 1024 * 1024;
  let rows = 0;
  {
    using connection = create(vfs, path);
    const insert = connection.prepare("INSERT INTO t VALUES (?, hex(zeroblob(50)))");
    // However busy the machine is, the WAL starts anew time and again.
    let [starts, before, longest] = [0, 0, 0];
    const deadline = performance.now() + 20_000;
    while (starts < 6 && performance.now() < deadline) {
      for (let i = 0; i < 100; i++) insert.run(++rows);
      const { walBytes } = vfs.status(path);
      if (walBytes < before) starts++;
      before = walBytes;
      longest = Math.max(longest, walBytes);
      await new Promise((resolve) => setTimeout(resolve, 1)); // as a server's event loop
    }
    const { checkpoints, checkpointError } = vfs.status(path);
    assert.equal(checkpointError, null);
    assert.equal(starts, 6, `${rows} rows, a WAL of ${longest} bytes, ${checkpoints} checkpoints`);
    assert.ok(checkpoints > 0);
    assert.deepEqual(numbersSeenBy(connection), numbersTo(rows));
  }
  await vfs.flush();
  assert.deepEqual(numbersIn(path), numbersTo(rows));
});

test("the checkpointer copies an idle WAL into its database", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const copy = folder.file("copy.db");
  const vfs = await install();
  using _settings = new Settings(vfs);
  vfs.checkpointBytes = 0;
  vfs.checkpointIdleMs = 60_000;
  using connection = create(vfs, path);
  for (const n of numbersTo(50)) connection.exec(`INSERT INTO t VALUES (${n}, zeroblob(1000))`);
  await vfs.flush();
  assert.equal(vfs.status(path).checkpoints, 0);
  vfs.checkpointIdleMs = 50;
  connection.exec("INSERT INTO t VALUES (51, NULL)");
  await until(() => vfs.status(path).checkpoints > 0);
  await vfs.flush();
  copyFileSync(path, copy); // without the WAL
  assert.deepEqual(numbersIn(copy), numbersTo(51));
  const { checkpoints, checkpointBlocked, checkpointError } = vfs.status(path);
  assert.deepEqual([checkpointBlocked, checkpointError], [false, null]);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.ok(vfs.status(path).checkpoints <= checkpoints + 1, "checkpoints of nothing");
});

test("at maxWalBytes a reader in the way makes commits SQLITE_BUSY, until it is gone", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using _settings = new Settings(vfs);
  vfs.checkpointBytes = 64 * 1024;
  vfs.maxWalBytes = 512 * 1024;
  const committed = [0];
  {
    using connection = create(vfs, path);
    connection.exec("INSERT INTO t VALUES (0, NULL)");
    using reader = open(vfs.uri(path));
    reader.exec("BEGIN");
    assert.deepEqual(numbersSeenBy(reader), [0]);
    const insert = connection.prepare("INSERT INTO t VALUES (?, zeroblob(3000))");
    const commit = () => {
      insert.run(committed.length);
      committed.push(committed.length);
    };
    assert.throws(() => {
      while (committed.length < 1000) commit();
    }, /locked/);
    const { checkpointBlocked, walBytes, checkpointError } = vfs.status(path);
    assert.deepEqual([checkpointBlocked, checkpointError], [true, null]);
    assert.ok(walBytes >= 512 * 1024 && walBytes < 600 * 1024, `${walBytes}`);
    assert.ok(committed.length > 20, `${committed.length} commits`);
    assert.throws(commit, /locked/);
    assert.deepEqual(numbersSeenBy(reader), [0]);
    assert.deepEqual(numbersSeenBy(connection), committed);

    reader.exec("COMMIT");
    connection.exec("PRAGMA busy_timeout = 10000");
    for (let i = 0; i < 300; i++) commit();
    assert.deepEqual(numbersSeenBy(reader), committed);
    assert.ok(vfs.status(path).walBytes < 600 * 1024);
    await until(() => !vfs.status(path).checkpointBlocked);
  }
  await vfs.flush();
  assert.deepEqual(numbersIn(path), committed);
});

test("at a maxWalBytes below checkpointBytes commits go on once the reader is gone", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const vfs = await install();
  using _settings = new Settings(vfs);
  vfs.checkpointBytes = 64 * 1024 * 1024;
  vfs.checkpointIdleMs = 60_000;
  vfs.maxWalBytes = 256 * 1024;
  using connection = create(vfs, path);
  using reader = open(vfs.uri(path));
  for (let round = 0; round < 2; round++) {
    connection.exec("INSERT INTO t VALUES (NULL, NULL)");
    reader.exec("BEGIN");
    numbersSeenBy(reader);
    connection.exec("PRAGMA busy_timeout = 0");
    const insert = () => connection.exec("INSERT INTO t VALUES (NULL, zeroblob(3000))");
    assert.throws(() => {
      for (let i = 0; i < 1000; i++) insert();
    }, /locked/);
    reader.exec("COMMIT");
    connection.exec("PRAGMA busy_timeout = 2000");
    for (let i = 0; i < 200; i++) insert();
    assert.ok(vfs.status(path).walBytes < 400 * 1024);
  }
});

// ---- Backups ----

test("VACUUM INTO copies a WAL database that is held", async () => {
  await using folder = new Folder();
  const vfs = await install();
  using connection = create(vfs, folder.file("a.db"));
  for (const n of numbersTo(200)) connection.exec(`INSERT INTO t VALUES (${n}, zeroblob(500))`);
  connection.exec(`VACUUM INTO '${folder.file("copy.db")}'`);
  connection.exec("INSERT INTO t VALUES (201, NULL)");
  await vfs.flush();
  assert.deepEqual(numbersIn(folder.file("copy.db")), numbersTo(200));
});

test("backup() of node:sqlite copies a WAL database that is held and written to", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const copy = folder.file("copy.db");
  const vfs = await install();
  const { backup, DatabaseSync } = await import("node:sqlite");
  using connection = create(vfs, path);
  for (const n of numbersTo(200)) connection.exec(`INSERT INTO t VALUES (${n}, zeroblob(500))`);
  const source = new DatabaseSync(vfs.uri(path));
  const done = backup(source, copy, { rate: 1 });
  connection.exec("INSERT INTO t VALUES (201, NULL)");
  await done;
  source.close();
  const copied = numbersIn(copy);
  assert.deepEqual(copied, numbersTo(copied.length));
  assert.ok(copied.length >= 200);
});
