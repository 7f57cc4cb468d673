/** A closed database is a file: whatever is done with it works as with plain SQLite. @module */
import { test } from "node:test";
import { kinds as alone } from "./helpers/closed_kinds.ts";
import { Group } from "./helpers/kinds.ts";
import { kinds as together } from "./helpers/together_kinds.ts";

const urlOf = (name: string) => new URL(`./helpers/${name}`, import.meta.url).href;

const closed = new Group({ module: urlOf("closed_kinds.ts"), names: Object.keys(alone) });
for (const name of Object.keys(alone)) {
  test(`a closed database: ${name}`, () => closed.compare(name));
}
test("a process that has closed its databases ends at once and says nothing", () => {
  return closed.compareEnds();
});

const shared = new Group(
  { module: urlOf("together_kinds.ts"), names: Object.keys(together) },
  { modes: ["WAL", "DELETE"] },
);
for (const name of Object.keys(together)) {
  test(`the last close of ${name}`, () => shared.compare(name));
}
test("a process whose Workers have closed a database ends at once and says nothing", () => {
  return shared.compareEnds();
});
