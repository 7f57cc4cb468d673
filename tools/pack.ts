/**
 * The package for npm: `./run pack [--here]`. Puts zig-out/pack/NAME-VERSION.tgz together: the
 * sources as JavaScript with declarations, the libraries as their modules, and a package.json made
 * from the one of the checkout. tests/package.test.ts installs it.
 *
 * Needs what `./run prebuilt` makes, the libraries of all platforms.
 *
 * --here packs for the tests, with no library but this platform's: zig-out/pack-here/, where
 * sources/ has a copy of the checkout with that library's module, and stand-ins for the others. So
 * the modules of the checkout, which are published, stay as they are; and npm does not publish this
 * package, for it is private.
 *
 * @module
 */

import { cpSync } from "node:fs";
import { basename, dirname } from "node:path";
import { currentPlatform, PLATFORMS } from "../ffi/platform.ts";
import { builtLibraries, moduleFaults, moduleText, prebuiltOf } from "./embed.ts";
import { filesIn } from "./files.ts";
import { type Result, run } from "./process.ts";

const here = Deno.args[0] === "--here";
const OUTPUT = here ? "zig-out/pack-here" : "zig-out/pack";
const SOURCES = here ? `${OUTPUT}/sources` : ".";
const PACKAGE = `${OUTPUT}/package`;
const TSC = [
  "node",
  `${Deno.env.get("TYPESCRIPT_DIR")}/node_modules/typescript/bin/tsc`,
  ..."--module nodenext --target es2022 --lib esnext --strict".split(" "),
];

/** What README.md leads to. */
const DOCS = ["docs", "docs/guides", "docs/drivers", "docs/decisions"]
  .flatMap((folder) => filesIn(folder, ".md"));

const unknown = Deno.args.slice(here ? 1 : 0);
if (unknown.length > 0) fail(`no such option: "${unknown[0]}"`);
const faults = here ? [] : moduleFaults();
if (faults.length > 0) fail(`${faults.join("\n")}\nType ./run prebuilt first`);
await Deno.remove(OUTPUT, { recursive: true }).catch(() => {});
if (here) copySources();
await compile();
finishMaps();
writeManifest();
for (const name of ["README.md", "CHANGELOG.md", "LICENSE", ...DOCS]) {
  Deno.mkdirSync(dirname(`${PACKAGE}/${name}`), { recursive: true });
  Deno.copyFileSync(name, `${PACKAGE}/${name}`);
}
const pack = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", ".."];
const name = (await must(pack, PACKAGE)).output.trim();
console.log(
  `${OUTPUT}/${name}: ${(Deno.statSync(`${OUTPUT}/${name}`).size / 1024).toFixed(0)} KiB`,
);

/** The checkout, with a module for this platform's library, and others that carry nothing. */
function copySources(): void {
  const library = builtLibraries().find(({ platform }) => platform === currentPlatform());
  if (library === undefined) fail("there is no library for this platform: ./run prebuilt --here");
  const without = [".git", ".tools", ".zig-cache", "zig-out", "node_modules", "ffi/prebuilt"];
  Deno.mkdirSync(SOURCES, { recursive: true });
  for (const { name } of Deno.readDirSync(".")) {
    if (without.includes(name)) continue;
    const filter = (path: string) => !without.includes(path);
    cpSync(name, `${SOURCES}/${name}`, { recursive: true, filter });
  }
  Deno.mkdirSync(`${SOURCES}/ffi/prebuilt`);
  const nothing = { file: "none", size: 0, sha256: "", brotli: "" }; // unpack.ts refuses it
  for (const name of PLATFORMS) {
    const prebuilt = name === library.platform ? prebuiltOf(library.path) : nothing;
    Deno.writeTextFileSync(`${SOURCES}/ffi/prebuilt/${name}.ts`, moduleText(prebuilt));
  }
}

/** The sources as JavaScript, and their types. `deno check` has checked them. */
async function compile(): Promise<void> {
  const output = ["--outDir", `${Deno.cwd()}/${PACKAGE}`, "--rootDir", "."];
  const kind = ["--declaration", "--noCheck"];
  const imports = ["--rewriteRelativeImportExtensions", "--types", ""];
  const maps = ["--sourceMap", "--inlineSources"];
  await must([...TSC, ...output, ...kind, ...imports, ...maps, "mod.ts", "ffi/cli.ts"], SOURCES);
  // In declarations the compiler leaves imports as they are. And what is said to Deno of the
  // modules' types has no place in the package; its line stays, for the maps count lines.
  for (const folder of ["", "/ffi", "/ffi/prebuilt"]) {
    for (const path of filesIn(`${PACKAGE}${folder}`, ".d.ts", ".js")) {
      const text = Deno.readTextFileSync(path);
      const changed = text.replace(/^ *\/\/ @ts-types=.*$/gm, "")
        .replace(/((?:from |import\()"\.\.?\/[^"]*)\.ts"/g, '$1.js"');
      Deno.writeTextFileSync(path, changed);
    }
  }
}

/**
 * The maps have the sources in them, and name them as if they lay beside the JavaScript. The
 * libraries' modules have none: it would be their text once more.
 */
function finishMaps(): void {
  for (const path of [PACKAGE, `${PACKAGE}/ffi`].flatMap((folder) => filesIn(folder, ".map"))) {
    const map = JSON.parse(Deno.readTextFileSync(path));
    map.sources = map.sources.map((source: string) => basename(source));
    Deno.writeTextFileSync(path, JSON.stringify(map));
  }
  for (const path of filesIn(`${PACKAGE}/ffi/prebuilt`, ".js")) {
    const text = Deno.readTextFileSync(path);
    Deno.writeTextFileSync(path, text.replace(/^\/\/# sourceMappingURL=.*\n?/m, ""));
    Deno.removeSync(`${path}.map`);
  }
}

function writeManifest(): void {
  const { scripts: _, ...manifest } = JSON.parse(Deno.readTextFileSync("package.json"));
  manifest.exports = {
    ".": { types: "./mod.d.ts", default: "./mod.js" },
    "./package.json": "./package.json",
  };
  manifest.bin = { sqlite3async: "ffi/cli.js" };
  manifest.types = "./mod.d.ts"; // for those who don't know exports
  manifest.files = ["mod.js", "mod.js.map", "mod.d.ts", "ffi/", "docs/", "CHANGELOG.md"];
  if (here) manifest.private = true;
  Deno.writeTextFileSync(`${PACKAGE}/package.json`, JSON.stringify(manifest, null, 2) + "\n");
}

async function must(command: string[], cwd: string = "."): Promise<Result> {
  const result = await run(command, { timeoutMs: 120_000, cwd });
  if (!result.ok) fail(`${command.slice(0, 3).join(" ")}: ${result.reason}\n${result.output}`);
  return result;
}

function fail(message: string): never {
  console.error(`pack: ${message.trimEnd()}`);
  Deno.exit(1);
}
