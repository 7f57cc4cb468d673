/** The disk of extension/slow.c: a VFS "slow" whose syncs and writes take a given time. @module */
import { resolve } from "node:path";
import process from "node:process";
import { currentRuntime } from "../ffi/runtime.ts";
import { open } from "../examples/sqlite.ts";
import { only } from "./databases.ts";

/** How long a sync and a write take, in milliseconds, beside what they take anyway. */
export interface Slowness {
  syncMs: number;
  writeMs: number;
}

/** The VFS's name. */
export const SLOW_VFS = "slow";

const SUFFIXES: Record<string, string> = { darwin: "libslow.dylib", win32: "slow.dll" };

/** How often the disk was called. */
export interface SlowCalls {
  syncs: number;
  writes: number;
}

/** Since it was registered. */
export function slowCalls(): SlowCalls {
  using connection = open(":memory:");
  const sql = "SELECT slow_disk_calls('sync') AS syncs, slow_disk_calls('write') AS writes";
  const [{ syncs, writes } = {}] = connection.all(sql);
  return { syncs: Number(syncs), writes: Number(writes) };
}

/** Register the VFS "slow". What it returns sets how slow it is. */
export async function registerSlowDisk(): Promise<(slowness: Slowness) => Promise<void>> {
  const library = resolve("zig-out/native-bench", SUFFIXES[process.platform] ?? "libslow.so");
  const runtime = await currentRuntime();
  runtime.loadExtension(library);
  return async ({ syncMs, writeMs }) => {
    using connection = open(":memory:");
    await only(connection, `SELECT slow_disk(${syncMs * 1000}, ${writeMs * 1000})`);
  };
}
