/**
 * The options of install().
 *
 * @module
 */
import { misuse, shown } from "./errors.ts";
import { encode, isParameter, parameterNames } from "./parameters.ts";
import type { CommitLevel, OnQueueFull, ParameterName } from "./parameters.ts";

/** A connection of a driver, as far as loading an extension needs it. */
export interface HostConnection {
  /** Loads a shared library as an extension into the connection's SQLite, before it returns. */
  loadExtension(path: string): unknown;
}

/**
 * Options of {@linkcode install}. Each may be absent. Those from `commit`
 * on are parameters of the whole process, which can be changed later by the
 * properties of the same names.
 *
 * @example
 * ```ts
 * import { install, type InstallOptions } from "@sqlite3async/vfs";
 *
 * const options: InstallOptions = {
 *   maxQueueBytes: 16 * 2 ** 20,
 *   onQueueFull: "busy",
 *   maxDelayMs: 250,
 *   exitDrainMs: 8000,
 * };
 * const vfs = await install(options);
 * vfs.maxDelayMs = 500; // for the whole process, from now on
 * ```
 */
export interface InstallOptions {
  /**
   * The shared library's file, as a path or a `file:` URL. Default: the environment variable
   * `SQLITE3ASYNC_LIBRARY`; else, in a checkout, the one that `./run build` made
   * there; else the one that the package carries for this platform, which is
   * unpacked into the user's cache folder and verified on every load.
   */
  library?: string | URL | undefined;
  /**
   * A connection of a driver that brings a SQLite of its own, such as better-sqlite3's or
   * libsql's `Database`: that SQLite gets the VFS. It must be allowed to load extensions
   * (`allowExtension` of node:sqlite's `DatabaseSync`), may be one to `":memory:"`, and is not
   * needed afterwards. A process has one SQLite with the VFS, so install() in a Worker needs a
   * connection of the same driver. Default: the SQLite inside the runtime.
   */
  host?: HostConnection | undefined;
  /** Name of the VFS that does the real I/O, such as `"unix-excl"`. Default: SQLite's default. */
  parent?: string | undefined;
  /**
   * Send every database through sqlite3async that names no VFS, but for those that the runtime
   * keeps for itself, such as Deno's localStorage. Default: false.
   */
  makeDefault?: boolean | undefined;
  /**
   * What a commit waits for, on all connections that have set no level of their own by
   * `PRAGMA async_commit`: with `"queued"` for nothing; with `"applied"` until its writes were
   * handed to the operating system, so that SIGKILL takes nothing; with `"durable"` until they
   * are synced. Default: `"queued"`.
   */
  commit?: CommitLevel | undefined;
  /** Bytes that may be queued for one database; 0: no bound. Default: 64 MiB. */
  maxQueueBytes?: number | undefined;
  /**
   * What happens to a commit when the queue is full: `"block"` waits until
   * there is some room again, with `"busy"` a transaction that would start gets
   * SQLITE_BUSY. Default: `"block"`.
   */
  onQueueFull?: OnQueueFull | undefined;
  /**
   * Milliseconds within which a commit is made durable unasked; 0: only by a flush.
   * Default: 1000.
   */
  maxDelayMs?: number | undefined;
  /**
   * Bytes a WAL grows by until it is checkpointed in the background; 0: not for its
   * size. If transactions leave no gap it gets sixteen times as long before they are made to wait
   * for a moment, so that it can start anew. With this and `checkpointIdleMs` both 0, SQLite's
   * automatic checkpoints stay on. Default: 16 MiB.
   */
  checkpointBytes?: number | undefined;
  /**
   * Milliseconds without a write after which a WAL is checkpointed in the background;
   * 0: never for that. Default: 1000.
   */
  checkpointIdleMs?: number | undefined;
  /**
   * Bytes of a WAL from which on no transaction begins to write before a checkpoint
   * could start it anew; if readers prevent that, it gets SQLITE_BUSY. 0: no bound.
   * Default: 1 GiB.
   */
  maxWalBytes?: number | undefined;
  /**
   * The most threads that write, 1 to 16: there are as many as databases are open, and each
   * database has one at a time, so that one's slow disk doesn't hold up another. Default: 4.
   */
  writers?: number | undefined;
  /**
   * Microseconds after which a writer that has just had work looks for commits by itself, up to
   * 1,000,000: meanwhile a commit need not wake it, which would take longer than the
   * commit. Whoever waits for durability wakes it at once. 0: each commit wakes it. Default: 500.
   */
  pollUs?: number | undefined;
  /**
   * Milliseconds after which other processes get a chance to lock the database; 0: no
   * bound. Default: 1000.
   */
  maxLockHoldMs?: number | undefined;
  /**
   * Milliseconds to go on trying to write to a full disk before that is an error.
   * Default: 30000.
   */
  diskFullRetryMs?: number | undefined;
  /**
   * Take the operating system's file locks. Without them no other process may use
   * the database. Default: true.
   */
  lockFiles?: boolean | undefined;
  /**
   * Write what is queued when the process exits, for at most `exitDrainMs`. What could not be
   * written is told on stderr. Default: true.
   */
  drainOnExit?: boolean | undefined;
  /** Milliseconds that the drain at exit may take. Default: 10000. */
  exitDrainMs?: number | undefined;
  /**
   * Write what is queued before one of SIGTERM, SIGINT, SIGHUP, SIGQUIT and SIGUSR2 ends the
   * process, for at most `exitDrainMs`. Commits wait meanwhile, and the exit status is the
   * signal's. Signals that the process ignores, and handlers of the program, work as before.
   * Default: true; once it was set to false, an install() without it leaves it so.
   */
  drainOnSignals?: boolean | undefined;
}

