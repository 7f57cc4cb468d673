/**
 * The API class.
 *
 * @module
 */
import { nameOf } from "./codes.ts";
import { AsyncVfsError, misuse, shown } from "./errors.ts";
import { AsyncVfsEvent, type AsyncVfsEventMap } from "./events.ts";
import type { Native } from "./native.ts";
import { checkNames } from "./options.ts";
import { type CommitLevel, decode, encode, type Halt, type OnQueueFull } from "./parameters.ts";
import {
  defaultOf,
  type ParameterName,
  parameterNames,
  type ParameterValue,
  verbOf,
} from "./parameters.ts";
import { toPath, toUri } from "./paths.ts";
import { makeInspectable } from "./inspect.ts";
import type { AsyncVfsDatabase, AsyncVfsStatus } from "./status.ts";
import { checkConnection, checkWork, pathsOf, runTransaction, runUnit } from "./transaction.ts";
import type { NoPromise, Transactor } from "./transaction.ts";
import { FlushWaiters } from "./waiter.ts";
import { Interest } from "./wake.ts";

/** Which databases a flush is about, and what ends its waiting. */
export interface FlushOptions {
  /** The database; all if absent. One that was closed has nothing to wait for. */
  path?: string | URL | undefined;
  /** Rejects this call's promise with its reason; the sync goes on for others. */
  signal?: AbortSignal | undefined;
}

/** Which databases a blocking flush is about, and how long it may take. */
export interface FlushSyncOptions {
  /** The database; all if absent. One that was closed has nothing to wait for. */
  path?: string | URL | undefined;
  /** Milliseconds to wait; without it there is no bound. */
  timeoutMs?: number | undefined;
}

/** How long stop() and release() of {@linkcode AsyncVfs} may take. */
export interface DrainOptions {
  /** Milliseconds that may pass until what is queued has been written. Default: 10000. */
  timeoutMs?: number | undefined;
}

/** How {@linkcode AsyncVfs.close} closes. */
export interface CloseOptions extends DrainOptions {
  /**
   * Close although databases are open: all commits are made durable, and then the connections that
   * are left are cut off. They hold no file lock any more, and every use of them fails.
   * Default: false.
   */
  force?: boolean | undefined;
}

/** What the class is built on. */
export interface VfsInternals {
  native: Native;
  /** Tie a function to the writer's wakes. */
  subscribe(wake: () => void): (interest: Interest) => void;
  /** Have the garbage collector run, if the runtime lets a program ask for that. */
  collect(): void;
  /** Called after close(). */
  closed(): void;
}

/** Makes an {@linkcode AsyncVfs}; for install() alone. */
export let createVfs: (internals: VfsInternals) => AsyncVfs;

const DRAIN_MS = 10_000;
const RELEASE_POLL_MS = 2;
const COLLECT_POLL_MS = 20;

/**
 * The installed VFS. There is one a process: in a Worker, {@linkcode install}
 * gives an object for the same VFS with the same parameters. Any thread may
 * call anything at any time.
 *
 * Every property but {@linkcode name} is read from and written to the native
 * side; assigning a value that it refuses throws an {@linkcode AsyncVfsError}
 * with SQLITE_MISUSE and changes nothing. After {@linkcode close} every use of
 * it throws SQLITE_MISUSE.
 *
 * @example Being told of what happens in the background
 * ```ts
 * import { install } from "@sqlite3async/vfs";
 *
 * const vfs = await install();
 * vfs.addEventListener("error", ({ path, error }) => {
 *   console.error(`${path} takes no more writes: ${error?.message}`);
 * });
 * vfs.addEventListener("diskfull", ({ path, error }) => {
 *   console.warn(`${path} is held, and tried again: ${error?.message}`);
 * });
 * vfs.addEventListener("resume", ({ path }) => console.warn(`${path} goes on`));
 * ```
 */
