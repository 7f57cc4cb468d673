/**
 * Random numbers that a seed repeats. The environment variable SEED sets it.
 *
 * @module
 */
import process from "node:process";

/** A stream of random numbers. */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0;
  }

  /** Seeded by the environment or the clock; says on stdout by what. */
  static announced(test: string): Random {
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000_007);
    console.log(`${test}: SEED=${seed}`);
    return new Random(seed);
  }

  /** A whole number from 0 to `end - 1`. The generator is mulberry32. */
  below(end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let bits = this.#state;
    bits = Math.imul(bits ^ bits >>> 15, bits | 1);
    bits ^= bits + Math.imul(bits ^ bits >>> 7, bits | 61);
    return Math.floor(((bits ^ bits >>> 14) >>> 0) / 2 ** 32 * end);
  }

  /** True once in so many times. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  /** One of some. */
  pick<Item>(...items: [Item, ...Item[]]): Item {
    return items[this.below(items.length)] as Item;
  }
}
