/**
 * Programs run in a process of their own: for what ends a process or changes one
 * for good.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { remove } from "./remove.ts";

/** How a child ended and what it said. */
export interface Ended {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

const urlOf = (path: string) => new URL(path, import.meta.url).href;

/** What this runtime is told besides the program. */
export function runtimeFlags(denoFlags: string[]): string[] {
  if ("Bun" in globalThis) return [];
  if (!("Deno" in globalThis)) return process.execArgv; // the tests' own
  const scoped = denoFlags.some((flag) => flag.startsWith("--allow"));
  return ["run", scoped ? "--no-prompt" : "-A", "--no-check", ...denoFlags];
}

/** What every program begins with. */
const PRELUDE = `
import { AsyncVfsError, install } from "${urlOf("../../mod.ts")}";
import { open } from "${urlOf("../../examples/sqlite.ts")}";
import process from "node:process";
void [AsyncVfsError, install, open];
/** Insert the numbers from 1 on, a transaction each, into a new table t. */
function insertNumbers(connection, count) {
  connection.exec("CREATE TABLE t(n INTEGER PRIMARY KEY)");
  const insert = connection.prepare("INSERT INTO t VALUES (?)");
  for (let n = 1; n <= count; n++) insert.run(n);
}
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
void [insertNumbers, sleep];
`;

/**
 * What is said on stderr of the system the tests run on: by Bun in Wine, wherever it finds a
 * package.json, and by the library of the SQLite of Node 22.
 */
const OF_THE_SYSTEM = new RegExp(
  "^(Internal error: directory mismatch for directory|" +
    "sqlite3async: SQLite [0-9.]+ has a bug that can, rarely, damage a database in WAL mode;).*\\n",
  "gm",
);

/** A command that is killed, if it still runs, at the end of the scope that uses it. */
export class Running implements Disposable {
  readonly #process: ChildProcess;
  readonly #ended: Promise<Ended>;
  #stdout = "";
  #stderr = "";
  #onOutput: () => void = () => {};

  /** @param env The whole environment. */
  constructor(command: string[], env: Record<string, string | undefined>) {
    const [program, ...args] = command as [string, ...string[]];
    this.#process = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    this.#process.stdout!.on("data", (chunk) => {
      this.#stdout += chunk;
      this.#onOutput();
    });
    this.#process.stderr!.on("data", (chunk) => this.#stderr += chunk);
    this.#ended = new Promise((resolve) => {
      this.#process.on("close", (code, signal) => {
        const stderr = this.#stderr.replace(OF_THE_SYSTEM, "").trim();
        resolve({ code, signal, stdout: this.#stdout.trim(), stderr });
        this.#onOutput();
      });
    });
  }

  /** The process. */
  get pid(): number {
    return this.#process.pid!;
  }

  /** What it has printed so far. */
  get stdout(): string {
    return this.#stdout;
  }

  /** Send a signal. Not by the ChildProcess: Deno then reports it as the cause of the end. */
  kill(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** Wait until it printed a text; after `timeoutMs` it is killed. */
  async printed(text: string, timeoutMs: number = 30_000): Promise<void> {
    let ended = false;
    this.#ended.then(() => ended = true);
    const timer = setTimeout(() => this.end(), timeoutMs);
    try {
      while (!this.#stdout.includes(text)) {
        if (ended) throw new Error(`child ended without printing "${text}": ${this.#stderr}`);
        await new Promise<void>((resolve) => this.#onOutput = resolve);
        await Promise.resolve();
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Wait until it ended; after `timeoutMs` it is killed, and that is an error. */
  async ended(timeoutMs: number = 20_000): Promise<Ended> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.end();
    }, timeoutMs);
    try {
      const ended = await this.#ended;
      if (!late) return ended;
      const said = `${ended.stdout.slice(-300)} ${ended.stderr}`;
      throw new Error(`child did not end within ${timeoutMs} ms: ${said}`);
    } finally {
      clearTimeout(timer);
    }
  }

  [Symbol.dispose](): void {
    const { exitCode, signalCode } = this.#process;
    if (exitCode === null && signalCode === null) this.end();
  }

  /** Make it end, at once. */
  protected end(): void {
    this.#process.kill("SIGKILL");
  }
}

/** A program in a process of its own, in this runtime. */
export class Child extends Running {
  readonly #folder: string;

  /**
   * @param program JavaScript; `install`, `open`, `insertNumbers`, `sleep` and `process` are there.
   * @param env Variables added to the environment.
   * @param denoFlags Flags for Deno: besides -A, or instead of it if they say what is allowed.
   * @param wrapper A command that runs the one that follows it.
   */
  constructor(
    program: string,
    env: Record<string, string> = {},
    denoFlags: string[] = [],
    wrapper: string[] = [],
  ) {
    const folder = mkdtempSync(join(tmpdir(), "sqlite3async-child-"));
    const file = join(folder, "program.mjs");
    writeFileSync(file, PRELUDE + program);
    const command = [...wrapper, process.execPath, ...runtimeFlags(denoFlags), file];
    super(command, { ...process.env, NO_COLOR: "1", ...env });
    this.#folder = folder;
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    remove(this.#folder);
  }
}

/** Run a program to its end. */
export async function runProgram(
  program: string,
  env: Record<string, string> = {},
  denoFlags: string[] = [],
): Promise<Ended> {
  using child = new Child(program, env, denoFlags);
  return await child.ended();
}
