/**
 * The package as users get it: from what `./run pack` has packed and what Deno publishes, in
 * fresh folders, with nothing of this checkout in reach. Each runtime installs it its own way.
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
import { basename, delimiter, dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";
import { currentPlatform, PLATFORMS } from "../ffi/platform.ts";
import { numbersIn, numbersTo } from "./helpers/check.ts";
import { execute, type Outcome, RUNTIME } from "./helpers/execute.ts";
import { Folder } from "./helpers/folder.ts";
import { Registry } from "./helpers/jsr.ts";

const ROOT = process.cwd();
const PACKED = fileURLToPath(new URL("../zig-out/pack/", import.meta.url));
const archive = existsSync(PACKED)
  ? readdirSync(PACKED).filter((name) => name.endsWith(".tgz")).map((name) => join(PACKED, name))[0]
  : undefined;
const NAME = "@sqlite3async/vfs";
/** What README.md leads to. */
const DOCS = filesIn(join(ROOT, "docs")).map((name) => `docs/${name}`);
const HOME_CACHE = process.platform === "darwin" ? "Library/Caches" : ".cache";
const TIMEOUT_MS = 120_000;
/** Where nobody listens: a registry that cannot be reached. */
const NOWHERE = "http://127.0.0.1:9/";

/** A test that one runtime makes, of what is packed. */
function only(runtime: string): { skip: string | false } {
  if (runtime !== RUNTIME) return { skip: `of ${runtime}` };
  return { skip: archive === undefined && "nothing is packed: ./run test does it, or ./run pack" };
}
const inDeno = only("deno");
const inBun = only("bun");
const inNode = only("node");

/** Commits one row that it flushes, and one that the exit must save. */
const PROGRAM = `
import { install } from "${NAME}";
import { DatabaseSync } from "node:sqlite";
import process from "node:process";

const vfs = await install();
vfs.route("data/app.db");
const database = new DatabaseSync("data/app.db");
database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
database.exec("CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY)");
const insert = database.prepare("INSERT INTO t VALUES (NULL)");
insert.run();
await vfs.flush();
const { state, committed, durable } = vfs.status("data/app.db");
console.log(vfs.name, state, durable > 0 && durable === committed);
insert.run();
process.exit(0);
`;
const PRINTED = "sqlite3async running true\n";

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

/** A user's folder: a project, and a home and caches of its own. */
class Site extends Folder {
  readonly home: string = this.file("home");
  readonly caches: string = this.file("caches");
  readonly project: string = this.file("project");
  /** The environment of its commands: nothing of the tests' own but where programs are. */
  readonly env: Record<string, string> = {
    PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
    HOME: this.home,
    XDG_CACHE_HOME: this.caches,
    NO_COLOR: "1",
    DENO_DIR: this.file("deno"),
    DENO_NO_UPDATE_CHECK: "1",
    JSR_URL: NOWHERE,
    BUN_INSTALL_CACHE_DIR: this.file("bun"),
    npm_config_cache: this.file("npm"),
    npm_config_registry: NOWHERE,
    npm_config_fetch_retries: "0",
    npm_config_update_notifier: "false",
  };

