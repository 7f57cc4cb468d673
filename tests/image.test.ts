/**
 * A container's image: built by root, run by another user on a read-only root, without a home. What
 * stands in docs/guides/docker.md, but for Docker itself.
 *
 * @module
 */
import assert from "node:assert/strict";
import { chmodSync, chownSync, mkdirSync, readdirSync } from "node:fs";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { moduleText, prebuiltOf } from "../tools/embed.ts";
import { locateLibrary } from "../ffi/library.ts";
import { currentRuntime } from "../ffi/runtime.ts";
import { open } from "../examples/sqlite.ts";
import type { Ended } from "./helpers/child.ts";
import { textOf } from "./helpers/docs.ts";
import { RUNTIME } from "./helpers/execute.ts";
import { type Base, Image, type Surroundings, USER, whyNoImage } from "./helpers/image.ts";

const skip = whyNoImage();
const library = await locateLibrary(await currentRuntime());

const IMPORT = `from "./vfs/mod.ts"`;
/** Prints the VFS's name, or why there is none. */
const INSTALL = `
import { install } ${IMPORT};
const { name, message } = await install().catch((error) => error);
console.log(...[name, message].filter(Boolean));
`;
const OK = "sqlite3async";
const GUIDE = textOf("docs/guides/docker.md");
const SERVER = GUIDE.match(/^```ts file=server\.ts\n(.*?)^```$/ms)![1]!
  .replace(`from "@sqlite3async/vfs"`, IMPORT);

let image: Image;

function imageOf(base: Base): Image {
  const made = new Image(base);
  writeFileSync(made.within("app/install.ts"), INSTALL);
  writeFileSync(made.within("app/server.ts"), SERVER);
  return made;
}

before(async () => {
  if (skip) return;
  image = imageOf({ root: "", runtime: process.execPath, library });
  // Deno keeps what it has made of the sources.
  const env = { SQLITE3ASYNC_LIBRARY: "/no/such" };
  if (RUNTIME === "deno") await image.build(["/app/install.ts"], env);
});
after(() => image?.[Symbol.dispose]());

/** Run a program of the image to its end. */
async function run(image: Image, surroundings: Surroundings): Promise<Ended> {
  using running = image.start(["/app/install.ts"], surroundings);
  return await running.ended(60_000);
}

/** A cache folder of the image, in which root or another has run the program. */
async function cacheOf(image: Image, name: string, user: number): Promise<Record<string, string>> {
  const env = { XDG_CACHE_HOME: `/app/${name}` };
  mkdirSync(image.within(env.XDG_CACHE_HOME), { mode: 0o755 });
  chownSync(image.within(env.XDG_CACHE_HOME), user, user);
  assert.equal(await image.build(["/app/install.ts"], env, user), OK);
  return env;
}

/** What Deno is allowed, as the guide says. Of a checkout it sees that nothing was built there. */
const denoFlags = (env: string) => [
  ...["--cached-only", "--allow-ffi", "--allow-net", `--allow-env=PORT,${env}`],
  ...["--allow-read=/data,/app/cache/sqlite3async,/app/vfs", "--allow-write=/data"],
];

/** The exit code of the guide's health check for this runtime. */
async function health(image: Image, PORT: string): Promise<number | null> {
  const check = GUIDE.match(new RegExp(`^HEALTHCHECK CMD (\\["${RUNTIME}", .*\\])$`, "m"))![1]!;
  const [, ...args] = JSON.parse(check) as string[];
  using running = image.start(args, { env: { PORT } });
  const { code, stdout, stderr } = await running.ended();
  assert.equal(stdout + stderr, "");
  return code;
}

/** Post requests, and end the server by a signal. What was answered must be in the database. */
async function serve(image: Image, surroundings: Surroundings): Promise<void> {
  const env = { PORT: "0", ...surroundings.env };
  using server = image.start(["/app/server.ts"], { ...surroundings, env });
  await server.printed("listening on ");
  const port = server.stdout.match(/listening on (\d+)/)![1]!;
  const ask = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).text();
  assert.equal(await ask("/health"), "running\n");
  if (surroundings.tmp === undefined) assert.equal(await health(image, port), 0);
  let last = 0;
  for (let n = 0; n < 20; n++) last = Number(await ask("/"));
  server.kill("SIGTERM");
  const { code, stderr } = await server.ended();
  assert.deepEqual([code, stderr], [0, ""]);
  if (surroundings.tmp === undefined) assert.equal(await health(image, port), 1);
  using database = open(join(image.data, "app.db"));
  assert.equal(database.all("PRAGMA integrity_check")[0]!.integrity_check, "ok");
  assert.equal(Number(database.all("SELECT count(*) AS n FROM visits")[0]!.n), last);
  assert.ok(last >= 20, `${last}`);
}

