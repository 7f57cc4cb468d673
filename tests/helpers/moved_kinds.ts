/**
 * What happens to the file of a database while it is open.
 *
 * @module
 */
import { existsSync, mkdirSync, renameSync, rmSync, unlinkSync } from "node:fs";
import { dirname } from "node:path";
import type { Connection } from "../../examples/sqlite.ts";
import { outside } from "./outside.ts";
import { attempt, insertRows, type Kind, LOOK, look, type Stage } from "./stage.ts";

/** Milliseconds that a call may take that finds the file gone. */
const CALL_MS = 9000;
/** Milliseconds of the writer's pauses, so that commits are still queued when it happens. */
const PAUSE_MS = 4;
const ROWS = 6;
/** SQLITE_IOERR_FSTAT */
const FSTAT = 1802;
/** SQLITE_READONLY_DBMOVED */
const MOVED = "1032 attempt to write a readonly database";

/** Something that is done to a file or its folder; where the database is then, if it has a name. */
type Deed = (stage: Stage, path: string) => string | undefined;

export const deeds: Record<string, Deed> = {
  "it is unlinked": (_stage, path) => {
    unlinkSync(path);
    return undefined;
  },
  "it is renamed": (stage, path) => {
    renameSync(path, stage.file("renamed.db"));
    return stage.file("renamed.db");
  },
  "a foreign database is renamed over it": (stage, path) => {
    renameSync(stage.file("foreign.db"), path);
    return undefined;
  },
  "it is renamed, and a foreign database put in its place": (stage, path) => {
    renameSync(path, stage.file("renamed.db"));
    renameSync(stage.file("foreign.db"), path);
    return stage.file("renamed.db");
  },
  "its folder is removed": (_stage, path) => {
    rmSync(dirname(path), { recursive: true });
    return undefined;
  },
  "its folder is renamed": (stage, path) => {
    renameSync(dirname(path), stage.file("renamed"));
    return stage.file("renamed/a.db");
  },
};

/** A database in a folder of its own, open, with commits just made or all on disk. */
async function begun(stage: Stage, justMade: boolean): Promise<Connection> {
  mkdirSync(stage.file("sub"));
  stage.makeForeign(stage.file("foreign.db"));
  stage.pause(0);
  const connection = stage.create(stage.file("sub/a.db"), 1);
  await stage.settle(stage.file("sub/a.db"));
  if (justMade) stage.pause(PAUSE_MS);
  insertRows(connection, 2, ROWS - 1);
  // The writer is in one of its pauses then. Between its look whether the folder was renamed and
  // its next call by name there is a moment in which nothing can be done about it.
  if (justMade) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS / 2);
  if (!justMade) await stage.settle(stage.file("sub/a.db"));
  return connection;
}

/** What is where a database is expected. */
const lookAt = (path: string) => existsSync(path) ? outside(path, ...LOOK) : "no file";

/** The same of a file that was moved: its lock is given back when all that was queued is in it. */
function lookAtMoved(path: string): string {
  let found = lookAt(path);
  for (let i = 0; i < 200 && found.includes("locked"); i++) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    found = lookAt(path);
  }
  return found;
}

/**
 * The names of the files, in the modes that leave journals without these; nor while something is
 * queued, for which there is one that goes along with a folder.
 */
function namesIn(stage: Stage, isQueued: boolean = false): string[] {
  const names = stage.files().map((line) => line.split(" ")[0]!);
  const leavesJournals = stage.mode === "TRUNCATE" || stage.mode === "PERSIST" || isQueued;
  return leavesJournals ? names.filter((name) => !name.endsWith("-journal")) : names;
}

/**
 * What a call gave. If a journal of PERSIST is there and no database, plain SQLite gives
 * SQLITE_IOERR_FSTAT, for it cannot tell with which mode to open the journal.
 */
function given(stage: Stage, action: () => unknown): string {
  const said = attempt(action);
  return stage.mode === "PERSIST" && said.startsWith(`${FSTAT} `) ? MOVED : said;
}

/** With a WAL plain SQLite notices nothing, and leaves it beside whatever is there then. */
async function withWal(stage: Stage, deed: Deed, justMade: boolean): Promise<unknown> {
  const path = stage.file("sub/a.db");
  const connection = await begun(stage, justMade);
  deed(stage, path);
  const write = (n: number) => given(stage, () => insertRows(connection, n, 1));
  const further = [50, 51].map((n) => stage.within(CALL_MS, "write", () => write(n)));
  const read = stage.within(CALL_MS, "read", () => attempt(() => look(connection)));
  stage.within(CALL_MS, "close", () => connection.close());
  const descriptors = stage.descriptors();
  const journals = () => namesIn(stage).filter((name) => name.endsWith("-journal"));
  stage.later("journals later", journals);
  stage.within(CALL_MS, "open anew", () => attempt(() => lookAnew(stage, path)));
  return { further, read, journals: journals(), descriptors };
}

async function withJournal(stage: Stage, deed: Deed, justMade: boolean): Promise<unknown> {
  const path = stage.file("sub/a.db");
  const connection = await begun(stage, justMade);
  const place = deed(stage, path);
  const write = (n: number) => given(stage, () => insertRows(connection, n, 1));
  const further = [50, 51].map((n) => stage.within(CALL_MS, "write", () => write(n)));
  const names = namesIn(stage, justMade);
  const read = stage.within(CALL_MS, "read", () => attempt(() => look(connection)));
  // By its old name another database is opened, or a new one.
  const anew = stage.within(CALL_MS, "open anew", () => attempt(() => lookAnew(stage, path)));
  const then = [write(52), namesIn(stage, justMade)];
  // It stays open for a while.
  stage.later("later", () => [namesIn(stage), write(60), lookAt(path)]);
  stage.later("closed", () => {
    stage.within(CALL_MS, "close", () => connection.close());
    return [namesIn(stage), stage.descriptors(), place && lookAtMoved(place)];
  });
  // A journal without a database keeps plain SQLite from reading, too.
  const mayRead = stage.mode !== "PERSIST";
  return {
    further,
    names,
    read: mayRead && read,
    anew,
    then,
    place: place && lookAtMoved(place),
  };
}

/** Open a path, look whether a table is there, write, close. */
function lookAnew(stage: Stage, path: string): unknown {
  const connection = stage.open(path);
  try {
    const tables = connection.all("SELECT name FROM sqlite_schema").map((row) => row.name);
    connection.exec("CREATE TABLE anew(x)");
    return tables;
  } finally {
    connection.close();
  }
}

export const kinds: Record<string, Kind> = {};
for (const [what, deed] of Object.entries(deeds)) {
  for (const justMade of [true, false]) {
    kinds[`${what}, ${justMade ? "right after commits" : "between commits"}`] = (stage) => {
      const act = stage.mode === "WAL" ? withWal : withJournal;
      return act(stage, deed, justMade);
    };
  }
}
