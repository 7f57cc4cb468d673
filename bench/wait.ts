/**
 * How long it takes from a commit being durable to the awaited flush() going on.
 *
 * A Worker spins on the durable mark and notes the moment it moves; the main
 * thread notes the moment its await returns. Beside vfs.flush(), the other ways
 * to wait that were considered: a timer that looks at the mark every
 * millisecond and, in Deno, a nonblocking call of the blocking flush.
 *
 * @module
 */
import { join } from "node:path";
import { open } from "../examples/sqlite.ts";
import { locateLibrary, openLibrary } from "../ffi/library.ts";
import { Native } from "../ffi/native.ts";
import { currentRuntime } from "../ffi/runtime.ts";
import { type AsyncVfs, install } from "../mod.ts";
import { percentiles } from "./charts.ts";
import { latencyTable } from "./print.ts";
import { mean, median, roundsOf, target } from "./statistics.ts";
import type { Shared } from "./wait_worker.ts";
import type { Report, Round, Series, Settings, Workload } from "./workload.ts";

/** The position that ends the Worker's loop, and the one with which it rests between rounds. */
const END = -2n;
const REST = -3n;
const COMMITS = 100;
const MICROSECONDS_MAX = 300;
/**
 * Nobody goes on before the commit is durable. A delay below 0 says that the Worker noted the
 * moment late, as it does where a processor is missing for it; then the others are too short, too.
 */
const IMPOSSIBLE_MAX = 0.01;

/** A way to wait until all is durable. */
type Wait = () => Promise<unknown>;

function waysToWait(vfs: AsyncVfs, native: Native, library: string): Record<string, Wait> {
  const ways: Record<string, Wait> = {
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
  return ways;
}

/** What to add to the Worker's clock to get this thread's, by the quickest of many questions. */
function clockOffsetMs(shared: Shared): number {
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

/** The delays of a round, in nanoseconds. */
async function delays(
  native: Native,
  shared: Shared,
  commit: () => void,
  wait: Wait,
): Promise<number[]> {
  const delaysNs: number[] = [];
  wakeWorker(shared, 0n);
  const offsetMs = clockOffsetMs(shared);
  for (let i = 0; i < COMMITS; i++) {
    commit();
    const [ticket] = native.flushBegin(undefined);
    if (ticket === undefined) throw new Error("a commit left nothing to flush");
    Atomics.store(shared.ticket, 0, ticket.stream);
    Atomics.store(shared.ticket, 1, BigInt(ticket.position));
    await wait();
    const goesOnMs = performance.now();
    while (Atomics.load(shared.ticket, 1) !== 0n) { /* for the Worker to note the moment */ }
    delaysNs.push(Math.round((goesOnMs - (shared.reachedMs[0]! + offsetMs)) * 1e6));
  }
  Atomics.store(shared.ticket, 1, REST); // the processor is the other runtimes'
  return delaysNs;
}

/** Give the Worker that rests something to do. */
function wakeWorker({ ticket }: Shared, position: bigint): void {
  Atomics.store(ticket, 1, position);
  Atomics.notify(ticket, 1);
}

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = await install();
  const runtime = await currentRuntime();
  const library = locateLibrary(runtime);
  const native = new Native(openLibrary(runtime, library));
  const shared: Shared = {
    library,
    ticket: new BigInt64Array(new SharedArrayBuffer(16)),
    reachedMs: new Float64Array(new SharedArrayBuffer(8)),
  };
  const worker = new Worker(new URL("./wait_worker.ts", import.meta.url), { type: "module" });
  shared.ticket[1] = REST;
  worker.postMessage(shared);

  try {
    using connection = open(vfs.uri(join(folder, "wait.db")));
    connection.exec("PRAGMA synchronous = OFF; CREATE TABLE t(n)");
    const insert = connection.prepare("INSERT INTO t VALUES (1)");
    await vfs.flush();
    const ways = waysToWait(vfs, native, library);
    for (let round = -1; round < (quick ? 3 : 10); round++) { // the first one warms up
      const series: Round = {};
      for (const [name, wait] of Object.entries(ways)) {
        series[name] = await delays(native, shared, () => insert.run(), wait);
      }
      if (round >= 0) yield series;
    }
  } finally {
    wakeWorker(shared, END); // a Worker that spins can't be terminated
    while (Atomics.load(shared.ticket, 1) !== 0n) { /* it will */ }
    worker.terminate();
  }
}

function report(series: Series): Report {
  const p50sUs = roundsOf(series, "vfs.flush()").map((samples) => median(samples) / 1000);
  const [headings, ...lines] = latencyTable(series, Object.keys(series));
  return {
    table: [
      [...headings!, "below 0"],
      ...lines.map((line) => {
        const parts = impossibleParts(series, line[0]!);
        return [...line, `${(mean(parts) * 100).toFixed(1)} %`];
      }),
    ],
    targets: [
      target("vfs.flush(), p50 in microseconds", p50sUs, "at most", MICROSECONDS_MAX),
      target(
        "vfs.flush(), part of delays below 0, which can't be",
        impossibleParts(series, "vfs.flush()"),
        "at most",
        IMPOSSIBLE_MAX,
      ),
    ],
    charts: [
      percentiles("From durable to going on", series, Object.keys(series)),
    ],
  };
}

/** By rounds, how many of the delays are below 0, as a part of all. */
function impossibleParts(series: Series, name: string): number[] {
  return roundsOf(series, name).map((delays) =>
    delays.filter((delay) => delay < 0).length / delays.length
  );
}

/** The workload. */
export const wait: Workload = {
  name: "wait",
  about: "from a commit being durable to the awaited flush() going on",
  runtimes: ["Deno", "Bun", "Node"],
  measure,
  report,
};
