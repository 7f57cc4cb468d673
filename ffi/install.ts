/**
 * Installing the VFS.
 *
 * @module
 */
import process from "node:process";
import { loadAddon } from "./addon.ts";
import { announceClose, type Connections } from "./closing.ts";
import { AsyncVfsError, isDenied, misuse, reasonOf } from "./errors.ts";
import { locateLibrary, openLibrary } from "./library.ts";
import { Native } from "./native.ts";
import {
  type CheckedOptions,
  checkOptions,
  type HostConnection,
  type InstallOptions,
} from "./options.ts";
import { verbOf } from "./parameters.ts";
import { currentRuntime, type Runtime } from "./runtime.ts";
import { prepareSignals, watchSignals } from "./signals.ts";
import { type AsyncVfs, createVfs } from "./vfs.ts";
import { subscribe } from "./wake.ts";

/** What install() did in this environment. */
interface Installation {
  library: string;
  native: Native;
  vfs: AsyncVfs;
}

let installation: Installation | undefined;
let listensToEnds = false;

/**
 * Load the library into the runtime's SQLite, or into that of the option `host`,
 * register the VFS there and start its writer.
 *
 * Calling it again, also in a Worker, gives the VFS that is installed. Options
 * given then are applied to it: a parameter is set as by the property of its
 * name; another `library`, `parent` or `makeDefault` than the installed one's
 * throws SQLITE_MISUSE, since a process has one VFS; a `host` with another
 * SQLite throws SQLITE_ERROR.
 *
 * @example
 * ```ts
 * import { install } from "@sqlite3async/vfs";
 * import { DatabaseSync } from "node:sqlite";
 *
 * const vfs = await install({ maxDelayMs: 200 });
 * const database = new DatabaseSync(vfs.uri("app.db"));
 * database.exec("CREATE TABLE t(x); INSERT INTO t VALUES (1)");
 * await vfs.flush(); // on stable storage
 * ```
 *
 * In Deno it needs `--allow-ffi` without a scope.
 *
 * @param options Where the library is and how the VFS shall behave.
 * @returns The VFS, with its writer started.
 * @throws {AsyncVfsError} With an unknown option or a bad value, a library that
 * is missing or not ours, or if SQLite refuses to load it.
 */
export async function install(options: InstallOptions = {}): Promise<AsyncVfs> {
  const checked = checkOptions(options);
  const runtime = await currentRuntime();
  // Before more is asked for that would be of no use.
  if (checked.host === undefined) runtime.checkExtensions();
  // A Worker, or another copy of this module, may have closed the VFS of the process.
  if (installation?.native.isRegistered() === false) installation = undefined;
  const isWanted = installation === undefined || checked.library !== undefined;
  const library = isWanted ? await locateLibrary(runtime, checked.library) : undefined;
  // From here on nothing is awaited, so two calls cannot get mixed up.
  if (installation === undefined) {
    installation = installAnew(runtime, library!, checked);
  } else {
    if (checked.library !== undefined) checkLibrary(installation, library!);
    if (checked.host !== undefined) {
      load(runtime, installation.library, checked.host);
      announceCloses(runtime, checked.host);
    }
    prepare(installation.native, checked);
    setParameters(installation.native, checked);
    installation.native.start();
  }
  return installation.vfs;
}

function installAnew(runtime: Runtime, library: string, checked: CheckedOptions): Installation {
  const native = new Native(openLibrary(runtime, library));
  // Not when it is first needed: by then another file may have that path, and be another instance.
  const addon = loadAddon(library);
  prepare(native, checked);
  prepareSignals(native, runtime);
  setParameters(native, checked);
  load(runtime, library, checked.host);
  if (checked.makeDefault) runtime.ownStores().forEach((path) => native.exclude(path));
  prepare(native, checked); // a Worker may have been faster, with other options
  native.start();
  announceCloses(runtime, checked.host);
  listenToEnds(runtime);
  const vfs = createVfs({
    native,
    subscribe: (wake) => subscribe(addon, wake),
    collect: () => runtime.collect(),
    closed: () => installation = undefined,
  });
  return { library, native, vfs };
}

/** Have what is queued written at ends of which the library does not hear, or hears too late. */
function listenToEnds(runtime: Runtime): void {
  if (listensToEnds) return;
  listensToEnds = true;
  runtime.onReplace({
    replacing: () => drainForReplacing(installation?.native),
    notReplaced: () => installation?.native.start(),
    killing: () => installation && watchSignals(installation.native),
  });
  runtime.onExit(() => {
    const native = installation?.native;
    native?.ending();
    // Windows kills all threads, the writer too, before the library hears of the end.
    if (process.platform === "win32") native?.drain();
  });
}

/** What cannot be written is told, as at any end; no exit will tell it. */
function drainForReplacing(native: Native | undefined): void {
  try {
    native?.drainNow();
  } catch (error) {
    console.error(`sqlite3async: execve: ${reasonOf(error)}`);
  }
}

/** Hear of the end of connections of which SQLite itself hears later; of a host's, too. */
function announceCloses(runtime: Runtime, host: HostConnection | undefined): void {
  const ofHost: Connections | null = host === undefined ? null : Object.getPrototypeOf(host);
  for (const connections of ofHost === null ? runtime.keptConnections() : [ofHost]) {
    announceClose(connections, () => installation?.native.releaseClosed());
  }
}

/** Load the library as an extension. Into the SQLite that has it already this changes nothing. */
function load(runtime: Runtime, path: string, host: HostConnection | undefined): void {
  try {
    (host ?? runtime).loadExtension(path);
  } catch (cause) {
    const reason = reasonOf(cause);
    const where = host === undefined ? "the runtime's SQLite" : 'the SQLite of the option "host"';
    const advice = isDenied(cause) ? "; it needs --allow-ffi without a scope" : "";
    throw new AsyncVfsError(`Cannot load "${path}" into ${where}: ${reason}${advice}`, {
      codeName: "SQLITE_ERROR",
      operation: "install",
      path,
      cause,
    });
  }
}

/** Tell the library what to register. Once it is registered this only compares. */
function prepare(native: Native, { parent, makeDefault }: CheckedOptions): void {
  native.prepare(parent ?? "", makeDefault ?? false);
}

function setParameters(native: Native, { parameters }: CheckedOptions): void {
  for (const [name, value] of parameters) native.set(verbOf(name), value, name);
  if (parameters.every(([name]) => name !== "drainOnSignals")) watchSignals(native);
}

function checkLibrary(installed: Installation, library: string): void {
  if (library === installed.library) return;
  const message = `Cannot install sqlite3async from "${library}": ` +
    `it is installed from "${installed.library}", and a process has one`;
  throw misuse("install", message, library);
}
