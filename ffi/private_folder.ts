/**
 * A folder for files that only this user may put there, since they will be run.
 *
 * It is the user's cache folder, or, if that cannot be written, a folder of the user's own in the
 * temporary directory. Each is used only if it is no symbolic link, belongs to whom this process
 * makes files as, and may be written by nobody else. Windows has no such owners and modes: there
 * the user's profile keeps others out.
 *
 * To write there needs no number of the user, for which Deno would ask another permission: who owns
 * a new file tells it. What is there already can be used where nothing can be written, too, such as
 * in an image that was built by root: if it is root's, or the user's where the number is known.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import {
  closeSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  realpathSync,
  rmdirSync,
  type Stats,
  statSync,
  unlinkSync,
} from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import process from "node:process";
import { cannotOpen } from "./errors.ts";

/** An environment variable, or undefined if it isn't set or may not be read. */
export type Environment = (name: string) => string | undefined;

/** A folder that was found to be the user's alone. */
export interface PrivateFolder {
  path: string;
  /** Who owns it, and whatever this process makes in it. */
  uid: number;
}

const NAME = "sqlite3async";
const isWindows = process.platform === "win32";

/** Of a mode: others than the owner may write. */
const WRITABLE_BY_OTHERS = 0o022;
/** Of a folder's mode: only the owner of what is in it may rename or remove that. */
const STICKY = 0o1000;

/** The codes of errors by which a place cannot be used. What is dangerous has none of them. */
const unwritable = new Set(["EACCES", "EPERM", "EROFS", "ENOENT", "ENOTDIR"]);

/** What names the user's cache folder, the first that is set. */
const VARIABLES = isWindows ? ["LOCALAPPDATA"] : ["XDG_CACHE_HOME", "HOME"];

/** Where below the home it lies. */
const HOME_CACHE = process.platform === "darwin" ? "Library/Caches" : ".cache";

/**
 * Find or make the folder.
 *
 * @throws {AsyncVfsError} If there is none that can be written and is the user's alone.
 */
export function privateFolder(environment: Environment): PrivateFolder {
  const cache = cacheFolder(environment);
  const reasons: string[] = [];
  try {
    if (cache !== undefined) return makePrivate(cache);
    reasons.push(whyUnknown(environment)!);
  } catch (error) {
    if (!isUnwritable(error)) throw error;
    reasons.push(String(error));
  }
  try {
    if (!isWindows) return temporaryFolder(environment);
  } catch (error) {
    if (!isUnwritable(error)) throw error;
    reasons.push(String(error));
  }
  const message = `Cannot unpack the sqlite3async library: no folder can be written to ` +
    `(${reasons.join("; ")}); let ${VARIABLES[0]} name a folder of yours, or give the path of a ` +
    `library as the option "library" or in SQLITE3ASYNC_LIBRARY`;
  throw cannotOpen(message, cache ?? null);
}

/**
 * The user's cache folder as it is, for what is in it already; undefined if there is none, or if
 * others than the user and root could have put that there. Nothing is written to find out.
 */
export function readyFolder(environment: Environment): string | undefined {
  const path = cacheFolder(environment);
  if (path === undefined || isWindows) return undefined;
  const status = lookAt(path);
  return status?.isDirectory() && isTrusted(status) ? path : undefined;
}

/** May what this is of be run: could only this user and root have written it? */
export function isTrusted({ uid, mode }: Stats): boolean {
  return (mode & WRITABLE_BY_OTHERS) === 0 && (uid === 0 || uid === currentUser());
}

/** May what this is of be run, with this user known to be ours? */
export function isOnlyOf(user: number, { uid, mode }: Stats): boolean {
  return isWindows || ((mode & WRITABLE_BY_OTHERS) === 0 && uid === user);
}

/** What is there, without following a link; undefined if nothing is, or it may not be seen. */
export function lookAt(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (isUnwritable(error)) return undefined;
    throw error;
  }
}

/** Whom this process makes files as, but on some file systems; undefined if that isn't known. */
function currentUser(): number | undefined {
  const isKnown = !("Deno" in globalThis) ||
    Deno.permissions.querySync({ name: "sys", kind: "uid" }).state === "granted";
  return isKnown ? process.geteuid?.() : undefined;
}

