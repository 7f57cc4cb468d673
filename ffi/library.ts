/**
 * Where the shared library lies, and opening it.
 *
 * @module
 */
import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { AsyncVfsError } from "./errors.ts";
import type { Runtime } from "./runtime.ts";
import type { NativeFunctions } from "./symbols.ts";

/** The environment variable that names the library. */
const VARIABLE = "SQLITE3ASYNC_LIBRARY";

/** The library's major and minor version that this code was written for. */
const VERSION_WANTED = { major: 0, minor: 1 } as const;

/** The file name of the library on this system, in the folder where the build puts it. */
function builtLibrary(): URL {
  const file = process.platform === "win32"
    ? "sqlite3async.dll"
    : process.platform === "darwin"
    ? "libsqlite3async.dylib"
    : "libsqlite3async.so";
  return new URL(`../zig-out/lib/${file}`, import.meta.url);
}

function cannotOpen(message: string, path: string, cause?: unknown): AsyncVfsError {
  const details = { codeName: "SQLITE_CANTOPEN", operation: "install", path, cause };
  return new AsyncVfsError(message, details);
}

/**
 * The library's absolute path with symbolic links resolved, so that the dynamic
 * loader gives one instance however often and by whomever it is opened.
 *
 * @param wanted The `library` option, if it was given.
 */
export function locateLibrary(runtime: Runtime, wanted?: string | URL): string {
  const given = wanted ?? runtime.environment(VARIABLE);
  const place = given ?? builtLibrary();
  if (String(place).includes("\0")) {
    const shown = JSON.stringify(String(place));
    const message =
      `Cannot load the sqlite3async library from ${shown}: a path has no NUL character`;
    throw cannotOpen(message, String(place));
  }
  let path: string;
  try {
    path = typeof place === "string" ? resolve(place) : fileURLToPath(place);
  } catch (cause) {
    const message = `Cannot load the sqlite3async library from "${place}": ` +
      `it is not a file on this machine; give its path as the option "library" or in ${VARIABLE}`;
    throw cannotOpen(message, String(place), cause);
  }
  try {
    return realpathSync(path);
  } catch (cause) {
    if ((cause as { code?: string }).code !== "ENOENT") return path;
    const advice = given === undefined
      ? `build it with "./run build", or give its path as the option "library" or in ${VARIABLE}`
      : wanted === undefined
      ? `check the environment variable ${VARIABLE}`
      : `check the option "library"`;
    const message = `Cannot load the sqlite3async library "${path}": no such file; ${advice}`;
    throw cannotOpen(message, path, cause);
  }
}

/** Open the library and make sure that it is ours and fits this code. */
export function openLibrary(runtime: Runtime, path: string): NativeFunctions {
  let functions: NativeFunctions;
  try {
    functions = runtime.open(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `Cannot load the sqlite3async library "${path}": ` +
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