test("an image with an unpacked library runs where only its volume can be written", {
  skip,
}, async () => {
  const path = await image.build(["/app/vfs/ffi/cli.ts", "unpack", "/app/lib"]);
  assert.equal(path, "/app/lib/libsqlite3async.so");
  const env = { SQLITE3ASYNC_LIBRARY: path };
  const flags = denoFlags("SQLITE3ASYNC_LIBRARY");
  await serve(image, { env, flags });
  await serve(image, { env, flags, tmp: "noexec" }); // with the rows of the container before
  assert.deepEqual(readdirSync(image.data), ["app.db"]);
});

test("an image whose cache root has filled is run by another user", { skip }, async () => {
  const env = await cacheOf(image, "cache", 0);
  await serve(image, { env, flags: denoFlags("XDG_CACHE_HOME"), tmp: "noexec" });
});

test("an image whose cache the user has filled needs nothing that can be written", {
  skip,
}, async () => {
  const env = await cacheOf(image, "own", USER);
  const there = await run(image, { env });
  assert.equal(there.stdout, OK, there.stderr);
  if (RUNTIME !== "deno") return;
  const read = "--allow-read=/app/own/sqlite3async,/app/vfs";
  const flags = ["--allow-ffi", "--allow-env=XDG_CACHE_HOME,HOME", read];
  assert.match((await run(image, { env, flags })).stdout, /Cannot unpack .*Requires write access/);
  const { stdout, stderr } = await run(image, { env, flags: [...flags, "--allow-sys=uid"] });
  assert.equal(stdout, OK, stderr);
});

test("what others could have written is not loaded from an image", { skip }, async () => {
  const env = await cacheOf(image, "foreign", 0);
  const folder = image.within("app/foreign/sqlite3async");
  const file = join(folder, readdirSync(folder)[0]!);
  const notLoaded = async (change: () => void, restore: () => void) => {
    change();
    const { stdout, stderr } = await run(image, { env });
    assert.match(stdout, /^AsyncVfsError Cannot unpack .*no folder can be written to/, stderr);
    restore();
  };
  await notLoaded(() => chmodSync(folder, 0o777), () => chmodSync(folder, 0o755));
  await notLoaded(() => chmodSync(file, 0o666), () => chmodSync(file, 0o644));
  await notLoaded(() => chmodSync(file, 0o600), () => chmodSync(file, 0o644)); // it can't be read
  await notLoaded(() => chownSync(file, 1001, 1001), () => chownSync(file, 0, 0));
  await notLoaded(() => chownSync(folder, 1001, 1001), () => chownSync(folder, 0, 0));
  await notLoaded(() => chmodSync(folder, 0o700), () => chmodSync(folder, 0o755));
  await notLoaded(() => renameSync(file, `${file}x`), () => renameSync(`${file}x`, file));
  assert.equal((await run(image, { env })).stdout, OK);
});

test("without a library in the image, install() says what is missing", { skip }, async () => {
  const nothing = await run(image, {});
  assert.match(
    nothing.stdout,
    /^AsyncVfsError Cannot unpack .*no folder can be written to .*EROFS/,
  );
  const noexec = await run(image, { tmp: "noexec" });
  assert.match(noexec.stdout, /^AsyncVfsError Cannot load .*noexec \(.*\); give the path/);
  const exec = await run(image, { tmp: "exec" });
  assert.equal(exec.stdout, OK, exec.stderr);
});

/** A root folder with musl, and with a Bun for it in opt/. */
const MUSL_ROOT = process.env.MUSL_ROOT ?? "";
const MUSL_LIBRARY = "zig-out/prebuilt/linux_x64_musl/libsqlite3async.so";

test("an image with musl takes the library for musl", {
  skip: RUNTIME !== "bun"
    ? "Bun's"
    : MUSL_ROOT === ""
    ? "MUSL_ROOT names no root folder with musl and Bun"
    : skip,
}, async () => {
  const runtime = join(MUSL_ROOT, "opt/bun");
  using image = imageOf({ root: MUSL_ROOT, runtime, library });
  const module = moduleText(prebuiltOf(MUSL_LIBRARY));
  writeFileSync(image.within("app/vfs/ffi/prebuilt/linux_x64_musl.ts"), module);
  const path = await image.build(["/app/vfs/ffi/cli.ts", "unpack", "/app/lib"]);
  assert.ok(readFileSync(image.within(path)).equals(readFileSync(MUSL_LIBRARY)));
  await serve(image, { env: { SQLITE3ASYNC_LIBRARY: path } });
  await serve(image, { env: await cacheOf(image, "cache", 0), tmp: "noexec" });
  const noexec = await run(image, { tmp: "noexec" });
  assert.match(noexec.stdout, /^AsyncVfsError Cannot load .*noexec \(.*\); give the path/);
});
