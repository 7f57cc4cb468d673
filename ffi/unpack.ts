/**
 * A library out of the package as a file, for the dynamic loader takes nothing else.
 *
 * The file lies in the user's private folder under its SHA-256, and is verified whenever it is
 * asked for; what is not whole, or not a file of the user's alone, is replaced. It gets there by
 * being renamed, so whoever looks finds all of it, and those who unpack at the same time do no harm
 * to each other. The folder may be removed at any time: it is filled again.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash, randomUUID } from "node:crypto";
import { lstatSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { brotliDecompressSync } from "node:zlib";
import { AsyncVfsError, cannotOpen, reasonOf } from "./errors.ts";
import type { Prebuilt } from "./prebuilt.ts";
import {
  denoFlags,
  type Environment,
  type PrivateFolder,
  privateFolder,
  WRITABLE_BY_OTHERS,
} from "./private_folder.ts";

/**
 * The path of a file that is the library.
 *
 * @param prebuilt What the package carries.
 * @param environment Reads the variables that say where the user's folder is.
 * @throws {AsyncVfsError} If the package is damaged, there is no folder for it, or the runtime
 * gives no permission.
 */
export function unpack(prebuilt: Prebuilt, environment: Environment): string {
  try {
    const folder = privateFolder(environment);
    const path = join(folder.path, prebuilt.file.replace(".", `-${prebuilt.sha256}.`));
    if (!isWhole(path, folder, prebuilt)) replace(path, folder, prebuilt);
    return path;
  } catch (cause) {
    if (cause instanceof AsyncVfsError) throw cause;
    const reason = reasonOf(cause);
    const advice = (cause as Error).name === "NotCapable"
      ? `run it with ${denoFlags(environment)}, or give the path of a library as the option ` +
        `"library" or, with --allow-env=SQLITE3ASYNC_LIBRARY, in SQLITE3ASYNC_LIBRARY`
      : `give the path of a library as the option "library" or in SQLITE3ASYNC_LIBRARY`;
    throw cannotOpen(`Cannot unpack the sqlite3async library: ${reason}; ${advice}`, null, cause);
  }
}

/** Is there the library, as a file that nobody else can change? */
function isWhole(path: string, folder: PrivateFolder, { size, sha256 }: Prebuilt): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined || !found.isFile() || found.size !== size) return false;
  const isOurs = found.uid === folder.uid && (found.mode & WRITABLE_BY_OTHERS) === 0;
  if (process.platform !== "win32" && !isOurs) return false;
  return hashOf(readFileSync(path)) === sha256;
}

/** Put the library there, in the place of whatever is there now. */
function replace(path: string, folder: PrivateFolder, prebuilt: Prebuilt): void {
  const library = libraryIn(prebuilt);
  const temporary = join(folder.path, `.${randomUUID()}`);
  try {
    writeFileSync(temporary, library, { flag: "wx", mode: 0o600 });
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    // Windows doesn't replace a library that is in use: one that another process has just unpacked.
    if (!isWhole(path, folder, prebuilt)) throw cause;
  }
}

/** The library's bytes. */
function libraryIn({ file, size, sha256, brotli }: Prebuilt): Uint8Array {
  let reason: string;
  try {
    const library = brotliDecompressSync(Buffer.from(brotli, "base64"), { maxOutputLength: size });
    const hash = hashOf(library);
    if (hash === sha256) return library;
    reason = `it has the SHA-256 ${hash} and should have ${sha256}`;
  } catch (error) {
    reason = `it cannot be decompressed (${reasonOf(error)})`;
  }
  const message = `Cannot unpack the sqlite3async library: the package's ${file} is damaged: ` +
    `${reason}; install the package again`;
  throw cannotOpen(message, null);
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