/** Why the user's cache folder is not known; undefined if it is. */
export function whyUnknown(environment: Environment): string | undefined {
  if (cacheFolder(environment) !== undefined) return undefined;
  const hidden = "Deno" in globalThis ? ", or --allow-env is missing" : "";
  return `the user's cache folder is not known: ${VARIABLES.join(" and ")} ` +
    `name none${hidden}`;
}

/** The flags that let Deno load and unpack the library. */
export function denoFlags(environment: Environment): string {
  const folder = cacheFolder(environment) ??
    (isWindows ? `%LOCALAPPDATA%\\${NAME}` : `$HOME/${HOME_CACHE}/${NAME}`);
  return `--allow-ffi --allow-env=${VARIABLES.join(",")} ` +
    `--allow-read=${folder} --allow-write=${folder}`;
}

/** The place for the folder among the user's caches; undefined if that is not known. */
function cacheFolder(environment: Environment): string | undefined {
  for (const variable of VARIABLES) {
    const value = environment(variable);
    // A relative one is to be ignored, says the specification of XDG_CACHE_HOME.
    if (value === undefined || !isAbsolute(value)) continue;
    return variable === "HOME" ? join(value, HOME_CACHE, NAME) : join(value, NAME);
  }
}

/** A folder in the temporary directory, where others cannot put another in its place. */
function temporaryFolder(environment: Environment): PrivateFolder {
  const parent = realpathSync(environment("TMPDIR") || "/tmp");
  const { mode, uid: owner } = lstatSync(parent);
  if ((mode & WRITABLE_BY_OTHERS) !== 0 && (mode & STICKY) === 0) {
    throw refused(parent, "others may rename what is in it, for it is not sticky");
  }
  // Whose name it bears is known from what this process makes.
  const probe = mkdtempSync(join(parent, `${NAME}-`));
  const { uid } = lstatSync(probe);
  rmdirSync(probe);
  if (owner !== uid && owner !== 0) throw foreign(parent, owner, uid);
  return makePrivate(join(parent, `${NAME}-${uid}`));
}

/**
 * Make a folder that others may read, since an image may be built by root and run by another, and
 * those above it, which are the user's alone. What is there stays as it is.
 *
 * Node's own way to make those above, as of 26, never ends where a folder that is there refuses by
 * ENOENT, as /proc does. Deno's does, and asks for no permission for them.
 */
function makeFolders(path: string, mode: number = 0o755): void {
  for (let parentIsMade = false;; parentIsMade = true) {
    try {
      mkdirSync(path, { mode });
      return;
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === "EEXIST" && statSync(path).isDirectory()) return;
      if (code !== "ENOENT" || parentIsMade || dirname(path) === path) throw error;
      if ("Deno" in globalThis) return void mkdirSync(path, { recursive: true, mode: 0o700 });
      makeFolders(dirname(path), 0o700);
    }
  }
}

/** Make a folder, unless it is there, and make sure that it is the user's alone. */
function makePrivate(path: string): PrivateFolder {
  makeFolders(path);
  const status = lstatSync(path);
  if (status.isSymbolicLink()) throw refused(path, "it is a symbolic link");
  const { mode, uid } = status;
  if (isWindows) return { path, uid };
  const probe = join(path, `.${randomUUID()}`);
  const file = openSync(probe, "wx", 0o600);
  const ours = fstatSync(file).uid;
  closeSync(file);
  unlinkSync(probe);
  if (uid !== ours) throw foreign(path, uid, ours);
  if ((mode & WRITABLE_BY_OTHERS) !== 0) throw refused(path, "others may write to it");
  return { path, uid };
}

/** The error for a folder that is as no folder of the user's should be. */
function refused(path: string, reason: string): Error {
  const message =
    `Cannot unpack the sqlite3async library into "${path}": ${reason}; change that, ` +
    `or let ${VARIABLES[0]} name a folder of yours, or give the path of a library as the option ` +
    `"library" or in SQLITE3ASYNC_LIBRARY`;
  return cannotOpen(message, path);
}

/** The error for another user's folder: as with one that cannot be written, another will do. */
function foreign(path: string, owner: number, ours: number): Error {
  const message = `"${path}" belongs to user ${owner}, and this process is user ${ours}`;
  return Object.assign(new Error(message), { code: "EPERM" });
}

function isUnwritable(error: unknown): boolean {
  return unwritable.has((error as { code?: string }).code ?? "");
}
