/**
 * The library that the package carries: unpacking it, and loading it from there.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import { basename, join, resolve } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { locateLibrary } from "../ffi/library.ts";
import { currentPlatform, PLATFORMS } from "../ffi/platform.ts";
import type { Prebuilt } from "../ffi/prebuilt.ts";
import { currentRuntime } from "../ffi/runtime.ts";
import { unpack } from "../ffi/unpack.ts";
import { moduleText, prebuiltOf } from "../tools/embed.ts";
import { errorOf } from "./helpers/check.ts";
import { Child, type Ended, runProgram } from "./helpers/child.ts";
import { Folder } from "./helpers/folder.ts";
import { remove } from "./helpers/remove.ts";

const isWindows = process.platform === "win32";
const onlyPosix = { skip: isWindows ? "Windows has no modes and owners" : false };
const onlyDeno = { skip: "Deno" in globalThis ? false : "Deno's" };

/** A folder for a test, with something to unpack and a place for caches. */
class Scene extends Folder {
  readonly bytes: Uint8Array = new Uint8Array(randomBytes(5000));
  readonly prebuilt: Prebuilt;
  readonly caches: string = this.file("caches");
  /** Where it is unpacked. */
  readonly folder: string = join(this.caches, "sqlite3async");

  constructor() {
    super();
    const original = this.file("libsqlite3async.so");
    writeFileSync(original, this.bytes);
    this.prebuilt = prebuiltOf(original);
  }

  /** Unpack with these variables set and no other. */
  unpack(
    environment: Record<string, string> = { XDG_CACHE_HOME: this.caches },
    prebuilt: Prebuilt = this.prebuilt,
  ): string {
    const names = isWindows ? { LOCALAPPDATA: environment.XDG_CACHE_HOME } : environment;
    return unpack(prebuilt, (name) => (names as Record<string, string | undefined>)[name]);
  }
}

const urlOf = (path: string) => new URL(path, import.meta.url).href;
const mode = (path: string) => lstatSync(path).mode & 0o777;

test("unpack() makes a file under its hash and leaves it there", () => {
  using scene = new Scene();
  mkdirSync(scene.caches);
  const path = scene.unpack();
  assert.equal(path, join(scene.folder, `libsqlite3async-${scene.prebuilt.sha256}.so`));
  assert.deepEqual(new Uint8Array(readFileSync(path)), new Uint8Array(scene.bytes));
  if (!isWindows) assert.deepEqual([mode(scene.folder), mode(path)], [0o755, 0o644]);
  const { ino } = statSync(path);
  assert.equal(scene.unpack(), path);
  assert.equal(statSync(path).ino, ino);
  assert.equal(readdirSync(scene.folder).length, 1);
});

test("unpack() keeps the libraries of two versions apart", () => {
  using scene = new Scene();
  using other = new Scene();
  const paths = [scene.prebuilt, other.prebuilt].map((prebuilt) => {
    return scene.unpack({ XDG_CACHE_HOME: scene.caches }, prebuilt);
  });
  assert.deepEqual(new Uint8Array(readFileSync(paths[0]!)), new Uint8Array(scene.bytes));
  assert.deepEqual(new Uint8Array(readFileSync(paths[1]!)), new Uint8Array(other.bytes));
});

test("unpack() replaces a file that isn't the library", () => {
  using scene = new Scene();
  const path = scene.unpack();
  const changed = scene.bytes.slice();
  changed[2500]! ^= 1;
  for (const content of [changed, scene.bytes.subarray(0, 2500), new Uint8Array()]) {
    writeFileSync(path, content);
    assert.equal(scene.unpack(), path);
    assert.deepEqual(new Uint8Array(readFileSync(path)), new Uint8Array(scene.bytes));
  }
});

