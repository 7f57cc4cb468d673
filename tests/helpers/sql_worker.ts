/** A Worker with one connection through the VFS that does what remote.ts orders. */
import { type Connection, open } from "../../examples/sqlite.ts";
import { install } from "../../mod.ts";
import type { Answer, Order } from "./remote.ts";

const scope = globalThis as unknown as {
  onmessage: (message: MessageEvent<Order>) => void;
  postMessage(answer: Answer): void;
};
const vfs = install();
let connection: Connection | undefined;

scope.onmessage = async ({ data }) => {
  try {
    if ("path" in data) connection = open((await vfs).uri(data.path));
    const rows = "sql" in data ? connection!.all(data.sql) : [];
    if ("close" in data) connection?.close();
    scope.postMessage({ rows: rows.map((row) => ({ ...row })) });
  } catch (error) {
    scope.postMessage({ error: String(error) });
  }
};
