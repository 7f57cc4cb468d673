/**
 * The layers of the C core: the table in docs/design.md says what stands above what, and every
 * include of csrc/ goes down, or to the right in its line.
 *
 * @module
 */

import { filesIn } from "./files.ts";

const DESIGN = "docs/design.md";
/** They belong to no layer: the host's interface, and ours. */
const EVERYWHERE = new Set(["host", "sqlite3async"]);

/** A line for each include that goes up, and for each file that the table has not. */
export function layerFaults(): string[] {
  const table = readTable();
  const files = filesIn("csrc", ".c", ".h");
  const faults = files.flatMap((path) => includeFaults(path, table));
  const names = new Set(files.map(moduleOf));
  for (const name of table.keys()) {
    if (!names.has(name)) {
      faults.push(`${DESIGN}: the table of layers has "${name}", csrc/ has not`);
    }
  }
  return faults;
}

interface Place {
  line: number;
  column: number;
  /** What its line of the table says. */
  sentence: string;
}

/** Where each name stands. Two spaces end the names of a line. */
function readTable(): Map<string, Place> {
  const text = Deno.readTextFileSync(DESIGN);
  const block = text.slice(text.indexOf("\n## Layers\n")).match(/(?:^ {4}\S.*\n)+/m)?.[0] ?? "";
  const places = new Map<string, Place>();
  for (const [line, row] of block.trimEnd().split("\n").entries()) {
    const [names, sentence = ""] = row.trim().split(/ {2,}/);
    for (const [column, name] of names!.split(" ").entries()) {
      places.set(name, { line, column, sentence });
    }
  }
  return places;
}

/** os_posix.c and its like are the porting layer, os.h. */
function moduleOf(path: string): string {
  return path.replace(/^csrc\//, "").replace(/\.\w+$/, "").replace(/^os_.*/, "os");
}

function includeFaults(path: string, table: Map<string, Place>): string[] {
  const name = moduleOf(path);
  if (EVERYWHERE.has(name)) return [];
  const from = table.get(name);
  if (from === undefined) return [`${path}: "${name}" is missing in the layers of ${DESIGN}`];
  const includes = Deno.readTextFileSync(path).matchAll(/^#include "(\w+)\.h"/gm);
  return [...includes].map(([, included]) => included!).flatMap((included) => {
    const to = table.get(included);
    if (to === undefined || included === name) return [];
    const goesDown = to.line > from.line || (to.line === from.line && to.column > from.column);
    if (goesDown) return [];
    return [
      `${path} includes ${included}.h, which stands above it: "${name}" is of ` +
      `"${from.sentence}", "${included}" of "${to.sentence}"; see the layers of ${DESIGN}`,
    ];
  });
}
