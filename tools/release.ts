/**
 * Everything of a release but what leaves this machine: `./run release [--rehearse]`. Looks whether
 * the tree is clean, the version ready and the project's address known, builds the libraries twice
 * and compares them, packs for npm, installs that and what Deno would publish, writes the
 * checksums, and prints what is to be typed then.
 *
 * With --rehearse what isn't ready is told, and doesn't stop it.
 *
 * @module
 */

import { addressFaults } from "./addresses.ts";
import { builtLibraries, checksums } from "./embed.ts";
import { filesIn } from "./files.ts";
import { run } from "./process.ts";
import { versionFaults } from "./version.ts";

const OUTPUT = "zig-out/release";
const { version } = JSON.parse(Deno.readTextFileSync("deno.json"));
const rehearse = Deno.args.includes("--rehearse");
for (const arg of Deno.args) {
  if (arg !== "--rehearse") fail(`no such option: "${arg}"`);
}

const faults = await unready();
for (const fault of faults) console.log(`not ready: ${fault}`);
if (faults.length > 0 && !rehearse) Deno.exit(1);
await step("the libraries, built twice", "deno", "run", "-A", "tools/prebuilt.ts", "--twice");
await step("the package for npm", "deno", "run", "-A", "tools/pack.ts");
await step("the packages, installed", "deno", "run", "-A", "tools/test.ts", "--packed", "package");
await step(
  "the package, bundled",
  "deno",
  "run",
  "-A",
  "tools/test.ts",
  "--packed",
  "node/bundlers",
);
// Of what a rehearsal has not committed it would complain.
const dirty = rehearse ? ["--allow-dirty"] : [];
await step("the package for Deno", "deno", "publish", "--dry-run", ...dirty);
const files = collect();
console.log(`
Ready: ${OUTPUT} has ${files.length} files. To release, type:

    git tag --annotate v${version} --message "sqlite3async ${version}"
    git push origin v${version}
    npm publish --access public ${files.find((file) => file.endsWith(".tgz"))}
    deno publish

and attach what is in ${OUTPUT} to the tag.`);

/** What speaks against releasing this tree now. */
async function unready(): Promise<string[]> {
  const manifest = JSON.parse(Deno.readTextFileSync("package.json"));
  const found = [...versionFaults(), ...addressFaults(manifest)];
  const changes = await git("status", "--porcelain");
  if (changes !== "") found.push(`changes that are not committed:\n${changes.trimEnd()}`);
  if (await git("tag", "--list", `v${version}`) !== "") found.push(`v${version} is a tag already`);
  const heading = Deno.readTextFileSync("CHANGELOG.md").match(/^## .*$/m)?.[0] ?? "";
  if (!/^## \S+ \(\d{4}-\d\d-\d\d\)$/.test(heading)) {
    found.push(`CHANGELOG.md begins with "${heading}": give the release's date in its place`);
  }
  return found;
}

/** The files of the release, with their checksums, in one folder. */
function collect(): string[] {
  Deno.mkdirSync(OUTPUT, { recursive: true });
  for (const old of filesIn(OUTPUT, "")) Deno.removeSync(old);
  for (const { platform, path } of builtLibraries()) {
    const suffix = path.slice(path.lastIndexOf("."));
    Deno.copyFileSync(path, `${OUTPUT}/sqlite3async-${version}-${platform}${suffix}`);
  }
  for (const path of filesIn("zig-out/pack", ".tgz")) {
    Deno.copyFileSync(path, `${OUTPUT}/${path.split("/").at(-1)}`);
  }
  Deno.writeTextFileSync(`${OUTPUT}/SHA256SUMS`, checksums(OUTPUT, filesIn(OUTPUT, "")));
  return filesIn(OUTPUT, "");
}

async function git(...args: string[]): Promise<string> {
  const { ok, output, reason } = await run(["git", ...args], { timeoutMs: 60_000 });
  if (!ok) fail(`git ${args.join(" ")}: ${reason}\n${output}`);
  return output;
}

async function step(what: string, ...command: string[]): Promise<void> {
  console.log(`\n${what}:`);
  const { ok, reason, output } = await run(command, { timeoutMs: 3_600_000 });
  console.log(output.trim().replace(/^/gm, "    "));
  if (!ok) fail(`${what}: ${reason}`);
}

function fail(message: string): never {
  console.error(`release: ${message.trimEnd()}`);
  Deno.exit(1);
}
