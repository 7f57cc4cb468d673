/**
 * The signals at which what is queued is written.
 *
 * @module
 */
import type { Native } from "./native.ts";
import { verbOf } from "./parameters.ts";
import type { Runtime } from "./runtime.ts";

/** Their names, in the order of csrc/sqlite3async.h. */
const names = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR2"] as const;

/** One of these signals. */
export type SignalName = (typeof names)[number];

// In csrc/sqlite3async.h.
const IGNORED_SIGNALS = 64;
const COVER_HANDLERS = 65;
const UNLESS_SET = 2;

/** Prepare for handlers, before there are any. */
export function prepareSignals(native: Native, runtime: Runtime): void {
  native.set(COVER_HANDLERS, runtime.keepsSignalHandlers ? 1 : 0, "drainOnSignals");
  runtime.claimSignals(heededSignals(native));
}

/** Those that the process does not ignore. */
function heededSignals(native: Native): SignalName[] {
  const ignored = native.get(IGNORED_SIGNALS, "install");
  return names.filter((_, index) => (ignored >> index & 1) === 0);
}

/**
 * Have handlers in place wherever a signal has its default effect, unless somebody has set
 * `drainOnSignals` to false.
 */
export function watchSignals(native: Native): void {
  native.set(verbOf("drainOnSignals"), UNLESS_SET, "drainOnSignals");
}
