/**
 * The package as users get it: from what `./run pack` has packed and what Deno publishes, in
 * fresh folders, with nothing of this checkout in reach. Each runtime installs it its own way.
 *
 * SQLITE3ASYNC_PACKED is the folder where it was packed, zig-out/pack if it is not set. What was
 * packed for the tests alone (`./run pack --here`) has only this platform's library in its modules.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { brotliDecompressSync } from "node:zlib";
import { currentPlatform, PLATFORMS } from "../ffi/platform.ts";
import { addressFaults } from "../tools/addresses.ts";
import { RUNTIME } from "./helpers/execute.ts";
import { Registry } from "./helpers/jsr.ts";
import { CARRIED, filesIn, NAME, only, PRINTED, Site, SOURCES } from "./helpers/site.ts";

const ROOT = process.cwd();
/** What README.md leads to. */
const DOCS = filesIn(join(SOURCES, "docs")).map((name) => `docs/${name}`);
const HOME_CACHE = process.platform === "darwin" ? "Library/Caches" : ".cache";

const inDeno = only("deno");
const inBun = only("bun");
const inNode = only("node");

/** A program that needs the types of the package. */
const TYPED = `
import { type AsyncVfs, AsyncVfsError, install, type InstallOptions } from "${NAME}";

const options: InstallOptions = { maxDelayMs: 100 };
const vfs: AsyncVfs = await install(options);
const durable: number = vfs.status("app.db").durable;
// @ts-expect-error: there is no such option
const typo: InstallOptions = { maxDelay: 100 };
// @ts-expect-error: it is a promise
const flushed: number = vfs.flush({ path: "app.db" });
const result: number = await vfs.durable(() => 5);
// @ts-expect-error: what follows an await would come after the commit
vfs.durable(async () => {});
void [AsyncVfsError, durable, typo, flushed, result];
`;

test("npm installs the package without a registry, and Node runs it", inNode, async () => {
  using site = new Site();
  await site.install("npm");
  await site.assertRuns([process.execPath, "program.mjs"]);
});

test("bun adds the package without a registry, and runs it", inBun, async () => {
  using site = new Site();
  await site.install("bun");
  await site.assertRuns([process.execPath, "program.mjs"]);
});

test("Deno runs the package that npm has installed", inDeno, async () => {
  using site = new Site();
  await site.install("npm");
  await site.assertRuns([process.execPath, "run", "-A", "--cached-only", "program.mjs"]);
});

test("Node's and Bun's CommonJS requires the package", {
  skip: RUNTIME === "deno" ? "not Deno's" : (RUNTIME === "bun" ? inBun : inNode).skip,
}, async () => {
  using site = new Site();
  await site.install(RUNTIME === "bun" ? "bun" : "npm");
  site.write("program.cjs", `require("${NAME}").install().then((vfs) => console.log(vfs.name));`);
  assert.equal(await site.must([process.execPath, "program.cjs"]), "sqlite3async\n");
});

test("the package for npm has its files, and no name of this checkout", inNode, async () => {
  using site = new Site();
  await site.install("npm");
  const files = filesIn(site.installed);
  const sources = ["mod.ts", ...filesIn(join(SOURCES, "ffi")).map((name) => `ffi/${name}`)];
  const compiled = sources.filter((name) => !name.endsWith(".d.ts"))
    .map((name) => name.slice(0, -".ts".length))
    .flatMap((name) => [
      ...[`${name}.d.ts`, `${name}.js`],
      ...(name.startsWith("ffi/prebuilt/") ? [] : [`${name}.js.map`]),
    ]);
  const others = ["CHANGELOG.md", "LICENSE", "README.md", "package.json", ...DOCS];
  assert.deepEqual(files, [...compiled, ...others].sort());
  const { dependencies, scripts, exports } = JSON.parse(
    readFileSync(join(site.installed, "package.json"), "utf8"),
  );
  assert.deepEqual([dependencies, scripts], [undefined, undefined]);
  const exported: string[] = Object.values(exports["."]);
  assert.deepEqual(exported.filter((path) => !files.includes(path.slice(2))), []);

  const named = files.filter((name) => readFileSync(join(site.installed, name)).includes(ROOT));
  for (const platform of CARRIED) {
    const module = readFileSync(join(site.installed, `ffi/prebuilt/${platform}.js`), "utf8");
    const library = brotliDecompressSync(Buffer.from(carriedIn(module), "base64"));
    if (library.includes(ROOT)) named.push(platform);
  }
  assert.deepEqual(named, []);
});

