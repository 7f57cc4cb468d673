import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { DatabaseSync } from "node:sqlite";
import { type AsyncVfs, install, type Transactor, type TransactorStatement } from "../mod.ts";
import { errorOf, numbersIn, numbersTo } from "./helpers/check.ts";
import { runProgram } from "./helpers/child.ts";
import { Folder } from "./helpers/folder.ts";
import { Settings, slowDown } from "./helpers/settings.ts";

/** What these tests use of a driver's own class. */
interface Database extends Transactor {
  prepare(sql: string): TransactorStatement & { get(): unknown };
  close(): void;
}

const drivers: { name: string; open(uri: string): Database }[] = [
  { name: "node:sqlite", open: (uri) => new DatabaseSync(uri) },
];
if ("Bun" in globalThis) {
  const specifier: string = "bun:sqlite";
  const { Database } = await import(specifier);
  // SQLITE_OPEN_READWRITE, _CREATE and _URI
  drivers.push({ name: "bun:sqlite", open: (uri) => new Database(uri, 0x46) });
}

/** A new database with a table t, closed at the end of the scope that uses it. */
class Fixture implements AsyncDisposable {
  readonly vfs: AsyncVfs;
  readonly folder: Folder = new Folder();
  readonly path: string = this.folder.file("a.db");
  readonly database: Database;

  constructor(vfs: AsyncVfs, open: (uri: string) => Database) {
    this.vfs = vfs;
    this.database = open(vfs.uri(this.path));
    this.database.exec("PRAGMA journal_mode = WAL");
    this.database.exec("CREATE TABLE t(n INTEGER PRIMARY KEY)");
  }

  insert(n: number): number {
    this.database.exec(`INSERT INTO t VALUES (${n})`);
    return n;
  }

  /** The number that a query gives. */
  number(sql: string): number {
    const statement = this.database.prepare(sql);
    const [value] = Object.values(statement.get() as object);
    statement.finalize?.(); // else bun:sqlite keeps the database open in secret
    return value;
  }

  inTransaction(): boolean {
    return Boolean(this.database.isTransaction ?? this.database.inTransaction);
  }

  /** Close it; what plain SQLite then finds. */
  async numbers(): Promise<number[]> {
    this.database.close();
    await this.vfs.flush();
    return numbersIn(this.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.database.close();
    } catch {
      // It was closed by numbers().
    }
    await this.folder[Symbol.asyncDispose]();
  }
}

/** Fails if a promise isn't settled soon. */
async function soon<Result>(promise: Promise<Result>): Promise<Result> {
  let timer;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("it waits for something")), 3000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

