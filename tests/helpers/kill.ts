/**
 * For killing.ts: a process that commits numbered transactions without pause, on several
 * threads and at one level, and tells of each that has returned, until it is killed.
 *
 * It tells by a write to a file of fixed-size records, one file a thread: what the
 * system was given survives SIGKILL.
 *
 * @module
 */
import { openSync, writeSync } from "node:fs";
import { type Connection, open } from "../../examples/sqlite.ts";
import { type AsyncVfs, install } from "../../mod.ts";
import { type Level, setLevel } from "./levels.ts";
import { Numbered, SCHEMAS } from "./numbered.ts";

/** What one thread commits to. */
export interface Writer {
  /** A database, or a second one that is attached to it. */
  paths: string[];
  journalMode: "WAL" | "DELETE";
  synchronous: "NORMAL" | "FULL";
  /** The file in which it tells of its commits. */
  told: string;
}

/** What the process does. */
export interface KillPlan {
  level: Level;
  /** The main thread's, then a Worker's each. */
  writers: [Writer, ...Writer[]];
  /** Parameters of the VFS. */
  parameters: Record<string, number>;
}

/** A Worker's part. */
export interface WorkerPlan {
  level: Level;
  writer: Writer;
}

/** Two numbers of 8 bytes: which transaction, and when it had been committed. */
export const RECORD_BYTES = 16;

/** Milliseconds; all threads and processes of this machine have the same clock. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

function connect(vfs: AsyncVfs, { paths, journalMode, synchronous }: Writer, level: Level) {
  const names = paths.map((path) => vfs.uri(path));
  const connection: Connection = open(names[0]!);
  connection.exec("PRAGMA busy_timeout = 60000");
  if (names.length > 1) connection.exec(`ATTACH '${names[1]}' AS ${SCHEMAS[1]}`);
  for (const schema of SCHEMAS.slice(0, names.length)) {
    const [row] = connection.all(`PRAGMA ${schema}.journal_mode`);
    const mode = String(row?.journal_mode).toUpperCase();
    if (mode !== journalMode) throw new Error(`journal_mode is ${mode}, not ${journalMode}`);
    connection.exec(`PRAGMA ${schema}.synchronous = ${synchronous}`);
    setLevel(connection, level, schema);
  }
  return new Numbered(connection, names.length);
}

/** Commit without end. */
function commitAll(vfs: AsyncVfs, writer: Writer, level: Level, begin: () => void): never {
  const numbered = connect(vfs, writer, level);
  const told = openSync(writer.told, "a");
  const record = new Float64Array(RECORD_BYTES / 8);
  const bytes = new Uint8Array(record.buffer);
  begin();
  for (;;) {
    record[0] = numbered.commit();
    record[1] = nowMs();
    writeSync(told, bytes);
  }
}

/** A Worker's part. */
export async function work({ level, writer }: WorkerPlan, begin: () => void): Promise<void> {
  commitAll(await install(), writer, level, begin);
}

/** Start a Worker of this process; resolves when it begins to commit. */
function startWorker(plan: WorkerPlan): Promise<void> {
  const worker = new Worker(new URL("./kill_worker.ts", import.meta.url), { type: "module" });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  worker.onmessage = () => resolve();
  worker.onerror = (event) => reject(new Error(event.message));
  worker.postMessage(plan);
  return promise;
}

/** Do what is planned. Says "ready" when all threads begin, and how long the longest sync took. */
export async function begin({ level, writers, parameters }: KillPlan): Promise<void> {
  const vfs = await install();
  Object.assign(vfs, parameters);
  const [own, ...others] = writers;
  {
    using first = connect(vfs, own, level).connection;
    first.exec("CREATE TABLE empty(n); DROP TABLE empty");
    vfs.flushSync();
  }
  await Promise.all(others.map((writer) => startWorker({ level, writer })));
  commitAll(vfs, own, level, () => {
    writeSync(1, `longest sync ${vfs.status().syncMsMax}\nready\n`);
  });
}
