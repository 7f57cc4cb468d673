/** A database whose file was moved or deleted while it is open: as with plain SQLite. @module */
import process from "node:process";
import { test } from "node:test";
import { Group } from "./helpers/kinds.ts";
import { kinds } from "./helpers/moved_kinds.ts";

const skip = process.platform === "win32" ? "Windows moves and deletes no file that is open" : false;

const module = new URL("./helpers/moved_kinds.ts", import.meta.url).href;
const group = new Group({ module, names: Object.keys(kinds) });
for (const name of Object.keys(kinds)) {
  test(`an open database: ${name}`, { skip }, () => group.compare(name));
}
test("a process whose databases were moved ends at once and says nothing", { skip }, () => {
  return group.compareEnds();
});
