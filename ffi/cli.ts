#!/usr/bin/env node
/**
 * The command of the package: `npx @sqlite3async/vfs unpack DIR`, in Deno
 * `deno run -A jsr:@sqlite3async/vfs/cli unpack DIR`.
 *
 * It makes a file of the library that the package carries, for an image or a package of a system:
 * where that is run, `SQLITE3ASYNC_LIBRARY` or the option `library` names the file, and nothing
 * needs to be written. Everybody may read the file. Who may write to its folder is up to whoever
 * names it.
 *
 * It is a program: to import it runs it.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { AsyncVfsError, cannotOpen, reasonOf } from "./errors.ts";
import { carriedFor } from "./library.ts";
import { currentPlatform, type Platform, PLATFORMS } from "./platform.ts";
import type { Prebuilt } from "./prebuilt.ts";
import { hashOf, libraryIn } from "./unpack.ts";

const USAGE = `Usage: sqlite3async unpack [--platform NAME] DIR

Put the native library that the package carries into the folder DIR, which is made if it is not
there, and print the file's path. Name that path in SQLITE3ASYNC_LIBRARY, or as the option
"library" of install().

  --platform NAME  not the library for this system, but for one of
                   ${PLATFORMS.slice(0, 4).join(", ")},
                   ${PLATFORMS.slice(4).join(", ")}
`;

/** The file's mode. */
const READABLE = 0o644;

/** What was asked for. */
interface Wanted {
  folder: string;
  platform: Platform;
}

/** A command line that cannot be followed. */
class UsageError extends Error {}

process.exitCode = await main(process.argv.slice(2));

/** Returns the exit code. */
async function main(args: string[]): Promise<number> {
  if (args.some((arg) => arg === "--help" || arg === "-h")) {
    console.log(USAGE.trimEnd());
    return 0;
  }
  try {
    const { folder, platform } = understand(args);
    console.log(unpackInto(folder, await carriedFor(platform)));
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError) && !(error instanceof AsyncVfsError)) throw error;
    const isUsage = error instanceof UsageError;
    console.error(`sqlite3async: ${error.message}${isUsage ? `\n\n${USAGE.trimEnd()}` : ""}`);
    return isUsage ? 2 : 1;
  }
}

/** Throws a UsageError, or currentPlatform()'s error. */
function understand(args: string[]): Wanted {
  let parsed: { values: { platform?: string }; positionals: string[] };
  try {
    const options = { platform: { type: "string" } } as const;
    parsed = parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(reasonOf(error));
  }
  const [command, folder, ...more] = parsed.positionals;
  if (command === undefined) {
    throw new UsageError("what is to be done? There is one command, unpack");
  }
  if (command !== "unpack") throw new UsageError(`there is no command "${command}"`);
  if (!folder) throw new UsageError("unpack: into which folder?");
  if (more.length > 0) throw new UsageError(`unpack: one folder, and not also "${more[0]}"`);
  const { platform } = parsed.values;
  if (platform === undefined) return { folder, platform: currentPlatform() };
  const found = PLATFORMS.find((name) => name === platform);
  if (found !== undefined) return { folder, platform: found };
  throw new UsageError(`there is no library for the platform "${platform}"`);
}

/** The path of the library's file, which is there then. */
function unpackInto(folder: string, prebuilt: Prebuilt): string {
  const library = libraryIn(prebuilt);
  const path = join(resolve(folder), prebuilt.file);
  try {
    mkdirSync(folder, { recursive: true });
    // What is right already stays the same file, for a program may have it loaded.
    if (!isThere(path, prebuilt)) place(path, library);
    if (isThere(path, prebuilt)) return path;
  } catch (cause) {
    const message = `Cannot unpack the sqlite3async library into "${folder}": ${reasonOf(cause)}`;
    throw cannotOpen(message, path, cause);
  }
  const message = `Cannot unpack the sqlite3async library: "${path}" does not have what was ` +
    "written to it; is another process writing there?";
  throw cannotOpen(message, path);
}

/** In one step, so that nobody finds a part of it. */
function place(path: string, library: Uint8Array): void {
  const temporary = `${path}.${randomUUID()}`;
  try {
    writeFileSync(temporary, library, { flag: "wx" });
    chmodSync(temporary, READABLE);
    renameSync(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Is there the library, for everybody to read? */
function isThere(path: string, { size, sha256 }: Prebuilt): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.size !== size) return false;
  const isReadable = process.platform === "win32" || (found.mode & READABLE) === READABLE;
  return isReadable && hashOf(readFileSync(path)) === sha256;
}
