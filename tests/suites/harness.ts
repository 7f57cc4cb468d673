/**
 * What the programs in this folder share. Each runs the flows of one library, as a list of named
 * checks, in a process of its own: over plain SQLite, or through sqlite3async. `./run suites`
 * (tools/suites.ts) runs both, reads the lines printed here, and compares.
 *
 * A check returns what it saw (rows, error codes, counts); both runs must see the same. So a value
 * that differs from run to run, such as a time, has no place in it. A suite that is started by hand
 * in an empty folder runs over plain SQLite; with SUITE_SHOW set it prints what each check saw.
 *
 * @module
 */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, readSync, renameSync, rmSync } from "node:fs";
import process from "node:process";
import type { AsyncVfs, HostConnection, install } from "../../mod.ts";

/** The runtime that runs the suite: "deno", "bun" or "node". */
export const RUNTIME: string = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";

/** Whether the databases go through sqlite3async. */
export const OURS: boolean = process.env.SUITE_SIDE === "ours";

/** The journal mode of the databases: "WAL" or "DELETE". */
export const JOURNAL: string = process.env.SUITE_JOURNAL ?? "WAL";

/** What begins the lines that tools/suites.ts reads. */
export const MARK = "\u0001suite ";

/** How a suite differs from the others. */
export interface SuiteOptions {
  /** A connection of a driver with a SQLite of its own. */
  host?: () => HostConnection;
  /** The paths of all its databases. */
  databases: string[];
  /** Databases that the library leaves open at the end: nobody looks before the process ends. */
  staysOpen?: string[];
  /** Columns whose values differ from run to run; only their types are compared. */
  volatile?: string[];
}

/** How a library uses a whole database, from opening the file to closing it. */
export interface FileUse {
  /** False if the library leaves open what it was told to close, over plain SQLite too. */
  closes?: boolean;
  /** Open `path`, which may be new, add `count` rows, close it. */
  fill(path: string, count: number): Promise<void> | void;
  /** Open `path`, count the rows, close it. */
  count(path: string): Promise<number> | number;
}

/** The checks of one library in this process. */
export class Suite {
  readonly #options: SuiteOptions;
  readonly #vfs: AsyncVfs | undefined;
  readonly #errors: string[] = [];
  #closes = true;

  private constructor(options: SuiteOptions, vfs: AsyncVfs | undefined) {
    this.#options = options;
    this.#vfs = vfs;
    vfs?.addEventListener("error", ({ path, error }) => {
      this.#errors.push(`${path}: ${error?.message}`);
    });
  }

  /** Call it before any database is opened. */
  static async begin(options: SuiteOptions): Promise<Suite> {
    return new Suite(options, await installed(options));
  }

  /** Run a check and print its outcome. A check that fails does not end the suite. */
  async check(name: string, work: () => unknown): Promise<void> {
    const start = performance.now();
    const outcome: Record<string, unknown> = { check: name };
    try {
      outcome.saw = await work() ?? null;
    } catch (error) {
      outcome.error = error instanceof Error ? withCauses(error) : String(error);
    }
    if (process.env.SUITE_SHOW !== undefined) console.error(outcome);
    say({ ...outcome, ms: Math.round(performance.now() - start) });
  }

