/** A closed database is a file: whatever is done with it works as with plain SQLite. @module */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { kinds as alone } from "./helpers/closed_kinds.ts";
import { Folder, MEMORY } from "./helpers/folder.ts";
import { Group } from "./helpers/kinds.ts";
import { outside } from "./helpers/outside.ts";
import { type Door, LOOK, MODES } from "./helpers/stage.ts";
import { runStages } from "./helpers/stages.ts";
import { kinds as together } from "./helpers/together_kinds.ts";

const isWindows = process.platform === "win32";
const full = process.env.SQLITE3ASYNC_TEST_FULL !== undefined;
/** Milliseconds that the end of a process may take. */
const END_MS = 1500;
const TENANT_MODES = JSON.stringify(full ? MODES : ["WAL", "DELETE"]);

const urlOf = (name: string) => new URL(`./helpers/${name}`, import.meta.url).href;

const closed = new Group({ module: urlOf("closed_kinds.ts"), names: Object.keys(alone) });
for (const name of Object.keys(alone)) {
  test(`a closed database: ${name}`, () => closed.compare(name));
}
test("a process that has closed its databases ends at once and says nothing", () => {
  return closed.compareEnds();
});

// Windows renames nothing over a file that is open.
const names = Object.keys(together).filter((name) => !isWindows || !name.includes("foreign"));
const shared = new Group(
  { module: urlOf("together_kinds.ts"), names },
  { modes: ["WAL", "DELETE"] },
);
for (const name of names) {
  test(`the last close of ${name}`, () => shared.compare(name));
}
test("a process whose Workers have closed a database ends at once and says nothing", () => {
  return shared.compareEnds();
});

for (const door of ["uri", "route", "default"] as const) {
  for (const unlinks of [false, true]) {
    const how = unlinks ? "closes and unlinks" : "closes";
    test(`a process that ${how} its databases, by ${door}, and ends`, async () => {
      using folder = new Folder();
      const { code, stderr, endMs } = await runStages(
        folder,
        door,
        `
        const connections = stages.map((stage) => {
          stage.pause(20);
          return stage.create(stage.file("a.db"), 20);
        });
        connections.forEach((connection, i) => {
          connection.close();
          if (${unlinks}) fs.unlinkSync(stages[i].file("a.db"));
        });
      `,
      );
      assert.deepEqual([code, stderr], [0, ""]);
      assert.ok(endMs < END_MS, `it ended after ${endMs} ms`);
      for (const mode of MODES) {
        const path = folder.file(`${mode}/a.db`);
        if (unlinks) assert.ok(!existsSync(path), path);
        else assert.equal(outside(path, ...LOOK), "ok\n20|210", path);
      }
    });
  }
}

/** Descriptors that the VFS and its threads may have more than plain SQLite. */
const MORE_DESCRIPTORS = 12;

/** An LRU of 20 open databases out of 200, in a process that may have few descriptors. */
async function tenants(door: Door): Promise<{ faults: string[]; highest: number }> {
  using folder = new Folder(MEMORY);
  const { lines, stderr } = await runStages(
    folder,
    door,
    `
    const faults = new Set();
    let highest = 0;
    for (const stage of stages.filter(({ mode }) => ${TENANT_MODES}.includes(mode))) {
      const open = [];
      stage.pause(2);
      for (let i = 0; i < 400; i++) {
        const said = attempt(() => {
          const connection = stage.open(stage.file(i % 200 + ".db"));
          open.push(connection);
          connection.exec("PRAGMA synchronous = NORMAL; CREATE TABLE IF NOT EXISTS t(x)");
          connection.exec("INSERT INTO t VALUES (zeroblob(500))");
          if (open.length > 20) open.shift().close();
        });
        if (said !== "ok") faults.add(said);
        try { // as a request would
          const fd = fs.openSync("/dev/null");
          highest = Math.max(highest, fd);
          fs.closeSync(fd);
        } catch (error) {
          faults.add("the program's own open: " + error.code);
        }
      }
      for (const connection of open) connection.close();
    }
    console.log(JSON.stringify({ faults: [...faults], highest }));
  `,
    ["sh", "-c", 'ulimit -n 160; exec "$@"', "sh"],
  );
  const { faults, highest } = JSON.parse(lines[0]!);
  for (const mode of JSON.parse(TENANT_MODES)) {
    for (let i = 0; i < 200; i += full ? 1 : 10) {
      const path = folder.file(`${mode}/${i}.db`);
      const rows = existsSync(path) ? outside(path, "SELECT count(*) FROM t") : "no file";
      if (rows !== "2") faults.push(`rows of ${mode} ${i}: ${rows}`);
    }
  }
  return { faults: stderr === "" ? faults : [...faults, stderr], highest };
}

test("many databases, of which few are open at a time, with few descriptors", {
  skip: isWindows ? "no ulimit" : false,
}, async () => {
  const plain = await tenants("plain");
  for (const door of ["uri", "route", "default"] as const) {
    const { faults, highest } = await tenants(door);
    assert.deepEqual([door, faults], [door, []]);
    const most = plain.highest + MORE_DESCRIPTORS;
    assert.ok(highest <= most, `${door}: descriptor ${highest} is above ${most}`);
  }
});

test("a close while the writer is halted returns at once, and all is written later", async () => {
  using folder = new Folder();
  const { code, stderr, stdout } = await runStages(
    folder,
    "uri",
    `
    const connections = stages.map((stage) => stage.create(stage.file("a.db"), 1));
    await vfs.flush();
    await sleep(50);
    vfs.halt = "now";
    connections.forEach((connection) => insertRows(connection, 2, 19));
    for (const [i, connection] of connections.entries()) {
      stages[i].within(200, "close", () => connection.close());
    }
    console.log(JSON.stringify([vfs.status().queuedOps > 0, stages.map(({ late }) => late)]));
    vfs.halt = "never";
    await vfs.flush();
    process.kill(process.pid, "SIGKILL");
  `,
  );
  assert.deepEqual([code, stderr, stdout], [null, "", "[true,[[],[],[],[]]]"]);
  for (const mode of MODES) {
    assert.equal(outside(folder.file(`${mode}/a.db`), ...LOOK), "ok\n20|210", mode);
  }
});
