/** The version stands in several files: it must be the same in all. @module */

import { filesIn } from "./files.ts";

/** A line for each file whose version differs from deno.json's. */
export function versionFaults(): string[] {
  const { name, version } = JSON.parse(Deno.readTextFileSync("deno.json"));
  const faults = [...versions()]
    .filter(([, found]) => found !== version)
    .map(([path, found]) => `${path}: version is "${found}", in deno.json it is "${version}"`);
  const manifest = JSON.parse(Deno.readTextFileSync("package.json"));
  if (manifest.name !== name) {
    faults.push(`package.json: name is "${manifest.name}", in deno.json it is "${name}"`);
  }
  // What TypeScript wants of the library is the version without its last part.
  const library = Deno.readTextFileSync("ffi/library.ts");
  const [, major, minor] = library.match(/VERSION_WANTED = { major: (\d+), minor: (\d+) }/) ?? [];
  if (!version.startsWith(`${major}.${minor}.`)) {
    faults.push(`ffi/library.ts: VERSION_WANTED is ${major}.${minor}, deno.json has ${version}`);
  }
  return faults;
}

function* versions(): Generator<[path: string, version: string | undefined]> {
  yield ["package.json", JSON.parse(Deno.readTextFileSync("package.json")).version];
  const changes = Deno.readTextFileSync("CHANGELOG.md");
  yield ["CHANGELOG.md", changes.match(/^## (\S+)/m)?.[1]];
  const zon = Deno.readTextFileSync("build.zig.zon");
  yield ["build.zig.zon", zon.match(/\.version = "(.*)"/)?.[1]];
  for (const path of filesIn("csrc", ".c", ".h")) {
    const define = /^#define SQLITE3ASYNC_VERSION_NUMBER (\d+)/m;
    const number = Deno.readTextFileSync(path).match(define)?.[1];
    if (number !== undefined) yield [path, dotted(Number(number))];
  }
}

/** The inverse of what sqlite3async_version() returns: major * 1000000 + minor * 1000 + patch. */
function dotted(number: number): string {
  return [Math.floor(number / 1e6), Math.floor(number / 1e3) % 1e3, number % 1e3].join(".");
}
