/** A closed database is a file: whatever is done with it works as with plain SQLite. @module */
import { test } from "node:test";
import { kinds } from "./helpers/closed_kinds.ts";
import { Group } from "./helpers/kinds.ts";
import { MODES } from "./helpers/stage.ts";

const urlOf = (name: string) => new URL(`./helpers/${name}`, import.meta.url).href;
const DOORS = ["uri", "route", "default"] as const;

const names = Object.keys(kinds);
const group = new Group({ module: urlOf("closed_kinds.ts"), names, modes: MODES });
for (const name of names) {
  test(`after close: ${name}`, () => group.compare(name, DOORS));
}
test("after close: the process ends at once and says nothing", () => group.compareEnds(DOORS));
