/**
 * The web's Worker for Node, which has only its own: as much of it as the tests use. To be
 * loaded first, by `node --import`; Workers then load it first as well.
 *
 * @module
 */
import { parentPort, Worker as Thread } from "node:worker_threads";

type Listener<Event> = ((event: Event) => void) | null;

class WebWorker {
  readonly #thread: Thread;

  constructor(url: URL | string) {
    this.#thread = new Thread(new URL(url));
  }

  set onmessage(listener: Listener<{ data: unknown }>) {
    this.#thread.removeAllListeners("message");
    if (listener !== null) this.#thread.on("message", (data) => listener({ data }));
  }

  set onerror(listener: Listener<{ message: string; error: Error }>) {
    this.#thread.removeAllListeners("error");
    if (listener === null) return;
    this.#thread.on("error", (error: Error) => listener({ message: error.message, error }));
  }

  postMessage(data: unknown): void {
    this.#thread.postMessage(data);
  }

  terminate(): void {
    void this.#thread.terminate();
  }
}

Object.assign(globalThis, { Worker: WebWorker });

const parent = parentPort;
if (parent !== null) {
  Object.assign(globalThis, { postMessage: (data: unknown) => parent.postMessage(data) });
  Object.defineProperty(globalThis, "onmessage", {
    set(listener: (event: { data: unknown }) => void): void {
      parent.removeAllListeners("message");
      parent.on("message", (data) => listener({ data }));
    },
  });
}
