/**
 * Other drivers, which have native addons for Node: better-sqlite3, libsql and
 * Turso. `./run bench` installs them, and says by environment variables where.
 *
 * better-sqlite3 and libsql answer at once, and are built with SQLite's own
 * defaults. Turso is a new implementation of SQLite's format; it has a WAL, which each
 * commit syncs, and its methods are asynchronous. It binds a statement's values before it waits
 * for its turn, so one that is run again meanwhile runs twice with the later values.
 *
 * @module
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import {
  type Contender,
  modesOf,
  type Row,
  type Store,
  type Value,
  walModes,
} from "../contender.ts";

interface SyncStatement {
  run(...values: Value[]): unknown;
  all(...values: Value[]): Row[];
  pluck?(on: boolean): unknown;
}
interface SyncDatabase {
  exec(sql: string): unknown;
  prepare(sql: string): SyncStatement;
  close(): void;
}
interface TursoStatement {
  run(...values: Value[]): Promise<unknown>;
  all(...values: Value[]): Promise<Row[]>;
}
interface TursoDatabase {
  exec(sql: string): Promise<unknown>;
  prepare(sql: string): TursoStatement | Promise<TursoStatement>;
  close(): Promise<void>;
}

/** The folder with the package's node_modules, if it was installed. */
function folder(variable: string): string | undefined {
  return process.env[variable];
}

function syncOpener(
  variable: string,
  name: string,
  modes: string,
): (path: string) => Promise<Store> {
  const installed = folder(variable);
  if (installed === undefined) throw new Error(`${variable} is not set`);
  const require = createRequire(join(installed, "package.json"));
  const Database = require(name) as new (path: string) => SyncDatabase;
  return (path) => {
    const database = new Database(path);
    database.exec(modes);
    return Promise.resolve(database);
  };
}

async function openTurso(path: string): Promise<Store> {
  const entry = join(
    folder("TURSO_DIR")!,
    "node_modules/@tursodatabase/database/dist/promise.js",
  );
  const { connect } = await import(pathToFileURL(entry).href) as {
    connect: (path: string) => Promise<TursoDatabase>;
  };
  return await connect(path);
}

const SYNC_DRIVERS = { "better-sqlite3": "BETTER_SQLITE3_DIR", libsql: "LIBSQL_DIR" };

/** Those that are installed, and whose addon is there for this system; stderr names the others. */
export function nodeDrivers(): Contender[] {
  const contenders: Contender[] = [];
  for (const [name, variable] of Object.entries(SYNC_DRIVERS)) {
    try {
      for (const synchronous of ["NORMAL", "FULL"] as const) {
        const modes = walModes(name, synchronous);
        contenders.push({ ...modes, open: syncOpener(variable, name, modesOf(modes)) });
      }
    } catch (error) {
      console.error(`# without ${name}: ${(error as Error).message}`);
    }
  }
  if (folder("TURSO_DIR") !== undefined) {
    contenders.push({ ...walModes("Turso", "FULL"), needsAnswer: true, open: openTurso });
  }
  return contenders;
}