test("unpack() replaces a link, and doesn't touch what it leads to", onlyPosix, () => {
  using scene = new Scene();
  const path = scene.unpack();
  const elsewhere = scene.file("elsewhere");
  for (const content of ["something", scene.bytes]) {
    writeFileSync(elsewhere, content);
    rmSync(path);
    symlinkSync(elsewhere, path);
    assert.equal(scene.unpack(), path);
    assert.ok(lstatSync(path).isFile());
    assert.deepEqual(readFileSync(elsewhere), Buffer.from(content as string));
  }
});

test("unpack() replaces a file that others may write to", onlyPosix, () => {
  using scene = new Scene();
  const path = scene.unpack();
  chmodSync(path, 0o666);
  scene.unpack();
  assert.equal(mode(path), 0o644);
});

test("unpack() replaces a file of another user", {
  skip: process.getuid?.() === 0 ? false : "only root can give a file away",
}, () => {
  using scene = new Scene();
  const path = scene.unpack();
  chownSync(path, 65534, 65534);
  scene.unpack();
  assert.equal(lstatSync(path).uid, 0);
});

test("unpack() says what is in the way", async () => {
  using scene = new Scene();
  const path = scene.unpack();
  rmSync(path);
  mkdirSync(join(path, "sub"), { recursive: true });
  const error = await errorOf(() => scene.unpack());
  assert.equal(error.codeName, "SQLITE_CANTOPEN");
  assert.match(error.message, /^Cannot unpack .*libsqlite3async-.*SQLITE3ASYNC_LIBRARY$/);
  assert.deepEqual(readdirSync(scene.folder).length, 1); // nothing temporary is left
});

