/**
 * For tests/ending.test.ts: a process that commits numbered transactions as fast as it can, on
 * several connections and threads, says which of them are how safe, and comes to an end of
 * some kind.
 *
 * @module
 */
import { writeSync } from "node:fs";
import process from "node:process";
import { setImmediate } from "node:timers";
import { type Connection, open } from "../../examples/sqlite.ts";
import { type AsyncVfs, install } from "../../mod.ts";
import { createTables, lastBefore, Numbered, SCHEMAS } from "./numbered.ts";
import { Random } from "./random.ts";

/** How a process ends. "killed" is by itself, right after it said what is applied. */
export type Ending =
  | "return"
  | "process.exit"
  | "Deno.exit"
  | "throw"
  | "rejection"
  | "SIGTERM"
  | "SIGINT"
  | "SIGHUP"
  | "SIGQUIT"
  | "SIGUSR2"
  | "SIGKILL"
  | "killed";

/** What one process does. */
export interface Plan {
  /** The databases: one, or a second one that is attached to it. */
  paths: string[];
  seed: number;
  /** The number of the last transaction in the first database. */
  last: number;
  journalMode: string;
  synchronous: string;
  pageSize: number;
  /** By a plain path, not by a URI. */
  routed: boolean;
  /** Connections for each thread. */
  connections: number;
  /** Threads besides the main one. */
  workers: number;
  /** Transactions it makes at most before it does something else. */
  burst: number;
  /** Milliseconds that a step of the writer may take there. */
  stepMs: number;
  /** Does it ever wait for the disk? */
  waits: boolean;
  /** Parameters of the VFS. */
  parameters: Record<string, number | string | boolean>;
  ending: Ending;
  /** Milliseconds of committing. */
  lifeMs: number;
  /** What the main thread leaves behind. */
  leaves: "nothing open" | "connections" | "a transaction" | "a flush";
}

const BACKLOG_MS = 200;

/** Out before the next step. Node does not wait for room in a pipe. */
function say(line: string): void {
  for (let left = new TextEncoder().encode(`${line}\n`); left.length > 0;) {
    try {
      left = left.subarray(writeSync(1, left));
    } catch (error) {
      if ((error as { code?: string }).code !== "EAGAIN") throw error;
    }
  }
}

/** Transaction n is so safe, in one database or in all. */
function claim(plan: Plan, how: "committed" | "durable", n: number, only?: number): void {
  plan.paths.forEach((_, index) => {
    if (only === undefined || only === index) say(`${how} ${index} ${lastBefore(n, index)}`);
  });
}

function connect(vfs: AsyncVfs, plan: Plan): Connection {
  const names = plan.paths.map((path) => plan.routed ? path : vfs.uri(path));
  const connection = open(names[0]!);
  connection.exec("PRAGMA busy_timeout = 20000");
  if (names.length > 1) connection.exec(`ATTACH '${names[1]}' AS ${SCHEMAS[1]}`);
  return connection;
}

/** One thread's part. */
class Actor {
  readonly vfs: AsyncVfs;
  readonly plan: Plan;
  readonly #random: Random;
  readonly numbered: Numbered[];

  constructor(vfs: AsyncVfs, plan: Plan) {
    this.vfs = vfs;
    this.plan = plan;
    this.#random = new Random(plan.seed);
    this.numbered = Array.from({ length: plan.connections }, () => {
      const connection = connect(vfs, plan);
      for (const schema of SCHEMAS.slice(0, plan.paths.length)) {
        connection.exec(`PRAGMA ${schema}.synchronous = ${plan.synchronous}`);
        // With a small one, large transactions write before they commit.
        connection.exec(`PRAGMA ${schema}.cache_size = ${this.#random.pick(5, 2000)}`);
        setJournalMode(connection, schema, plan.journalMode);
      }
      return new Numbered(connection, plan.paths.length);
    });
  }

  async live(): Promise<void> {
    const end = performance.now() + this.plan.lifeMs;
    while (performance.now() < end) await this.#step();
  }

