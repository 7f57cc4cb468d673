/** What is under way, told now and then, so that nothing is silent for long. @module */

/** After so long without a line what is under way is told. */
const QUIET_MS = 10_000;

/** What is under way. */
export class Progress {
  readonly #started: Map<string, number> = new Map();
  #lastMs: number = performance.now();

  constructor() {
    Deno.unrefTimer(setInterval(() => this.#tell(), 500));
  }

  /** Write a line. */
  say(line: string): void {
    console.log(line);
    this.#lastMs = performance.now();
  }

  /** Do something that is told while it takes its time. */
  async during<Value>(name: string, work: () => Promise<Value>): Promise<Value> {
    this.#started.set(name, performance.now());
    try {
      return await work();
    } finally {
      this.#started.delete(name);
    }
  }

  #tell(): void {
    const now = performance.now();
    if (now - this.#lastMs < QUIET_MS || this.#started.size === 0) return;
    const names = [...this.#started].map(([name, startMs]) =>
      `${name} (${((now - startMs) / 1000).toFixed(0)} s)`
    );
    this.say(`...     ${names.join(", ")}`);
  }
}

/** A duration for people: "41 s", "7 min 3 s". */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
