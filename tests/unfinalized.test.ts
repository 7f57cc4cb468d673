/**
 * Drivers and ORMs that close a connection and leave statements that were not finalized: SQLite
 * then keeps the connection, until the runtime has collected the last of them.
 *
 * @module
 */
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { Child, type Ended } from "./helpers/child.ts";
import { RUNTIME } from "./helpers/execute.ts";
import { Folder } from "./helpers/folder.ts";
import { type Door, type Mode, MODES } from "./helpers/stage.ts";

const outsideUrl = new URL("./helpers/outside.ts", import.meta.url).href;

/** What a program needs to leave statements with a driver. */
interface Driver {
  skip: string | false;
  /** Defines `Database`, `collect()` and `host`. */
  begin: string;
  /** The expression that opens a database by the name `name`. */
  open: string;
}

const DRIVERS: Record<string, Driver> = {
  "bun:sqlite": {
    skip: RUNTIME === "bun" ? false : "of Bun",
    begin: `
      import { Database } from "bun:sqlite";
      const collect = () => Bun.gc(true);
      const host = {};
    `,
    open: "new Database(name, 0x46)",
  },
  libsql: {
    skip: process.env.DRIVERS_DIR === undefined
      ? "./run test says where the drivers are"
      : RUNTIME !== "node" || process.platform === "win32"
      ? "with Node on Linux"
      : false,
    begin: `
      import { createRequire } from "node:module";
      import { setFlagsFromString } from "node:v8";
      import { runInNewContext } from "node:vm";
      const Database = createRequire(process.env.DRIVERS_DIR + "/package.json")("libsql");
      setFlagsFromString("--expose-gc");
      const gc = runInNewContext("gc");
      const collect = () => gc();
      const host = { host: new Database(":memory:") };
    `,
    open: "new Database(name)",
  },
};

/** Run a program that has left statements; what it printed. */
async function leave(
  driver: Driver,
  door: Door,
  mode: Mode,
  program: string,
): Promise<Ended & { lines: string[] }> {
  using folder = new Folder();
  const path = JSON.stringify(folder.file("a.db"));
  const name = { plain: path, default: path, uri: `vfs.uri(${path})`, route: path }[door];
  using child = new Child(`
    ${driver.begin}
    const { outside } = await import(${JSON.stringify(outsideUrl)});
    const path = ${path};
    const installed = () => install({ ...host, makeDefault: ${door === "default"} });
    let vfs = ${door === "plain" ? "undefined" : "await installed()"};
    if (${door === "route"}) vfs.route(path);
    const name = ${name};
    /** Works as an ORM does, and gives what it does not finalize. */
    function use() {
      const client = ${driver.open};
      client.exec("PRAGMA journal_mode = ${mode}");
      client.exec("CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY)");
      const statements = [client.prepare("INSERT INTO t VALUES (?)")];
      for (let n = 1; n <= 10; n++) statements[0].run(n);
      statements.push(client.prepare("SELECT count(*) AS n FROM t"));
      statements[1].all();
      client.close();
      return statements;
    }
    let left = use();
    const look = (...sql) => console.log(outside(path, ...sql).replaceAll("\\n", " "));
    const LOOK = ["PRAGMA integrity_check", "SELECT count(*), sum(n) FROM t"];
    ${program}
  `);
  const ended = await child.ended();
  return { ...ended, lines: ended.stdout.split("\n") };
}

const LOOKS = `
  look(...LOOK);
  look("INSERT INTO t VALUES (100)", ...LOOK);
  console.log(left.length);
`;

/** Without a time-out it waits ten seconds: that is for a full run. */
const SOON = process.env.SQLITE3ASYNC_TEST_FULL === undefined ? "{ timeoutMs: 500 }" : "";

const REFUSED = `
  const error = await vfs.close(${SOON}).catch((error) => error);
  console.log(error?.codeName, String(error?.message).includes(path));
`;

for (const [name, driver] of Object.entries(DRIVERS)) {
  const { skip } = driver;
  for (const door of ["uri", "route", "default"] as const) {
    test(
      `${name}, by ${door}: other processes read and write what was left`,
      { skip },
      async () => {
        const found: Record<string, unknown> = {};
        const wanted: Record<string, unknown> = {};
        for (const mode of MODES) {
          const plain = await leave(driver, "plain", mode, LOOKS);
          const ours = await leave(driver, door, mode, LOOKS);
          assert.deepEqual(plain.lines, ["ok 10|55", "ok 11|155", "2"], plain.stderr);
          wanted[mode] = [0, plain.lines, ""];
          found[mode] = [ours.code, ours.lines, ours.stderr];
        }
        assert.deepEqual(found, wanted);
      },
    );
  }

  test(`vfs.close() names what ${name} has left, and waits for its collection`, {
    skip,
  }, async () => {
    for (const mode of ["WAL", "DELETE"] as const) {
      const { code, stderr, lines } = await leave(
        driver,
        "route",
        mode,
        `${REFUSED}
        const timer = setInterval(() => {
          left = undefined;
          collect();
        }, 300);
        const start = performance.now();
        await vfs.close({ timeoutMs: 5000 });
        clearInterval(timer);
        const tookMs = performance.now() - start;
        console.log(tookMs > 100 && tookMs < 4000 ? "in time" : tookMs);
        look(...LOOK);
      `,
      );
      assert.deepEqual([code, stderr], [0, ""]);
      assert.deepEqual(lines, ["SQLITE_BUSY true", "in time", "ok 10|55"], mode);
    }
  });

  test(`vfs.close({ force: true }) does not wait for what ${name} has left`, { skip }, async () => {
    for (const mode of ["WAL", "DELETE"] as const) {
      const { code, stderr, lines } = await leave(
        driver,
        "route",
        mode,
        `${REFUSED}
        const start = performance.now();
        await vfs.close({ force: true });
        const tookMs = performance.now() - start;
        console.log(tookMs < 1000 ? "at once" : tookMs);
        look(...LOOK);
        look("INSERT INTO t VALUES (100)", ...LOOK);

        vfs = await installed();
        vfs.route(path);
        const client = ${driver.open};
        client.exec("INSERT INTO t VALUES (101)");
        console.log(vfs.status(path).committed);
        await vfs.flush();
        client.close();
        console.log(left.length);
        left = undefined;
        collect(); // what is finalized now has no VFS any more
        await sleep(50);
        collect();
        await vfs.close({ timeoutMs: 3000 });
        look(...LOOK);
      `,
      );
      assert.deepEqual([code, stderr], [0, ""]);
      const wanted = [
        "SQLITE_BUSY true",
        "at once",
        "ok 10|55",
        "ok 11|155",
        "1",
        "2",
        "ok 12|256",
      ];
      assert.deepEqual(lines, wanted, mode);
    }
  });
}