  async #step(): Promise<void> {
    const { vfs, plan } = this;
    const random = this.#random;
    const numbered = random.pick(...this.numbered as [Numbered]);
    const way = random.below(60) + (plan.waits ? 0 : 4);
    if (way === 0) {
      const n = numbered.commit();
      const index = random.below(plan.paths.length);
      await vfs.flush({ path: plan.paths[index]! });
      claim(plan, "durable", n, index);
    } else if (way === 1) {
      const n = numbered.commit();
      vfs.flushSync();
      claim(plan, "durable", n);
    } else if (way < 4) {
      claim(plan, "durable", await vfs.durable(() => numbered.commit()));
    } else if (way < 9) {
      const n = numbered.commit();
      vfs.flush().then(() => claim(plan, "durable", n)); // while others commit
    } else if (way < 12) {
      const mode = random.pick("PASSIVE", "RESTART", "TRUNCATE");
      if (plan.journalMode === "WAL") numbered.connection.all(`PRAGMA wal_checkpoint(${mode})`);
    } else if (way === 12) {
      numbered.begin();
      numbered.connection.exec("ROLLBACK");
    } else if (way < 17) {
      this.sayApplied();
    } else {
      let n = 0;
      for (let i = 1 + random.below(plan.burst); i > 0 && !this.#isBehind(); i--) {
        n = numbered.commit();
      }
      claim(plan, "committed", n);
      say(`queued ${vfs.status().queuedOps}`);
      await new Promise((resolve) => setImmediate(resolve)); // let flushes resolve
    }
  }

  /** Would it take long to write what is queued? */
  #isBehind(): boolean {
    const stepMs = Math.max(this.vfs.delayMs, this.plan.stepMs);
    return this.vfs.status().queuedOps * stepMs > BACKLOG_MS;
  }

  /** What the status says is applied. Nobody commits meanwhile. */
  sayApplied(): void {
    this.numbered[0]!.withLast((n) => {
      this.plan.paths.forEach((path, index) => {
        const { committed, applied } = this.vfs.status(path);
        say(`applied ${index} ${lastBefore(n, index, committed - applied)}`);
      });
    });
  }

  close(): void {
    for (const { connection } of this.numbered) connection.close();
  }
}

function setJournalMode(connection: Connection, schema: string, wanted: string): void {
  const [row] = connection.all(`PRAGMA ${schema}.journal_mode = ${wanted}`);
  const mode = String(row?.journal_mode).toUpperCase();
  if (mode !== wanted) throw new Error(`journal_mode is ${mode}, not ${wanted}`);
}

/** Make the databases, or look at those that an earlier process left, as we find them. */
async function prepare(vfs: AsyncVfs, plan: Plan): Promise<void> {
  using connection = connect(vfs, plan);
  for (const schema of SCHEMAS.slice(0, plan.paths.length)) {
    if (plan.last === 0) connection.exec(`PRAGMA ${schema}.page_size = ${plan.pageSize}`);
    setJournalMode(connection, schema, plan.journalMode);
  }
  createTables(connection, plan.paths.length);
  if (plan.last === 0) await vfs.flush();
  const found = connection.all("SELECT n FROM counter")[0]?.n;
  if (found !== plan.last) throw new Error(`found ${found}, not ${plan.last}`);
  const sound = connection.all("PRAGMA integrity_check")[0]?.integrity_check;
  if (sound !== "ok") throw new Error(String(sound));
}

/** Start a Worker of this process; resolves when it is done. */
function startWorker(plan: Plan): Promise<void> {
  const worker = new Worker(new URL("./ending_worker.ts", import.meta.url), { type: "module" });
  const { promise, resolve } = Promise.withResolvers<void>();
  worker.onmessage = () => {
    worker.terminate();
    resolve();
  };
  worker.onerror = (event) => {
    say(`failed ${event.message}`);
    process.exit(9);
  };
  worker.postMessage(plan);
  return promise;
}

/** A Worker's part. */
export async function assist(plan: Plan): Promise<void> {
  const actor = new Actor(await install(), plan);
  await actor.live();
  actor.close();
}

function end(plan: Plan): void {
  switch (plan.ending) {
    case "return":
      return;
    case "process.exit":
      return process.exit(3);
    case "Deno.exit":
      return (globalThis as unknown as { Deno: { exit(code: number): void } }).Deno.exit(4);
    case "throw":
      throw new Error("on purpose");
    case "rejection":
      setInterval(() => {}, 1000); // so that it is this that ends it
      void Promise.reject(new Error("on purpose"));
      return;
    case "killed":
      return process.kill(process.pid, "SIGKILL") as unknown as void;
    default:
      setInterval(() => {}, 1000);
  }
}

/** Do what is planned. */
export async function begin(plan: Plan): Promise<void> {
  const vfs = await install();
  if (plan.routed) plan.paths.forEach((path) => vfs.route(path));
  await prepare(vfs, plan);
  Object.assign(vfs, plan.parameters);
  const actor = new Actor(vfs, plan);
  const assistants = Array.from({ length: plan.workers }, (_, i) => {
    return startWorker({ ...plan, seed: plan.seed + 1 + i });
  });
  say("ready");
  await actor.live();
  // Alone, it comes to its end; otherwise it ends while the others go on.
  if (plan.ending === "return") await Promise.all(assistants);
  actor.numbered[0]!.withLast((n) => claim(plan, "committed", n));
  say(`queued ${vfs.status().queuedOps}`);
  if (plan.ending === "killed") {
    vfs.delayMs = 5; // so that the latest one is not
    actor.numbered[0]!.commit();
    actor.sayApplied();
  }
  if (plan.leaves === "nothing open") actor.close();
  if (plan.leaves === "a transaction") actor.numbered[0]!.begin();
  if (plan.leaves === "a flush") void vfs.flush();
  say("ending");
  end(plan);
}
