import assert from "node:assert/strict";
import { cpSync, renameSync, statSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import type { CommitLevel } from "../mod.ts";
import { Child, type Ended } from "./helpers/child.ts";
import type { Ending, Plan } from "./helpers/ending.ts";
import { Folder, MEMORY } from "./helpers/folder.ts";
import { lastBefore, lastIn } from "./helpers/numbered.ts";
import { Random } from "./helpers/random.ts";
import { remove } from "./helpers/remove.ts";

const ROUNDS = process.env.SQLITE3ASYNC_TEST_FULL === undefined ? 10 : 500;
/** Processes that run at a time. */
const LANES = 2;
/** What a database grows to by rounds that go on where the last one ended. */
const LARGE_BYTES = 500_000;

const isDeno = "Deno" in globalThis;
const isWindows = process.platform === "win32";
const program = new URL("./helpers/ending.ts", import.meta.url).href;

/** How a process may end, and what it leaves then. */
interface Kind {
  endings: [Ending, ...Ending[]];
  /** If it is not the default. */
  drainOnSignals?: boolean;
  /** If it is not the default. */
  commit?: [CommitLevel, ...CommitLevel[]];
  /** Are all commits there afterwards, or only those that were applied? */
  keepsAll: boolean;
  rounds: number;
  /** By signals that a program can catch. */
  isOfPosix?: boolean;
}

const exits: [Ending, ...Ending[]] = ["return", "process.exit"];
if (isDeno) exits.push("Deno.exit");

const kinds: Record<string, Kind> = {
  "an exit leaves every commit": {
    endings: exits,
    drainOnSignals: false, // without a signal it does nothing
    keepsAll: true,
    rounds: ROUNDS,
  },
  "an uncaught error leaves every commit": {
    endings: ["throw", "rejection"],
    keepsAll: true,
    rounds: ROUNDS,
  },
  "a signal leaves every commit": {
    endings: ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR2"],
    keepsAll: true,
    rounds: 2 * ROUNDS,
    isOfPosix: true,
  },
  "a signal without drainOnSignals leaves what was applied": {
    endings: ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR2"],
    drainOnSignals: false,
    keepsAll: false,
    rounds: ROUNDS / 5, // it is like SIGKILL
    isOfPosix: true,
  },
  "SIGKILL leaves what was applied": {
    endings: ["SIGKILL", "killed"],
    keepsAll: false,
    rounds: ROUNDS,
  },
  "SIGKILL at level applied leaves every commit": {
    endings: ["SIGKILL"],
    commit: ["applied", "applied", "durable"],
    keepsAll: true,
    rounds: ROUNDS,
  },
};

function randomPlan(random: Random, kind: Kind, paths: string[], last: number): Plan {
  const ending = random.pick(...kind.endings);
  const lifeMs = 10 + random.below(100);
  const pageSize = random.pick(512, 4096, 4096, 65_536);
  return {
    paths,
    seed: random.below(1_000_000_000),
    last,
    journalMode: random.pick("WAL", "WAL", "WAL", "DELETE", "TRUNCATE", "PERSIST"),
    synchronous: random.pick("NORMAL", "NORMAL", "FULL", "EXTRA", "OFF"),
    pageSize,
    routed: random.oneIn(3),
    connections: random.pick(1, 1, 3),
    workers: random.pick(0, 0, 0, 1, 2),
    burst: random.pick(10, 100),
    stepMs: MEMORY !== undefined && paths[0]!.startsWith(MEMORY) ? 0.02 : 3,
    waits: random.oneIn(3),
    parameters: {
      delayMs: random.pick(0, 0, 1), // so that much is queued at the end
      checkpointBytes: random.pick(1, 16_384, 131_072, 1_048_576),
      checkpointIdleMs: random.pick(0, 5, 1000),
      maxDelayMs: random.pick(0, 5, 1000),
      maxQueueBytes: random.pick(Math.max(65_536, 4 * pageSize), 67_108_864, 67_108_864),
      onQueueFull: random.pick("block", "block", "busy"),
      maxWalBytes: random.pick(262_144, 4_194_304, 1_073_741_824),
      maxLockHoldMs: random.pick(20, 1000, 1000),
      ...(kind.commit === undefined ? {} : { commit: random.pick(...kind.commit) }),
      ...(kind.drainOnSignals === undefined ? {} : { drainOnSignals: kind.drainOnSignals }),
    },
    ending,
    lifeMs: isSignal(ending) && !random.oneIn(3) ? 1e9 : lifeMs,
    leaves: random.pick("nothing open", "connections", "a transaction", "a flush"),
  };
}

/** Does SQLite commit to several databases in one piece? */
function isAtomic({ journalMode, synchronous }: Plan): boolean {
  return journalMode !== "WAL" && synchronous !== "OFF";
}

/** Ends it when its parent chooses to? */
function isSignal(ending: Ending): boolean {
  return ending.startsWith("SIG");
}

/** What a process said of each database: the last transaction that is so safe. */
interface Claims {
  committed: number[];
  applied: number[];
  durable: number[];
}

/** A line that the end cut off has no number, or the start of one, which is less. */
function claimsIn(stdout: string): Claims {
  const claims: Claims = { committed: [0, 0], applied: [0, 0], durable: [0, 0] };
  for (const [, how, index, n] of stdout.matchAll(/^(committed|applied|durable) (\d) (\d+)$/gm)) {
    const most = claims[how as keyof Claims];
    most[Number(index)] = Math.max(most[Number(index)]!, Number(n));
  }
  return claims;
}

/** On Windows a Worker may be killed while it commits, too late to be waited for. */
const GAVE_UP = /^sqlite3async: exit: .*: a thread was ended in the middle of its work$/m;

/** Check that it ended as it was to, and said nothing but what it had to. */
function checkEnd(plan: Plan, { code, signal, stdout, ...ended }: Ended): void {
  const mayGiveUp = isWindows && plan.workers > 0;
  const stderr = mayGiveUp ? ended.stderr.replace(GAVE_UP, "").trim() : ended.stderr;
  const said = `${JSON.stringify({ code, signal })} ${stdout.slice(-300)} ${stderr}`;
  assert.doesNotMatch(stdout, /^failed/m, said);
  const codes: Partial<Record<Ending, number>> = {
    "return": 0,
    "process.exit": 3,
    "Deno.exit": 4,
    "throw": 1,
    "rejection": 1,
  };
  const wanted = codes[plan.ending];
  if (wanted !== undefined) assert.deepEqual([code, signal], [wanted, null], said);
  else if (isWindows) assert.notEqual(code, 0, said); // it has no word for this end
  else assert.equal(signal, plan.ending === "killed" ? "SIGKILL" : plan.ending, said);
  const thrown = plan.ending === "throw" || plan.ending === "rejection";
  if (thrown) assert.match(stderr, /on purpose/);
  else assert.equal(stderr, "");
  assert.doesNotMatch(stderr, /sqlite3async:/);
}

interface Total {
  rounds: number;
  transactions: number;
  /** Rounds that continued where another ended. */
  continued: number;
  /** Rounds that had something queued at the end. */
  queued: number;
  /** Transactions that are known to have been committed, and are not there. */
  lost: number;
  durable: number;
}

/** One process after another, on databases of its own. */
class Lane {
  readonly #random: Random;
  readonly #total: Total;
  #folder: Folder | undefined;
  #paths: string[] = [];
  #last = 0;

  constructor(random: Random, total: Total) {
    this.#random = random;
    this.#total = total;
  }

  async round(kind: Kind): Promise<void> {
    const fresh = this.#isUsedUp();
    if (fresh) this.#startAnew();
    const plan = randomPlan(this.#random, kind, this.#paths, this.#last);
    const afterMs = this.#random.below(150);
    try {
      const claims = await this.#run(plan, afterMs);
      this.#check(plan, kind, claims);
    } catch (error) {
      console.log(
        `ending: round ${this.#total.rounds}, after ${afterMs} ms:`,
        JSON.stringify(plan),
      );
      throw error;
    }
    this.#total.rounds++;
    if (!fresh) this.#total.continued++;
  }

  #isUsedUp(): boolean {
    if (this.#folder === undefined || this.#random.oneIn(4)) return true;
    return statSync(this.#paths[0]!).size > LARGE_BYTES;
  }

  #startAnew(): void {
    this.close();
    this.#folder = new Folder(this.#random.oneIn(20) ? undefined : MEMORY);
    const names = this.#random.oneIn(4) ? ["a.db", "b.db"] : ["a.db"];
    this.#paths = names.map((name) => this.#folder!.file(name));
    this.#last = 0;
  }

  /**
   * What it said of commits before its end began, and all that it said of the rest: its Workers
   * go on while it ends, and what they commit then is not waited for.
   */
  async #run(plan: Plan, afterMs: number): Promise<Claims> {
    using child = new Child(`
      const { begin } = await import(${JSON.stringify(program)});
      await begin(${JSON.stringify(plan)});
    `);
    await child.printed("ready");
    let before = "";
    if (isSignal(plan.ending)) {
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      before = child.stdout;
      child.kill(plan.ending as NodeJS.Signals);
    }
    const ended = await child.ended(60_000);
    checkEnd(plan, ended);
    const claims = claimsIn(ended.stdout);
    if (!isSignal(plan.ending)) before = ended.stdout.slice(0, ended.stdout.indexOf("\nending"));
    claims.committed = claimsIn(before).committed;
    const queued = [...before.matchAll(/^queued (\d+)$/gm)].at(-1)?.[1];
    if (Number(queued) > 0) this.#total.queued++;
    return claims;
  }

  #check(plan: Plan, kind: Kind, claims: Claims): void {
    const found = this.#random.oneIn(2) ? this.#find() : this.#findInCopy();
    found.forEach((last, index) => {
      const promised = Math.max(
        plan.last === 0 ? 0 : lastBefore(plan.last, index),
        claims.applied[index]!,
        claims.durable[index]!,
        kind.keepsAll ? claims.committed[index]! : 0,
      );
      const name = this.#paths[index];
      assert.ok(last >= promised, `${name} ends with ${last}: ${JSON.stringify(claims)}`);
      this.#total.lost += Math.max(0, claims.committed[index]! - last);
    });
    const [last] = found as [number];
    const together = found.every((other, index) => other === lastBefore(last, index));
    if (isAtomic(plan)) assert.ok(together, `half a transaction: ${found}`);
    if (!together) this.close();
    this.#total.transactions += last - plan.last;
    this.#total.durable += Math.max(0, claims.durable[0]! - plan.last);
    this.#last = last;
  }

  /** What plain SQLite finds. It recovers the databases, if they need it. */
  #find(): number[] {
    return this.#paths.map(lastIn);
  }

  /** The same, with a copy that is in its place meanwhile, for journals know files by name. */
  #findInCopy(): number[] {
    const { path } = this.#folder!;
    const aside = `${path}-aside`;
    renameSync(path, aside);
    try {
      cpSync(aside, path, { recursive: true });
      return this.#find();
    } finally {
      remove(path);
      renameSync(aside, path);
    }
  }

  close(): void {
    this.#folder?.[Symbol.dispose]();
    this.#folder = undefined;
  }
}

for (const [name, kind] of Object.entries(kinds)) {
  test(
    `${name}: ${kind.rounds} processes`,
    { skip: isWindows && kind.isOfPosix ? "Windows has no such signals" : false },
    async (context) => {
      const random = Random.announced("ending");
      const total = { rounds: 0, transactions: 0, continued: 0, queued: 0, lost: 0, durable: 0 };
      const lanes = Array.from({ length: LANES }, () => {
        return new Lane(new Random(random.below(2 ** 31)), total);
      });
      let left = kind.rounds;
      await Promise.all(lanes.map(async (lane) => {
        try {
          while (left-- > 0) await lane.round(kind);
        } finally {
          left = 0; // if this one failed
          lane.close();
        }
      }));
      context.diagnostic?.(JSON.stringify(total));
      const said = JSON.stringify(total);
      assert.equal(total.rounds, kind.rounds, said);
      if (kind.rounds >= 10) assert.ok(total.transactions > 0, said);
      if (kind.rounds >= 10 && !kind.commit) assert.ok(total.queued > 0, said);
      if (kind.rounds >= 100) assert.ok(total.durable > kind.rounds, said);
      if (kind.keepsAll) assert.equal(total.lost, 0);
    },
  );
}
