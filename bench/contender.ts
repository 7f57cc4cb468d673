/**
 * What a contender is: a driver and a way to use it, behind one face, so that
 * all of them run the same workload code.
 *
 * A driver that answers at once gives plain values, one that answers later
 * gives promises; a workload awaits what is a promise, and nothing else, so
 * that who answers at once pays for no turn of the event loop.
 *
 * @module
 */

/** A value that is there, or will be. */
export type Soon<T> = T | Promise<T>;

/** A row, by column name. */
export type Row = Record<string, unknown>;

/** A value to bind. */
export type Value = string | number | null | Uint8Array;

/** A prepared statement. */
export interface Statement {
  /** Run it; the changes are committed when this is done, unless a transaction is open. */
  run(...values: Value[]): Soon<void>;
  all(...values: Value[]): Soon<Row[]>;
}

/** An open database. */
export interface Store {
  exec(sql: string): Soon<void>;
  prepare(sql: string): Soon<Statement>;
  /** Make durable what was committed; absent if a commit is, or if nothing can. */
  flush?(): Promise<void>;
  close(): Soon<void>;
}

/** What is left after the end of the process, or of the power. */
export interface Survives {
  kill: "all" | "a prefix" | "nothing" | "uncertain";
  power: "all" | "a prefix" | "all flushed" | "nothing" | "may be damaged" | "uncertain";
}

/** A driver and a way to use it. */
export interface Contender {
  /** "plain WAL/NORMAL". */
  name: string;
  /** What of the commits that the caller was told of is there afterwards, whoever opens it. */
  survives: Survives;
  /** Open or make the database at path in that way. */
  open(path: string): Promise<Store>;
}
