/**
 * What people do with the file of a database that they have just closed.
 *
 * @module
 */
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import process from "node:process";
import { outside } from "./outside.ts";
import { insertRows, type Kind, LOOK, look, type Stage } from "./stage.ts";

const full = process.env.SQLITE3ASYNC_TEST_FULL !== undefined;
/** Milliseconds that opening or closing a small database may take. */
const STEP_MS = 9000;

/** A new database, closed. */
function closed(stage: Stage, path: string): void {
  const connection = stage.create(path);
  stage.within(STEP_MS, "close", () => connection.close());
}

/** Open a database again, add a row and close it: what was found. */
function goOn(stage: Stage, path: string): unknown {
  const connection = stage.within(STEP_MS, "open", () => stage.open(path));
  const found = look(connection);
  insertRows(connection, 1000, 1);
  stage.within(STEP_MS, "close", () => connection.close());
  return found;
}

/** Delete a database, with what a rollback mode leaves beside it. */
function unlinkAll(stage: Stage): void {
  for (const name of readdirSync(stage.folder)) unlinkSync(stage.file(name));
}

/** Do something again and again, until it goes wrong. */
function rounds(stage: Stage, count: number, round: () => void): number {
  for (let i = 0; i < count; i++) {
    round();
    if (stage.late.length > 0) return i; // what is slow now will be slow in the next round, too
  }
  return count;
}

export const kinds: Record<string, Kind> = {
  "a copy is whole": (stage) => {
    const path = stage.file("a.db");
    closed(stage, path);
    copyFileSync(path, stage.file("copy.db"));
    return { copy: outside(stage.file("copy.db"), ...LOOK), left: stage.left(path) };
  },

  "a large transaction is in the copy": (stage) => {
    const path = stage.file("a.db");
    const connection = stage.create(path, 1);
    connection.exec("PRAGMA cache_size = 10; BEGIN"); // it is written before it is committed
    insertRows(connection, 2, 1000);
    connection.exec("COMMIT");
    connection.close();
    copyFileSync(path, stage.file("copy.db"));
    return { copy: outside(stage.file("copy.db"), ...LOOK), left: stage.left(path) };
  },

  "another process reads and writes it": (stage) => {
    const path = stage.file("a.db");
    closed(stage, path);
    const insert = "INSERT INTO t VALUES (100, NULL)";
    const said = outside(path, `PRAGMA journal_mode = ${stage.mode}`, insert, LOOK[1]!);
    return { said, found: goOn(stage, path), left: stage.left(path) };
  },

  "it is renamed": (stage) => {
    const path = stage.file("a.db");
    closed(stage, path);
    renameSync(path, stage.file("b.db"));
    const found = goOn(stage, stage.file("b.db"));
    stage.later("later", () => stage.left(stage.file("b.db")));
    return { found, left: stage.left(stage.file("b.db")) };
  },

  "it is built and renamed": (stage) => {
    const path = stage.file("x.db");
    closed(stage, `${path}.tmp`);
    renameSync(`${path}.tmp`, path);
    const found = goOn(stage, path);
    // And over the one that is there.
    stage.create(`${path}.tmp`, 3).close();
    renameSync(`${path}.tmp`, path);
    stage.later("later", () => stage.left(path));
    return { found, left: stage.left(path) };
  },

  "its folder is renamed": (stage) => {
    mkdirSync(stage.file("old"));
    closed(stage, stage.file("old/a.db"));
    renameSync(stage.file("old"), stage.file("new"));
    const found = goOn(stage, stage.file("new/a.db"));
    stage.later("later", () => stage.left(stage.file("new/a.db")));
    return { found, left: stage.left(stage.file("new/a.db")) };
  },

  "it is unlinked": (stage) => {
    closed(stage, stage.file("a.db"));
    unlinkSync(stage.file("a.db"));
    const left = { files: stage.files(), descriptors: stage.descriptors() };
    stage.later("later", () => stage.files());
    return left;
  },

  "it is unlinked and opened again and again": (stage) => {
    const path = stage.file("a.db");
    const done = rounds(stage, 40, () => {
      stage.within(STEP_MS, "open and close", () => {
        const connection = stage.create(path, 3);
        const [row] = connection.all("SELECT count(*) AS n FROM t");
        if (row?.n !== 3) throw new Error(`found ${row?.n} rows`);
        connection.close();
      });
      unlinkAll(stage);
    });
    stage.later("later", () => stage.files());
    return { done, files: stage.files(), descriptors: stage.descriptors() };
  },

  "its folder is removed again and again": (stage) => {
    const done = rounds(stage, full ? 200 : 50, () => {
      mkdirSync(stage.file("sub"));
      const connection = stage.open(stage.file("sub/a.db"));
      connection.exec("PRAGMA synchronous = OFF; CREATE TABLE t(n INTEGER PRIMARY KEY, x)");
      insertRows(connection, 1, 2);
      stage.within(STEP_MS, "close", () => connection.close());
      // Not by rmSync(), which may forgive what comes or goes meanwhile.
      for (const name of readdirSync(stage.file("sub"))) unlinkSync(stage.file(`sub/${name}`));
      rmdirSync(stage.file("sub"));
    });
    stage.later("later", () => stage.files());
    return { done, files: stage.files() };
  },

  "a backup is copied over it": (stage) => {
    const path = stage.file("a.db");
    stage.makeForeign(stage.file("backup.db"));
    closed(stage, path);
    copyFileSync(stage.file("backup.db"), path);
    stage.later("later", () => stage.left(path));
    stage.later("then", () => ({ found: goOn(stage, path), left: stage.left(path) }));
    return stage.left(path);
  },

  "a backup is copied over it, and it is opened": (stage) => {
    const path = stage.file("a.db");
    stage.makeForeign(stage.file("backup.db"));
    closed(stage, path);
    copyFileSync(stage.file("backup.db"), path);
    const found = goOn(stage, path);
    stage.later("later", () => stage.left(path));
    return { found, left: stage.left(path) };
  },

  "a backup is renamed over it": (stage) => {
    const path = stage.file("a.db");
    stage.makeForeign(stage.file("backup.db"));
    closed(stage, path);
    renameSync(stage.file("backup.db"), path);
    const left = stage.left(path);
    stage.later("later", () => stage.left(path));
    stage.later("then", () => ({ found: goOn(stage, path), left: stage.left(path) }));
    return left;
  },

  "a backup is renamed over it, and it is opened": (stage) => {
    const path = stage.file("a.db");
    stage.makeForeign(stage.file("backup.db"));
    closed(stage, path);
    renameSync(stage.file("backup.db"), path);
    const found = goOn(stage, path);
    stage.later("later", () => stage.left(path));
    return { found, left: stage.left(path) };
  },

  "it is truncated": (stage) => {
    const path = stage.file("a.db");
    closed(stage, path);
    writeFileSync(path, ""); // a database without a table
    const connection = stage.create(path, 3);
    connection.close();
    stage.later("later", () => stage.left(path));
    return stage.left(path);
  },

  "another program makes a database in its place": (stage) => {
    const path = stage.file("a.db");
    closed(stage, path);
    unlinkAll(stage);
    stage.makeForeign(path);
    const left = stage.left(path);
    stage.later("later", () => stage.left(path));
    stage.later("then", () => ({ found: goOn(stage, path), left: stage.left(path) }));
    return left;
  },
};
