/**
 * The module's parameters: their numbers in csrc/sqlite3async.h, and what values
 * they take. The option of install() and the property of {@linkcode AsyncVfs}
 * of the same name are both made of this.
 *
 * @module
 */
import { type AsyncVfsError, misuse, shown } from "./errors.ts";

/** When the writer pauses. */
export type Halt = "never" | "now" | "idle";

/** What a full queue does to the caller. */
export type OnQueueFull = "block" | "busy";

const INT_MAX = 2_147_483_647;

/**
 * What a commit waits for: nothing; that its writes were handed to the operating system, so that
 * SIGKILL takes nothing; or that they are synced.
 */
export type CommitLevel = "queued" | "applied" | "durable";

/** What a parameter takes: words (their index is the number), a whole number, or true and false. */
type Kind = { words: readonly string[] } | { min?: number; max: number } | "switch";

const kinds = {
  halt: { verb: 1, initial: 0, kind: { words: ["never", "now", "idle"] } },
  delayMs: { verb: 3, initial: 0, kind: { max: INT_MAX } },
  lockFiles: { verb: 5, initial: 1, kind: "switch" },
  maxQueueBytes: { verb: 16, initial: 64 * 2 ** 20, kind: { max: Number.MAX_SAFE_INTEGER } },
  onQueueFull: { verb: 17, initial: 0, kind: { words: ["block", "busy"] } },
  maxDelayMs: { verb: 18, initial: 1000, kind: { max: INT_MAX } },
  maxLockHoldMs: { verb: 19, initial: 1000, kind: { max: INT_MAX } },
  diskFullRetryMs: { verb: 20, initial: 30_000, kind: { max: INT_MAX } },
  drainOnExit: { verb: 21, initial: 1, kind: "switch" },
  exitDrainMs: { verb: 22, initial: 10_000, kind: { max: INT_MAX } },
  drainOnSignals: { verb: 23, initial: 1, kind: "switch" },
  checkpointBytes: { verb: 24, initial: 16 * 2 ** 20, kind: { max: Number.MAX_SAFE_INTEGER } },
  checkpointIdleMs: { verb: 25, initial: 1000, kind: { max: INT_MAX } },
  maxWalBytes: { verb: 26, initial: 2 ** 30, kind: { max: Number.MAX_SAFE_INTEGER } },
  writers: { verb: 27, initial: 4, kind: { min: 1, max: 16 } },
  pollUs: { verb: 28, initial: 500, kind: { max: 1_000_000 } },
  commit: { verb: 29, initial: 0, kind: { words: ["queued", "applied", "durable"] } },
} as const satisfies Record<string, { verb: number; initial: number; kind: Kind }>;

/** A parameter's name. */
export type ParameterName = keyof typeof kinds;

type ValueOf<K> = K extends "switch" ? boolean
  : K extends { words: readonly (infer Word)[] } ? Word
  : number;

/** The type of a parameter's value. */
export type ParameterValue<Name extends ParameterName> = ValueOf<(typeof kinds)[Name]["kind"]>;

/** Is there a parameter of this name? */
export function isParameter(name: string): name is ParameterName {
  return Object.hasOwn(kinds, name);
}

/** The names of all. */
export function parameterNames(): ParameterName[] {
  return Object.keys(kinds) as ParameterName[];
}

/** A parameter's number in the C interface. */
export function verbOf(name: ParameterName): number {
  return kinds[name].verb;
}

/** What a parameter is after install() if nobody sets it. */
export function defaultOf(name: ParameterName): number {
  return kinds[name].initial;
}

/** A value as the C interface wants it. Throws if the parameter doesn't take it. */
export function encode(name: ParameterName, value: unknown): number {
  const kind: Kind = kinds[name].kind;
  if (kind === "switch") {
    if (typeof value !== "boolean") throw badValue(name, value, "true or false");
    return value ? 1 : 0;
  }
  if ("words" in kind) {
    const index = kind.words.indexOf(value as string);
    const wanted = kind.words.map((word) => `"${word}"`).join(" or ");
    if (index < 0) throw badValue(name, value, wanted);
    return index;
  }
  const { min = 0, max } = kind;
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
    throw badValue(name, value, `a whole number from ${min} to ${max}`);
  }
  return value as number;
}

/** A value of the C interface as JavaScript sees it. */
export function decode<Name extends ParameterName>(
  name: Name,
  value: number,
): ParameterValue<Name> {
  const kind: Kind = kinds[name].kind;
  const decoded = kind === "switch" ? value !== 0 : "words" in kind ? kind.words[value] : value;
  return decoded as ParameterValue<Name>;
}

function badValue(name: string, value: unknown, wanted: string): AsyncVfsError {
  return misuse(name, `Cannot set ${name} to ${shown(value)}: it must be ${wanted}`);
}