test("the manifest says what is true of the package", inNode, async () => {
  using site = new Site();
  await site.install("npm");
  const manifest = JSON.parse(readFileSync(join(site.installed, "package.json"), "utf8"));
  assert.equal(manifest.sideEffects, false);
  // All but commands, and the libraries' modules, which consist of a constant each.
  const commands: unknown[] = Object.values(manifest.bin ?? {});
  const modules = filesIn(site.installed)
    .filter((name) => /^(mod|ffi\/\w+)\.js$/.test(name) && !commands.includes(name));
  site.write("look.mjs", lookingAround(modules.map((name) => `./node_modules/${NAME}/${name}`)));
  assert.equal(await site.must([process.execPath, "look.mjs"]), "");
  // These are passed on as they stand in the checkout.
  const checkout = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  for (const name of ["name", "version", "license", "engines", "homepage", "bugs", "repository"]) {
    assert.deepEqual(manifest[name], checkout[name], name);
  }
});

/** A program that imports modules, and fails if that has changed anything outside of them. */
function lookingAround(modules: string[]): string {
  return `
import assert from "node:assert/strict";
import process from "node:process";
const objects = [globalThis, process, process.env, Object, Promise, Symbol, EventTarget.prototype];
function look() {
  const members = objects.flatMap((object) => Reflect.ownKeys(object).map((key) => {
    const { value, get } = Object.getOwnPropertyDescriptor(object, key);
    return [key, typeof value === "object" ? undefined : value, get];
  }));
  return [...members, process.eventNames()];
}
look(); // at which Node loads some of its own
const before = look();
for (const path of ${JSON.stringify(modules)}) await import(path);
assert.deepEqual(look(), before);
`;
}

test("a release needs the project's addresses", inNode, () => {
  const addresses = {
    homepage: "https://forge.example/project",
    bugs: { url: "https://forge.example/project/issues" },
    repository: { type: "git", url: "git+https://forge.example/project.git" },
  };
  assert.deepEqual(addressFaults(addresses), []);
  assert.deepEqual(
    addressFaults({}),
    ["homepage", "bugs.url", "repository.url"].map((name) => {
      return `package.json has no ${name}: give the project's address`;
    }),
  );
  const repository = { type: "git", url: "git@forge.example:project.git" };
  assert.deepEqual(addressFaults({ ...addresses, repository }), [
    `package.json: repository.url is "git@forge.example:project.git", which is no https address`,
  ]);
});

test("a stack trace shows the lines of the sources", inNode, async () => {
  using site = new Site();
  await site.install("npm");
  site.write(
    "fails.mjs",
    `
import { install } from "${NAME}";
await install({ library: "/no/such" }).catch((error) => console.log(error.stack));
`,
  );
  const stack = await site.must([process.execPath, "--enable-source-maps", "fails.mjs"]);
  const [, line] = stack.match(/at givenLibrary \(.*\/vfs\/ffi\/library\.ts:(\d+):\d+\)/) ?? [];
  const source = readFileSync(join(ROOT, "ffi/library.ts"), "utf8").split("\n");
  assert.match(source[Number(line) - 1] ?? "", /throw cannotOpen\(message, path\)/, stack);
});

test("the package imports only what all runtimes have", inNode, async () => {
  using site = new Site();
  await site.install("npm");
  const imported = filesIn(site.installed).filter((name) => name.endsWith(".js"))
    .map((name) => readFileSync(join(site.installed, name), "utf8"))
    .flatMap((code) => [...code.matchAll(/^(?:import|\} from) .*"([^".][^"]*)";$/gm)])
    .map(([, name]) => name!);
  const wanted = [
    "buffer",
    "crypto",
    "fs",
    "module",
    "path",
    "process",
    "url",
    "util",
    "worker_threads",
    "zlib",
  ];
  assert.deepEqual([...new Set(imported)].sort(), wanted.map((name) => `node:${name}`));
});