  constructor() {
    super();
    mkdirSync(this.home);
    mkdirSync(join(this.project, "data"), { recursive: true });
    this.write("program.mjs", PROGRAM);
    this.write("typed.ts", TYPED);
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.project, name), text);
  }

  /** Run a command in the project, or elsewhere. */
  execute(command: string[], cwd: string = this.project): Promise<Outcome> {
    const options = { cwd, env: this.env, timeoutMs: TIMEOUT_MS };
    return execute(command[0]!, command.slice(1), options);
  }

  /** Run a command that must succeed. Returns what it printed. */
  async must(command: string[], cwd?: string): Promise<string> {
    const { code, stdout, stderr } = await this.execute(command, cwd);
    const words = command.map((word) => basename(word)).join(" ");
    assert.equal(code, 0, `${words}: ${code}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Install the archive, as npm or Bun does it. */
  async install(installer: "npm" | "bun"): Promise<void> {
    this.write("package.json", `{ "private": true }`);
    const commands = {
      npm: ["npm", "install", "--no-audit", "--no-fund", archive!],
      bun: [process.execPath, "add", archive!],
    };
    await this.must(commands[installer]);
  }

  /** Where a package manager has put the package. */
  get installed(): string {
    return join(this.project, "node_modules", NAME);
  }

  /**
   * Run the program, or what was made of it, twice: what it prints must be right, what it leaves
   * be a plain database, and what the package has carried lie in `unpacked`.
   */
  async assertRuns(command: string[], unpacked: string = this.caches): Promise<void> {
    const data = join(this.project, "data");
    rmSync(data, { recursive: true });
    mkdirSync(data);
    for (const rows of [2, 4]) {
      assert.equal(await this.must(command), PRINTED);
      assert.deepEqual(numbersIn(join(data, "app.db")), numbersTo(rows));
    }
    const ours = filesIn(unpacked).filter((path) => path.startsWith("sqlite3async"));
    assert.match(ours.join(), /^sqlite3async(-\d+)?\/libsqlite3async-\w+\.\w+$/);
    rmSync(unpacked, { recursive: true });
  }
}

/** The paths of a folder's files, with slashes. */
function filesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1))
    .map((path) => path.replaceAll("\\", "/"))
    .sort();
}

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
  const sources = ["mod.ts", ...filesIn(join(ROOT, "ffi")).map((name) => `ffi/${name}`)];
  const compiled = sources.filter((name) => !name.endsWith(".d.ts"))
    .map((name) => name.slice(0, -".ts".length))
    .flatMap((name) => [`${name}.d.ts`, `${name}.js`]);
  const others = ["CHANGELOG.md", "LICENSE", "README.md", "package.json", ...DOCS];
  assert.deepEqual(files, [...compiled, ...others].sort());
  const { dependencies, scripts, exports } = JSON.parse(
    readFileSync(join(site.installed, "package.json"), "utf8"),
  );
  assert.deepEqual([dependencies, scripts], [undefined, undefined]);
  const exported: string[] = Object.values(exports["."]);
  assert.deepEqual(exported.filter((path) => !files.includes(path.slice(2))), []);

  const named = files.filter((name) => readFileSync(join(site.installed, name)).includes(ROOT));
  for (const platform of PLATFORMS) {
    const module = readFileSync(join(site.installed, `ffi/prebuilt/${platform}.js`), "utf8");
    const library = brotliDecompressSync(Buffer.from(carriedIn(module), "base64"));
    if (library.includes(ROOT)) named.push(platform);
  }
  assert.deepEqual(named, []);
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
    const module = readFileSync(join(ROOT, `ffi/prebuilt/${platform}.ts`), "utf8");
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
  await site.must([...command, "unpack", "--platform", "windows_arm64", "lib"]);
  assert.deepEqual(readdirSync(folder), ["sqlite3async.dll"]);
  assertIs("windows_arm64");
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
  await using registry = await Registry.start(ROOT, await published());
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

/** What Deno would publish, as paths in the checkout. */
async function published(): Promise<string[]> {
  using site = new Site();
  delete site.env.JSR_URL;
  const command = ["publish", "--dry-run", "--allow-dirty", "--no-check"];
  const { code, stdout, stderr } = await site.execute([process.execPath, ...command], ROOT);
  assert.equal(code, 0, stderr);
  assert.doesNotMatch(stderr, /warning/);
  return [...`${stdout}${stderr}`.matchAll(/file:\/\/(\S+) \(/g)]
    .map(([, path]) => path!.slice(ROOT.length + 1))
    .sort();
}

test("Deno publishes the sources and the libraries, and nothing else", inDeno, async () => {
  const sources = filesIn(join(ROOT, "ffi")).map((name) => `ffi/${name}`);
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
    await using registry = await Registry.start(ROOT, await published());
    await addFrom(site, registry);
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
  await using registry = await Registry.start(ROOT, await published());
  await addFrom(site, registry);
  await site.must([process.execPath, "install"]);
  await registry.stop();
  const runs = provideDenort(site);
  const options = ["--allow-all", "--cached-only", "--output=app"];
  await site.must([process.execPath, "compile", ...options, "program.mjs"]);
  const module = readFileSync(join(ROOT, `ffi/prebuilt/${currentPlatform()}.ts`), "utf8");
  assert.ok(readFileSync(join(site.project, "app")).includes(carriedIn(module)));
  if (runs) await assertStandsAlone(site, "app");
  else console.log("# skipped: running it: there is no denort, which deno compile downloads");
});
