/** A Worker with one connection that does what hand.ts orders. */
import { type Connection, open } from "../../examples/sqlite.ts";
import { install } from "../../mod.ts";
import type { HandAnswer, HandOrder, Loop } from "./hand.ts";
import { insertRows } from "./stage.ts";

const scope = globalThis as unknown as {
  onmessage: (message: MessageEvent<HandOrder>) => void;
  postMessage(answer: HandAnswer): void;
};
let connection: Connection | undefined;

function connect(name: string, mode: string): Connection {
  const connection = open(name);
  connection.exec(`PRAGMA busy_timeout = 10000; PRAGMA journal_mode = ${mode}`);
  return connection;
}

async function loop(order: Loop): Promise<never> {
  const last = new Int32Array(order.shared);
  let own = connect(order.name, order.mode);
  for (let n = 1;; n++) {
    insertRows(own, n, 1);
    Atomics.store(last, 0, n);
    // Deno does not terminate what never comes back to its event loop.
    if (n % 4 === 0 || order.loop === "closes") {
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    if (order.loop === "commits") continue;
    own.close();
    own = connect(order.name, order.mode);
  }
}

async function obey(order: HandOrder): Promise<void> {
  if ("install" in order && order.install) await install();
  if ("open" in order) connection = connect(order.open, order.mode);
  if ("insert" in order) insertRows(connection!, order.insert, order.count);
  if ("close" in order) connection!.close();
  if ("loop" in order) await loop(order);
}

scope.onmessage = async ({ data }) => {
  try {
    await obey(data);
    scope.postMessage({ ok: true });
  } catch (error) {
    scope.postMessage({ error: String(error) });
  }
};
