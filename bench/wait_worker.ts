/**
 * The Worker of wait.ts: it spins on the durable mark of one ticket after
 * the other, and notes when each was reached.
 *
 * @module
 */
import { openLibrary } from "../ffi/library.ts";
import { Native } from "../ffi/native.ts";
import { currentRuntime } from "../ffi/runtime.ts";

/** What the two threads share. */
export interface Shared {
  library: string;
  /**
   * [stream, position]. Position -1: note the time at once. -2: end. -3: rest until it is
   * another one. 0: nothing to do, which the Worker sets when it has done what was asked.
   */
  ticket: BigInt64Array<SharedArrayBuffer>;
  /** [the Worker's performance.now() when the ticket was reached] */
  reachedMs: Float64Array<SharedArrayBuffer>;
}

async function spin({ library, ticket, reachedMs }: Shared): Promise<void> {
  const native = new Native(openLibrary(await currentRuntime(), library));
  for (;;) {
    const position = Number(Atomics.load(ticket, 1));
    if (position === -3) Atomics.wait(ticket, 1, -3n);
    if (position === 0 || position === -3) continue;
    if (position > 0 && native.durable(Atomics.load(ticket, 0)) < position) continue;
    reachedMs[0] = performance.now();
    Atomics.store(ticket, 1, 0n);
    if (position === -2) return;
  }
}

const scope = globalThis as unknown as { onmessage: (message: MessageEvent<Shared>) => void };
scope.onmessage = ({ data }) => void spin(data);
