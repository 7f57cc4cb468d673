/**
 * A connection in a Worker.
 *
 * @module
 */
import type { Row } from "../../examples/sqlite.ts";

/** What sql_worker.ts is sent; each is answered. */
export type Order = { path: string } | { sql: string } | { close: true };

/** What it answers. */
export type Answer = { rows: Row[] } | { error: string };

/** A connection through the VFS in a Worker of its own. */
export class Remote implements AsyncDisposable {
  readonly #worker: Worker = new Worker(new URL("./sql_worker.ts", import.meta.url), {
    type: "module",
  });

  static async open(path: string): Promise<Remote> {
    const remote = new Remote();
    await remote.#ask({ path });
    return remote;
  }

  /** Run one statement; its rows. Rejects with what the driver throws, as text. */
  all(sql: string): Promise<Row[]> {
    return this.#ask({ sql });
  }

  async #ask(order: Order): Promise<Row[]> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.#worker.onmessage = ({ data }) => resolve(data);
    this.#worker.onerror = reject;
    this.#worker.postMessage(order);
    const answer = await promise;
    if ("error" in answer) throw new Error(answer.error);
    return answer.rows;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ask({ close: true });
    this.#worker.terminate();
  }
}