/** Options that were found right. */
export interface CheckedOptions {
  library?: string | URL;
  host?: HostConnection;
  parent?: string;
  makeDefault?: boolean;
  /** The parameters that were given, encoded, in the order in which they are to be set. */
  parameters: [ParameterName, number][];
}

/** Not options: a queue that is born stalled serves nobody. */
const notOptions = new Set(["halt", "delayMs"]);

/**
 * Throws an error unless these are options of a call, with no names but these. What is passed over
 * in silence, such as a path in the place of `{ path }`, would be taken for obeyed.
 */
export function checkNames(operation: string, options: unknown, names: readonly string[]): void {
  const wanted = `its options are { ${names.join(", ")} }`;
  if (typeof options !== "object" || options === null) {
    throw misuse(operation, `Cannot ${operation} with ${shown(options)}: ${wanted}`);
  }
  const unknown = Object.keys(options).find((name) => !names.includes(name));
  if (unknown === undefined) return;
  throw misuse(operation, `Cannot ${operation} with an option "${unknown}": ${wanted}`);
}

/** Throws an error that names the first wrong option. */
export function checkOptions(options: InstallOptions): CheckedOptions {
  if (typeof options !== "object" || options === null) {
    const message = `Cannot install sqlite3async with ${shown(options)}: options are an object`;
    throw misuse("install", message);
  }
  const checked: CheckedOptions = { parameters: [] };
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (isParameter(name) && !notOptions.has(name)) {
      checked.parameters.push([name, encode(name, value)]);
    } else if (name === "library") {
      if (typeof value !== "string" && !(value instanceof URL) || value === "") {
        throw badOption(name, value, "a path or a file URL");
      }
      checked.library = value;
    } else if (name === "host") {
      if (typeof (value as HostConnection | null)?.loadExtension !== "function") {
        throw badOption(name, value, "a driver's connection, with a method loadExtension(path)");
      }
      checked.host = value;
    } else if (name === "parent") {
      if (typeof value !== "string" || value === "") throw badOption(name, value, "a VFS's name");
      checked.parent = value;
    } else if (name === "makeDefault") {
      if (typeof value !== "boolean") throw badOption(name, value, "true or false");
      checked.makeDefault = value;
    } else {
      throw noOption(name);
    }
  }
  // The one that may be refused, because a database is open, comes first.
  checked.parameters.sort(([a], [b]) => Number(b === "lockFiles") - Number(a === "lockFiles"));
  return checked;
}

function noOption(name: string): Error {
  const names = [
    ...["library", "host", "parent", "makeDefault"],
    ...parameterNames().filter((parameter) => !notOptions.has(parameter)),
  ];
  const advice = notOptions.has(name)
    ? "it is a property of the VFS, to be set once that is installed"
    : `there are ${names.join(", ")}`;
  return misuse("install", `Cannot install sqlite3async: there is no option "${name}"; ${advice}`);
}

function badOption(name: string, value: unknown, wanted: string): Error {
  const message = `Cannot install sqlite3async with the option ${name} = ${shown(value)}: ` +
    `it must be ${wanted}`;
  return misuse("install", message);
}
