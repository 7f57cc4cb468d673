/**
 * Plain SQLite in a Worker, which is how people keep it off the event loop
 * today: the main thread posts what to run, the Worker answers.
 *
 * The best form of it: statements are prepared once and kept by number, a message
 * is a small array, and nothing is waited for but the answer.
 *
 * @module
 */
import { Worker } from "node:worker_threads";
import {
  type Contender,
  type Modes,
  modesOf,
  type Row,
  type Store,
  type Value,
  walModes,
} from "../contender.ts";

/** [number of the message, what to do, its argument, values to bind: for "many" a row each] */
export type Question =
  | [number: number, what: OneTask, argument: string | number, values: Value[]]
  | [number: number, what: "many", argument: number, rows: Value[][]];
/** [number of the message, what came of it, what went wrong] */
export type Answer = [number: number, rows: Row[] | number | undefined, error?: string];

/** What a Worker can be asked, beside running a statement for many rows. */
export type OneTask = "open" | "exec" | "prepare" | "run" | "all" | "close";

class Remote {
  readonly #worker = new Worker(new URL("./worker_thread.ts", import.meta.url));
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer[1]>>();
  #asked = 0;

  constructor() {
    this.#worker.on("message", ([number, result, error]: Answer) => {
      const waiting = this.#waiting.get(number)!;
      this.#waiting.delete(number);
      if (error === undefined) waiting.resolve(result);
      else waiting.reject(new Error(error));
    });
    this.#worker.on("error", (error) => {
      for (const { reject } of this.#waiting.values()) reject(error);
    });
  }

  ask(what: OneTask, argument: string | number, values: Value[] = []): Promise<Answer[1]> {
    return this.#post([this.#asked++, what, argument, values]);
  }

  askMany(statement: number, rows: Value[][]): Promise<Answer[1]> {
    return this.#post([this.#asked++, "many", statement, rows]);
  }

  #post(question: Question): Promise<Answer[1]> {
    const waiting = Promise.withResolvers<Answer[1]>();
    this.#waiting.set(question[0], waiting);
    this.#worker.postMessage(question);
    return waiting.promise;
  }

  async end(): Promise<void> {
    await this.ask("close", "");
    await this.#worker.terminate();
  }
}

async function open(path: string, modes: string): Promise<Store> {
  const remote = new Remote();
  await remote.ask("open", path);
  await remote.ask("exec", modes);
  return {
    exec: (sql) => remote.ask("exec", sql),
    prepare: async (sql) => {
      const number = await remote.ask("prepare", sql) as number;
      return {
        run: (...values) => remote.ask("run", number, values),
        runMany: (rows) => remote.askMany(number, rows),
        all: async (...values) => await remote.ask("all", number, values) as Row[],
      };
    },
    close: () => remote.end(),
  };
}

function contender(modes: Modes): Contender {
  return { ...modes, open: (path) => open(path, modesOf(modes)) };
}

/** As {@linkcode PLAIN_NORMAL}, in a Worker. */
export const WORKER_NORMAL: Contender = contender(walModes("Worker", "NORMAL"));

/** As {@linkcode PLAIN_FULL}, in a Worker. */
export const WORKER_FULL: Contender = contender(walModes("Worker", "FULL"));
