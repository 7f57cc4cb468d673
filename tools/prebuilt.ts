/**
 * The libraries that the package carries: `./run prebuilt [--twice]`. Builds them for all
 * platforms, holds their symbols to the header, makes the modules of ffi/prebuilt/ and writes
 * zig-out/prebuilt/SHA256SUMS.
 *
 * --twice builds them once more from a copy of the sources in another folder, with empty caches,
 * and compares: the libraries follow from the sources and the version of Zig alone.
 *
 * @module
 */

import { builtLibraries, checksums, moduleFaults, sha256, writeModules } from "./embed.ts";
import { run, zigBuild } from "./process.ts";
import { symbolFaults } from "./symbols.ts";

const SUMS = "zig-out/prebuilt/SHA256SUMS";

for (const arg of Deno.args) {
  if (arg !== "--twice") fail(`no such option: "${arg}"`);
}
await Deno.remove("zig-out/prebuilt", { recursive: true }).catch(() => {});
const { ok, output } = await zigBuild("prebuilt");
if (!ok) fail(output);
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