for (const { name, open } of drivers) {
  test(`durable(): ${name}: gives the result of its work once that is durable`, async () => {
    const vfs = await install();
    using _settings = new Settings(vfs);
    vfs.maxDelayMs = 0;
    await using fixture = new Fixture(vfs, open);
    const { path, database } = fixture;
    await vfs.flush();
    const works = [
      () => vfs.durable(database, () => fixture.insert(1)),
      () => vfs.durable(() => fixture.insert(2)),
    ];
    for (const [index, work] of works.entries()) {
      const { committed } = vfs.status(path);
      assert.equal(await work(), index + 1);
      assert.ok(vfs.status(path).durable > committed, "not durable");
    }
    assert.equal(await vfs.durable(database, () => {}), undefined);
    assert.equal(await vfs.durable(() => null), null);
    assert.equal(await vfs.durable(database, () => fixture.number("SELECT 7")), 7);
    assert.deepEqual(await fixture.numbers(), [1, 2]);
  });

  test(`durable(): ${name}: doesn't resolve while the commit isn't durable`, async () => {
    const vfs = await install();
    using _settings = new Settings(vfs);
    await using fixture = new Fixture(vfs, open);
    await slowDown(vfs, 50);
    fixture.insert(0); // behind which the writer pauses
    const isApplied = () => vfs.status(fixture.path).applied === vfs.status(fixture.path).committed;
    while (!isApplied()) await new Promise((resolve) => setTimeout(resolve, 1));
    let resolved = 0;
    const pending = [
      vfs.durable(fixture.database, () => fixture.insert(1)).then(() => resolved++),
      vfs.durable(() => fixture.insert(2)).then(() => resolved++),
    ];
    // The commit itself has happened when durable() returns.
    assert.equal(fixture.inTransaction(), false);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(resolved, 0);
    vfs.delayMs = 0;
    await Promise.all(pending);
    assert.deepEqual(await fixture.numbers(), [0, 1, 2]);
  });

  test(`durable(): ${name}: attached databases are durable, others not waited for`, async () => {
    const vfs = await install();
    using _settings = new Settings(vfs);
    vfs.maxDelayMs = 0;
    await using fixture = new Fixture(vfs, open);
    const { folder, database } = fixture;
    const attached = folder.file("attached.db");
    const other = open(vfs.uri(folder.file("other.db")));
    database.exec(`ATTACH '${attached}' AS attached; CREATE TABLE temp.scratch(n)`);
    for (const mode of ["DELETE", "WAL"]) {
      database.exec(`PRAGMA attached.journal_mode = ${mode}`);
      database.exec("CREATE TABLE IF NOT EXISTS attached.copy(n)");
      other.exec("DROP TABLE IF EXISTS t; CREATE TABLE t(n)");
      await vfs.flush();
      other.exec("INSERT INTO t VALUES (1)");
      const before = vfs.status(attached).committed;
      await vfs.durable(database, () => {
        database.exec("INSERT INTO scratch VALUES (1); INSERT INTO attached.copy VALUES (1)");
      });
      assert.ok(vfs.status(attached).durable > before, `not durable in mode ${mode}`);
      await vfs.durable(database, () => {
        fixture.insert(mode.length);
        database.exec("INSERT INTO attached.copy VALUES (2)");
      });
      assert.ok(vfs.status(attached).durable > before + 1, `not durable in mode ${mode}`);
      const { committed, durable } = vfs.status(folder.file("other.db"));
      assert.ok(durable < committed, "another database was flushed");
    }
    other.close();
    assert.deepEqual(await fixture.numbers(), [3, 6]);
  });

  test(`durable(): ${name}: with no writer running it rejects, and the commit stands`, async () => {
    const vfs = await install();
    await using fixture = new Fixture(vfs, open);
    await vfs.flush();
    {
      using _settings = new Settings(vfs);
      vfs.halt = "now";
      const { database } = fixture;
      const error = await errorOf(() => soon(vfs.durable(database, () => fixture.insert(1))));
      assert.deepEqual([error.codeName, error.operation], ["SQLITE_MISUSE", "flush"]);
    }
    assert.equal(await vfs.durable(fixture.database, () => fixture.insert(2)), 2);
    assert.deepEqual(await fixture.numbers(), [1, 2]);
  });

  test(`durable(): ${name}: what work throws rolls back, and nothing is waited for`, async () => {
    const vfs = await install();
    using _settings = new Settings(vfs);
    await using fixture = new Fixture(vfs, open);
    const { database } = fixture;
    await vfs.flush();
    vfs.halt = "now"; // who waits for the disk now waits for ever
    fixture.insert(1);
    const reason = new Error("on purpose");
    const inTransaction = vfs.durable(database, () => {
      fixture.insert(2);
      throw reason;
    });
    assert.equal(fixture.inTransaction(), false);
    assert.equal(await soon(inTransaction.catch((error) => error)), reason);
    const alone = vfs.durable(() => {
      fixture.insert(3); // a transaction of its own
      throw reason;
    });
    assert.equal(await soon(alone.catch((error) => error)), reason);
    await assert.rejects(soon(vfs.durable(database, () => fixture.insert(1))), /UNIQUE/);
    await assert.rejects(soon(vfs.durable(() => fixture.insert(1))), /UNIQUE/);
    assert.equal(fixture.inTransaction(), false);
    vfs.halt = "never";
    assert.deepEqual(await fixture.numbers(), [1, 3]);
  });

  test(`durable(): ${name}: what rolled back by itself rejects with its error`, async () => {
    const vfs = await install();
    await using fixture = new Fixture(vfs, open);
    fixture.insert(1);
    const failing = vfs.durable(fixture.database, () => {
      fixture.insert(2);
      fixture.database.exec("INSERT OR ROLLBACK INTO t VALUES (1)");
    });
    await assert.rejects(failing, /UNIQUE/);
    assert.equal(await vfs.durable(fixture.database, () => fixture.insert(3)), 3);
    assert.deepEqual(await fixture.numbers(), [1, 3]);
  });

  test(`durable(): ${name}: work that returns a promise is refused and rolled back`, async () => {
    const vfs = await install();
    await using fixture = new Fixture(vfs, open);
    const { database } = fixture;
    const works: (() => unknown)[] = [
      async () => {
        fixture.insert(1);
        await undefined;
      },
      async () => {
        fixture.insert(1);
        await undefined;
        throw new Error("of which nobody hears");
      },
      () => ({ then: () => fixture.insert(1) }),
    ];
    for (const work of works) {
      const error = await errorOf(() => vfs.durable(database, work));
      assert.equal(error.codeName, "SQLITE_MISUSE");
      assert.match(error.message, /promise/);
      assert.equal(fixture.inTransaction(), false);
      database.exec("DELETE FROM t"); // that of the third
    }
    const error = await errorOf(() => vfs.durable(works[0]!));
    assert.match(error.message, /promise/);
    assert.deepEqual(await fixture.numbers(), [1]);
  });

  test(`durable(): ${name}: a connection with an open transaction is refused`, async () => {
    const vfs = await install();
    await using fixture = new Fixture(vfs, open);
    const { database } = fixture;
    database.exec("BEGIN");
    fixture.insert(1);
    const error = await errorOf(() => vfs.durable(database, () => fixture.insert(2)));
    assert.equal(error.codeName, "SQLITE_MISUSE");
    assert.match(error.message, /has one open/);
    assert.equal(fixture.inTransaction(), true);
    database.exec("COMMIT");
    const nested = await vfs.durable(database, () => {
      return errorOf.bind(null, () => vfs.durable(database, () => fixture.insert(3)));
    });
    // Called when the outer one is over, so it is none.
    await assert.rejects(nested(), /nothing was thrown/);
    let inner: unknown;
    await vfs.durable(database, () => {
      inner = errorOf(() => vfs.durable(database, () => fixture.insert(5)));
      fixture.insert(4);
    });
    assert.match(String(await inner), /has one open/);
    assert.deepEqual(await fixture.numbers(), [1, 3, 4]);
  });

  test(`durable(): ${name}: a constraint that fails at COMMIT rolls back`, async () => {
    const vfs = await install();
    await using fixture = new Fixture(vfs, open);
    const { database } = fixture;
    database.exec("PRAGMA foreign_keys = ON");
    database.exec("CREATE TABLE child(n REFERENCES t(n) DEFERRABLE INITIALLY DEFERRED)");
    const failing = vfs.durable(database, () => database.exec("INSERT INTO child VALUES (9)"));
    assert.equal(fixture.inTransaction(), false);
    await assert.rejects(failing, /FOREIGN KEY/);
    await vfs.durable(database, () => {
      database.exec("INSERT INTO child VALUES (8)");
      fixture.insert(8); // in time
    });
    assert.equal(fixture.number("SELECT count(*) FROM child"), 1);
    assert.deepEqual(await fixture.numbers(), [8]);
  });

  test(`durable(): ${name}: another writer in the way rejects with its error`, async () => {
    const vfs = await install();
    await using fixture = new Fixture(vfs, open);
    const other = open(vfs.uri(fixture.path));
    other.exec("BEGIN IMMEDIATE");
    let ran = false;
    await assert.rejects(vfs.durable(fixture.database, () => ran = true), /locked/);
    assert.equal(ran, false);
    other.exec("COMMIT");
    assert.equal(await vfs.durable(fixture.database, () => fixture.insert(1)), 1);
    other.close();
    assert.deepEqual(await fixture.numbers(), [1]);
  });

  for (const synchronous of ["NORMAL", "FULL"]) {
    test(`durable(): ${name}: many at once share syncs (synchronous ${synchronous})`, async () => {
      const vfs = await install();
      await using fixture = new Fixture(vfs, open);
      const { path, database } = fixture;
      database.exec(`PRAGMA synchronous = ${synchronous}`);
      await vfs.flush();
      const before = vfs.status(path);
      const results = await Promise.all(
        numbersTo(300).map((n) => {
          const work = () => fixture.insert(n);
          return n % 2 === 0 ? vfs.durable(work) : vfs.durable(database, work);
        }),
      );
      const after = vfs.status(path);
      assert.deepEqual(results, numbersTo(300));
      assert.ok(after.durable >= before.committed + 300);
      const syncs = after.syncs - before.syncs;
      assert.ok(syncs >= 1 && syncs < 150, `${syncs} syncs for 300 calls`);
      assert.deepEqual(await fixture.numbers(), numbersTo(300));
    });
  }
}

