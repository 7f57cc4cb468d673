/**
 * Runs scenarios through each door, each door in a process of its own, so that a test can compare
 * what was seen with what plain SQLite gives.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { isDeepStrictEqual } from "node:util";
import { type AsyncVfs, install } from "../../mod.ts";
import { Child, type Ended } from "./child.ts";
import { Folder } from "./folder.ts";
import { Random } from "./random.ts";
import { type Door, type Kind, type Mode, MODES, Stage } from "./stage.ts";

/** Milliseconds after which the scenarios look once more. */
const LATER_MS = 1500;
/** Milliseconds that the end of a process may take. */
const END_MS = 1500;

/** What a process does. */
export interface Plan {
  /** The URL of the module that exports the scenarios as `kinds`. */
  module: string;
  names: string[];
  modes: Mode[];
  door: Door;
  folder: string;
  /** Milliseconds that the writer pauses after each step. */
  delayMs: number;
  seed: number;
}

/** A part of what was seen of a scenario. */
interface Seen {
  name: string;
  mode: Mode;
  seen: Record<string, unknown>;
}

/** An event, and the database it is about. */
interface Happened {
  path: string;
  what: string;
}

/** What a process has told. */
interface Told {
  seen: Map<string, Record<string, unknown>>;
  ended: Ended | undefined;
  /** Why it has told no more. */
  reason: string;
  /** Milliseconds from the program's last line to the end of the process. */
  endMs: number;
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The child's part: play the scenarios, one after the other. */
export async function play(plan: Plan): Promise<void> {
  const { kinds } = await import(plan.module) as { kinds: Record<string, Kind> };
  const events: Happened[] = [];
  const vfs = plan.door === "plain" ? undefined : await installed(plan, events);
  const random = new Random(plan.seed);
  const plays: { name: string; stage: Stage }[] = [];
  for (const name of plan.names) {
    for (const mode of plan.modes) {
      const folder = join(plan.folder, `${plays.length}`);
      const stage = new Stage({ folder, mode, door: plan.door, random }, vfs);
      stage.pause(plan.delayMs);
      tell(name, stage, { at_once: await shown(() => kinds[name]!(stage)) });
      plays.push({ name, stage });
    }
  }
  if (plays.some(({ stage }) => stage.afterwards.size > 0)) await sleep(LATER_MS);
  for (const { name, stage } of plays) {
    for (const [what, look] of stage.afterwards) tell(name, stage, { [what]: await shown(look) });
  }
  await sleep(50); // for events
  for (const { name, stage } of plays) {
    const own = events.filter(({ path }) => path.startsWith(`${stage.folder}/`));
    tell(name, stage, { late: stage.late, events: own.map(({ what }) => what) });
  }
  console.log(`ending ${Date.now()}`);
}

async function installed(plan: Plan, events: Happened[]): Promise<AsyncVfs> {
  const vfs = await install({ makeDefault: plan.door === "default" });
  for (const type of ["error", "diskfull"] as const) {
    vfs.addEventListener(type, ({ path, error }) => {
      events.push({ path, what: `${type} event: ${error?.message}` });
    });
  }
  return vfs;
}

/** What something returns or rejects with, which must not end the process. */
async function shown(action: () => unknown): Promise<unknown> {
  try {
    return await action() ?? "nothing";
  } catch (error) {
    return `thrown: ${(error as Error).stack}`;
  }
}

function tell(name: string, { mode, folder }: Stage, seen: Seen["seen"]): void {
  const part = JSON.stringify({ name, mode, seen } satisfies Seen);
  console.log(`seen ${part.replaceAll(`${folder}/`, "").replaceAll(folder, ".")}`);
}

/** Which journal modes a door is tried with, unless it is a full run: all of them by one door. */
const MODES_OF: Record<Door, readonly Mode[]> = {
  plain: MODES,
  uri: MODES,
  route: ["WAL", "TRUNCATE"],
  default: ["DELETE", "PERSIST"],
};
/** With pauses much is queued at every close. */
const PAUSES_MS: Record<Door, number> = { plain: 0, uri: 20, route: 0, default: 5 };
const DOORS = ["uri", "route", "default"] as const;

const full = process.env.SQLITE3ASYNC_TEST_FULL !== undefined;

/** A group of scenarios that share their processes: one for each door. */
export class Group {
  readonly #plan: Pick<Plan, "module" | "names" | "seed">;
  readonly #modes: readonly Mode[];
  readonly #timeoutMs: number;
  #told: Promise<Map<Door, Told>> | undefined;

