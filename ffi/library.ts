/**
 * Where the shared library lies, and opening it.
 *
 * @module
 */
import { realpathSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { cannotOpen, isDenied, reasonOf } from "./errors.ts";
import { currentPlatform, type Platform } from "./platform.ts";
import { type Prebuilt, prebuiltModules } from "./prebuilt.ts";
import type { Runtime } from "./runtime.ts";
import type { NativeFunctions } from "./symbols.ts";
import { unpack } from "./unpack.ts";

/** The environment variable that names the library. */
const VARIABLE = "SQLITE3ASYNC_LIBRARY";

/** The library's major and minor version that this code was written for. */
const VERSION_WANTED = { major: 0, minor: 1 } as const;

/**
 * The library's absolute path with symbolic links resolved, so that the dynamic
 * loader gives one instance however often and by whomever it is opened.
 *
 * It is the one that was named; else, in a checkout, the one that was built
 * there; else the one that the package carries, which is unpacked.
 *
 * @param wanted The `library` option, if it was given.
 */
export async function locateLibrary(runtime: Runtime, wanted?: string | URL): Promise<string> {
  const given = wanted ?? runtime.environment(VARIABLE);
  if (given !== undefined && given !== "") {
    const origin = wanted === undefined ? `environment variable ${VARIABLE}` : `option "library"`;
    return givenLibrary(given, origin);
  }
  return builtLibrary() ?? await carriedLibrary(runtime);
}

/** The library that the caller named. */
function givenLibrary(place: string | URL, origin: string): string {
  if (String(place).includes("\0")) {
    const shown = JSON.stringify(String(place));
    const message =
      `Cannot load the sqlite3async library from ${shown}: a path has no NUL character`;
    throw cannotOpen(message, String(place));
  }
  let path: string;
  try {
    const isUrl = place instanceof URL || /^file:\/\//i.test(place); // import.meta.resolve()'s
    path = isUrl ? fileURLToPath(place) : resolve(place);
  } catch (cause) {
    const message = `Cannot load the sqlite3async library from "${place}": ` +
      `it is not a file on this machine; give its path as the option "library" or in ${VARIABLE}`;
    throw cannotOpen(message, String(place), cause);
  }
  const resolved = resolveLinks(path);
  if (resolved !== undefined) return resolved;
  const message =
    `Cannot load the sqlite3async library "${path}": no such file; check the ${origin}`;
  throw cannotOpen(message, path);
}

/** The library that the build made in this checkout; undefined if it didn't, or this is none. */
function builtLibrary(): string | undefined {
  const path = buildPath();
  return path && resolveLinks(path);
}

/**
 * Where the build would put it. A checkout is known by the sources themselves: in a package from
 * npm they are JavaScript, from elsewhere they are no files of this machine, and a program that
 * was compiled to one file has none either.
 */
function buildPath(): string | undefined {
  const isCompiled = "Deno" in globalThis && Deno.build.standalone;
  if (!/^file:.*\.ts$/.test(import.meta.url) || isCompiled) return undefined;
  const file = process.platform === "win32"
    ? "sqlite3async.dll"
    : process.platform === "darwin"
    ? "libsqlite3async.dylib"
    : "libsqlite3async.so";
  // Not by a URL relative to import.meta.url: a bundler takes that for a file to put beside what it
  // makes, and fails, for the package has none.
  return join(dirname(fileURLToPath(import.meta.url)), "..", "zig-out", "lib", file);
}

/** The library of this platform that the package carries, unpacked. */
async function carriedLibrary(runtime: Runtime): Promise<string> {
  const path = unpack(await carriedFor(currentPlatform()), runtime.environment);
  return resolveLinks(path) ?? path;
}

/**
 * What the package carries for a platform.
 *
 * @throws {AsyncVfsError} If it does not, as in a checkout where nothing was built.
 */
export async function carriedFor(platform: Platform): Promise<Prebuilt> {
  try {
    return (await prebuiltModules[platform]()).prebuilt;
  } catch (cause) {
    const path = buildPath();
    const reason = reasonOf(cause);
    const message = path === undefined
      ? `Cannot load the sqlite3async library for ${platform} out of the package: ${reason}; ` +
        `install the package again, or give the path of a library as the option "library" or in ` +
        VARIABLE
      : `Cannot load the sqlite3async library "${path}": no such file; build it with ` +
        `"./run build", or give its path as the option "library" or in ${VARIABLE}`;
    throw cannotOpen(message, path ?? null, cause);
  }
}

/** The path without links; as it is, if it may not be looked at; undefined if nothing is there. */
function resolveLinks(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch (error) {
    return (error as { code?: string }).code === "ENOENT" ? undefined : path;
  }
}

/** Open the library and make sure that it is ours and fits this code. */
export function openLibrary(runtime: Runtime, path: string): NativeFunctions {
  let functions: NativeFunctions;
  try {
    functions = runtime.open(path);
  } catch (cause) {
    const reason = reasonOf(cause);
    const message = isDenied(cause)
      ? `Cannot load the sqlite3async library "${path}": ${reason}; ` +
        "it needs --allow-ffi without a scope"
      : /failed to map segment|not permitted/i.test(reason) // by glibc, by musl
      ? `Cannot load the sqlite3async library "${path}": the system lets nothing be run there, ` +
        `as on a file system with noexec (${reason}); ` +
        `give the path of a library elsewhere as the option "library" or in ${VARIABLE}`
      : `Cannot load the sqlite3async library "${path}": ` +
        `it is not a sqlite3async library for this system, or it may not be loaded (${reason})`;
    throw cannotOpen(message, path, cause);
  }
  const version = functions.sqlite3async_version();
  const major = Math.floor(version / 1_000_000);
  const minor = Math.floor(version / 1_000) % 1_000;
  if (major !== VERSION_WANTED.major || minor !== VERSION_WANTED.minor) {
    const message = `Cannot load the sqlite3async library "${path}": its version is ` +
      `${major}.${minor} and this package needs ${VERSION_WANTED.major}.${VERSION_WANTED.minor}; ` +
      `build it again with "./run build"`;
    throw cannotOpen(message, path);
  }
  return functions;
}
