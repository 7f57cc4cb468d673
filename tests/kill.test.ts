/** SIGKILL takes what a commit's level lets it take, and nothing else. @module */
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { Folder, MEMORY } from "./helpers/folder.ts";
import type { KillPlan, Writer } from "./helpers/kill.ts";
import { canSlowSyncs, kill, type Killing, type Outcome } from "./helpers/killing.ts";
import { type Level, LEVELS } from "./helpers/levels.ts";
import { lastBefore } from "./helpers/numbered.ts";
import { Random } from "./helpers/random.ts";

/** At each level, with slow and with other syncs: 204 processes in a full run. */
const ROUNDS = process.env.SQLITE3ASYNC_TEST_FULL === undefined ? 2 : 34;
const SLOW_MS = 50;
/** From when to when processes are killed; those that only queue live for longer. */
const LIFE_MS = [100, 500] as const;
const QUEUED_LIFE_MS = [500, 2000] as const;
/** By which a clock may be off. */
const CLOCK_MS = 1;
/**
 * What SIGKILL takes at level queued is measured, by `./run bench window`, too. This is for what
 * can't be right, by the median of the threads that write a WAL, for the machine may be busy. A
 * rollback journal's writes are held up by its syncs.
 */
const LOST_MS_MAX = 1000;

function randomPlan(random: Random, level: Level, folder: Folder): KillPlan {
  const writer = (
    journalMode: Writer["journalMode"],
    told: string,
    ...names: string[]
  ): Writer => ({
    paths: names.map((name) => folder.file(name)),
    journalMode,
    synchronous: random.pick("NORMAL", "NORMAL", "FULL"),
    told: folder.file(told),
  });
  const writers: KillPlan["writers"] = [
    writer(random.pick("WAL", "DELETE"), "told-pair", "first.db", "second.db"),
    writer("WAL", "told-wal", "wal.db"),
    writer("DELETE", "told-delete", "delete.db"),
  ];
  if (random.oneIn(2)) writers.push(writer("WAL", "told-wal-too", "wal.db"));
  return {
    level,
    writers,
    parameters: {
      maxDelayMs: random.pick(5, 100, 1000),
      checkpointBytes: random.pick(131_072, 1_048_576, 67_108_864),
    },
  };
}

function check(level: Level, outcomes: Outcome[], { syncMs }: Killing): void {
  for (const { writer, told, found, lost } of outcomes) {
    const what = `${writer.paths}: found up to ${found}, told ${told.at(-1)?.n}`;
    if (level !== "queued") assert.equal(lost.length, 0, `${what}: ${lost.length} are lost`);
    // SQLite itself makes several databases' commits one piece with rollback journals only.
    if (writer.journalMode === "DELETE" && found.length > 1) {
      assert.equal(found[1], lastBefore(found[0]!, 1), `${what}: half a transaction`);
    }
    if (level !== "durable") continue;
    told.slice(1).forEach(({ n, atMs }, i) => {
      const tookMs = atMs - told[i]!.atMs;
      assert.ok(
        tookMs >= syncMs - CLOCK_MS,
        `${what}: commit ${n} took ${tookMs} ms, a sync ${syncMs} ms`,
      );
    });
  }
}

/** What became of all databases of a test, by their modes. */
class Totals {
  readonly #kinds: Record<string, Outcome[]> = {};

  add(outcomes: Outcome[]): void {
    for (const outcome of outcomes) {
      const { paths, journalMode, synchronous } = outcome.writer;
      const kind = `${journalMode}/${synchronous}${paths.length > 1 ? " pair" : ""}`;
      (this.#kinds[kind] ??= []).push(outcome);
    }
  }

  get told(): number {
    return Object.values(this.#kinds).flat().reduce((sum, { told }) => sum + told.length, 0);
  }

  /** How old the oldest is that a thread has lost of a WAL that no commit syncs. */
  get medianMs(): number {
    const outcomes = ["WAL/NORMAL", "WAL/NORMAL pair"].flatMap((kind) => this.#kinds[kind] ?? []);
    return medianOf(outcomes.map(({ lostMs }) => lostMs));
  }

  /** In words, a kind after the other. */
  toString(): string {
    return Object.entries(this.#kinds).toSorted().map(([kind, outcomes]) => {
      const sum = (what: "told" | "lost") =>
        outcomes.reduce((sum, { [what]: some }) => sum + some.length, 0);
      const ages = outcomes.map(({ lostMs }) => lostMs);
      if (sum("lost") === 0) return `${kind}: ${sum("told")} told, 0 lost`;
      return `${kind}: ${sum("told")} told, ${sum("lost")} lost, by ` +
        `${ages.filter((ms) => ms > 0).length} of ${ages.length} threads, the oldest ` +
        `${medianOf(ages).toFixed(1)} ms by the median, ${Math.max(...ages).toFixed(1)} ms at most`;
    }).join("; ");
  }
}

/** The lower one of the two in the middle; 0 of none. */
function medianOf(values: number[]): number {
  return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1] ?? 0;
}

for (const level of LEVELS) {
  for (const syncMs of [0, SLOW_MS]) {
    const skip = syncMs > 0 && !canSlowSyncs ? "syncs can be slowed down on Linux only" : false;
    const speed = syncMs > 0 ? `, ${syncMs} ms a sync` : "";
    test(`SIGKILL at level ${level}${speed}: ${ROUNDS} processes`, { skip }, async (context) => {
      const random = Random.announced("kill");
      const totals = new Totals();
      for (let round = 0; round < ROUNDS; round++) {
        using folder = new Folder(syncMs > 0 ? MEMORY : undefined);
        const plan = randomPlan(random, level, folder);
        const [least, most] = level === "queued" ? QUEUED_LIFE_MS : LIFE_MS;
        const killing = { syncMs, afterMs: least + random.below(most - least) };
        try {
          const outcomes = await kill(plan, killing);
          check(level, outcomes, killing);
          totals.add(outcomes);
        } catch (error) {
          console.log(`kill: round ${round}:`, JSON.stringify(killing), JSON.stringify(plan));
          throw error;
        }
      }
      context.diagnostic?.(`${level}${speed}: ${totals}`);
      assert.ok(totals.told > 0);
      assert.ok(totals.medianMs <= LOST_MS_MAX, `${totals}`);
    });
  }
}