  /** @param modes Which of the modes, if it is not a full run. */
  constructor(
    plan: { module: string; names: string[] },
    { modes = MODES, timeoutMs = 60_000 }: { modes?: readonly Mode[]; timeoutMs?: number } = {},
  ) {
    const { seed } = Random.announced(plan.names[0]!);
    this.#plan = { ...plan, seed };
    this.#modes = full ? MODES : modes;
    this.#timeoutMs = full ? 4 * timeoutMs : timeoutMs;
  }

  /** Check that a scenario gives through each door what it gives with plain SQLite. */
  async compare(name: string): Promise<void> {
    const told = await this.#run();
    const plain = told.get("plain")!;
    const wanted: Record<string, unknown> = {};
    const found: Record<string, unknown> = {};
    for (const door of DOORS) {
      const { seen, reason } = told.get(door)!;
      for (const mode of this.#modesOf(door)) {
        const key = `${name} ${mode}`;
        assert.ok(plain.seen.has(key), `plain SQLite gave nothing for ${key}: ${plain.reason}`);
        const given: Seen["seen"] = {
          ...seen.get(key),
          ...(seen.get(key)?.events ? {} : { reason }),
        };
        // Where plain SQLite is late, too, it is the disk's fault.
        const isSlow = (plain.seen.get(key)!.late as unknown[] | undefined)?.length !== 0;
        const right = { ...plain.seen.get(key), late: isSlow ? given.late : [] };
        if (isDeepStrictEqual(given, right)) continue;
        wanted[`${door} ${mode}`] = right;
        found[`${door} ${mode}`] = given;
      }
    }
    assert.deepEqual(found, wanted);
  }

  /** Check that the processes end well, at once, and with nothing on stderr. */
  async compareEnds(): Promise<void> {
    const told = await this.#run();
    for (const door of DOORS) {
      const { ended, reason, endMs } = told.get(door)!;
      assert.deepEqual([door, reason, ended?.code, ended?.stderr], [door, "", 0, ""]);
      assert.ok(endMs < END_MS, `${door}: the process ended after ${endMs} ms`);
    }
  }

  #modesOf(door: Door): Mode[] {
    return this.#modes.filter((mode) => full || MODES_OF[door].includes(mode));
  }

  /** What the processes tell. They run at the same time, for they mostly wait. */
  #run(): Promise<Map<Door, Told>> {
    const doors = ["plain", ...DOORS] as const;
    return this.#told ??= Promise.all(
      doors.map(async (door) => [door, await this.#begin(door)] as const),
    ).then((told) => new Map(told));
  }

  async #begin(door: Door): Promise<Told> {
    using folder = new Folder();
    const modes = this.#modesOf(door);
    const delayMs = PAUSES_MS[door];
    const plan: Plan = { ...this.#plan, door, modes, delayMs, folder: folder.path };
    using child = new Child(`
      const { play } = await import(${JSON.stringify(import.meta.url)});
      await play(${JSON.stringify(plan)});
    `);
    return await this.#follow(child);
  }

  async #follow(child: Child): Promise<Told> {
    const told: Told = { seen: new Map(), ended: undefined, reason: "", endMs: 0 };
    try {
      told.ended = await child.ended(this.#timeoutMs);
      if (told.ended.code !== 0) told.reason = `exit code ${told.ended.code}, ${told.ended.stderr}`;
    } catch (error) {
      const last = child.stdout.match(/^seen (.{1,80})/gm)?.at(-1);
      told.reason = `${(error as Error).message.split(":")[0]}; the last that it told is: ${last}`;
    }
    const endingAt = child.stdout.match(/^ending (\d+)$/m)?.[1];
    told.endMs = Date.now() - Number(endingAt ?? Date.now());
    for (const [, line] of child.stdout.matchAll(/^seen (.*)$/gm)) {
      const { name, mode, seen } = JSON.parse(line!) as Seen;
      const key = `${name} ${mode}`;
      told.seen.set(key, { ...told.seen.get(key), ...seen });
    }
    return told;
  }
}
