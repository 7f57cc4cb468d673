/**
 * Programs that measure round by round, and take turns: program.ts in one
 * runtime each.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import type { Round } from "./workload.ts";

const ROUND_TIMEOUT_MS = 300_000;

/** A program that measures. */
export class Program {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #exited: Promise<string>;
  #output = "";
  readonly #kill = () => this.#killGroup();

  /** It leads a process group, so that what it started ends with it. */
  constructor([command, ...args]: string[]) {
    this.#child = spawn(command!, args, { detached: true, stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stderr!.on("data", (data) => this.#output += data);
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
    this.#exited = new Promise((resolve) => {
      this.#child.on("error", (error) => resolve(error.message));
      this.#child.on("exit", (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
    process.on("exit", this.#kill);
  }

  /** What the next round measured; undefined if there is none. Throws if the program failed. */
  async next(): Promise<Round | undefined> {
    const timer = setTimeout(() => {
      this.#output += `no end of a round after ${ROUND_TIMEOUT_MS / 1000} s\n`;
      this.#killGroup();
    }, ROUND_TIMEOUT_MS);
    try {
      this.#child.stdin!.write("\n");
      return await this.#readRound();
    } finally {
      clearTimeout(timer);
    }
  }

  async #readRound(): Promise<Round | undefined> {
    const round: Round = {};
    for (;;) {
      const { value: line, done } = await this.#lines.next();
      if (done) break;
      const said = parse(line);
      if (said?.series !== undefined) round[said.series] = said.samples ?? [];
      else if (said?.round !== undefined) return round;
      else this.#output += `${line}\n`;
    }
    const reason = await this.#exited;
    process.off("exit", this.#kill);
    if (reason !== "exit code 0") throw new Error(`${reason}\n${this.#output.trim()}`);
    return undefined;
  }

  /** End it, if it has not ended. */
  end(): void {
    this.#killGroup();
    process.off("exit", this.#kill);
  }

  #killGroup(): void {
    try {
      process.kill(-this.#child.pid!, "SIGKILL");
    } catch { /* it has ended */ }
  }
}

function parse(line: string): { series?: string; samples?: number[]; round?: number } | undefined {
  return line.startsWith("{") ? JSON.parse(line) : undefined;
}

/**
 * Let them measure in turns, round by round, until none has another one. One that
 * fails is told of, and the others go on.
 */
export async function takeTurns<Name extends string>(
  commands: [Name, string[]][],
  onRound: (name: Name, round: Round) => void,
  onFailure: (name: Name, error: Error) => void,
): Promise<void> {
  let programs = commands.map(([name, command]) => ({ name, program: new Program(command) }));
  try {
    while (programs.length > 0) {
      for (const { name, program } of programs) {
        let round: Round | undefined;
        try {
          round = await program.next();
        } catch (error) {
          onFailure(name, error as Error);
        }
        if (round === undefined) programs = programs.filter((other) => other.program !== program);
        else onRound(name, round);
      }
    }
  } finally {
    for (const { program } of programs) program.end();
  }
}