test("unpack() refuses a folder that isn't the user's alone", onlyPosix, async () => {
  using scene = new Scene();
  const path = scene.unpack();
  for (const writable of [0o720, 0o702]) {
    chmodSync(scene.folder, writable);
    const error = await errorOf(() => scene.unpack());
    assert.match(error.message, /sqlite3async": others may write to it; change that/);
  }
  chmodSync(scene.folder, 0o755);
  assert.equal(scene.unpack(), path);

  rmSync(scene.folder, { recursive: true });
  mkdirSync(scene.file("elsewhere"));
  symlinkSync(scene.file("elsewhere"), scene.folder);
  assert.match(
    (await errorOf(() => scene.unpack())).message,
    /sqlite3async": it is a symbolic link/,
  );
  assert.deepEqual(readdirSync(scene.file("elsewhere")), []);

  rmSync(scene.folder);
  writeFileSync(scene.folder, "");
  assert.match((await errorOf(() => scene.unpack())).message, /EEXIST|exists/);
});

test("unpack() uses no folder of another user", {
  skip: process.getuid?.() === 0 ? false : "only root can give a folder away",
}, async () => {
  using scene = new Scene();
  const environment = { XDG_CACHE_HOME: scene.caches, TMPDIR: scene.file("tmp") };
  mkdirSync(environment.TMPDIR);
  scene.unpack(environment);
  chownSync(scene.folder, 65534, 65534);
  const path = scene.unpack(environment);
  assert.ok(path.startsWith(realpathSync(environment.TMPDIR)), path);

  const ours = join(environment.TMPDIR, "sqlite3async-0");
  chownSync(ours, 65534, 65534);
  const error = await errorOf(() => scene.unpack(environment));
  assert.match(error.message, /caches.* belongs to user 65534, and this process is user 0; /);
  assert.match(
    error.message,
    /sqlite3async-0" belongs to user 65534, and this process is user 0\)/,
  );

  // Its owner may rename what is in a folder, though it is sticky.
  rmSync(ours, { recursive: true });
  chmodSync(environment.TMPDIR, 0o1777);
  chownSync(environment.TMPDIR, 65534, 65534);
  assert.match((await errorOf(() => scene.unpack(environment))).message, /tmp" belongs to user/);
});

/** Make a file's time so many days older than now. */
function age(path: string, days: number): void {
  const time = new Date(Date.now() - days * 86_400_000);
  utimesSync(path, time, time);
}

test("unpack() removes libraries that nobody has asked for in a month", () => {
  using scene = new Scene();
  mkdirSync(scene.folder, { recursive: true });
  const names = (digit: string) => [
    ...["libsqlite3async-X.so", "libsqlite3async-X.dylib", "sqlite3async-X.dll"]
      .map((name) => name.replace("X", digit.repeat(64))),
    `.${digit.repeat(8)}-${digit.repeat(4)}-4000-8000-${digit.repeat(12)}`,
  ];
  const others = ["notes", "libsqlite3async.so", `libsqlite3async-${"0".repeat(63)}.so`, ".a-b"];
  const folder = `libsqlite3async-${"5".repeat(64)}.so`;
  mkdirSync(join(scene.folder, folder));
  for (const name of [...names("1"), ...names("2"), ...others]) {
    writeFileSync(join(scene.folder, name), "");
  }
  for (const name of [...names("1"), ...others, folder]) age(join(scene.folder, name), 31);
  for (const name of names("2")) age(join(scene.folder, name), 29);
  const path = scene.unpack();
  const wanted = [...names("2"), ...others, folder, basename(path)];
  assert.deepEqual(readdirSync(scene.folder).sort(), wanted.sort());
});

test("unpack() leaves an old library of another user", {
  skip: process.getuid?.() === 0 ? false : "only root can give a file away",
}, () => {
  using scene = new Scene();
  using other = new Scene();
  const environment = { XDG_CACHE_HOME: scene.caches };
  const path = scene.unpack(environment, other.prebuilt);
  age(path, 1000);
  chownSync(path, 65534, 65534);
  scene.unpack(environment);
  assert.equal(readdirSync(scene.folder).length, 2);
});

test("unpack() notes once a day that a library was asked for", () => {
  using scene = new Scene();
  const path = scene.unpack();
  const ageNow = () => (Date.now() - statSync(path).mtimeMs) / 86_400_000;
  age(path, 0.9);
  assert.equal(scene.unpack(), path);
  assert.ok(ageNow() > 0.8, `${ageNow()} days`);
  age(path, 31);
  assert.equal(scene.unpack(), path);
  assert.ok(ageNow() < 0.1, `${ageNow()} days`);
});

test("unpack() refuses a damaged package", async () => {
  using scene = new Scene();
  const environment = { XDG_CACHE_HOME: scene.caches };
  const { prebuilt } = scene;
  const wrongHash = { ...prebuilt, sha256: "0".repeat(64) };
  const first = await errorOf(() => scene.unpack(environment, wrongHash));
  assert.match(first.message, /damaged: it has the SHA-256 \w{64} and should have 0{64}; install/);
  const cut = { ...prebuilt, brotli: prebuilt.brotli.slice(0, 4000) };
  const second = await errorOf(() => scene.unpack(environment, cut));
  assert.match(second.message, /damaged: it (cannot be decompressed|has the SHA-256)/);
  const bomb = { ...prebuilt, size: 100 };
  const third = await errorOf(() => scene.unpack(environment, bomb));
  assert.match(third.message, /damaged: it cannot be decompressed/);
  assert.deepEqual(readdirSync(scene.folder), []);
});

test("unpack() finds the user's cache folder", onlyPosix, () => {
  using scene = new Scene();
  const home = scene.file("home");
  const cache = process.platform === "darwin" ? "Library/Caches" : ".cache";
  const inHome = scene.unpack({ HOME: home, XDG_CACHE_HOME: "" });
  assert.ok(inHome.startsWith(join(home, cache, "sqlite3async/")));
  assert.deepEqual([mode(home), mode(join(home, cache))], [0o700, 0o700]);
  const relative = scene.unpack({ HOME: home, XDG_CACHE_HOME: "relative" });
  assert.equal(relative, inHome);
});

test("unpack() without a home takes a folder in the temporary directory", onlyPosix, async () => {
  using scene = new Scene();
  const file = scene.file("file");
  writeFileSync(file, "");
  const TMPDIR = scene.file("tmp");
  mkdirSync(TMPDIR, { mode: 0o700 });
  const { uid } = lstatSync(file);
  const wanted = join(realpathSync(TMPDIR), `sqlite3async-${uid}`);
  const homes: Record<string, string>[] = [{}, { HOME: file }, { XDG_CACHE_HOME: join(file, "x") }];
  for (const home of homes) {
    assert.ok(scene.unpack({ ...home, TMPDIR }).startsWith(`${wanted}/`));
  }
  assert.deepEqual(readdirSync(TMPDIR), [`sqlite3async-${uid}`]);
  assert.equal(mode(wanted), 0o755);

  // As /tmp should be, and as it should not.
  chmodSync(TMPDIR, 0o1777);
  assert.ok(scene.unpack({ TMPDIR }).startsWith(`${wanted}/`));
  chmodSync(TMPDIR, 0o777);
  assert.match((await errorOf(() => scene.unpack({ TMPDIR }))).message, /not sticky/);

  const nowhere = await errorOf(() => scene.unpack({ HOME: "x", TMPDIR: join(file, "x") }));
  assert.match(nowhere.message, /\(the user's cache folder is not known: .* HOME name none.*; Err/);
  const error = await errorOf(() => scene.unpack({ HOME: file, TMPDIR: join(file, "x") }));
  assert.match(error.message, /^Cannot unpack .*no folder can be written to \(.*ENOTDIR.*; .*\); /);
  assert.match(error.message, /let XDG_CACHE_HOME name .* "library" or in SQLITE3ASYNC_LIBRARY$/);
});

test("unpack() passes over a home where no folder can be made", {
  skip: process.platform === "linux" ? false : "Linux's /proc",
}, () => {
  using scene = new Scene();
  mkdirSync(scene.file("tmp"), { mode: 0o700 });
  const path = scene.unpack({ HOME: "/proc", TMPDIR: scene.file("tmp") });
  assert.ok(path.startsWith(realpathSync(scene.file("tmp"))), path);
});

test("unpack() by many processes at once gives all the same file", async () => {
  using scene = new Scene();
  const program = `
    import { unpack } from "${urlOf("../ffi/unpack.ts")}";
    import { readFileSync, statSync } from "node:fs";
    while (Date.now() < Number(process.env.GO_AT));
    const path = unpack(${JSON.stringify(scene.prebuilt)}, () => process.env.CACHES);
    console.log(path, readFileSync(path).length, statSync(path).ino);
  `;
  const env = { CACHES: scene.caches, GO_AT: String(Date.now() + 1500) };
  const children = Array.from({ length: 6 }, () => new Child(program, env));
  const path = join(scene.folder, `libsqlite3async-${scene.prebuilt.sha256}.so`);
  try {
    const found = await Promise.all(children.map((child) => child.ended()));
    const wanted = `${path} ${scene.bytes.length} ${statSync(path).ino}`;
    for (const { stdout, stderr } of found) assert.equal(stdout, wanted, stderr);
  } finally {
    for (const child of children) child[Symbol.dispose]();
  }
  assert.equal(readdirSync(scene.folder).length, 1);
});

/** The library of the tests. */
const builtLibrary = await locateLibrary(await currentRuntime());

/** A package that carries it. */
class Package extends Folder {
  readonly caches: string = this.file("caches");
  /** Where it is unpacked. */
  readonly folder: string = join(this.caches, "sqlite3async");

  constructor() {
    super();
    const isOurs = (path: string) => !/prebuilt[/\\]/.test(path);
    const target = this.file("ffi");
    cpSync(new URL("../ffi", import.meta.url), target, { recursive: true, filter: isOurs });
    cpSync(new URL("../mod.ts", import.meta.url), this.file("mod.ts"));
    mkdirSync(this.file("ffi/prebuilt"), { recursive: true });
    const text = moduleText(prebuiltOf(builtLibrary));
    for (const name of PLATFORMS) writeFileSync(this.file(`ffi/prebuilt/${name}.ts`), text);
  }

  /** Print what install() of the package does, with no other library named. */
  async install(
    settings: { env?: Record<string, string>; flags?: string[]; url?: string; before?: string } =
      {},
  ): Promise<Ended> {
    const url = settings.url ?? pathToFileURL(this.file("mod.ts")).href;
    const caches = { [isWindows ? "LOCALAPPDATA" : "XDG_CACHE_HOME"]: this.caches };
    const program = `
      import { install as installPackage } from "${url}";
      ${settings.before ?? ""}
      const { name, codeName, message } = await installPackage().catch((error) => error);
      console.log(name, codeName, message);
    `;
    const env = { SQLITE3ASYNC_LIBRARY: "", ...caches, ...settings.env };
    return await runProgram(program, env, settings.flags);
  }
}

test("install() loads the library that the package carries", async () => {
  using carrier = new Package();
  for (const state of ["missing", "there", "damaged"]) {
    if (state === "damaged") {
      const [file] = readdirSync(carrier.folder);
      writeFileSync(join(carrier.folder, file!), "not a library");
    }
    const { stdout, stderr } = await carrier.install();
    assert.equal(stdout, "sqlite3async undefined undefined", `${state}: ${stderr}`);
  }
  assert.equal(readdirSync(carrier.folder).length, 1);
});

test("a library that is removed while it is in use goes on, in Workers too", {
  skip: isWindows || currentPlatform().endsWith("musl")
    ? "Windows does not remove it, and musl knows a library by its file"
    : false,
}, async () => {
  using carrier = new Package();
  using other = new Scene();
  const main = pathToFileURL(carrier.file("mod.ts")).href;
  const before = `
    import { unpack as unpackOther } from "${pathToFileURL(carrier.file("ffi/unpack.ts")).href}";
    import { readdirSync, utimesSync } from "node:fs";
    import { Worker } from "node:worker_threads";
    const vfs = await installPackage();
    const file = (index) => readdirSync(${JSON.stringify(carrier.folder)})[index];
    utimesSync(${JSON.stringify(carrier.folder)} + "/" + file(0), 0, 0);
    unpackOther(${JSON.stringify(other.prebuilt)}, (name) => process.env[name]);
    console.log(readdirSync(${JSON.stringify(carrier.folder)}).length);
    const connection = open(vfs.uri(${JSON.stringify(carrier.file("a.db"))}));
    insertNumbers(connection, 10);
    await vfs.flush();
    const text = 'import("${main}").then(async ({ install }) => {' +
      '  const vfs = await install();' +
      '  console.log(vfs.status(${JSON.stringify(carrier.file("a.db"))}).committed);' +
      '})';
    await new Promise((resolve) => new Worker(text, { eval: true }).on("exit", resolve));
  `;
  const { stdout, stderr } = await carrier.install({ before });
  assert.equal(stdout, "1\n11\nsqlite3async undefined undefined", stderr);
});

test("install() of a checkout takes what was built there, and unpacks nothing", async () => {
  using carrier = new Package();
  mkdirSync(carrier.file("zig-out/lib"), { recursive: true });
  const copy = carrier.file(`zig-out/lib/${basename(builtLibrary)}`);
  writeFileSync(copy, "not a library");
  const { stdout } = await carrier.install();
  assert.ok(stdout.startsWith("AsyncVfsError SQLITE_CANTOPEN"), stdout);
  assert.ok(stdout.includes(copy), stdout);
  cpSync(builtLibrary, copy);
  const second = await carrier.install();
  assert.equal(second.stdout, "sqlite3async undefined undefined", second.stderr);
  assert.equal(existsSync(carrier.folder), false);
});

test("install() takes the library that was named, and unpacks nothing", async () => {
  using carrier = new Package();
  const { stdout } = await carrier.install({ env: { SQLITE3ASYNC_LIBRARY: "/no/such.so" } });
  const wanted = `"${
    resolve("/no/such.so")
  }": no such file; check the environment variable SQLITE3A`;
  assert.ok(stdout.includes(wanted), stdout);
  const env = { SQLITE3ASYNC_LIBRARY: builtLibrary };
  const second = await carrier.install({ env });
  assert.equal(second.stdout, "sqlite3async undefined undefined", second.stderr);
  assert.equal(existsSync(carrier.folder), false);
});

test("install() says that a platform has no library, and how to build one", async () => {
  using carrier = new Package();
  const cases = [["platform", "freebsd"], ["arch", "riscv64"]];
  for (const [property, value] of cases) {
    const before = `Object.defineProperty(process, "${property}", { value: "${value}" });`;
    const { stdout, stderr } = await carrier.install({ before });
    assert.match(stdout, new RegExp(`carries none for .*${value}.*; build it with "./run`), stderr);
  }
});

test("install() says where the library is missing from the package", async () => {
  using carrier = new Package();
  remove(carrier.file("ffi/prebuilt"));
  const { stdout, stderr } = await carrier.install();
  assert.match(stdout, /SQLITE_CANTOPEN .*": no such file; build it with "\.\/run build"/, stderr);
});

test("install() from a server names the permissions that Deno lacks", onlyDeno, async () => {
  using carrier = new Package();
  const server = createServer((request, response) => {
    try {
      const body = readFileSync(carrier.file(request.url!));
      response.writeHead(200, { "content-type": "application/typescript" }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const settings = {
    url: `http://127.0.0.1:${port}/mod.ts`,
    env: { DENO_DIR: carrier.file("deno"), HOME: carrier.path },
  };
  const imports = `--allow-import=127.0.0.1:${port}`;
  const folder = carrier.folder;
  const wanted = "--allow-ffi --allow-env=XDG_CACHE_HOME,HOME " +
    `--allow-read=${folder} --allow-write=${folder}`;
  const [ffi, env, read, write] = wanted.split(" ") as [string, string, string, string];
  const fails = [[ffi, env], [ffi, env, read], [ffi, env, write]];
  for (const flags of fails) {
    const { stdout, stderr } = await carrier.install({ ...settings, flags: [imports, ...flags] });
    assert.match(stdout, /^AsyncVfsError SQLITE_CANTOPEN Cannot unpack .*Requires/, stderr);
    assert.ok(stdout.includes(`run it with ${wanted}, or`), stdout);
  }
  // Then it doesn't know the folder.
  const { stdout: unknown } = await carrier.install({ ...settings, flags: [imports, ffi] });
  assert.match(
    unknown,
    /Cannot unpack .* XDG_CACHE_HOME and HOME name none, or --allow-env is miss/,
  );
  assert.match(unknown, /--allow-read=\$HOME\/\.?\w+.*\/sqlite3async --allow-write=/);
  assert.equal(existsSync(folder), false);

  // The library's own permission comes last, and without a scope.
  for (const scoped of ["--allow-env", `--allow-ffi=${folder}`]) {
    const flags = [imports, env, read, write, scoped];
    const { stdout, stderr } = await carrier.install({ ...settings, flags });
    assert.match(
      stdout,
      /Cannot load .*Requires ffi access.*; it needs --allow-ffi without/,
      stderr,
    );
  }

  const flags = [imports, ffi, env, read, write];
  const { stdout, stderr } = await carrier.install({ ...settings, flags });
  assert.equal(stdout, "sqlite3async undefined undefined", stderr);
  // Without the server, from Deno's cache.
  await new Promise((resolve) => server.close(resolve));
  const offline = await carrier.install({ ...settings, flags: [...flags, "--cached-only"] });
  assert.equal(offline.stdout, "sqlite3async undefined undefined", offline.stderr);
});

test("currentPlatform() tells the C library", {
  skip: process.platform === "linux" ? false : "Linux's",
}, () => {
  const isMusl = /\bmusl\b/.test(readFileSync("/proc/self/maps", "utf8"));
  const wanted = `linux_${process.arch}_${isMusl ? "musl" : "gnu"}`;
  assert.equal(currentPlatform(), wanted);
});