// ---- The command ----

/** The command must make files of libraries, say where, and say what it cannot do. */
async function assertUnpacks(site: Site, command: string[]): Promise<void> {
  const folder = join(site.project, "lib");
  const umask = process.umask(0o077); // everybody may read the file all the same
  const said = await site.must([...command, "unpack", "lib"]);
  process.umask(umask);
  const path = said.slice(0, -1);
  assert.equal(said, `${join(folder, basename(path))}\n`);
  const assertIs = (platform: string) => {
    const module = readFileSync(join(SOURCES, `ffi/prebuilt/${platform}.ts`), "utf8");
    const [file] = readdirSync(folder);
    const carried = brotliDecompressSync(Buffer.from(carriedIn(module), "base64"));
    assert.ok(carried.equals(readFileSync(join(folder, file!))), platform);
  };
  assertIs(currentPlatform());
  assert.equal(statSync(path).mode & 0o777, 0o644);
  const { ino } = statSync(path);
  assert.equal(await site.must([...command, "unpack", folder]), said);
  assert.equal(statSync(path).ino, ino, "what is right stays");
  const faults = [
    () => chmodSync(path, 0o600),
    () => writeFileSync(path, "damaged"),
    () => {
      const bytes = readFileSync(path);
      bytes[4000]! ^= 1;
      writeFileSync(path, bytes);
    },
  ];
  for (const damage of faults) {
    damage();
    assert.equal(await site.must([...command, "unpack", folder]), said);
    assertIs(currentPlatform());
    assert.equal(statSync(path).mode & 0o777, 0o644);
  }
  assert.deepEqual(readdirSync(folder), [basename(path)]);
  rmSync(folder, { recursive: true });
  const platform = CARRIED.at(-1)!; // of all, that is another one
  await site.must([...command, "unpack", "--platform", platform, "lib"]);
  assert.match(readdirSync(folder).join(), /^(lib)?sqlite3async\.(so|dylib|dll)$/);
  assertIs(platform);
  rmSync(folder, { recursive: true });
  await assertComplains(site, command);
  await site.must([...command, "unpack", "lib"]);
}

/** What it cannot do goes to stderr, and nothing to stdout. */
async function assertComplains(site: Site, command: string[]): Promise<void> {
  writeFileSync(join(site.project, "file"), "");
  const cases: [args: string[], code: number, said: RegExp][] = [
    [[], 2, /what is to be done\?.*\n\nUsage: sqlite3async unpack /],
    [["pack", "lib"], 2, /there is no command "pack"\n\nUsage: /],
    [["unpack"], 2, /into which folder\?\n\nUsage: /],
    [["unpack", "lib", "more"], 2, /and not also "more"\n\nUsage: /],
    [["unpack", "--plat", "lib"], 2, /--plat.*\n\nUsage: /],
    [["unpack", "--platform=vax", "lib"], 2, /platform "vax"\n\nUsage: [^]*linux_x64_musl,/],
    [["unpack", "file"], 1, /^sqlite3async: Cannot unpack .* into "file": .*EEXIST/m],
    [["unpack", "file/lib"], 1, /^sqlite3async: Cannot unpack .* into "file\/lib": .*ENOTDIR/m],
  ];
  for (const [args, code, said] of cases) {
    const outcome = await site.execute([...command, ...args]);
    assert.deepEqual([outcome.code, outcome.stdout], [code, ""], args.join(" "));
    assert.match(outcome.stderr, said);
  }
  assert.match(await site.must([...command, "--help"]), /^Usage: [^]*windows_arm64\n$/);
}

/** The library that was unpacked is used where it is named, and none is unpacked. */
async function assertUsesUnpacked(site: Site, command: string[]): Promise<void> {
  const [file] = readdirSync(join(site.project, "lib"));
  site.env.SQLITE3ASYNC_LIBRARY = join(site.project, "lib", file!);
  assert.equal(await site.must(command), PRINTED);
  assert.equal(existsSync(join(site.caches, "sqlite3async")), false);
}

test("npx unpacks the library into a folder", inNode, async () => {
  using site = new Site();
  await site.install("npm");
  await assertUnpacks(site, ["npx", NAME]);
  await assertUsesUnpacked(site, [process.execPath, "program.mjs"]);
});

