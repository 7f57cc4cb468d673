/** Commits numbered rows until it is terminated, and tells the number of each that returned. */
import { open } from "../../examples/sqlite.ts";
import { install } from "../../mod.ts";

/** What it is sent. */
export interface LevelPlan {
  path: string;
  /** Of its connection. */
  level: string;
  /** The number of the last row. */
  shared: SharedArrayBuffer;
}

const scope = globalThis as unknown as { onmessage: (message: MessageEvent<LevelPlan>) => void };
scope.onmessage = async ({ data: { path, level, shared } }) => {
  const vfs = await install();
  const connection = open(vfs.uri(path));
  connection.exec(`PRAGMA busy_timeout = 15000; PRAGMA async_commit = ${level}`);
  const insert = connection.prepare("INSERT INTO t VALUES (NULL) RETURNING n");
  const told = new Int32Array(shared);
  for (;;) {
    const n = Number(insert.all()[0]!.n);
    // One that was terminated before may still be at it.
    for (let last = 0; (last = Atomics.load(told, 0)) < n;) {
      Atomics.compareExchange(told, 0, last, n);
    }
  }
};
