/**
 * A SQLite VFS whose writes never wait for the disk, for Deno, Bun and Node.
 *
 * SQLite in these runtimes is synchronous: the disk I/O of every commit runs on
 * the event loop. This module takes it off there. A commit goes into a queue in
 * memory and returns; a native thread writes the queue to disk, in order. You
 * keep your driver: the VFS is loaded into the SQLite inside the runtime.
 *
 * A commit is safe from a crash of the process once it was written, moments
 * later, and from a power cut once a {@linkcode AsyncVfs.flush} that was called
 * after it has been awaited, or `maxDelayMs` has passed. Whatever is lost, the
 * database on disk holds a whole-transaction prefix of what was committed.
 *
 * ```ts
 * import { install } from "@sqlite3async/vfs";
 * import { DatabaseSync } from "node:sqlite";
 *
 * const vfs = await install();
 * const database = new DatabaseSync(vfs.uri("app.db"));
 * database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
 * database.exec("CREATE TABLE IF NOT EXISTS visits(at INTEGER)");
 * database.exec("INSERT INTO visits VALUES (unixepoch())"); // some microseconds
 * await vfs.flush(); // now it survives a power cut
 * ```
 *
 * @module
 */
export { install } from "./ffi/install.ts";
export type { HostConnection, InstallOptions } from "./ffi/options.ts";
export { AsyncVfs } from "./ffi/vfs.ts";
export type { CloseOptions, DrainOptions, FlushOptions, FlushSyncOptions } from "./ffi/vfs.ts";
export { AsyncVfsError } from "./ffi/errors.ts";
export type { AsyncVfsErrorDetails } from "./ffi/errors.ts";
export { AsyncVfsEvent } from "./ffi/events.ts";
export type { AsyncVfsEventMap } from "./ffi/events.ts";
export type { AsyncVfsDatabase, AsyncVfsFault, AsyncVfsStatus } from "./ffi/status.ts";
export type { CommitLevel, Halt, OnQueueFull } from "./ffi/parameters.ts";
export type { NoPromise, Transactor, TransactorStatement } from "./ffi/transaction.ts";
