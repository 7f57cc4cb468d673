/**
 * Running something in a transaction, for {@linkcode AsyncVfs.durable}.
 *
 * @module
 */
import { misuse } from "./errors.ts";

/**
 * What durable() needs of a connection. `DatabaseSync` of node:sqlite and
 * `Database` of bun:sqlite and better-sqlite3 have it.
 */
export interface Transactor {
  /** Runs SQL. */
  exec(sql: string): unknown;
  /** node:sqlite: is a transaction open? */
  readonly isTransaction?: boolean;
  /** bun:sqlite, better-sqlite3: the same. */
  readonly inTransaction?: boolean;
  /** Makes a statement. Without it, durable() waits for all databases of the process. */
  prepare?(sql: string): TransactorStatement;
}

/** What work for durable() may return: TypeScript refuses a promise, as durable() does. */
export type NoPromise<Result> = Result extends PromiseLike<unknown> ? never : Result;

/** What durable() needs of a statement. */
export interface TransactorStatement {
  /** Runs it and gives the rows, as objects. */
  all(): unknown[];
  /** bun:sqlite: ends it. */
  finalize?(): void;
}

/** Throws an error unless this can be run. */
export function checkWork(work: unknown): void {
  if (typeof work === "function") return;
  throw misuse("durable", `Cannot make work durable: a function is wanted, not ${kindOf(work)}`);
}

/** Run work that is not to be asynchronous: what follows its first `await` would come too late. */
export function runUnit<Result>(work: () => Result): Result {
  checkWork(work);
  const result = work();
  if (typeof (result as { then?: unknown } | null | undefined)?.then !== "function") return result;
  // Nobody will wait for it, so that its failure is not to be an unhandled one.
  (result as PromiseLike<unknown>).then(undefined, () => {});
  const message = "Cannot make asynchronous work durable: the function returned a promise; " +
    "it must do all its statements before it returns";
  throw misuse("durable", message);
}

/** Throws an error unless a transaction can begin on this. */
export function checkConnection(database: Transactor): void {
  if (typeof database?.exec !== "function") {
    const message = `Cannot make a transaction durable: a connection is wanted, ` +
      `not ${kindOf(database)}`;
    throw misuse("durable", message);
  }
  if (database.isTransaction || database.inTransaction) {
    const message = "Cannot make a transaction durable: the connection has one open, " +
      "and only its end commits; call durable() outside of it";
    throw misuse("durable", message);
  }
}

/** Run work in a transaction, check and commit, or roll back if the work or the check throws. */
export function runTransaction<Result>(
  database: Transactor,
  work: () => Result,
  check: () => void,
): Result {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = runUnit(work);
    check();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    rollBack(database);
    throw error;
  }
}

/** What a wrong argument is, in a word: not every value has a text. */
function kindOf(value: unknown): string {
  return value === null ? "null" : typeof value;
}

/** SQLite may have rolled back by itself, or the work may have. */
function rollBack(database: Transactor): void {
  try {
    database.exec("ROLLBACK");
  } catch {
    // There was nothing to roll back; what made us try is thrown already.
  }
}

/** The files of the connection's databases, those attached included; undefined: it doesn't tell. */
export function pathsOf(database: Transactor): string[] | undefined {
  const statement = database.prepare?.("PRAGMA database_list");
  if (statement === undefined) return undefined;
  try {
    const databases = statement.all() as { file: string | null }[];
    return databases.flatMap(({ file }) => file ? [file] : []); // not those in memory
  } finally {
    statement.finalize?.();
  }
}
