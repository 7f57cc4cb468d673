/**
 * A connection in a Worker of its own, by any door.
 *
 * @module
 */
import type { Stage } from "./stage.ts";

/** To commit row after row, and also to close and open the database after each. */
export interface Loop {
  loop: "commits" | "closes";
  name: string;
  mode: string;
  /** Where the number of the last row is told. */
  shared: SharedArrayBuffer;
}

/** What hand_worker.ts is sent; each but a loop is answered. */
export type HandOrder =
  | { install: boolean }
  | { open: string; mode: string }
  | { insert: number; count: number }
  | { close: true }
  | Loop;

/** What it answers. */
export type HandAnswer = { ok: true } | { error: string };

/** Somebody who works on a database in a thread of its own. */
export class Hand {
  readonly #worker: Worker = new Worker(new URL("./hand_worker.ts", import.meta.url), {
    type: "module",
  });
  readonly #stage: Stage;

  private constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** Start a Worker that has the VFS, if the stage has. */
  static async start(stage: Stage): Promise<Hand> {
    const hand = new Hand(stage);
    await hand.#ask({ install: stage.vfs !== undefined });
    return hand;
  }

  open(path: string): Promise<void> {
    return this.#ask({ open: this.#stage.nameOf(path), mode: this.#stage.mode });
  }

  /** Commit rows, a transaction each. */
  insert(first: number, count: number): Promise<void> {
    return this.#ask({ insert: first, count });
  }

  close(): Promise<void> {
    return this.#ask({ close: true });
  }

  /** Commit row after row until terminated; the number of the last one is in `last`. */
  loop(path: string, what: "commits" | "closes"): { last(): number } {
    const shared = new SharedArrayBuffer(4);
    const name = this.#stage.nameOf(path);
    const order: Loop = { loop: what, name, mode: this.#stage.mode, shared };
    this.#worker.postMessage(order);
    return { last: () => Atomics.load(new Int32Array(shared), 0) };
  }

  terminate(): void {
    this.#worker.terminate();
  }

  async #ask(order: HandOrder): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<HandAnswer>();
    this.#worker.onmessage = ({ data }) => resolve(data);
    this.#worker.onerror = ({ message }) => reject(new Error(message));
    this.#worker.postMessage(order);
    const answer = await promise;
    if ("error" in answer) throw new Error(answer.error);
  }
}
