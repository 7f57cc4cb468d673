import assert from "node:assert/strict";
import { copyFileSync, existsSync, rmSync, statSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { Child } from "./helpers/child.ts";
import { Folder } from "./helpers/folder.ts";
import { lastIn, type Plan } from "./helpers/kill.ts";
import { Random } from "./helpers/random.ts";

const ROUNDS = process.env.SQLITE3ASYNC_TEST_FULL === undefined ? 8 : 200;
/** One process only adds so much. */
const LARGE_BYTES = 20_000_000;

function randomPlan(random: Random, path: string, last: number): Plan {
  return {
    path,
    last,
    seed: random.below(1_000_000_000),
    connections: random.pick(1, 1, 3),
    workers: random.pick(0, 0, 1, 2),
    synchronous: random.pick("NORMAL", "FULL", "OFF"),
    pageSize: random.pick(512, 4096, 4096, 65_536),
    burst: random.pick(10, 100),
    waits: random.oneIn(3),
    parameters: {
      delayMs: random.pick(0, 1, 10), // so that much is queued at the end
      checkpointBytes: random.pick(1, 16_384, 131_072, 1_048_576),
      checkpointIdleMs: random.pick(0, 5, 1000),
      maxDelayMs: random.pick(0, 5, 1000),
      maxQueueBytes: random.pick(65_536, 67_108_864, 67_108_864),
      maxWalBytes: random.pick(262_144, 4_194_304, 1_073_741_824),
    },
  };
}

const program = new URL("./helpers/kill.ts", import.meta.url).href;

/** Run a process by the plan and kill it; the last transaction it knew to be durable. */
async function killed(plan: Plan, afterMs: number): Promise<number> {
  using child = new Child(`
    const { begin } = await import(${JSON.stringify(program)});
    await begin(${JSON.stringify(plan)});
  `);
  await child.printed("ready");
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  try {
    child.kill("SIGKILL");
  } catch {
    // It ended by itself: see below.
  }
  const { signal, stdout, stderr } = await child.ended();
  assert.equal(signal, "SIGKILL", stdout.slice(-500) + stderr);
  assert.equal(stderr, "");
  // A line that the kill cut off has no number, or the start of one.
  const lines = [...stdout.matchAll(/^durable (\d+)$/gm)];
  return lines.reduce((most, [, n]) => Math.max(most, Number(n)), plan.last);
}

/** The database as the kill left it, for plain SQLite to recover; the original is not touched. */
function lastInCopy(folder: Folder, path: string): number {
  const copy = folder.file("copy.db");
  for (const suffix of ["", "-wal", "-shm", "-journal"]) {
    rmSync(copy + suffix, { force: true });
    if (existsSync(path + suffix)) copyFileSync(path + suffix, copy + suffix);
  }
  return lastIn(copy);
}

test(
  `SIGKILL in WAL mode leaves whole transactions, all durable ones among them: ${ROUNDS} rounds`,
  {
    skip: process.platform === "win32" ? "no signals" : false,
  },
  async (context) => {
    const random = Random.announced("kill");
    using folder = new Folder();
    let path = "";
    let last = 0;
    const total = { transactions: 0, durable: 0, continued: 0, unsynced: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      const fresh = path === "" || random.oneIn(4) || statSync(path).size > LARGE_BYTES;
      if (fresh) {
        if (path !== "") {
          for (const suffix of ["", "-wal", "-shm"]) {
            rmSync(path + suffix, { force: true });
          }
        }
        path = folder.file(`${round}.db`);
        last = 0;
      }
      const plan = randomPlan(random, path, last);
      const afterMs = 50 + random.below(350);
      try {
        const durable = await killed(plan, afterMs);
        last = lastInCopy(folder, path);
        assert.ok(last >= durable, `transactions up to ${durable} were durable, found are ${last}`);
        if (random.oneIn(3)) assert.equal(lastIn(path), last); // so plain SQLite recovers it
        total.transactions += last - plan.last;
        total.durable += durable - plan.last;
        total.unsynced += last - durable;
        total.continued += fresh ? 0 : 1;
      } catch (error) {
        console.log(`kill: round ${round}, after ${afterMs} ms:`, JSON.stringify(plan));
        throw error;
      }
    }
    context.diagnostic?.(JSON.stringify(total));
    assert.ok(total.transactions > ROUNDS * 20, JSON.stringify(total));
    assert.ok(total.durable > ROUNDS * 5, JSON.stringify(total));
  },
);
