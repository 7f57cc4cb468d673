/**
 * A Worker of workers.ts: it opens a database, says so, commits rows until it is
 * told to stop, and tells what each took.
 *
 * @module
 */
import { type Connection, open } from "../examples/sqlite.ts";

/** What to do. */
export interface Task {
  /** The database's path or URI; its table is there. */
  name: string;
  /** Set the modes of the connection. */
  modes: string;
  /** [0: not yet, 1: go, 2: stop], shared by all. */
  signal: Int32Array<SharedArrayBuffer>;
  /** To be filled with what each commit took. */
  samplesMs: Float64Array<SharedArrayBuffer>;
}

/** What it says: that it is ready, then what it did, or what went wrong. */
export type Answer = { ready: true } | { commits: number; tookMs: number } | { failed: string };

function commitUntilStop(connection: Connection, { signal, samplesMs }: Task): Answer {
  const insert = connection.prepare("INSERT INTO t(name) VALUES (?)");
  Atomics.wait(signal, 0, 0);
  const startMs = performance.now();
  let commits = 0;
  let beforeMs = startMs;
  while (Atomics.load(signal, 0) !== 2) {
    if (commits === samplesMs.length) return { failed: "there is no memory for all samples" };
    insert.run(`a row to commit, number ${commits}`);
    const nowMs = performance.now();
    samplesMs[commits++] = nowMs - beforeMs;
    beforeMs = nowMs;
  }
  return { commits, tookMs: beforeMs - startMs };
}

const scope = globalThis as unknown as {
  onmessage: (message: MessageEvent<Task>) => void;
  postMessage(answer: Answer): void;
};
scope.onmessage = ({ data: task }) => {
  try {
    using connection = open(task.name);
    connection.exec(task.modes);
    const [found] = connection.all("PRAGMA synchronous");
    if (Object.values(found!)[0] !== 1) throw new Error("synchronous is not NORMAL");
    scope.postMessage({ ready: true });
    scope.postMessage(commitUntilStop(connection, task));
  } catch (error) {
    scope.postMessage({ failed: String(error) });
  }
};
