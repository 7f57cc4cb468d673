/**
 * Being woken by the writer's thread. See csrc/notify.c.
 *
 * @module
 */
import type { Addon } from "./addon.ts";

/**
 * How much this environment (the main thread or a Worker) cares to be woken:
 * not at all, or for events, which keeps no process alive, or for a pending
 * flush, which does.
 */
export const Interest = { idle: 0, listening: 1, waiting: 2 } as const;

/** One of the values of {@linkcode Interest}. */
export type Interest = (typeof Interest)[keyof typeof Interest];

/**
 * Have `wake` called, on this thread, after something happened that is worth a
 * look. Returns the function that sets how much this environment cares; it
 * starts as {@linkcode Interest.idle}.
 *
 * @param addon The library, loaded into this environment.
 */
export function subscribe(addon: Addon, wake: () => void): (interest: Interest) => void {
  return addon.subscribe(() => {
    try {
      wake();
    } catch (error) {
      // Node would swallow what comes out of here.
      queueMicrotask(() => {
        throw error;
      });
    }
  });
}
