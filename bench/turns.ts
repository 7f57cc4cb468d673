/**
 * Programs that measure round by round, and take turns: program.ts in one
 * runtime each.
 *
 * A program is given a line on stdin for each round, and answers with the lines of
 * its series and {"round":N}. It has no further round if it exits with 0 instead.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import type { Round } from "./workload.ts";

/** How long to wait. */
export interface Timeouts {
  /** For one round. */
  roundMs: number;
  /** For all rounds of all programs. */
  allMs: number;
}

const TIMEOUTS: Timeouts = { roundMs: 300_000, allMs: 1_800_000 };

/** A program that measures. */
class Program {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  /** Why it ended, in words; when all that it wrote was read. */
  readonly #ending: Promise<string>;
  /** What it wrote beside its series. */
  #output = "";
  #hasEnded = false;

  /** It leads a process group, so that what it started ends with it. */
  constructor([command, ...args]: string[]) {
    this.#child = spawn(command!, args, { detached: true, stdio: ["pipe", "pipe", "pipe"] });
    const { stdin, stdout, stderr } = this.#child;
    stdin!.on("error", () => {}); // it reads no more: how it ended says why
    stderr!.on("data", (data) => this.#output += data);
    const lines = createInterface({ input: stdout! });
    this.#lines = lines[Symbol.asyncIterator]();
    this.#ending = new Promise((resolve) => {
      this.#child.on("exit", () => this.end()); // or others would hold its pipes open
      this.#child.on("close", (code, signal) => resolve(signal ?? `exit code ${code}`));
      this.#child.on("error", (error) => { // it could not be started
        resolve(error.message);
        lines.close();
      });
    });
  }

  /** What the next round measured; undefined if there is none. Throws if the program failed. */
  async next(timeoutMs: number): Promise<Round | undefined> {
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      this.end();
    }, timeoutMs);
    try {
      this.#child.stdin!.write("\n");
      const round: Round = {};
      if (await this.#readRound(round)) return round;
      const reason = await this.#ending;
      const isOver = reason === "exit code 0" && Object.keys(round).length === 0;
      if (isOver && !timedOut) return undefined;
      const what = timedOut ? `no end of a round after ${timeoutMs / 1000} s` : reason;
      throw new Error(`${what}${isOver ? "" : " within a round"}\n${this.#output.trim()}`.trim());
    } finally {
      clearTimeout(timer);
    }
  }

  /** Read to the end of the round; returns false if the program ended before. */
  async #readRound(round: Round): Promise<boolean> {
    for (;;) {
      const { value: line, done } = await this.#lines.next();
      if (done) return false;
      const said = parse(line);
      if (said?.series !== undefined) round[said.series] = said.samples ?? [];
      else if (said?.round !== undefined) return true;
      else this.#output += `${line}\n`;
    }
  }

  /** End it, and what it started. */
  end(): void {
    if (this.#hasEnded || this.#child.pid === undefined) return;
    this.#hasEnded = true;
    try {
      process.kill(-this.#child.pid, "SIGKILL");
    } catch { /* nobody is left */ }
  }
}

function parse(line: string): { series?: string; samples?: number[]; round?: number } | undefined {
  if (!/^\{"(series|round)":/.test(line)) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined; // cut off: the program is ending
  }
}

/**
 * Let them measure in turns, round by round, until none has another one. One that
 * fails is told of, and the others go on.
 */
export async function takeTurns<Name extends string>(
  commands: [Name, string[]][],
  onRound: (name: Name, round: Round) => void,
  onFailure: (name: Name, error: Error) => void,
  { roundMs, allMs }: Timeouts = TIMEOUTS,
): Promise<void> {
  const endMs = performance.now() + allMs;
  const running = new Map(commands.map(([name, command]) => [name, new Program(command)]));
  const endAll = () => {
    for (const program of running.values()) program.end();
  };
  const interrupt = () => {
    endAll();
    process.exit(130);
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  try {
    while (running.size > 0) {
      for (const [name, program] of [...running]) {
        const timeoutMs = Math.max(0, Math.min(roundMs, endMs - performance.now()));
        try {
          const round = await program.next(timeoutMs);
          if (round === undefined) running.delete(name);
          else onRound(name, round);
        } catch (error) {
          program.end();
          running.delete(name);
          onFailure(name, error as Error);
        }
      }
    }
  } finally {
    endAll();
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}