test("durable() refuses what is no connection and what is no function", async () => {
  const vfs = await install();
  const wrong = [null, undefined, "a.db", 3, {}, Object.create(null), { exec: "BEGIN" }];
  for (const database of wrong) {
    const error = await errorOf(() => vfs.durable(database as Transactor, () => 1));
    assert.equal(error.codeName, "SQLITE_MISUSE");
    assert.match(error.message, /connection is wanted/);
  }
  await using fixture = new Fixture(vfs, drivers[0]!.open);
  for (const work of [null, undefined, "SELECT 1", fixture.database, Object.create(null)]) {
    const inTransaction = await errorOf(() => vfs.durable(fixture.database, work as () => void));
    assert.match(inTransaction.message, /function is wanted/);
    assert.equal(fixture.inTransaction(), false);
    const alone = await errorOf(() => vfs.durable(work as () => void));
    assert.match(alone.message, /function is wanted/);
  }
});

test("durable() refuses a database of plain SQLite, for it could promise nothing", async () => {
  await using folder = new Folder();
  const vfs = await install();
  for (const { open } of drivers) {
    const plain = open(folder.file("plain.db"));
    plain.exec("CREATE TABLE IF NOT EXISTS t(x)");
    const refused = await errorOf(() => vfs.durable(plain, () => plain.exec("DELETE FROM t")));
    assert.equal(refused.codeName, "SQLITE_MISUSE");
    assert.match(refused.message, /plain\.db" is not open through sqlite3async; open it by uri/);
    plain.exec("BEGIN; ROLLBACK"); // no transaction was begun

    // One of ours that is attached is no excuse: the promise would be true for half of it.
    plain.exec(`ATTACH '${vfs.uri(folder.file("ours.db"))}' AS ours`);
    const half = await errorOf(() => vfs.durable(plain, () => plain.exec("DELETE FROM t")));
    assert.equal(half.codeName, "SQLITE_MISUSE");
    assert.match(half.message, /plain\.db" is not open through/);
    plain.close();
  }
});

test("durable() refuses a connection that has attached a plain database, at any time", async () => {
  await using folder = new Folder();
  const vfs = await install();
  const uris = { ours: vfs.uri(folder.file("other.db")), plain: folder.file("plain.db") };
  for (const { open } of drivers) {
    await using fixture = new Fixture(vfs, open);
    const { database } = fixture;
    const attach = (name: keyof typeof uris) => {
      database.exec(`ATTACH '${plainUri(uris[name])}' AS ${name}`);
      database.exec(`CREATE TABLE IF NOT EXISTS ${name}.t(n)`);
    };
    attach("plain"); // before its first call, nothing is begun
    let ran = false;
    const first = await errorOf(() => vfs.durable(database, () => ran = true));
    assert.deepEqual([first.codeName, ran], ["SQLITE_MISUSE", false]);
    database.exec("DETACH plain");
    attach("ours");
    assert.equal(await vfs.durable(database, () => fixture.insert(1)), 1);
    attach("plain"); // when the connection is known
    const refused = await errorOf(() => vfs.durable(database, () => fixture.insert(7)));
    assert.deepEqual([refused.codeName, refused.path], ["SQLITE_MISUSE", uris.plain]);
    assert.match(refused.message, /plain\.db" is not open through sqlite3async/);
    assert.equal(fixture.inTransaction(), false);
    database.exec("DETACH plain");
    assert.equal(await vfs.durable(database, () => fixture.insert(2)), 2);
    const late = await errorOf(() => {
      return vfs.durable(database, () => {
        attach("plain");
        fixture.insert(8);
      });
    });
    assert.deepEqual([late.codeName, late.path], ["SQLITE_MISUSE", uris.plain]);
    assert.equal(fixture.inTransaction(), false);
    database.exec("DETACH plain; DETACH ours");
    assert.deepEqual(await fixture.numbers(), [1, 2]);
  }
});

/** A path as a database to attach, which by default is of the VFS of the connection. */
function plainUri(path: string): string {
  const parent = process.platform === "win32" ? "win32" : "unix";
  return path.startsWith("file:") ? path : `file:${path}?vfs=${parent}`;
}

test("durable(work) refuses while no database is open through the VFS", async () => {
  await using folder = new Folder();
  const { stdout, stderr } = await runProgram(`
    const vfs = await install();
    const path = ${JSON.stringify(folder.file("a.db"))};
    const plain = open(path + "-plain");
    plain.exec("CREATE TABLE t(n)");
    let ran = 0;
    const ask = async () => {
      const error = await vfs.durable(() => ran++).catch((error) => error);
      console.log(error?.codeName ?? error, ran, /no database is open/.test(error?.message));
    };
    await ask();
    const database = open(vfs.uri(path));
    await ask(); // it waits for what is ours, and cannot know what the work is about
    database.close();
    await ask();
  `);
  const refused = "SQLITE_NOTFOUND";
  const lines = [`${refused} 0 true`, "0 1 false", `${refused} 1 true`];
  assert.deepEqual(stdout.split("\n"), lines, stderr);
});

test("durable() in Workers and on the main thread wait for one database together", async () => {
  await using folder = new Folder();
  const path = folder.file("a.db");
  const { code, stdout, stderr } = await runProgram(`
    const { writeFileSync } = await import("node:fs");
    const { pathToFileURL } = await import("node:url");
    const workerFile = ${JSON.stringify(folder.file("worker.mjs"))};
    const vfs = await install();
    const connection = open(vfs.uri(${JSON.stringify(path)}));
    connection.exec("PRAGMA journal_mode = WAL");
    insertNumbers(connection, 1);
    const source = \`
      import { install } from "\${import.meta.resolve(${
    JSON.stringify(new URL("../mod.ts", import.meta.url).href)
  })}";
      import { DatabaseSync } from "node:sqlite";
      const vfs = await install();
      const database = new DatabaseSync(vfs.uri(\${${JSON.stringify(JSON.stringify(path))}}));
      database.exec("PRAGMA busy_timeout = 10000");
      for (let i = 0; i < 50; i++) {
        await vfs.durable(database, () => database.exec("INSERT INTO t VALUES (NULL)"));
      }
      database.close();
      postMessage("done");
    \`;
    writeFileSync(workerFile, source);
    const url = pathToFileURL(workerFile);
    const workers = [1, 2].map(() => new Worker(url, { type: "module" }));
    connection.exec("PRAGMA busy_timeout = 10000");
    const done = workers.map((worker) => new Promise((resolve, reject) => {
      worker.onmessage = resolve;
      worker.onerror = reject;
    }));
    for (let i = 0; i < 49; i++) {
      await vfs.durable(() => connection.exec("INSERT INTO t VALUES (NULL)"));
    }
    await Promise.all(done);
    for (const worker of workers) worker.terminate();
    connection.close();
    console.log("done");
  `);
  assert.deepEqual([code, stdout, stderr], [0, "done", ""]);
  assert.deepEqual(numbersIn(path), numbersTo(150));
});

test("durable() and release() reject after close()", async () => {
  const { stdout, stderr } = await runProgram(`
    const vfs = await install();
    await vfs.close();
    let ran = 0;
    for (const call of [
      () => vfs.durable(() => ran++),
      () => vfs.durable(open(":memory:"), () => ran++),
      () => vfs.release("a.db"),
    ]) {
      const error = await call().catch((error) => error);
      console.log(error?.codeName, /was closed.*install/.test(error?.message));
    }
    console.log(ran);
  `);
  const refused = "SQLITE_MISUSE true";
  assert.deepEqual(stdout.split("\n"), [refused, refused, refused, "0"], stderr);
});
