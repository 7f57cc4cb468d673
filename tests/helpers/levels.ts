/**
 * How safe a commit is when it returns: `PRAGMA async_commit`.
 *
 * @module
 */
import type { Connection } from "../../examples/sqlite.ts";

/** In the queue, handed to the operating system, synced. */
export const LEVELS = ["queued", "applied", "durable"] as const;

/** One of them. */
export type Level = typeof LEVELS[number];

/** Set the level of a connection's commits to one of its databases. */
export function setLevel(connection: Connection, level: Level, schema: string = "main"): void {
  const [row = {}] = connection.all(`PRAGMA ${schema}.async_commit = ${level}`);
  const [answer] = Object.values(row);
  if (answer !== level) throw new Error(`async_commit is ${answer}, not ${level}`);
}
