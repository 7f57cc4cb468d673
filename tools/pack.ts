/**
 * The package for npm: `./run pack`. Puts zig-out/pack/NAME-VERSION.tgz together: the sources as
 * JavaScript with declarations, the libraries as their modules, and a package.json made from the
 * one of the checkout. tests/package.test.ts installs it.
 *
 * Needs what `./run prebuilt` makes.
 *
 * @module
 */

import { basename, dirname } from "node:path";
import { moduleFaults } from "./embed.ts";
import { filesIn } from "./files.ts";
import { type Result, run } from "./process.ts";

const OUTPUT = "zig-out/pack";
const PACKAGE = `${OUTPUT}/package`;
const TSC = [
  "node",
  `${Deno.env.get("TYPESCRIPT_DIR")}/node_modules/typescript/bin/tsc`,
  ..."--module nodenext --target es2022 --lib esnext --strict".split(" "),
];

/** What README.md leads to. */
const DOCS = ["docs", "docs/guides", "docs/drivers", "docs/decisions"]
  .flatMap((folder) => filesIn(folder, ".md"));

if (Deno.args.length > 0) fail(`no such option: "${Deno.args[0]}"`);
const faults = moduleFaults();
if (faults.length > 0) fail(`${faults.join("\n")}\nType ./run prebuilt first`);
await Deno.remove(OUTPUT, { recursive: true }).catch(() => {});
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

/** The sources as JavaScript, and their types. `deno check` has checked them. */
async function compile(): Promise<void> {
  const output = ["--outDir", PACKAGE, "--rootDir", ".", "--declaration", "--noCheck"];
  const imports = ["--rewriteRelativeImportExtensions", "--types", ""];
  const maps = ["--sourceMap", "--inlineSources"];
  await must([...TSC, ...output, ...imports, ...maps, "mod.ts", "ffi/cli.ts"]);
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