test("bunx unpacks the library into a folder", inBun, async () => {
  using site = new Site();
  await site.install("bun");
  await assertUnpacks(site, [process.execPath, "x", NAME]);
  await assertUsesUnpacked(site, [process.execPath, "program.mjs"]);
});

test("deno run unpacks the library into a folder, with few permissions", inDeno, async () => {
  using site = new Site();
  await using registry = await Registry.start(SOURCES, await published());
  await addFrom(site, registry);
  const run = [process.execPath, "run", "--no-prompt", "--quiet"];
  const flags = ["--allow-read=lib,file", "--allow-write=lib,file"];
  await assertUnpacks(site, [...run, ...flags, `jsr:${NAME}/cli`]);
  await registry.stop();
  rmSync(join(site.project, "lib"), { recursive: true });
  // By the name in deno.json, so in the version of the lock file.
  await site.must([...run, ...flags, "--cached-only", `${NAME}/cli`, "unpack", "lib"]);
  await assertUsesUnpacked(site, [...run, "-A", "program.mjs"]);
  rmSync(join(site.project, "lib"), { recursive: true });
  const few = ["--allow-read=lib", "--cached-only", `${NAME}/cli`, "unpack", "lib"];
  const { code, stderr } = await site.execute([...run, ...few]);
  assert.equal(code, 1);
  assert.match(stderr, /^sqlite3async: Cannot unpack .*: Requires write access to "lib"/m);
});

/** The compressed library in the text of a module. */
function carriedIn(module: string): string {
  return module.match(/brotli: "([\w+/=]+)"/)![1]!;
}

const typescript = process.env.TYPESCRIPT_DIR;

test("the compiler finds the types, with Node's and with the web's", {
  skip: inNode.skip || (typescript === undefined ? "./run test says where tsc is" : false),
}, async () => {
  using site = new Site();
  await site.install("npm");
  const tsc = join(typescript!, "node_modules/typescript/bin/tsc");
  const options = "--noEmit --strict --target es2022".split(" ");
  const nodeTypes = join(process.env.TYPES_NODE_DIR!, "node_modules/@types");
  const surroundings = [
    ["--types", "node", "--typeRoots", nodeTypes, "--lib", "esnext"],
    ["--types", "", "--lib", "es2022,esnext.disposable,dom"],
  ];
  const resolutions = ["nodenext nodenext", "node16 node16", "preserve bundler"];
  site.write("package.json", `{ "private": true, "type": "module" }`);
  site.write("typed.ts", TYPED);
  site.write("typed.cts", `import { install } from "${NAME}";\nvoid install();\n`);
  for (const [index, resolution] of resolutions.entries()) {
    const [module, moduleResolution] = resolution.split(" ") as [string, string];
    const how = ["--module", module, "--moduleResolution", moduleResolution];
    const files = module === "nodenext" ? ["typed.ts", "typed.cts"] : ["typed.ts"];
    const types = surroundings[index % 2]!;
    await site.must([process.execPath, tsc, ...options, ...how, ...types, ...files]);
  }
});

// ---- From JSR ----

