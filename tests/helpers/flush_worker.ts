/**
 * A Worker that inserts numbers and flushes after each. It tells when it is done,
 * or when it has come to `tellAt`; after `exitAt` it ends during a flush; with `begin`
 * it begins a transaction and stays in it.
 */
import process from "node:process";
import { open } from "../../examples/sqlite.ts";
import { install } from "../../mod.ts";

interface Job {
  path: string;
  count: number;
  tellAt?: number;
  exitAt?: number;
  begin?: boolean;
}

const scope = globalThis as unknown as {
  onmessage: (message: MessageEvent<Job>) => void;
  postMessage(data: unknown): void;
};
const jobs = Promise.withResolvers<Job>();
scope.onmessage = ({ data }) => jobs.resolve(data);

const vfs = await install();
const { path, count, tellAt, exitAt, begin } = await jobs.promise;
const connection = open(vfs.uri(path));
connection.exec("CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY)");
if (begin) {
  connection.exec("BEGIN IMMEDIATE");
  scope.postMessage({ begun: true });
} else {
  const insert = connection.prepare("INSERT INTO t VALUES (?)");
  for (let n = 1; n <= count; n++) {
    insert.run(n);
    if (exitAt !== undefined && n > exitAt) {
      void vfs.flush({ path });
      process.exit(0); // of the Worker
    }
    await vfs.flush({ path });
    if (n === tellAt) scope.postMessage({ flushed: n });
  }
  connection.close();
  scope.postMessage({ flushed: count });
}
