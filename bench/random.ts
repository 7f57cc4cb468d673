/** Numbers by chance that are the same in each run. @module */

/** Numbers from 0 to below 1, by a seed (the generator is called mulberry32). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** 0 to count - 1 in an order by chance. */
export function shuffled(count: number, seed: number): number[] {
  const next = random(seed);
  const numbers = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const other = Math.floor(next() * (i + 1));
    [numbers[i], numbers[other]] = [numbers[other]!, numbers[i]!];
  }
  return numbers;
}

/** As YCSB has it: how much more often a number is drawn than the one after it. */
const SKEW = 0.99;
const SPREADER = 2_654_435_761;

/**
 * Numbers from 0 to below count, zipfian (count: a power of two, at most 2^21): the most
 * frequent one of a million has about a 15th of all draws. Which ones are frequent is spread
 * over all. The method is that of Gray and others, "Quickly Generating Billion-Record Synthetic
 * Databases" (SIGMOD 1994), as in YCSB.
 */
export function zipfian(count: number, seed: number): () => number {
  const next = random(seed);
  let sum = 0;
  for (let rank = 1; rank <= count; rank++) sum += rank ** -SKEW;
  const power = 1 / (1 - SKEW);
  const firstTwo = 1 + 0.5 ** SKEW;
  const eta = (1 - (2 / count) ** (1 - SKEW)) / (1 - firstTwo / sum);
  const draw = () => {
    const part = next();
    if (part * sum < 1) return 0;
    if (part * sum < firstTwo) return 1;
    return Math.min(count - 1, Math.floor(count * (eta * part - eta + 1) ** power));
  };
  return () => draw() * SPREADER % count; // below 2^53
}
