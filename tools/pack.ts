/**
 * The package for npm: `./run pack`. Puts zig-out/pack/NAME-VERSION.tgz together: the sources as
 * JavaScript with declarations, the libraries as their modules, and a package.json made from the
 * one of the checkout. Then it installs that into an empty folder, has the compiler check a program
 * that uses its types, and runs one in each runtime.
 *
 * Needs what `./run prebuilt` makes.
 *
 * @module
 */

import { moduleFaults } from "./embed.ts";
import { filesIn } from "./files.ts";
import { type Result, run } from "./process.ts";

const OUTPUT = "zig-out/pack";
const PACKAGE = `${OUTPUT}/package`;
const MODULES = `${Deno.env.get("TYPESCRIPT_DIR")}/node_modules`;
const TSC = [
  "node",
  `${MODULES}/typescript/bin/tsc`,
  ..."--module nodenext --target es2022 --lib esnext --strict".split(" "),
];
/** Declarations of what is in the runtime, as users have them: Node's, or the web's. */
const SURROUNDINGS = [
  ["--types", "node", "--typeRoots", `${Deno.env.get("TYPES_NODE_DIR")}/node_modules/@types`],
  ["--types", "", "--lib", "esnext,dom"],
];

/** A program that uses the package as its users do. */
const PROGRAM = `
import { type AsyncVfs, AsyncVfsError, install, type InstallOptions } from "@sqlite3async/vfs";

const options: InstallOptions = { maxDelayMs: 100 };
const vfs: AsyncVfs = await install(options);
const wrong: unknown = await install({ library: "/no/such.so" }).catch((error: unknown) => error);
if (!(wrong instanceof AsyncVfsError)) throw new Error("no error");
// @ts-expect-error: there is no such option
const typo: InstallOptions = { maxDelay: 100 };
void typo;
await vfs.flush();
console.log(vfs.name, wrong.codeName);
`;

if (Deno.args.length > 0) fail(`no such option: "${Deno.args[0]}"`);
const faults = moduleFaults();
if (faults.length > 0) fail(`${faults.join("\n")}\nType ./run prebuilt first`);
await Deno.remove(OUTPUT, { recursive: true }).catch(() => {});
await compile();
writeManifest();
for (const name of ["README.md", "CHANGELOG.md", "LICENSE"]) {
  Deno.copyFileSync(name, `${PACKAGE}/${name}`);
}
const pack = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", ".."];
const name = (await must(pack, PACKAGE)).output.trim();
await tryOut(`${Deno.cwd()}/${OUTPUT}/${name}`);
console.log(
  `${OUTPUT}/${name}: ${(Deno.statSync(`${OUTPUT}/${name}`).size / 1024).toFixed(0)} KiB`,
);

/** The sources as JavaScript, and their types. `deno check` has checked them. */
async function compile(): Promise<void> {
  const output = ["--outDir", PACKAGE, "--rootDir", ".", "--declaration", "--noCheck"];
  const imports = ["--rewriteRelativeImportExtensions", "--types", ""];
  await must([...TSC, ...output, ...imports, "mod.ts"]);
  // In declarations the compiler leaves imports as they are. And what is said to Deno of the
  // modules' types has no place in the package.
  for (const folder of ["", "/ffi", "/ffi/prebuilt"]) {
    for (const path of filesIn(`${PACKAGE}${folder}`, ".d.ts", ".js")) {
      const text = Deno.readTextFileSync(path);
      const changed = text.replace(/^ *\/\/ @ts-types=.*\n/gm, "")
        .replace(/((?:from |import\()"\.\.?\/[^"]*)\.ts"/g, '$1.js"');
      Deno.writeTextFileSync(path, changed);
    }
  }
}

function writeManifest(): void {
  const { scripts: _, ...manifest } = JSON.parse(Deno.readTextFileSync("package.json"));
  manifest.exports = {
    ".": { types: "./mod.d.ts", default: "./mod.js" },
    "./package.json": "./package.json",
  };
  manifest.types = "./mod.d.ts"; // for those who don't know exports
  manifest.files = ["mod.js", "mod.d.ts", "ffi/", "CHANGELOG.md"];
  Deno.writeTextFileSync(`${PACKAGE}/package.json`, JSON.stringify(manifest, null, 2) + "\n");
}

async function tryOut(archive: string): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sqlite3async-pack-" });
  try {
    Deno.writeTextFileSync(`${folder}/package.json`, `{ "type": "module", "private": true }`);
    Deno.writeTextFileSync(`${folder}/program.ts`, PROGRAM);
    await must(["npm", "install", "--offline", "--no-audit", "--no-fund", archive], folder);
    for (const types of SURROUNDINGS) await must([...TSC, ...types, "program.ts"], folder);
    const runtimes = [["bun"], ["deno", "run", "-A", "--no-check"]];
    for (const runtime of runtimes) {
      const { output } = await must([...runtime, "program.js"], folder);
      if (output !== "sqlite3async SQLITE_CANTOPEN\n") fail(`${runtime[0]} printed ${output}`);
      const [unpacked] = filesIn(`${folder}/caches/sqlite3async`, "");
      if (unpacked === undefined) fail(`${runtime[0]} did not unpack the library`);
      Deno.removeSync(unpacked);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function must(command: string[], cwd: string = "."): Promise<Result> {
  const env = { SQLITE3ASYNC_LIBRARY: "", XDG_CACHE_HOME: `${cwd}/caches` };
  const result = await run(command, { timeoutMs: 120_000, cwd, env });
  if (!result.ok) fail(`${command.slice(0, 3).join(" ")}: ${result.reason}\n${result.output}`);
  return result;
}

function fail(message: string): never {
  console.error(`pack: ${message.trimEnd()}`);
  Deno.exit(1);
}
