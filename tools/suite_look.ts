/**
 * What plain SQLite finds in a database from outside of the process that made it.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";

/** What was found. */
export interface Look {
  /** "ok", or what `PRAGMA integrity_check` complains of. */
  integrity: string;
  journal: string;
  /** A hash of the schema and of all rows. */
  content: string;
}

/**
 * Open a database as any other program does, and read all of it. It throws what SQLite does: that
 * the database is locked, say.
 *
 * @param volatile Columns of which only the values' types count.
 */
export function look(path: string, volatile: string[]): Look {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    const only = (pragma: string) => Object.values(database.prepare(`PRAGMA ${pragma}`).get()!)[0];
    return {
      integrity: String(only("integrity_check")),
      journal: String(only("journal_mode")),
      content: hash(database, new Set(volatile)),
    };
  } finally {
    database.close();
  }
}

function hash(database: DatabaseSync, volatile: Set<string>): string {
  const digest = createHash("sha256");
  const schema = database.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")
    .all();
  for (const { type, name, sql } of schema) {
    digest.update(`${type} ${name} ${sql}\n`);
    if (type !== "table" || String(sql).startsWith("CREATE VIRTUAL")) continue;
    for (const row of rows(database, String(name), volatile)) digest.update(`${row}\n`);
  }
  return digest.digest("hex").slice(0, 16);
}

/** Each row of a table as SQL's literals, in the order of the rowids. */
function rows(database: DatabaseSync, table: string, volatile: Set<string>): string[] {
  const values = database.prepare(`SELECT name FROM pragma_table_info(${literal(table)})`).all()
    .map(({ name }) => String(name))
    .map((name) => volatile.has(name) ? `typeof(${quoted(name)})` : `quote(${quoted(name)})`);
  const select = `SELECT ${values.join(" || ',' || ")} AS row FROM ${quoted(table)}`;
  try {
    return database.prepare(`${select} ORDER BY rowid`).all().map(({ row }) => String(row));
  } catch {
    return database.prepare(select).all().map(({ row }) => String(row)); // it is WITHOUT ROWID
  }
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