/** What Deno would publish, as paths in the sources. */
async function published(): Promise<string[]> {
  using site = new Site();
  delete site.env.JSR_URL;
  const command = ["publish", "--dry-run", "--allow-dirty", "--no-check"];
  const { code, stdout, stderr } = await site.execute([process.execPath, ...command], SOURCES);
  assert.equal(code, 0, stderr);
  assert.doesNotMatch(stderr, /warning/);
  return [...`${stdout}${stderr}`.matchAll(/file:\/\/(\S+) \(/g)]
    .map(([, path]) => path!.slice(SOURCES.length + 1))
    .sort();
}

test("Deno publishes the sources and the libraries, and nothing else", inDeno, async () => {
  const sources = filesIn(join(SOURCES, "ffi")).map((name) => `ffi/${name}`);
  const libraries = PLATFORMS.map((name) => `ffi/prebuilt/${name}.ts`);
  assert.deepEqual(libraries.filter((name) => !sources.includes(name)), []);
  const others = ["CHANGELOG.md", "LICENSE", "README.md", "deno.json", "mod.ts", ...DOCS];
  assert.deepEqual(await published(), [...sources, ...others].sort());
});

/** A project that has added the package from a registry. */
async function addFrom(site: Site, registry: Registry): Promise<void> {
  site.env.JSR_URL = registry.url;
  site.write("deno.json", "{}");
  await site.must([process.execPath, "add", `jsr:${NAME}`]);
}

test(
  "deno adds the package from JSR, and runs it offline, with few permissions",
  inDeno,
  async () => {
    using site = new Site();
    await using registry = await Registry.start(SOURCES, await published());
    await addFrom(site, registry);
    site.write("typed.ts", TYPED);
    const { imports } = JSON.parse(readFileSync(join(site.project, "deno.json"), "utf8"));
    assert.match(imports[NAME], /^jsr:@sqlite3async\/vfs@\^\d+\.\d+\.\d+$/);
    await site.must([process.execPath, "check", "typed.ts"]);
    const folders = `data,${join(site.caches, "sqlite3async")}`;
    const run = [
      ...[process.execPath, "run", "--no-prompt", "--allow-ffi", "--allow-env=HOME,XDG_CACHE_HOME"],
      ...[`--allow-read=${folders}`, `--allow-write=${folders}`],
    ];
    await site.assertRuns([...run, "program.mjs"]);
    assert.deepEqual(registry.missed, []);

    await registry.stop();
    await site.assertRuns([...run, "--cached-only", "program.mjs"]);
  },
);

// ---- Compiled to one file ----

/** Take the file away from all that it was made of: it must run with and without a home. */
async function assertStandsAlone(site: Site, file: string): Promise<void> {
  using elsewhere = new Site();
  const program = elsewhere.file("program");
  renameSync(join(site.project, file), program);
  site[Symbol.dispose]();
  for (const name of filesIn(elsewhere.project)) rmSync(join(elsewhere.project, name));
  const { env, home } = elsewhere;
  delete env.XDG_CACHE_HOME;
  await elsewhere.assertRuns([program], join(home, HOME_CACHE));

  delete env.HOME;
  env.TMPDIR = elsewhere.file("temporary");
  mkdirSync(env.TMPDIR, { mode: 0o700 });
  await elsewhere.assertRuns([program], env.TMPDIR);
}

test("what bun compiles to one file runs alone", inBun, async () => {
  using site = new Site();
  await site.install("bun");
  await site.must([process.execPath, "build", "--compile", "--outfile=app", "program.mjs"]);
  await assertStandsAlone(site, "app");
});

/**
 * Let Deno find what it compiles into, which it would download: denort, as DENORT_BIN names it, or
 * in Deno's cache. Returns whether it is there; if not, Deno itself stands in for it, which makes a
 * file that has all in it but doesn't run it.
 */
function provideDenort(site: Site): boolean {
  const downloads = join(process.env.DENO_DIR ?? "", "dl");
  const wasDownloaded = existsSync(join(downloads, "release", `v${Deno.version.deno}`));
  if (process.env.DENORT_BIN === undefined && wasDownloaded) {
    mkdirSync(site.env.DENO_DIR!, { recursive: true });
    symlinkSync(downloads, join(site.env.DENO_DIR!, "dl"));
    return true;
  }
  site.env.DENORT_BIN = process.env.DENORT_BIN ?? process.execPath;
  return process.env.DENORT_BIN !== undefined;
}

test("what deno compiles to one file has the library, and runs alone", inDeno, async () => {
  using site = new Site();
  await using registry = await Registry.start(SOURCES, await published());
  await addFrom(site, registry);
  await site.must([process.execPath, "install"]);
  await registry.stop();
  const runs = provideDenort(site);
  const options = ["--allow-all", "--cached-only", "--output=app"];
  await site.must([process.execPath, "compile", ...options, "program.mjs"]);
  const module = readFileSync(join(SOURCES, `ffi/prebuilt/${currentPlatform()}.ts`), "utf8");
  assert.ok(readFileSync(join(site.project, "app")).includes(carriedIn(module)));
  if (runs) await assertStandsAlone(site, "app");
  else console.log("# skipped: running it: there is no denort, which deno compile downloads");
});
