/**
 * The SQLite inside the runtime, `node:sqlite` or `bun:sqlite`: as it is, and
 * through the VFS.
 *
 * @module
 */
import { pathToFileURL } from "node:url";
import { type Connection, open } from "../../examples/sqlite.ts";
import type { AsyncVfs } from "../../mod.ts";
import { type Level, setLevel } from "../../tests/helpers/levels.ts";
import { type Contender, type Modes, modesOf, type Survives, walModes } from "../contender.ts";

function contender(
  modes: Modes,
  nameOf: (path: string) => string,
  prepare: (connection: Connection) => void = () => {},
): Contender {
  return {
    ...modes,
    open: (path) => {
      const connection = open(nameOf(path));
      try {
        connection.exec(modesOf(modes));
        prepare(connection);
      } catch (error) {
        connection.close();
        throw error;
      }
      return Promise.resolve(connection);
    },
  };
}

function plain(modes: Modes): Contender {
  return contender(modes, (path) => modes.journalMode === "memory" ? ":memory:" : path);
}

/** The same, but on another VFS than the default one. */
export function onVfs(modes: Modes, vfs: string): Contender {
  return contender(modes, (path) => `${pathToFileURL(path)}?vfs=${vfs}`);
}

/** The floor: no disk at all. */
export const MEMORY: Contender = plain({
  name: "plain :memory:",
  survives: { kill: "nothing", power: "nothing" },
  journalMode: "memory",
  synchronous: "NORMAL",
});

/** A rollback journal, synced. */
export const PLAIN_DELETE: Contender = plain({
  name: "plain DELETE/FULL",
  survives: { kill: "all", power: "all" },
  journalMode: "delete",
  synchronous: "FULL",
});

/** A WAL that each commit syncs. */
export const PLAIN_FULL: Contender = plain(walModes("plain", "FULL"));

/** A WAL that checkpoints sync. */
export const PLAIN_NORMAL: Contender = plain(walModes("plain", "NORMAL"));

/** A WAL that nobody syncs. */
export const PLAIN_OFF: Contender = plain({
  name: "plain WAL/OFF",
  survives: { kill: "all", power: "it may be damaged" },
  journalMode: "wal",
  synchronous: "OFF",
});

/** Ours; with `synchronous` FULL a commit is synced soon, without being waited for. */
export function oursWal(vfs: AsyncVfs, synchronous: "NORMAL" | "FULL" = "NORMAL"): Contender {
  return contender({
    name: `sqlite3async WAL/${synchronous}`,
    survives: { kill: "a prefix", power: "a prefix" },
    journalMode: "wal",
    synchronous,
    vfs,
  }, (path) => vfs.uri(path));
}

const survivesAt: Record<Level, Survives> = {
  queued: { kill: "a prefix", power: "a prefix" },
  applied: { kill: "all", power: "a prefix" },
  durable: { kill: "all", power: "all" },
};

/** Ours, at a level: how safe a commit is when it returns. */
export function oursAt(vfs: AsyncVfs, level: Level): Contender {
  const { name, journalMode, synchronous } = oursWal(vfs);
  const survives = survivesAt[level];
  return contender(
    { name: `${name}, ${level}`, survives, journalMode, synchronous, vfs },
    (path) => vfs.uri(path),
    (connection) => setLevel(connection, level),
  );
}

/** Ours, each commit awaited until it is durable. Not for transactions: each statement is one. */
export function oursFlushed(vfs: AsyncVfs): Contender {
  const contender = oursWal(vfs);
  return {
    ...contender,
    name: `${contender.name}, flushed`,
    survives: { kill: "all", power: "all" },
    flushesEach: true,
    open: async (path) => {
      const store = await contender.open(path);
      return {
        exec: (sql) => store.exec(sql),
        prepare: async (sql) => {
          const statement = await store.prepare(sql);
          return {
            run: (...values) => {
              statement.run(...values);
              return vfs.flush({ path });
            },
            all: (...values) => statement.all(...values),
          };
        },
        close: () => store.close(),
      };
    },
  };
}

/** Ours, with a rollback journal. */
export function oursDelete(vfs: AsyncVfs): Contender {
  return contender({
    name: "sqlite3async DELETE/FULL",
    survives: { kill: "a prefix", power: "a prefix" },
    journalMode: "delete",
    synchronous: "FULL",
    vfs,
  }, (path) => vfs.uri(path));
}
