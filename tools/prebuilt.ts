/**
 * The libraries that the package carries: `./run prebuilt [--twice | --here]`. Builds them for all
 * platforms, holds their symbols to the header, makes the modules of ffi/prebuilt/ and writes
 * zig-out/prebuilt/SHA256SUMS.
 *
 * --here builds only this platform's, and makes no module: `pack.ts --here` does.
 *
 * --twice builds them once more from a copy of the sources in another folder, with empty caches,
 * and compares: the libraries follow from the sources and the version of Zig alone.
 *
 * @module
 */

import { currentPlatform } from "../ffi/platform.ts";
import { builtLibraries, checksums, moduleFaults, sha256, writeModules } from "./embed.ts";
import { run, zigBuild } from "./process.ts";
import { symbolFaults } from "./symbols.ts";

const SUMS = "zig-out/prebuilt/SHA256SUMS";

const unknown = Deno.args.find((arg) => arg !== "--twice" && arg !== "--here");
if (unknown !== undefined) fail(`no such option: "${unknown}"`);
if (Deno.args.length > 1) fail("one option at a time");
if (Deno.args[0] === "--here") {
  await buildHere();
  Deno.exit();
}
await Deno.remove("zig-out/prebuilt", { recursive: true }).catch(() => {});
const { ok, reason, output } = await zigBuild("prebuilt");
if (!ok) fail(`${output}\nzig build prebuilt: ${reason}`);
const libraries = builtLibraries();
const faults = libraries.flatMap(({ path }) => symbolFaults(path));
writeModules();
faults.push(...moduleFaults());
if (faults.length > 0) fail(faults.join("\n"));

Deno.writeTextFileSync(SUMS, checksums("zig-out/prebuilt", libraries.map(({ path }) => path)));
for (const { platform, path } of libraries) {
  const size = (file: string) => `${(Deno.statSync(file).size / 1024).toFixed(0).padStart(4)} KiB`;
  console.log(
    `${platform.padEnd(16)} ${size(path)}, as a module ${size(`ffi/prebuilt/${platform}.ts`)}`,
  );
}
console.log(SUMS);
if (Deno.args.includes("--twice")) await compareWithAnother();

/** Build the library for this platform, as the package carries it. */
async function buildHere(): Promise<void> {
  const { ok, reason, output } = await zigBuild("prebuilt", `-Dplatform=${currentPlatform()}`);
  if (!ok) fail(`${output}\nzig build prebuilt: ${reason}`);
  const library = builtLibraries().find(({ platform }) => platform === currentPlatform());
  if (library === undefined) fail(`build.zig knows no platform "${currentPlatform()}"`);
  const faults = symbolFaults(library.path);
  if (faults.length > 0) fail(faults.join("\n"));
  console.log(library.path);
}

/** Build the same sources elsewhere, from nothing. */
async function compareWithAnother(): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sqlite3async-again-" });
  try {
    const sources = ["build.zig", "build.zig.zon", "csrc", "tests"]; // the last is looked into
    // No name of the folder of the sources, or of SQLite's headers, may get into a library.
    const sqlite = Deno.env.get("SQLITE_DIR")!;
    const copied = await run(["cp", "-R", ...sources, sqlite, folder], { timeoutMs: 60_000 });
    if (!copied.ok) fail(copied.output);
    const headers = `${folder}/${sqlite.split("/").at(-1)}`;
    const command = ["zig", "build", "prebuilt", `-Dsqlite=${headers}`, "--prefix", "out"];
    const env = {
      ZIG_GLOBAL_CACHE_DIR: `${folder}/global`,
      ZIG_LOCAL_CACHE_DIR: `${folder}/local`,
    };
    const built = await run(command, { timeoutMs: 1_800_000, env, cwd: folder });
    if (!built.ok) fail(built.output);
    const differing = libraries.filter(({ path }) => {
      const other = path.replace("zig-out", `${folder}/out`);
      return sha256(Deno.readFileSync(path)) !== sha256(Deno.readFileSync(other));
    });
    if (differing.length > 0) {
      fail(
        `not the same when built again: ${differing.map(({ platform }) => platform).join(", ")}`,
      );
    }
    console.log(
      `the same, byte for byte, when built again elsewhere (${built.seconds.toFixed(0)} s)`,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function fail(message: string): never {
  console.error(`prebuilt: ${message.trimEnd()}`);
  Deno.exit(1);
}
