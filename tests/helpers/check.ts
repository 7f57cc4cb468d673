/**
 * Checks that several tests make.
 *
 * @module
 */
import assert from "node:assert/strict";
import { open } from "../../examples/sqlite.ts";
import { AsyncVfsError } from "../../mod.ts";

/** The error that a function throws, or a promise rejects with, which must be ours. */
export async function errorOf(action: () => unknown): Promise<AsyncVfsError> {
  try {
    await action();
  } catch (error) {
    assert.ok(error instanceof AsyncVfsError, `not an AsyncVfsError: ${error}`);
    return error;
  }
  assert.fail("nothing was thrown");
}

/** The numbers in table t of a database, which must be sound, as plain SQLite reads it. */
export function numbersIn(path: string): number[] {
  using connection = open(path);
  assert.equal(connection.all("PRAGMA integrity_check")[0]?.integrity_check, "ok");
  return connection.all("SELECT n FROM t ORDER BY n").map((row) => Number(row.n));
}

/** The numbers from 1 on. */
export function numbersTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

/** Wait for something to become true. */
export async function until(condition: () => boolean, timeoutMs: number = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `not within ${timeoutMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
