/** A database whose file was moved or deleted while it is open: as with plain SQLite. @module */
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { Folder } from "./helpers/folder.ts";
import { Group } from "./helpers/kinds.ts";
import { deeds, kinds } from "./helpers/moved_kinds.ts";
import { outside } from "./helpers/outside.ts";
import { FOREIGN, LOOK, MODES } from "./helpers/stage.ts";
import { runStages } from "./helpers/stages.ts";

/** Milliseconds that the end of a process may take. */
const END_MS = 1500;
/** Where a database is afterwards. */
const PLACES: Record<string, string> = {
  "it is renamed": "renamed.db",
  "it is renamed, and a foreign database put in its place": "renamed.db",
  "its folder is renamed": "renamed/a.db",
};

const skip = process.platform === "win32"
  ? "Windows moves and deletes no file that is open"
  : false;

const module = new URL("./helpers/moved_kinds.ts", import.meta.url).href;
const group = new Group({ module, names: Object.keys(kinds) });
for (const name of Object.keys(kinds)) {
  test(`an open database: ${name}`, { skip }, () => group.compare(name));
}
test("a process whose databases were moved ends at once and says nothing", { skip }, () => {
  return group.compareEnds();
});

for (const what of Object.keys(deeds)) {
  test(`a process with an open database that ends right after ${what}`, { skip }, async () => {
    using folder = new Folder();
    const { code, stderr, endMs } = await runStages(
      folder,
      "uri",
      `
      const connections = stages.map((stage) => {
        fs.mkdirSync(stage.file("sub"));
        stage.makeForeign(stage.file("foreign.db"));
        return stage.create(stage.file("sub/a.db"), 1);
      });
      await vfs.flush();
      await sleep(50);
      vfs.delayMs = 2;
      for (const connection of connections) insertRows(connection, 2, 5);
      for (const stage of stages) deeds[${JSON.stringify(what)}](stage, stage.file("sub/a.db"));
    `,
    );
    assert.deepEqual([code, stderr], [0, ""]);
    assert.ok(endMs < END_MS, `it ended after ${endMs} ms`);
    // A WAL stays behind where it is, in plain SQLite, too.
    for (const mode of MODES.filter((mode) => mode !== "WAL" && what in PLACES)) {
      assert.equal(outside(folder.file(`${mode}/${PLACES[what]}`), ...LOOK), "ok\n6|21", mode);
    }
    const foreign = what.includes("foreign") ? "sub/a.db" : "foreign.db";
    for (const mode of MODES.filter((mode) => mode !== "WAL")) {
      assert.equal(outside(folder.file(`${mode}/${foreign}`), ...LOOK), FOREIGN, mode);
    }
  });
}
