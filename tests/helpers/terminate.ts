/**
 * For tests/terminate.test.ts: a process whose Workers commit numbered transactions to one
 * database and are terminated at any moment, one after the other.
 *
 * @module
 */
import assert from "node:assert/strict";
import { open } from "../../examples/sqlite.ts";
import { type AsyncVfs, install } from "../../mod.ts";
import { createTables, Numbered } from "./numbered.ts";
import { Random } from "./random.ts";

/** What the process does. */
export interface TerminatePlan {
  /** The database that all threads write to, and one of the main thread's. */
  path: string;
  ownPath: string;
  seed: number;
  terminations: number;
  workers: number;
  journalMode: string;
  synchronous: string;
  parameters: Record<string, number | string>;
}

/** A Worker's part. */
export interface WorkerPlan extends TerminatePlan {
  slot: number;
  /** For each slot two numbers: is the Worker running; the last transaction that it committed. */
  shared: SharedArrayBuffer;
}

function connect(vfs: AsyncVfs, path: string, plan: TerminatePlan): Numbered {
  const connection = open(vfs.uri(path));
  // Nobody holds a lock for long, unless a terminated Worker has kept it.
  connection.exec(`PRAGMA busy_timeout = 15000; PRAGMA synchronous = ${plan.synchronous}`);
  connection.exec("PRAGMA cache_size = 5"); // so that open transactions write early
  const [row] = connection.all(`PRAGMA journal_mode = ${plan.journalMode}`);
  assert.equal(String(row?.journal_mode).toUpperCase(), plan.journalMode);
  createTables(connection, 1);
  return new Numbered(connection, 1);
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Do one thing after the other until terminated. */
export async function work(plan: WorkerPlan): Promise<void> {
  const vfs = await install();
  const random = new Random(plan.seed);
  const shared = new Int32Array(plan.shared);
  const numbered = connect(vfs, plan.path, plan);
  const { connection } = numbered;
  const commit = () => {
    const n = numbered.commit();
    Atomics.store(shared, 2 * plan.slot + 1, n);
  };
  if (random.oneIn(2)) vfs.addEventListener("error", () => {});
  Atomics.store(shared, 2 * plan.slot, 1);
  for (;;) {
    const way = random.below(10);
    if (way === 0) {
      numbered.begin();
      await sleep(random.below(10)); // terminated here, more often than not
      connection.exec("ROLLBACK");
    } else if (way === 1) {
      commit();
      await vfs.flush({ path: plan.path });
    } else if (way === 2) {
      commit();
      vfs.flushSync();
    } else if (way === 3) {
      void vfs.flush(); // pending while it goes on, or ends
      await vfs.durable(commit);
    } else if (way === 4 && plan.journalMode === "WAL") {
      connection.all(`PRAGMA wal_checkpoint(${random.pick("PASSIVE", "TRUNCATE")})`);
    } else {
      for (let i = random.below(20); i > 0; i--) commit();
      await sleep(random.below(3));
    }
  }
}

/** The Workers, a slot each. */
class Workers {
  readonly plan: TerminatePlan;
  readonly shared = new SharedArrayBuffer(64);
  readonly numbers = new Int32Array(this.shared);
  readonly #workers: (Worker | undefined)[] = [];
  #started = 0;

  constructor(plan: TerminatePlan) {
    this.plan = plan;
  }

  start(slot: number): void {
    Atomics.store(this.numbers, 2 * slot, 0);
    const worker = new Worker(new URL("./terminate_worker.ts", import.meta.url), {
      type: "module",
    });
    worker.onerror = (event) => {
      console.log(`failed: ${event.message}`);
      throw new Error(event.message);
    };
    const seed = this.plan.seed + 1 + this.#started++;
    worker.postMessage({ ...this.plan, slot, seed, shared: this.shared } satisfies WorkerPlan);
    this.#workers[slot] = worker;
  }

  async running(slot: number): Promise<void> {
    const end = performance.now() + 20_000;
    while (Atomics.load(this.numbers, 2 * slot) === 0) {
      assert.ok(performance.now() < end, "a Worker did not start");
      await sleep(1);
    }
  }

  terminate(slot: number): void {
    this.#workers[slot]!.terminate();
  }

  /** The latest transaction that one of them has committed. */
  get last(): number {
    return this.numbers.reduce((most, n, i) => i % 2 === 1 ? Math.max(most, n) : most, 0);
  }
}

/** Do what is planned; prints the last transaction of each database, which is durable. */
export async function begin(plan: TerminatePlan): Promise<void> {
  const vfs = await install();
  const random = new Random(plan.seed);
  const main = connect(vfs, plan.path, plan);
  const own = connect(vfs, plan.ownPath, plan);
  Object.assign(vfs, plan.parameters);
  const workers = new Workers(plan);
  for (let slot = 0; slot < plan.workers; slot++) workers.start(slot);
  let last = 0;
  let ownLast = 0;
  for (let i = 0; i < plan.terminations; i++) {
    const slot = random.below(plan.workers);
    if (!random.oneIn(8)) await workers.running(slot); // or while it starts
    await sleep(random.below(12));
    const flushed = random.oneIn(2) ? vfs.flush() : undefined;
    workers.terminate(slot);
    // Its lock is free, or will be, and what was open there is rolled back.
    const before = workers.last;
    last = main.commit();
    assert.ok(last > before, `main thread commits ${last}, a Worker had committed ${before}`);
    assert.equal(own.commit(), ++ownLast);
    await flushed;
    if (random.oneIn(4)) await vfs.flush({ signal: AbortSignal.timeout(20_000) });
    workers.start(slot);
  }
  for (let slot = 0; slot < plan.workers; slot++) workers.terminate(slot);
  last = main.commit();
  await vfs.flush();
  console.log(`last ${last} ${ownLast}`);
}
