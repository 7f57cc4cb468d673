/**
 * The VFS is one for all test files of a process: what a test changes it must
 * put back, also when it fails.
 *
 * @module
 */
import type { AsyncVfs } from "../../mod.ts";

const NAMES = [
  "halt",
  "delayMs",
  "maxQueueBytes",
  "onQueueFull",
  "maxDelayMs",
  "maxLockHoldMs",
  "diskFullRetryMs",
  "checkpointBytes",
  "checkpointIdleMs",
  "maxWalBytes",
  "commit",
] as const;

/** The parameters as they are now, put back at the end of the scope that uses it. */
export class Settings implements Disposable {
  readonly #vfs: AsyncVfs;
  readonly #kept: Record<string, unknown>;

  constructor(vfs: AsyncVfs) {
    this.#vfs = vfs;
    this.#kept = Object.fromEntries(NAMES.map((name) => [name, vfs[name]]));
  }

  [Symbol.dispose](): void {
    Object.assign(this.#vfs, this.#kept);
    this.#vfs.start();
  }
}

/** Make the writer pause after each step; effective for what is committed from now on. */
export async function slowDown(vfs: AsyncVfs, delayMs: number): Promise<void> {
  await vfs.flush();
  vfs.delayMs = delayMs;
  // A turn of the writer that is under way was begun without the pause.
  await new Promise((resolve) => setTimeout(resolve, 20));
}
