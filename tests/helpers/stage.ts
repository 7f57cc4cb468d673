/**
 * Where a scenario plays that must end the same with plain SQLite and through the VFS: a folder,
 * a journal mode, and the door by which databases are opened.
 *
 * @module
 */
import { mkdirSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type Connection, open } from "../../examples/sqlite.ts";
import type { AsyncVfs } from "../../mod.ts";
import { outside } from "./outside.ts";
import type { Random } from "./random.ts";

/** How a database is opened: by plain SQLite, or through the VFS in one of three ways. */
export type Door = "plain" | "uri" | "route" | "default";

/** The journal modes that keep a promise after a crash. */
export const MODES = ["WAL", "DELETE", "TRUNCATE", "PERSIST"] as const;

export type Mode = (typeof MODES)[number];

/** A scenario: what it returns, as JSON, must be the same for all doors. */
export type Kind = (stage: Stage) => unknown;

/** What is asked of a database by whoever looks whether it is whole. */
export const LOOK = ["PRAGMA integrity_check", "SELECT count(*), sum(n) FROM t"];

/** The database of another program; it has another number of rows than any of a scenario. */
const FOREIGN_ROWS = 60;

/** What LOOK finds in a foreign database. */
export const FOREIGN = `ok\n${FOREIGN_ROWS}|${FOREIGN_ROWS * (FOREIGN_ROWS + 1) / 2}`;

/** What something gave: "ok", or the error's code and message. */
export function attempt(action: () => unknown): string {
  try {
    const given = action();
    return given === undefined ? "ok" : JSON.stringify(given);
  } catch (error) {
    const { errcode, errno, message } = error as Error & { errcode?: number; errno?: number };
    // Deno adds the name.
    const reason = message.replace(/^(unable to open database file): .*$/s, "$1");
    return `${errcode ?? errno ?? ""} ${reason}`.trim();
  }
}

export class Stage {
  readonly folder: string;
  readonly mode: Mode;
  readonly door: Door;
  /** Undefined for plain SQLite. */
  readonly vfs: AsyncVfs | undefined;
  readonly random: Random;
  /** Steps that took longer than they may. */
  readonly late: string[] = [];
  /** What is done some time after the scenario. */
  readonly afterwards: Map<string, () => unknown> = new Map();

  /** A program routes a path once, whatever becomes of the folder. */
  readonly #routed: Set<string> = new Set();

  constructor(
    place: { folder: string; mode: Mode; door: Door; random: Random },
    vfs: AsyncVfs | undefined,
  ) {
    this.folder = place.folder;
    this.mode = place.mode;
    this.door = place.door;
    this.random = place.random;
    this.vfs = vfs;
    mkdirSync(this.folder, { recursive: true });
  }

  /** The path of a file. */
  file(name: string): string {
    return join(this.folder, name);
  }

  /** What to tell a driver so that it opens the database with this path through the door. */
  nameOf(path: string): string {
    if (this.door === "uri") return this.vfs!.uri(path);
    if (this.door === "route" && !this.#routed.has(path)) this.vfs!.route(path);
    this.#routed.add(path);
    return path;
  }

  /** Open a database, in the journal mode. */
  open(path: string): Connection {
    const connection = open(this.nameOf(path));
    try {
      connection.exec(`PRAGMA journal_mode = ${this.mode}`);
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** Open a new database and commit rows from 1 on, a transaction each. */
  create(path: string, rows: number = 10): Connection {
    const connection = this.open(path);
    connection.exec("CREATE TABLE t(n INTEGER PRIMARY KEY, x)");
    insertRows(connection, 1, rows);
    return connection;
  }

  /** Have another program make a database. */
  makeForeign(path: string): void {
    const said = outside(
      path,
      "PRAGMA page_size = 1024",
      "CREATE TABLE t(n INTEGER PRIMARY KEY, y)",
      "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < " +
        `${FOREIGN_ROWS}) INSERT INTO t SELECT n, hex(randomblob(400)) FROM c`,
    );
    if (said !== "") throw new Error(`no foreign database could be made: ${said}`);
  }

  /** Make the writer pause after each step from now on. */
  pause(delayMs: number): void {
    if (this.vfs !== undefined) this.vfs.delayMs = delayMs;
  }

  /** Wait until nothing is queued for a database, and its file lock was given back. */
  async settle(path: string): Promise<void> {
    await this.vfs?.flush({ path }); // not of all, for another scenario may have failed
    await new Promise((resolve) => setTimeout(resolve, 20));
  }

  /** Do something that may not take long. */
  within<Result>(limitMs: number, what: string, action: () => Result): Result {
    const start = performance.now();
    try {
      return action();
    } finally {
      const tookMs = Math.round(performance.now() - start);
      if (tookMs > limitMs) this.late.push(`${what}: ${tookMs} ms`);
    }
  }

  /** Look at something after a while, too. */
  later(what: string, look: () => unknown): void {
    this.afterwards.set(what, look);
  }

  /** The files, with their sizes; a wal-index is no file in each of the doors. */
  files(under: string = this.folder): string[] {
    const found: string[] = [];
    for (const entry of readdirSync(under, { withFileTypes: true })) {
      const path = join(under, entry.name);
      if (entry.isDirectory()) found.push(...this.files(path));
      else if (!path.endsWith("-shm")) found.push(`${path} ${statSync(path).size}`);
    }
    return found.sort();
  }

  /** How many of this process's descriptors are of files in the folder. */
  descriptors(): number {
    if (process.platform !== "linux") return 0;
    return readdirSync("/proc/self/fd").filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(`${this.folder}/`);
      } catch {
        return false; // the one that reads the directory
      }
    }).length;
  }

  /** What is there at once after a database's last close: to this process, then to another one. */
  left(path: string): unknown {
    const files = this.files();
    return { files, descriptors: this.descriptors(), look: outside(path, ...LOOK) };
  }
}

/** Commit rows, a transaction each. */
export function insertRows(connection: Connection, first: number, count: number): void {
  const insert = "INSERT INTO t VALUES (?, hex(zeroblob(1500)))";
  for (let n = first; n < first + count; n++) connection.all(insert, n);
}

/** What a connection finds. */
export function look(connection: Connection): unknown {
  return LOOK.map((sql) => connection.all(sql).map((row) => Object.values(row)));
}
