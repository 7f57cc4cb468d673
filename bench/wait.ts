/**
 * How long it takes from a commit being durable to the awaited flush() going on.
 *
 *     ./run build && deno run -A bench/wait.ts    (or: bun bench/wait.ts)
 *
 * A Worker spins on the durable mark and notes the moment it moves; the main
 * thread notes the moment its await returns. Beside vfs.flush(), the other ways
 * to wait that were considered: a timer that looks at the mark every
 * millisecond and, in Deno, a nonblocking call of the blocking flush.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { open } from "../examples/sqlite.ts";
import { locateLibrary, openLibrary } from "../ffi/library.ts";
import { Native } from "../ffi/native.ts";
import { currentRuntime } from "../ffi/runtime.ts";
import { install } from "../mod.ts";
import type { Shared } from "./wait_worker.ts";

const ROUNDS = 400;
const MICROSECONDS_MAX = 300;

const vfs = await install();
const runtime = await currentRuntime();
const library = locateLibrary(runtime);
const native = new Native(openLibrary(runtime, library));

const shared: Shared = {
  library,
  ticket: new BigInt64Array(new SharedArrayBuffer(16)),
  reachedMs: new Float64Array(new SharedArrayBuffer(8)),
};
const worker = new Worker(new URL("./wait_worker.ts", import.meta.url), { type: "module" });
worker.postMessage(shared);

const ways: Record<string, () => Promise<unknown>> = {
  "vfs.flush()": () => vfs.flush(),
  "1 ms timer": async () => {
    const tickets = native.flushBegin(undefined);
    while (tickets.some(({ stream, position }) => native.durable(stream) < position)) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  },
};
if ("Deno" in globalThis) {
  const { symbols } = Deno.dlopen(library, {
    sqlite3async_flush: { parameters: ["buffer", "i32"], result: "i32", nonblocking: true },
  });
  ways["nonblocking call"] = () => symbols.sqlite3async_flush(new Uint8Array(1), -1);
}

/** What to add to the Worker's clock to get this thread's, by the quickest of many questions. */
function clockOffsetMs(): number {
  let quickestMs = Infinity;
  let offsetMs = 0;
  for (let question = 0; question < 2000; question++) {
    const askedMs = performance.now();
    Atomics.store(shared.ticket, 1, -1n);
    while (Atomics.load(shared.ticket, 1) !== 0n) { /* the Worker answers */ }
    const answeredMs = performance.now();
    if (answeredMs - askedMs >= quickestMs) continue;
    quickestMs = answeredMs - askedMs;
    offsetMs = (askedMs + answeredMs) / 2 - shared.reachedMs[0]!;
  }
  return offsetMs;
}

/** The delays in microseconds, sorted. */
async function measure(commit: () => void, wait: () => Promise<unknown>): Promise<number[]> {
  const delaysUs: number[] = [];
  const offsetMs = clockOffsetMs();
  for (let round = 0; round < ROUNDS; round++) {
    commit();
    const [ticket] = native.flushBegin(undefined);
    if (ticket === undefined) throw new Error("a commit left nothing to flush");
    Atomics.store(shared.ticket, 0, ticket.stream);
    Atomics.store(shared.ticket, 1, BigInt(ticket.position));
    await wait();
    const goesOnMs = performance.now();
    while (Atomics.load(shared.ticket, 1) !== 0n) { /* for the Worker to note the moment */ }
    delaysUs.push((goesOnMs - (shared.reachedMs[0]! + offsetMs)) * 1000);
  }
  return delaysUs.sort((a, b) => a - b);
}

const folder = mkdtempSync(join(tmpdir(), "sqlite3async-bench-"));
let p50Us = Infinity;
try {
  using connection = open(vfs.uri(join(folder, "wait.db")));
  connection.exec("PRAGMA synchronous = OFF; CREATE TABLE t(n)");
  const insert = connection.prepare("INSERT INTO t VALUES (1)");
  await vfs.flush();
  for (const [name, wait] of Object.entries(ways)) {
    await measure(() => insert.run(), wait); // warm up
    const delaysUs = await measure(() => insert.run(), wait);
    const at = (part: number) =>
      `${delaysUs[Math.floor(part * ROUNDS)]!.toFixed(0)} us`.padStart(8);
    console.log(`${name.padEnd(18)} p50 ${at(0.5)}   p99 ${at(0.99)}`);
    if (name === "vfs.flush()") p50Us = delaysUs[ROUNDS / 2]!;
  }
} finally {
  worker.terminate();
  rmSync(folder, { recursive: true, force: true });
}
console.log(`vfs.flush() p50 <= ${MICROSECONDS_MAX} us: ${p50Us <= MICROSECONDS_MAX}`);
process.exitCode = p50Us <= MICROSECONDS_MAX ? 0 : 1;
