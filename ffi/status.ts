/**
 * What the VFS tells about itself.
 *
 * @module
 */

import type { CommitLevel } from "./parameters.ts";

/** A background error, as part of the status. */
export interface AsyncVfsFault {
  /** SQLite's extended result code. */
  code: number;
  /** Its name. */
  codeName: string;
  /** The file whose op failed. */
  path: string;
  /** The step that failed, such as `"write"` or `"sync"`. */
  operation: string;
  /** What happened, in SQLite's words. */
  message: string;
}

/**
 * Counters and state of one database, or of all together. `committed`,
 * `applied` and `durable` count transactions since the database was opened:
 * those in the queue or beyond; those handed to the operating system, which
 * survive a crash of the process; those synced, which survive a power cut.
 */
export interface AsyncVfsStatus {
  /**
   * What commits wait for, unless their connection has set a level of its own: in
   * `PRAGMA async_status` that of the connection.
   */
  commit: CommitLevel;
  /** Steps that wait to be applied. */
  queuedOps: number;
  /** Bytes that wait to be applied. */
  queuedBytes: number;
  /** The most bytes that were ever queued. */
  peakQueuedBytes: number;
  /** Transactions committed. */
  committed: number;
  /** Of these, handed to the operating system. */
  applied: number;
  /** Of these, on stable storage. */
  durable: number;
  /** Milliseconds the oldest queued step has been waiting; 0 if nothing is queued. */
  oldestQueuedMs: number;
  /** Milliseconds since the oldest commit that isn't durable yet; 0 if all are. */
  undurableMs: number;
  /** The most milliseconds that a commit waited until it was durable. */
  undurableMsMax: number;
  /** Syncs that `maxDelayMs` asked for and that began too late. */
  lateFlushes: number;
  /** Bytes of the WAL in use. */
  walBytes: number;
  /** Checkpoints that were made in the background. */
  checkpoints: number;
  /** Readers kept the latest of them from letting the WAL start anew. */
  checkpointBlocked: boolean;
  /** Why the latest of them failed, or null. */
  checkpointError: string | null;
  /** Steps applied so far. */
  opsApplied: number;
  /** Bytes written to disk so far. */
  bytesWritten: number;
  /** Syncs done so far. */
  syncs: number;
  /** Milliseconds that all syncs took. */
  syncMsTotal: number;
  /** Milliseconds that the longest sync took. */
  syncMsMax: number;
  /** How often a caller found the queue full and waited. */
  fullWaits: number;
  /** Milliseconds that callers waited for a full queue. */
  fullWaitMs: number;
  /**
   * `"halted"`: no writer is running. `"disk-full"`: the writer holds a step and tries again.
   * `"failed"`: a database takes no more writes, see `error`.
   */
  state: "running" | "halted" | "disk-full" | "failed";
  /** The error that stopped a database, or null. */
  error: AsyncVfsFault | null;
}

/** A database that is open, with its status. */
export interface AsyncVfsDatabase extends AsyncVfsStatus {
  /** Its file, as SQLite has it: absolute, without symbolic links. */
  path: string;
  /** How many connections of this process have it open; 0: what is left of it is being written. */
  connections: number;
}