export class AsyncVfs extends EventTarget implements AsyncDisposable {
  static {
    createVfs = (internals) => new AsyncVfs(internals);
    // What only inherits from one has no content.
    makeInspectable(AsyncVfs.prototype, (vfs) => #closed in vfs ? vfs.#content() : {});
  }

  /** The name to give as `vfs` when a database is opened. */
  readonly name: string = "sqlite3async";

  readonly #internals: VfsInternals;
  readonly #waiters: FlushWaiters;
  /** Set at the first flush or listener, so that one who needs neither pays for neither. */
  #setInterest: ((interest: Interest) => void) | undefined;
  #interest: Interest = Interest.idle;
  /** Where in the events this object's listeners are; undefined until there is one. */
  #eventCursor: BigInt64Array<ArrayBuffer> | undefined;
  #closed = false;
  /** The connections that durable() has found to be of this VFS. */
  readonly #ours = new WeakSet<Transactor>();

  private constructor(internals: VfsInternals) {
    super();
    this.#internals = internals;
    this.#waiters = new FlushWaiters({
      durable: (stream) => internals.native.durable(stream),
      failure: (code, path) => this.#backgroundError(code, path),
      idle: () => this.#updateInterest(),
    });
  }

  // ---- Which databases ----

  /**
   * The URI that opens a database through this VFS.
   *
   * @example
   * ```ts
   * import { install } from "@sqlite3async/vfs";
   * import { DatabaseSync } from "node:sqlite";
   *
   * const vfs = await install();
   * const database = new DatabaseSync(vfs.uri("app.db"));
   * database.exec("CREATE TABLE t(x)");
   * ```
   *
   * @param path The database's file; a relative one counts from the working directory.
   * @param params Further parameters of SQLite's, such as `{ mode: "ro" }`.
   * @returns The URI, to be given to a driver in the place of a path.
   * @throws {AsyncVfsError} SQLITE_MISUSE with a path or a parameter that is empty or no plain
   * text, or with a parameter `vfs`.
   */
  uri(path: string | URL, params: Record<string, string> = {}): string {
    this.#native("uri");
    if (typeof params !== "object" || params === null) {
      const message = `Cannot make a URI with the parameters ${shown(params)}: ` +
        'they are an object, such as { mode: "ro" }';
      throw misuse("uri", message);
    }
    if ("vfs" in params) {
      const message = `Cannot make a URI with the parameter vfs = ${shown(params.vfs)}: ` +
        "uri() sets it itself";
      throw misuse("uri", message);
    }
    return toUri(toPath(path, "uri"), { vfs: this.name, ...params });
  }

  /**
   * Send a plain path through this VFS: from now on the database of that name
   * is opened through it by whatever opens it through the runtime's own SQLite, or
   * through that of the option `host`, and names no VFS: a driver, an ORM, `Deno.openKv`.
   * The file need not exist yet. Routing a path again does nothing.
   *
   * @example
   * ```ts
   * import { install } from "@sqlite3async/vfs";
   * import { DatabaseSync } from "node:sqlite";
   *
   * const vfs = await install();
   * vfs.route("app.db");
   * const database = new DatabaseSync("app.db"); // through sqlite3async
   * database.exec("CREATE TABLE t(x)");
   * ```
   *
   * @param path The database's file. It is resolved now, symbolic links included.
   * @throws {AsyncVfsError} SQLITE_BUSY if this process, or on Windows any, has the file open
   * already, outside of this VFS; SQLITE_CANTOPEN if it is a directory or cannot be resolved;
   * SQLITE_MISUSE if it is no path of a file: `":memory:"`, or a URI.
   */
  route(path: string | URL): void {
    this.#native("route").route(toPath(path, "route"));
  }

  /**
   * Take a {@linkcode route} back.
   *
   * @param path The database's file.
   * @throws {AsyncVfsError} SQLITE_BUSY while the database is open through this VFS or not all of
   * it is written; SQLITE_NOTFOUND if it was not routed.
   */
  unroute(path: string | URL): void {
    this.#native("unroute").unroute(toPath(path, "unroute"));
  }

  // ---- Durability ----

  /**
   * Wait until every commit made so far is on stable storage. All who wait at
   * the same time share one sync. Rejects with the background error if the
   * database failed, and with the signal's reason if that is aborted.
   *
   * A pending flush keeps the process alive. If the writer is halted meanwhile,
   * it stays pending; called while no writer is running, it rejects with
   * SQLITE_MISUSE.
   *
   * @example
   * ```ts
   * import { install } from "@sqlite3async/vfs";
   * import { DatabaseSync } from "node:sqlite";
   *
   * const vfs = await install();
   * const database = new DatabaseSync(vfs.uri("app.db"));
   * database.exec("CREATE TABLE t(x); INSERT INTO t VALUES (1)");
   * await vfs.flush({ path: "app.db", signal: AbortSignal.timeout(5000) });
   * ```
   *
   * A database that is plain SQLite's is an error, for nothing is known of it here.
   *
   * @param options Which databases, and what ends the waiting.
   * @throws {AsyncVfsError} The background error of a database that was waited for, also one
   * that came after it was closed, once; SQLITE_MISUSE while no writer is running;
   * SQLITE_NOTFOUND if `path` was never open through this VFS in this process, or, without
   * `path`, if a routed path never was, though the process has the file open: a second copy of a
   * driver has it, or a connection from before. (That is looked at once a second.)
   */
  async flush(options: FlushOptions = {}): Promise<void> {
    const native = this.#native("flush");
    checkNames("flush", options, ["path", "signal"]);
    const { signal } = options;
    if (signal !== undefined && typeof signal?.throwIfAborted !== "function") {
      const message = `Cannot flush with signal = ${shown(signal)}: ` +
        "it must be an AbortSignal";
      throw misuse("flush", message);
    }
    const path = options.path === undefined ? undefined : toPath(options.path, "flush");
    signal?.throwIfAborted();
    await this.#flush(native, path, signal);
  }

  /**
   * The same as {@linkcode flush}, but blocks the thread: for a single caller, this is quicker.
   *
   * @param options Which databases, and how long it may take.
   * @throws {AsyncVfsError} SQLITE_BUSY if it took longer than `timeoutMs`, and then the sync goes
   * on; and what {@linkcode flush} rejects with.
   */
  flushSync(options: FlushSyncOptions = {}): void {
    const native = this.#native("flushSync");
    checkNames("flushSync", options, ["path", "timeoutMs"]);
    const path = options.path === undefined ? undefined : toPath(options.path, "flushSync");
    const timeoutMs = optionalTimeout("flushSync", options.timeoutMs, -1);
    this.#explained(path, () => native.flush(path, timeoutMs));
  }

  /**
   * Do something that commits and wait until that is on stable storage: what is
   * resolved or thrown is what `work` returned or threw. If it throws, nothing
   * is waited for. If waiting fails, as {@linkcode flush} does, what was committed
   * stays so.
   *
   * It does not know which databases `work` writes to. Give it the connection, as in
   * `durable(database, work)`, and it makes sure that each of its files is open through this VFS.
   *
   * @example
   * ```ts
   * import { install } from "@sqlite3async/vfs";
   * import { DatabaseSync } from "node:sqlite";
   *
   * const vfs = await install();
   * const database = new DatabaseSync(vfs.uri("app.db"));
   * database.exec("CREATE TABLE orders(what TEXT)");
   * const insert = database.prepare("INSERT INTO orders VALUES (?)");
   * const id = await vfs.durable(() => insert.run("tea").lastInsertRowid);
   * ```
   *
   * @param work Runs at once; it makes transactions of its own, and must not be asynchronous.
   * @returns What `work` returned, once all databases of the process are durable.
   * @throws {AsyncVfsError} SQLITE_NOTFOUND, before `work` runs, while no database at all is open
   * through this VFS; SQLITE_MISUSE if `work` is no function or returned a promise; what
   * {@linkcode flush} rejects with.
   */
  durable<Result>(work: () => NoPromise<Result>): Promise<Result>;
  /**
   * Do something in one transaction of a connection, commit it and wait until it is on
   * stable storage. If `work` throws, or the commit does, the transaction is rolled back
   * and nothing is waited for. If waiting fails, as {@linkcode flush} does, it stays
   * committed.
   *
   * @example
   * ```ts
   * import { install } from "@sqlite3async/vfs";
   * import { DatabaseSync } from "node:sqlite";
   *
   * const vfs = await install();
   * const database = new DatabaseSync(vfs.uri("bank.db"));
   * database.exec("CREATE TABLE account(name TEXT PRIMARY KEY, cents INTEGER)");
   * database.exec("INSERT INTO account VALUES ('Ada', 500), ('Bob', 0)");
   * const add = database.prepare("UPDATE account SET cents = cents + ? WHERE name = ?");
   * await vfs.durable(database, () => {
   *   add.run(-100, "Ada");
   *   add.run(100, "Bob");
   * });
   * ```
   *
   * @param database A connection of node:sqlite, bun:sqlite or a driver like them, with no
   * transaction open.
   * @param work Runs at once, after `BEGIN IMMEDIATE`; it must not be asynchronous.
   * @returns What `work` returned, once the databases of the connection are durable.
   * @throws {AsyncVfsError} SQLITE_MISUSE if the connection has a transaction open or is none, if
   * one of its files, attached ones included, is plain SQLite's, not being open through this VFS
   * (one that was attached after the connection's first call is found before COMMIT, and the
   * transaction rolled back), or if `work` is no function or returned a promise; what
   * {@linkcode flush} rejects with. What
   * `work` and the driver throw is thrown as it is.
   */
  durable<Result>(database: Transactor, work: () => NoPromise<Result>): Promise<Result>;
  async durable<Result>(
    ...parameters: [() => Result] | [Transactor, () => Result]
  ): Promise<Result> {
    const native = this.#native("durable");
    if (parameters.length === 1) {
      checkWork(parameters[0]);
      checkAnyIsOpen(native);
      const result = runUnit(parameters[0]);
      await this.flush();
      return result;
    }
    const [database, work] = parameters;
    checkConnection(database);
    if (!this.#ours.has(database)) {
      oursOf(native, database); // before anything is begun
      this.#ours.add(database);
    }
    let paths: string[] | undefined;
    // Looked at again: one may have been attached since, also by the work.
    const result = runTransaction(database, work, () => paths = oursOf(native, database));
    const still = this.#native("durable");
    await Promise.all((paths ?? [undefined]).map((path) => this.#flush(still, path)));
    return result;
  }

  /**
   * Let other processes have a database though connections of this one are open:
   * make all commits durable and give its file lock back. A database in WAL mode
   * belongs to this process while anybody here has it open. The next transaction
   * here takes it back, or gets SQLITE_BUSY while another process is in it.
   *
   * @example
   * ```ts
   * import { install } from "@sqlite3async/vfs";
   * import { DatabaseSync } from "node:sqlite";
   *
   * const vfs = await install();
   * const database = new DatabaseSync(vfs.uri("app.db"));
   * database.exec("PRAGMA journal_mode = WAL; CREATE TABLE t(x)");
   * await vfs.release("app.db", { timeoutMs: 2000 });
   * // Now another process can read and write app.db.
   * ```
   *
   * @param path The database's file.
   * @param options How long it may take.
   * @throws {AsyncVfsError} SQLITE_BUSY if, within `timeoutMs`, there was no moment without a
   * transaction here, and then nothing has changed; SQLITE_NOTFOUND if it isn't open through this
   * VFS; what {@linkcode flush} rejects with.
   */
  async release(path: string | URL, options: DrainOptions = {}): Promise<void> {
    const native = this.#native("release");
    const name = toPath(path, "release");
    const timeoutMs = drainTimeout("release", options);
    if (!native.isOpen(name, "release")) return native.release(name, 0); // which says so
    const signal = AbortSignal.timeout(timeoutMs);
    for (;;) {
      try {
        await this.flush({ path: name, signal });
        return native.release(name, 0);
      } catch (error) {
        const busy = error instanceof AsyncVfsError && error.codeName === "SQLITE_BUSY";
        if (!busy && error !== signal.reason) throw error;
        if (signal.aborted) {
          const message = `Cannot release "${name}": within ${timeoutMs} ms there was no moment ` +
            "without a transaction and with everything durable";
          throw new AsyncVfsError(message, {
            codeName: "SQLITE_BUSY",
            path: name,
            operation: "release",
            cause: error,
          });
        }
      }
      await new Promise((resolve) => setTimeout(resolve, RELEASE_POLL_MS));
    }
  }

  // ---- Looking at it ----

  /**
   * Counters and state of a database, or of all together. It waits for no disk, so it can be
   * asked often.
   *
   * @example
   * ```ts
   * import { install } from "@sqlite3async/vfs";
   *
   * const vfs = await install();
   * const { state, queuedBytes, committed, durable } = vfs.status();
   * console.log(`${state}: ${queuedBytes} bytes queued, ${committed - durable} not yet durable`);
   * ```
   *
   * @param path The database's file; all databases together if absent.
   * @returns The state at this moment. It does not change any more.
   * @throws {AsyncVfsError} SQLITE_NOTFOUND if that database isn't open.
   */
  status(path?: string | URL): AsyncVfsStatus {
    const native = this.#native("status");
    const file = path === undefined ? undefined : toPath(path, "status");
    return toStatus(native.status(file));
  }

  /**
   * The databases that are open through this VFS, each with its status: how to make sure that a
   * driver or an ORM really uses it.
   *
   * @example
   * ```ts
   * import { install } from "@sqlite3async/vfs";
   * import { DatabaseSync } from "node:sqlite";
   *
   * const vfs = await install();
   * const database = new DatabaseSync(vfs.uri("app.db"));
   * for (const { path, connections, state } of vfs.databases()) {
   *   console.log(`${path}: ${connections} connections, ${state}`);
   * }
   * database.close();
   * ```
   *
   * @returns One entry for each database that is open, or closed and not completely written yet.
   */
  databases(): AsyncVfsDatabase[] {
    const databases = this.#native("databases").databases() as AsyncVfsDatabase[];
    for (const database of databases) toStatus(database);
    return databases;
  }

  // ---- Parameters ----

  /**
   * When the writer pauses: `"never"`; `"now"`, as soon as the step under way is
   * done; `"idle"`, once nothing is queued. A paused writer goes on when this is
   * set to `"never"`, the default. For tests and for trying things out.
   */
  get halt(): Halt {
    return this.#get("halt");
  }
  set halt(value: Halt) {
    this.#set("halt", value);
  }

  /** Milliseconds the writer pauses after each step, to try things out. Default: 0. */
  get delayMs(): number {
    return this.#get("delayMs");
  }
  set delayMs(value: number) {
    this.#set("delayMs", value);
  }

  /** Take the operating system's file locks. Can be set while nothing is open or queued. */
  get lockFiles(): boolean {
    return this.#get("lockFiles");
  }
  set lockFiles(value: boolean) {
    this.#set("lockFiles", value);
  }

  /**
   * What the commits of all connections wait for that have set no level of their own by
   * `PRAGMA async_commit`. Takes effect with the next commit.
   */
  get commit(): CommitLevel {
    return this.#get("commit");
  }
  set commit(value: CommitLevel) {
    this.#set("commit", value);
  }

  /** Bytes that may be queued for one database; 0: no bound. */
  get maxQueueBytes(): number {
    return this.#get("maxQueueBytes");
  }
  set maxQueueBytes(value: number) {
    this.#set("maxQueueBytes", value);
  }

  /** What a full queue does to the caller: it waits, or it gets SQLITE_BUSY. */
  get onQueueFull(): OnQueueFull {
    return this.#get("onQueueFull");
  }
  set onQueueFull(value: OnQueueFull) {
    this.#set("onQueueFull", value);
  }

  /** Milliseconds within which a commit is made durable unasked; 0: only by a flush. */
  get maxDelayMs(): number {
    return this.#get("maxDelayMs");
  }
  set maxDelayMs(value: number) {
    this.#set("maxDelayMs", value);
  }

  /** Bytes a WAL grows by until it is checkpointed in the background; 0: not for its size. */
  get checkpointBytes(): number {
    return this.#get("checkpointBytes");
  }
  set checkpointBytes(value: number) {
    this.#set("checkpointBytes", value);
  }

  /** Milliseconds without a write after which a WAL is checkpointed; 0: never for that. */
  get checkpointIdleMs(): number {
    return this.#get("checkpointIdleMs");
  }
  set checkpointIdleMs(value: number) {
    this.#set("checkpointIdleMs", value);
  }

  /** Bytes of a WAL from which on no transaction begins to write; 0: no bound. */
  get maxWalBytes(): number {
    return this.#get("maxWalBytes");
  }
  set maxWalBytes(value: number) {
    this.#set("maxWalBytes", value);
  }

  /** The most threads that write, 1 to 16; each database has one at a time. */
  get writers(): number {
    return this.#get("writers");
  }
  set writers(value: number) {
    this.#set("writers", value);
  }

  /** Microseconds after which a writer that has just had work looks for commits by itself. */
  get pollUs(): number {
    return this.#get("pollUs");
  }
  set pollUs(value: number) {
    this.#set("pollUs", value);
  }

  /** Milliseconds after which other processes get a chance to lock the database; 0: no bound. */
  get maxLockHoldMs(): number {
    return this.#get("maxLockHoldMs");
  }
  set maxLockHoldMs(value: number) {
    this.#set("maxLockHoldMs", value);
  }

  /** Milliseconds to go on trying to write to a full disk before that is an error. */
  get diskFullRetryMs(): number {
    return this.#get("diskFullRetryMs");
  }
  set diskFullRetryMs(value: number) {
    this.#set("diskFullRetryMs", value);
  }

  /** Write what is queued when the process exits. */
  get drainOnExit(): boolean {
    return this.#get("drainOnExit");
  }
  set drainOnExit(value: boolean) {
    this.#set("drainOnExit", value);
  }

  /** Milliseconds that the drain at exit may take. */
  get exitDrainMs(): number {
    return this.#get("exitDrainMs");
  }
  set exitDrainMs(value: number) {
    this.#set("exitDrainMs", value);
  }

  /** Write what is queued before SIGTERM, SIGINT, SIGHUP, SIGQUIT or SIGUSR2 ends the process. */
  get drainOnSignals(): boolean {
    return this.#get("drainOnSignals");
  }
  set drainOnSignals(value: boolean) {
    this.#set("drainOnSignals", value);
  }

  // ---- Life cycle ----

  /**
   * Start the writer's thread again after {@linkcode stop}. While it runs, it does nothing.
   *
   * @throws {AsyncVfsError} SQLITE_ERROR if the system gives no thread.
   */
  start(): void {
    this.#native("start").start();
  }

  /**
   * Write what is queued and end the writer's thread. Blocks meanwhile. What
   * could not be written in time stays queued, until {@linkcode start}. Commits
   * go on being queued, up to the bound of the queue.
   *
   * @param options How long it may take.
   * @throws {AsyncVfsError} SQLITE_BUSY if not all was written in time, the writer being ended all
   * the same; not with `timeoutMs: 0`, which asks for no writing.
   */
  stop(options: DrainOptions = {}): void {
    const timeoutMs = drainTimeout("stop", options);
    try {
      this.#native("stop").stop(timeoutMs);
    } catch (error) {
      const left = error instanceof AsyncVfsError && error.codeName === "SQLITE_BUSY";
      if (!left || timeoutMs > 0) throw error;
    }
  }

  /**
   * Make all durable, end the writer and take the VFS out of SQLite. Calls after
   * it throw; {@linkcode install} installs anew. A program need not call it: what
   * is queued is written at exit.
   *
   * A driver or ORM may close a connection whose statements it has not finalized (bun:sqlite's
   * `close()` does): SQLite then keeps it until the garbage collector has them. This waits for
   * the collector, up to `timeoutMs`.
   *
   * @example A program that cannot close what an ORM has open
   * ```ts
   * import { install } from "@sqlite3async/vfs";
   * import { DatabaseSync } from "node:sqlite";
   *
   * const vfs = await install();
   * const forgotten = new DatabaseSync(vfs.uri("app.db"));
   * forgotten.exec("CREATE TABLE t(x)");
   * await vfs.close({ force: true });
   * ```
   *
   * @param options How long it may take, and whether to close what is open.
   * @throws {AsyncVfsError} SQLITE_BUSY, with nothing changed, while a database is open through
   * this VFS (the message names them), if the collector has not come by `timeoutMs`, or if not all
   * could be written in time; the background error, once all is closed, of a database about which
   * nobody was told before.
   */
  async close(options: CloseOptions = {}): Promise<void> {
    const native = this.#native("close");
    checkNames("close", options, ["timeoutMs", "force"]);
    const { force = false } = options;
    if (typeof force !== "boolean") {
      throw misuse("close", `Cannot close with force = ${shown(force)}: it must be true or false`);
    }
    const timeoutMs = optionalTimeout("close", options.timeoutMs, DRAIN_MS);
    const deadlineMs = performance.now() + timeoutMs;
    const leftMs = () => Math.max(0, Math.ceil(deadlineMs - performance.now()));
    // Not blocking where it can be helped: what is left for the native side is little. What the
    // flush says doesn't matter, for if anything could not be written close() will say so.
    await this.flush({ signal: AbortSignal.timeout(timeoutMs) }).catch(() => {});
    if (this.#closed) return;
    if (force) {
      native.closeByForce(leftMs());
    } else {
      await this.#closeOnceCollected(native, leftMs);
    }
    this.#closed = true;
    this.#waiters.look();
    this.#updateInterest();
    this.#internals.closed();
  }

  /** Close; where only the garbage collector is in the way, wait for it. */
  async #closeOnceCollected(native: Native, leftMs: () => number): Promise<void> {
    for (;;) {
      try {
        return native.close(leftMs());
      } catch (error) {
        const waits = error instanceof AsyncVfsError && error.codeName === "SQLITE_LOCKED";
        if (!waits) throw error;
        if (leftMs() === 0) {
          const message = `Cannot ${error.message}; finalize them, or close with { force: true }`;
          throw new AsyncVfsError(message, {
            codeName: "SQLITE_BUSY",
            operation: "close",
            cause: error,
          });
        }
      }
      this.#internals.collect();
      await new Promise((resolve) => setTimeout(resolve, COLLECT_POLL_MS));
      if (this.#closed) return;
    }
  }

  /**
   * The same as {@linkcode close}, for `await using`; once closed it does nothing.
   *
   * @throws {AsyncVfsError} What {@linkcode close} rejects with.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closed) await this.close();
  }

  // ---- Events ----
  // Types by way of EventTarget's methods, for not all declarations of it have the web's names.

  /**
   * Listen to background events: those that come after the first listener was added. They are
   * dispatched on the thread that listens. Listening doesn't keep the process alive.
   *
   * @param type The event's name: `"error"`, `"diskfull"` or `"resume"`.
   * @param listener Gets the event.
   * @param options As for any EventTarget.
   */
  override addEventListener<Type extends keyof AsyncVfsEventMap>(
    type: Type,
    listener: ((event: AsyncVfsEventMap[Type]) => void) | null,
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void;
  /**
   * Listen to events of other names, which this package never sends.
   *
   * @param type The event's name.
   * @param listener Gets the event.
   * @param options As for any EventTarget.
   */
  override addEventListener(
    type: string,
    listener: Parameters<EventTarget["addEventListener"]>[1],
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void;
  override addEventListener(
    type: string,
    listener: unknown,
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void {
    const native = this.#native("addEventListener");
    super.addEventListener(
      type,
      listener as Parameters<EventTarget["addEventListener"]>[1],
      options,
    );
    this.#eventCursor ??= native.eventCursor();
    this.#updateInterest();
  }

  /**
   * Stop listening.
   *
   * @param type The event's name.
   * @param listener The function that was given to {@linkcode addEventListener}.
   * @param options As for any EventTarget.
   */
  override removeEventListener<Type extends keyof AsyncVfsEventMap>(
    type: Type,
    listener: ((event: AsyncVfsEventMap[Type]) => void) | null,
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void;
  /**
   * Stop listening to events of other names.
   *
   * @param type The event's name.
   * @param listener What was given to {@linkcode addEventListener}.
   * @param options As for any EventTarget.
   */
  override removeEventListener(
    type: string,
    listener: Parameters<EventTarget["removeEventListener"]>[1],
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void;
  override removeEventListener(
    type: string,
    listener: unknown,
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void {
    super.removeEventListener(
      type,
      listener as Parameters<EventTarget["removeEventListener"]>[1],
      options,
    );
  }

  // ---- Inside ----

  /** Ask for a sync of a database, or of all, and wait for it. */
  async #flush(native: Native, path: string | undefined, signal?: AbortSignal): Promise<void> {
    // Before asking: a wake in between must find this environment interested.
    this.#updateInterest(Interest.waiting);
    try {
      const tickets = this.#explained(path, () => native.flushBegin(path));
      if (tickets.length > 0) await this.#waiters.add(tickets, path, signal);
    } finally {
      this.#updateInterest();
    }
  }

  /** The native side, for an operation that close() forbids. */
  #native(operation: string): Native {
    if (!this.#closed) return this.#internals.native;
    const message = `Cannot use ${operation}: the VFS was closed; call install() to use it again`;
    throw misuse(operation, message);
  }

  #get<Name extends ParameterName>(name: Name): ParameterValue<Name> {
    return decode(name, this.#native(name).get(verbOf(name), name));
  }

  #set(name: ParameterName, value: unknown): void {
    this.#native(name).set(verbOf(name), encode(name, value), name);
  }

  /** What console.log() shows: what is open, and the parameters that were set. */
  #content(): Record<string, unknown> {
    const native = this.#internals.native;
    const changed = parameterNames().filter((name) => {
      return native.get(verbOf(name), name) !== defaultOf(name);
    });
    try {
      return {
        name: this.name,
        state: this.status().state,
        databases: this.databases().map(({ path }) => path),
        ...Object.fromEntries(changed.map((name) => [name, this.#get(name)])),
      };
    } catch {
      return { name: this.name, state: "closed" }; // maybe by another Worker
    }
  }

  /** Tell the native side how much we care, which is at least so much. */
  #updateInterest(least: Interest = Interest.idle): void {
    const listening = this.#eventCursor === undefined || this.#closed
      ? Interest.idle
      : Interest.listening;
    const needed = this.#waiters.count > 0 ? Interest.waiting : listening;
    const interest = needed > least ? needed : least;
    if (interest === this.#interest) return;
    this.#setInterest ??= this.#internals.subscribe(() => this.#wake());
    this.#setInterest(interest);
    this.#interest = interest;
  }

  /** Called on this thread after something happened on the writer's. */
  #wake(): void {
    this.#waiters.look();
    if (this.#eventCursor === undefined || this.#closed) return;
    for (;;) {
      const event = this.#internals.native.nextEvent(this.#eventCursor);
      if (event === undefined) return;
      this.#dispatch(event as NativeEvent);
    }
  }

  #dispatch(event: NativeEvent): void {
    const error = event.code === 0 ? null : toError(event);
    this.dispatchEvent(new AsyncVfsEvent(event.type, event.database, error));
  }

  /** Run a flush; if it met a database that had failed before, throw what made that one fail. */
  #explained<Result>(path: string | undefined, flush: () => Result): Result {
    try {
      return flush();
    } catch (error) {
      if (!(error instanceof AsyncVfsError)) throw error;
      throw this.#findFault(path, error.code) ?? error;
    }
  }

  /** The error of a database that failed with this code while it, or all, was waited for. */
  #backgroundError(code: number, path: string | undefined): AsyncVfsError {
    const which = path === undefined ? "a database" : `"${path}"`;
    const message = `Cannot make all commits durable: ${which} failed with ${nameOf(code)}`;
    return this.#findFault(path, code) ??
      new AsyncVfsError(message, { code, path, operation: "flush" });
  }

  /** The error with this code that the status knows, if it does. */
  #findFault(path: string | undefined, code: number): AsyncVfsError | undefined {
    try {
      const { error } = this.status(path);
      return error?.code === code ? toError(error) : undefined;
    } catch {
      return undefined; // closed meanwhile
    }
  }
}

/** An event as the native side tells it. */
interface NativeEvent {
  type: keyof AsyncVfsEventMap;
  database: string;
  code: number;
  path: string;
  operation: string;
}

/** The status as the native side tells it, which doesn't know the names of codes. */
function toStatus(told: unknown): AsyncVfsStatus {
  const status = told as AsyncVfsStatus;
  if (status.error !== null) status.error.codeName = nameOf(status.error.code);
  return status;
}

function toError({ code, path, operation }: Omit<NativeEvent, "type" | "database">): AsyncVfsError {
  const message = `The background ${operation} of "${path}" failed: ${nameOf(code)}`;
  return new AsyncVfsError(message, { code, path, operation });
}

/** Throws an error if there is nothing that could be made durable. */
function checkAnyIsOpen(native: Native): void {
  if (native.isOpen(undefined, "durable")) return;
  const message = "Cannot make work durable: no database is open through sqlite3async; " +
    "open it by uri(), or call route() before it is opened; durable(database, work) says whether " +
    "a connection is";
  throw new AsyncVfsError(message, { codeName: "SQLITE_NOTFOUND", operation: "durable" });
}

/**
 * The files of a connection; undefined if it doesn't tell, and then they are any of those that are
 * open. Throws an error if we could not keep a promise about one of them.
 */
function oursOf(native: Native, database: Transactor): string[] | undefined {
  const paths = pathsOf(database);
  if (paths === undefined) checkAnyIsOpen(native);
  const plain = paths?.find((path) => !native.isOpen(path, "durable"));
  if (plain === undefined) return paths;
  const message = `Cannot make a transaction durable: "${plain}" is not open through ` +
    "sqlite3async; open it by uri(), or call route() before it is opened";
  throw misuse("durable", message, plain);
}

function drainTimeout(operation: string, options: DrainOptions): number {
  checkNames(operation, options, ["timeoutMs"]);
  return optionalTimeout(operation, options.timeoutMs, DRAIN_MS);
}

function optionalTimeout(operation: string, value: number | undefined, absent: number): number {
  if (value === undefined) return absent;
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 31) return value;
  const message = `Cannot ${operation} with timeoutMs = ${shown(value)}: ` +
    "it must be a whole number of milliseconds, at least 0";
  throw misuse(operation, message);
}
