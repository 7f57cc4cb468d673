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
import type { AsyncVfs } from "../mod.ts";

/** A value that is there, or will be. */
export type Soon<T> = T | Promise<T>;

/** A row, by column name. */
export type Row = Record<string, unknown>;

/** A value to bind. */
export type Value = string | number | null;

/** A prepared statement. */
export interface Statement {
  /** Run it; the changes are committed when this is done, unless a transaction is open. */
  run(...values: Value[]): Soon<unknown>;
  all(...values: Value[]): Soon<Row[]>;
  /** Run it for many rows at once, where that is cheaper than one by one. */
  runMany?(rows: Value[][]): Promise<unknown>;
}

/** An open database. */
export interface Store {
  exec(sql: string): Soon<unknown>;
  prepare(sql: string): Soon<Statement>;
  close(): Soon<unknown>;
}

/** What is left of the commits that the caller was told of, whoever opens the database then. */
export interface Survives {
  /** The end of the process by SIGKILL. */
  kill: "all" | "a prefix" | "nothing";
  /** A power cut. */
  power: "all" | "a prefix" | "nothing" | "it may be damaged";
}

/** What `PRAGMA synchronous` reads back. */
export const SYNCHRONOUS = { OFF: 0, NORMAL: 1, FULL: 2 } as const;

/** A driver and a way to use it. */
export interface Contender {
  /** "plain WAL/NORMAL". */
  name: string;
  survives: Survives;
  /** What `PRAGMA journal_mode` is to say. */
  journalMode: "wal" | "delete" | "memory";
  synchronous: keyof typeof SYNCHRONOUS;
  /** Through the VFS. */
  vfs?: AsyncVfs;
  /** Each statement that is run is waited for until it is durable, within a transaction, too. */
  flushesEach?: boolean;
  /** A statement must have answered before it is run again: else it may bind the wrong values. */
  needsAnswer?: boolean;
  /** Open or make the database at path, with these modes. */
  open(path: string): Promise<Store>;
}

/** What there is to say of a contender before it is opened. */
export type Modes = Omit<Contender, "open">;

/** A driver with a WAL that each commit syncs (FULL), or that checkpoints sync (NORMAL). */
export function walModes(driver: string, synchronous: "NORMAL" | "FULL"): Modes {
  return {
    name: `${driver} WAL/${synchronous}`,
    survives: { kill: "all", power: synchronous === "FULL" ? "all" : "a prefix" },
    journalMode: "wal",
    synchronous,
  };
}

/** The statements that set a contender's modes. */
export function modesOf({ journalMode, synchronous }: Modes): string {
  const journal = journalMode === "memory" ? "" : `PRAGMA journal_mode = ${journalMode};`;
  return `${journal} PRAGMA synchronous = ${synchronous};`;
}

/** Wait until all that was committed is on disk, where that is not so anyway. */
export async function settle({ vfs }: Contender): Promise<void> {
  await vfs?.flush();
}
