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
  /** node:sqlite: the main database's file. */
  location?(): string | null;
}

/** Run work that is not to be asynchronous: what follows its first `await` would come too late. */
export function runUnit<Result>(work: () => Result): Result {
  if (typeof work !== "function") {
    throw misuse("durable", `Cannot durable(${String(work)}): a function is wanted`);
  }
  const result = work();
  if (typeof (result as { then?: unknown } | null | undefined)?.then !== "function") return result;
  // Nobody will wait for it, so that its failure is not to be an unhandled one.
  (result as PromiseLike<unknown>).then(undefined, () => {});
  const message = "Cannot make asynchronous work durable: the function returned a promise; " +
    "it must do all its statements before it returns";
  throw misuse("durable", message);
}

/** Run work in a transaction and commit it, or roll it back if it throws. */
export function runTransaction<Result>(database: Transactor, work: () => Result): Result {
  if (typeof database?.exec !== "function") {
    throw misuse("durable", `Cannot durable(${String(database)}, …): a connection is wanted`);
  }
  if (database.isTransaction || database.inTransaction) {
    const message = "Cannot make a transaction durable: the connection has one open, " +
      "and only its end commits; call durable() outside of it";
    throw misuse("durable", message);
  }
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = runUnit(work);
    database.exec("COMMIT");
    return result;
  } catch (error) {
    rollBack(database);
    throw error;
  }
}

/** SQLite may have rolled back by itself, or the work may have. */
function rollBack(database: Transactor): void {
  try {
    database.exec("ROLLBACK");
  } catch {
    // There was nothing to roll back; what made us try is thrown already.
  }
}

/** The file of the connection's database, as far as the driver tells; undefined: all databases. */
export function pathOf(database: Transactor): string | undefined {
  return database.location?.() ?? undefined;
}
