/**
 * A library out of the package as a file, for the dynamic loader takes nothing else.
 *
 * The file lies in the user's private folder under its SHA-256, and is verified whenever it is
 * asked for; what is not whole, or not a file of the user's alone, is replaced. It gets its name
 * when it is whole, so whoever looks finds all of it. Of those who unpack at the same time the
 * first one gives it the name and the others take that file, since two files would be two libraries
 * to the dynamic loader. The folder may be removed at any time: it is filled again. If the file is
 * there, nothing has to be written, and root may have put it there: as in an image whose file
 * system is read-only.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash, randomUUID } from "node:crypto";
import {
  existsSync,
  linkSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { AsyncVfsError, cannotOpen, isDenied, reasonOf } from "./errors.ts";
import { removeUnused, renew } from "./old_libraries.ts";
import type { Prebuilt } from "./prebuilt.ts";
import {
  denoFlags,
  type Environment,
  isOnlyOf,
  isTrusted,
  lookAt,
  privateFolder,
  readyFolder,
  whyUnknown,
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
    const name = prebuilt.file.replace(".", `-${prebuilt.sha256}.`);
    const ready = readyFolder(environment);
    if (ready !== undefined && isWhole(join(ready, name), prebuilt, isTrusted)) {
      return join(ready, name);
    }
    const folder = privateFolder(environment);
    const path = join(folder.path, name);
    const isOurs = (status: Stats) => isOnlyOf(folder.uid, status);
    if (!isWhole(path, prebuilt, isOurs)) {
      place(path, prebuilt, isOurs);
      removeUnused(folder.path, isOurs);
    }
    return path;
  } catch (cause) {
    if (cause instanceof AsyncVfsError) throw cause;
    const reason = reasonOf(cause);
    // Deno names what it refused first, which, with no folder known, is the one to fall back on.
    const unknown = isDenied(cause) ? whyUnknown(environment) : undefined;
    const why = unknown === undefined
      ? reason
      : `${unknown}; nor may the temporary directory be used: ${reason}`;
    const advice = isDenied(cause)
      ? `run it with ${denoFlags(environment)}, or give the path of a library as the option ` +
        `"library" or, with --allow-env=SQLITE3ASYNC_LIBRARY, in SQLITE3ASYNC_LIBRARY`
      : `give the path of a library as the option "library" or in SQLITE3ASYNC_LIBRARY`;
    throw cannotOpen(`Cannot unpack the sqlite3async library: ${why}; ${advice}`, null, cause);
  }
}

/** Says whether what a status is of may be used. */
type Judge = (status: Stats) => boolean;

/** Is there the library, as a file that nobody else can change? */
function isWhole(path: string, { size, sha256 }: Prebuilt, isOurs: Judge): boolean {
  const found = lookAt(path);
  if (!found?.isFile() || found.size !== size || !isOurs(found)) return false;
  renew(path, found); // first, for whoever removes what is not in use looks at that
  try {
    return hashOf(readFileSync(path)) === sha256;
  } catch (error) {
    if (!/^(ENOENT|EACCES)$/.test((error as { code?: string }).code ?? "")) throw error;
    return false; // it has just gone, or this user may not read it
  }
}

/** Put the library there, unless another process has just done so. */
function place(path: string, prebuilt: Prebuilt, isOurs: Judge): void {
  const library = libraryIn(prebuilt);
  const temporary = join(dirname(path), `.${randomUUID()}`);
  try {
    writeFileSync(temporary, library, { flag: "wx", mode: 0o644 });
    linkSync(temporary, path);
  } catch (cause) {
    if (isWhole(path, prebuilt, isOurs)) return;
    if (!existsSync(temporary)) throw cause;
    // Something else is in its place, or the file system knows no links.
    renameSync(temporary, path);
  } finally {
    remove(temporary);
  }
}

/** Remove it, if that can be: on Windows it may be in use, for by its other name it is loaded. */
function remove(temporary: string): void {
  try {
    rmSync(temporary, { force: true });
  } catch {
    // It does no harm there.
  }
}

/**
 * The library's bytes.
 *
 * @throws {AsyncVfsError} If they are not those that were packed.
 */
export function libraryIn({ file, size, sha256, brotli }: Prebuilt): Uint8Array {
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

/** SHA-256 in hexadecimal. */
export function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
