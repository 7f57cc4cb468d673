/**
 * The events of {@linkcode AsyncVfs}.
 *
 * @module
 */
import type { AsyncVfsError } from "./errors.ts";

/**
 * Something that happened in the background: `"error"`, a database failed;
 * `"diskfull"`, the disk is full and the writer holds what it has to write;
 * `"resume"`, there is room again and it goes on.
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
  /** The disk is full; commits go on until the queue is full. */
  diskfull: AsyncVfsEvent;
  /** The disk has room again. */
  resume: AsyncVfsEvent;
}
