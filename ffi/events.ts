/**
 * The events of {@linkcode AsyncVfs}.
 *
 * @module
 */
import type { AsyncVfsError } from "./errors.ts";

/**
 * Something that happened in the background: `"error"`, a database failed;
 * `"diskfull"`, the disk is full, or, as the error says, something else is used up that may be
 * there again, and the writer holds what it has to write; `"resume"`, it goes on.
 */
export class AsyncVfsEvent extends Event {
  /** The database's file. */
  readonly path: string;
  /** What failed; null for `"resume"`. */
  readonly error: AsyncVfsError | null;

  /**
   * Make an event.
   *
   * @param type The event's name.
   * @param path The database's file.
   * @param error What failed, or null.
   */
  constructor(type: keyof AsyncVfsEventMap, path: string, error: AsyncVfsError | null) {
    super(type);
    this.path = path;
    this.error = error;
  }
}

/** The event names of {@linkcode AsyncVfs} and what their listeners get. */
export interface AsyncVfsEventMap {
  /** A background error stopped a database. */
  error: AsyncVfsEvent;
  /**
   * The disk is full, with the error SQLITE_FULL, or file descriptors or memory are wanting;
   * commits go on until the queue is full.
   */
  diskfull: AsyncVfsEvent;
  /** What was wanting is there again. */
  resume: AsyncVfsEvent;
}
