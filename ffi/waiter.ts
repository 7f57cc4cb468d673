/**
 * Promises for durability.
 *
 * The native side hands out tickets, positions in the streams of writes; here
 * they are kept until a wake says that it is worth asking how far the streams
 * are. Whatever the number of waiters, a wake costs one call a stream.
 *
 * @module
 */
import type { Ticket } from "./native.ts";

/** One pending flush. */
interface Waiter {
  /** Tickets not reached yet. */
  remaining: number;
  settled: boolean;
  /** The database that it is about; undefined: all. */
  path: string | undefined;
  resolve: () => void;
  reject: (reason: unknown) => void;
}

interface Pending {
  position: number;
  waiter: Waiter;
}

/** What the waiters need to know of the native side. */
export interface Durability {
  /** How far a stream is durable, or a negated result code. */
  durable(stream: bigint): number;
  /** The error, with this code, of a flush of that database, or of all. */
  failure(code: number, path: string | undefined): unknown;
  /** Called when the last pending flush was settled. */
  idle(): void;
}

/** All pending flushes of one environment. */
export class FlushWaiters {
  readonly #durability: Durability;
  /** By stream, in the order of their positions: a later ticket is never a lower one. */
  readonly #streams = new Map<bigint, Pending[]>();
  #count = 0;

  constructor(durability: Durability) {
    this.#durability = durability;
  }

  /** How many flushes are pending. */
  get count(): number {
    return this.#count;
  }

  /** A promise for all of these tickets, which are those of the path. */
  add(
    tickets: Ticket[],
    path: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { remaining: tickets.length, settled: false, path, resolve, reject };
    if (signal !== undefined) {
      const abort = () => this.#settle(waiter, () => reject(signal.reason));
      signal.addEventListener("abort", abort, { once: true });
      const forget = () => signal.removeEventListener("abort", abort);
      promise.then(forget, forget);
    }
    this.#count++;
    for (const { stream, position } of tickets) {
      const pending = this.#streams.get(stream);
      if (pending === undefined) this.#streams.set(stream, [{ position, waiter }]);
      else pending.push({ position, waiter });
    }
    return promise;
  }

  /** Settle what can be settled. */
  look(): void {
    for (const [stream, pending] of this.#streams) {
      const durable = this.#durability.durable(stream);
      if (durable < 0) this.#fail(pending, -durable);
      else this.#advance(pending, durable);
      if (pending.length === 0) this.#streams.delete(stream);
    }
  }

  #advance(pending: Pending[], durable: number): void {
    let reached = 0;
    for (const { position, waiter } of pending) {
      if (position > durable) break;
      reached++;
      if (--waiter.remaining === 0) this.#settle(waiter, waiter.resolve);
    }
    pending.splice(0, reached);
  }

  #fail(pending: Pending[], code: number): void {
    for (const { waiter } of pending.splice(0)) {
      const reason = this.#durability.failure(code, waiter.path);
      this.#settle(waiter, () => waiter.reject(reason));
    }
  }

  /** Settling a waiter twice does nothing: it may have been aborted before. */
  #settle(waiter: Waiter, action: () => void): void {
    if (waiter.settled) return;
    waiter.settled = true;
    this.#count--;
    action();
    if (this.#count > 0) return;
    this.#streams.clear();
    this.#durability.idle();
  }
}