  /** Check that an open database goes through the VFS, unless this is the plain run. */
  async checkInUse(path: string): Promise<void> {
    await this.check("the VFS has the commits exactly when it was asked for", () => {
      if (this.#vfs !== undefined) assert.ok(this.#vfs.status(path).committed > 0, path);
    });
  }

  /** What users do with the file of a closed database. */
  async checkFiles(use: FileUse): Promise<void> {
    const path = "file.db";
    this.#closes = use.closes ?? true;
    await this.check("a database that was closed is opened again", async () => {
      await use.fill(path, 10);
      await use.fill(path, 10);
      return await use.count(path);
    });
    await this.check("a database that was closed is deleted and created, ten times", async () => {
      for (let round = 0; round < 10; round++) {
        await use.fill("again.db", round + 1);
        assert.equal(await use.count("again.db"), round + 1);
        removeDatabase("again.db");
      }
      await use.fill("again.db", 3);
      return await use.count("again.db");
    });
    if (use.closes === false) return;
    await this.check("a database that was closed is copied", async () => {
      await use.fill(path, 5);
      copyFileSync(path, "copy.db");
      return [await use.count("copy.db"), await use.count(path)];
    });
    await this.check("a database that was closed is renamed", async () => {
      await use.fill("new.db", 7);
      renameSync("new.db", "renamed.db");
      return [existsSync("new.db"), await use.count("renamed.db")];
    });
    await this.check("a database that was closed is replaced by a backup", async () => {
      copyFileSync(path, "backup.db");
      const before = await use.count(path);
      await use.fill(path, 20);
      copyFileSync("backup.db", path);
      return [await use.count(path) - before, await use.count(path) - before];
    });
  }

  /**
   * All connections are closed: say so, let tools/suites.ts look at the databases from outside, and
   * go on when it has. The thread blocks meanwhile: a closed database must not need it.
   */
  async end(): Promise<void> {
    await this.check("no error event", () => assert.deepEqual(this.#errors, []));
    const { databases, staysOpen = [], volatile = [] } = this.#options;
    const paths = [...databases, ...FILES].filter((path) => existsSync(path));
    // One that others have opened has been checkpointed. The end must do without that, too.
    const unseen = this.#closes ? staysOpen : [...staysOpen, "again.db"];
    say({ databases: paths, staysOpen: unseen, volatile, closes: this.#closes });
    waitForLine();
  }
}

/** The databases of checkFiles(). */
const FILES = ["file.db", "copy.db", "renamed.db", "again.db", "backup.db"];

/** The VFS as tools/suites.ts asks for it: by the paths' routes, or as the default. */
async function installed({ host, databases }: SuiteOptions): Promise<AsyncVfs | undefined> {
  if (!OURS) return undefined;
  const module = await import(process.env.SQLITE3ASYNC_MODULE!) as { install: typeof install };
  const makeDefault = process.env.SUITE_WAY === "default";
  const vfs = await module.install({
    makeDefault,
    ...(host === undefined ? {} : { host: host() }),
  });
  if (!makeDefault) { for (const path of [...databases, ...FILES, "new.db"]) vfs.route(path); }
  return vfs;
}

/** Block the thread until stdin has something, or is at its end. */
function waitForLine(): void {
  for (;;) {
    try {
      readSync(0, new Uint8Array(1), 0, 1, null);
      return;
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === "EOF") return;
      if (code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}

function say(outcome: object): void {
  console.log(MARK + JSON.stringify(outcome));
}

/** Message, causes and stack. */
function withCauses(error: Error): string {
  const causes: string[] = [];
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) {
    causes.push(` (${cause.message})`);
  }
  const [message, ...stack] = (error.stack ?? error.message).split("\n");
  return [message + causes.join(""), ...stack].join("\n");
}

/** Delete a database's file and whatever journals it has. */
export function removeDatabase(path: string): void {
  for (const suffix of ["", "-wal", "-shm", "-journal"]) rmSync(path + suffix, { force: true });
}

/** The codes and the message of the error that `work` ends with. */
export async function caught(work: () => unknown): Promise<Record<string, unknown>> {
  try {
    await work();
  } catch (error) {
    return described(error);
  }
  throw new Error("no error was thrown");
}

function described(error: unknown): Record<string, unknown> {
  const { name, code, errno, errcode, message, cause } = error as Record<string, unknown>;
  return {
    ...{ name, code, errno, errcode },
    message: String(message).split("\n").at(-1),
    ...(cause === undefined ? {} : { cause: described(cause) }),
  };
}
