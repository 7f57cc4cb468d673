/**
 * One small face for `node:sqlite` (Deno, Node) and `bun:sqlite` (Bun), as far as the
 * demo and the tests need it.
 *
 * @module
 */

/** A row, by column name. */
export type Row = Record<string, unknown>;

/** A value to bind. */
export type Value = string | number | null;

/** A prepared statement. */
export interface Statement {
  run(...values: Value[]): void;
  all(...values: Value[]): Row[];
}

/** A connection to a database. */
export interface Connection {
  exec(sql: string): void;
  /** Prepare a statement; it is finalized when the connection is closed. */
  prepare(sql: string): Statement;
  /** The rows of a statement that is run once. */
  all(sql: string, ...values: Value[]): Row[];
  close(): void;
  [Symbol.dispose](): void;
}

/** The part of `bun:sqlite` used here; named so that `deno check` needn't know the module. */
interface BunStatement extends Statement {
  finalize(): void;
}
interface BunDatabase {
  run(sql: string): void;
  prepare(sql: string): BunStatement;
  close(throwOnError?: boolean): void;
}
interface BunSqlite {
  Database: new (path: string, flags?: number) => BunDatabase;
}

/** SQLITE_OPEN_READWRITE, _CREATE and _URI: with no flags bun:sqlite takes no URI. */
const BUN_OPEN_FLAGS = 0x46;

/** Open a database by path or URI. */
export const open: (path: string) => Connection = "Bun" in globalThis
  ? await bunOpener()
  : await nodeOpener();

async function nodeOpener(): Promise<(path: string) => Connection> {
  const { DatabaseSync } = await import("node:sqlite");
  return (path) => {
    // Defensive mode, a default of node:sqlite's that its types don't know, forbids
    // journal_mode OFF.
    const options: object = { defensive: false };
    const database = new DatabaseSync(path, options);
    return {
      exec: (sql) => database.exec(sql),
      prepare: (sql) => database.prepare(sql),
      all: (sql, ...values) => database.prepare(sql).all(...values),
      close: () => database.close(),
      [Symbol.dispose]: () => {
        if (database.isOpen) database.close();
      },
    };
  };
}

async function bunOpener(): Promise<(path: string) => Connection> {
  const specifier: string = "bun:sqlite";
  const { Database } = await import(specifier) as BunSqlite;
  return (path) => {
    const database = new Database(path, BUN_OPEN_FLAGS);
    const statements: BunStatement[] = [];
    let open = true;
    const close = () => {
      if (!open) return;
      open = false;
      // One that is left makes SQLite keep the database open in secret.
      for (const statement of statements) statement.finalize();
      database.close(true);
    };
    return {
      exec: (sql) => database.run(sql),
      prepare: (sql) => {
        const statement = database.prepare(sql);
        statements.push(statement);
        return statement;
      },
      all: (sql, ...values) => {
        const statement = database.prepare(sql);
        try {
          return statement.all(...values);
        } finally {
          statement.finalize();
        }
      },
      close,
      [Symbol.dispose]: close,
    };
  };
}
