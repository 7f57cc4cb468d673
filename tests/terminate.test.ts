import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { Child } from "./helpers/child.ts";
import { Folder, MEMORY } from "./helpers/folder.ts";
import { lastIn } from "./helpers/numbered.ts";
import { Random } from "./helpers/random.ts";
import type { TerminatePlan } from "./helpers/terminate.ts";

const full = process.env.SQLITE3ASYNC_TEST_FULL !== undefined;
/** Terminations are many to a process; each process has its own plan. */
const PROCESSES = full ? 20 : 2;
const TERMINATIONS = full ? 25 : 12;

const program = new URL("./helpers/terminate.ts", import.meta.url).href;

function randomPlan(random: Random, folder: Folder): TerminatePlan {
  return {
    path: folder.file("a.db"),
    ownPath: folder.file("own.db"),
    seed: random.below(1_000_000_000),
    terminations: TERMINATIONS,
    workers: random.pick(1, 2, 3),
    journalMode: random.pick("WAL", "WAL", "DELETE", "TRUNCATE", "PERSIST"),
    synchronous: random.pick("NORMAL", "NORMAL", "FULL", "OFF"),
    parameters: {
      maxQueueBytes: random.pick(65_536, 67_108_864),
      onQueueFull: random.pick("block", "busy"),
      maxDelayMs: random.pick(5, 1000),
      checkpointBytes: random.pick(16_384, 1_048_576),
    },
  };
}

test(`terminated Workers harm nobody: ${PROCESSES * TERMINATIONS} terminations`, async () => {
  const random = Random.announced("terminate");
  for (let round = 0; round < PROCESSES; round++) {
    using folder = new Folder(random.oneIn(10) ? undefined : MEMORY);
    const plan = randomPlan(random, folder);
    try {
      using child = new Child(`
        const { begin } = await import(${JSON.stringify(program)});
        await begin(${JSON.stringify(plan)});
        process.exit(0);
      `);
      const { code, stdout, stderr } = await child.ended(120_000);
      assert.deepEqual([code, stderr], [0, ""], stdout);
      const [, last, ownLast] = stdout.match(/^last (\d+) (\d+)$/m)!;
      assert.equal(Number(ownLast), TERMINATIONS);
      assert.equal(lastIn(plan.ownPath), TERMINATIONS);
      // A Worker that is about to end may commit once more.
      assert.ok(lastIn(plan.path) >= Number(last));
    } catch (error) {
      console.log(`terminate: round ${round}:`, JSON.stringify(plan));
      throw error;
    }
  }
});
