/**
 * Libraries of other versions leave the folder where they were unpacked.
 *
 * A file's time says when it was last asked for, to the day: whoever finds it there makes that
 * time new, if it is older than a day, before anything else. What nobody has asked for in
 * {@linkcode KEPT_DAYS} is removed when another library is put there, that is, as a rule, after an
 * upgrade. Nothing else is touched than files of the user's that have such names as ours.
 *
 * A process may still have one of them loaded, if it has been running for that long. Linux and
 * macOS keep it for that process, Windows does not remove it. If a Worker of that process calls
 * install(), the file is unpacked again under the same name. Most loaders know the library by that;
 * musl's doesn't, and there this install() is refused.
 *
 * @module
 */
import { lstatSync, readdirSync, type Stats, unlinkSync, utimesSync } from "node:fs";
import { join } from "node:path";

/** How long a library is kept that nobody asks for. */
const KEPT_DAYS = 30;
const DAY_MS = 86_400_000;

/** A library under its hash, or one that was not there as a whole yet. */
const OURS = /^((lib)?sqlite3async-[0-9a-f]{64}\.\w+|\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/** Note that the library there is asked for, once a day, if it may be written. */
export function renew(path: string, { mtimeMs }: Stats): void {
  if (ageOf(mtimeMs) < 1 || !mayWrite(path)) return;
  try {
    utimesSync(path, new Date(), new Date());
  } catch {
    // It is on a read-only file system, or another user's.
  }
}

/** Remove what nobody has asked for in a long time. What cannot be removed stays. */
export function removeUnused(folder: string, isOurs: (status: Stats) => boolean): void {
  for (const name of namesIn(folder).filter((name) => OURS.test(name))) {
    const path = join(folder, name);
    try {
      const status = lstatSync(path);
      if (!status.isFile() || !isOurs(status) || ageOf(status.mtimeMs) < KEPT_DAYS) continue;
      unlinkSync(path);
    } catch {
      // Another process was faster, or, on Windows, it is in use.
    }
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // it may be written to and not be read
  }
}

/** Days that have passed since a time. */
function ageOf(timeMs: number): number {
  return (Date.now() - timeMs) / DAY_MS;
}

/** Deno would ask the user, for something that does not matter. */
function mayWrite(path: string): boolean {
  return !("Deno" in globalThis) ||
    Deno.permissions.querySync({ name: "write", path }).state === "granted";
}
