/**
 * Being woken by the writer's thread. See csrc/notify.c.
 *
 * @module
 */
import process from "node:process";
import { AsyncVfsError } from "./errors.ts";

/**
 * How much this environment (the main thread or a Worker) cares to be woken:
 * not at all, or for events, which keeps no process alive, or for a pending
 * flush, which does.
 */
export const Interest = { idle: 0, listening: 1, waiting: 2 } as const;

/** One of the values of {@linkcode Interest}. */
export type Interest = (typeof Interest)[keyof typeof Interest];

interface Addon {
  subscribe?: (wake: () => void) => (interest: Interest) => void;
}

/**
 * Have `wake` called, on this thread, after something happened that is worth a
 * look. Returns the function that sets how much this environment cares; it
 * starts as {@linkcode Interest.idle}.
 *
 * @param path The library's path: its file is a Node-API addon too.
 */
export function subscribe(path: string, wake: () => void): (interest: Interest) => void {
  const addon: { exports: Addon } = { exports: {} };
  process.dlopen(addon, path);
  if (addon.exports.subscribe === undefined) {
    const message = `Cannot wait for the writer: this runtime gave "${path}" no Node-API`;
    throw new AsyncVfsError(message, { codeName: "SQLITE_ERROR", operation: "install", path });
  }
  return addon.exports.subscribe(wake);
}
