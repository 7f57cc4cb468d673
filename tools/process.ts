/** Running programs with a time-out. @module */

/** What a program did. */
export interface Result {
  /** It exited with 0, in time. */
  ok: boolean;
  /** Why it isn't ok, in words: "exit code 1", "SIGSEGV", "no end after 60 s". */
  reason: string;
  /** What it wrote to stdout, then to stderr. */
  output: string;
  /** How long it ran. */
  seconds: number;
}

/** The programs that run, each the leader of its group. */
const running = new Set<number>();

/** So long a program that was killed may be outlived by what has its pipes open. */
const OUTLIVED_MS = 5000;

/**
 * Run a program to its end, with no stdin. It leads a process group of its own, so that the
 * time-out, and our own end, reach the programs that it started too.
 */
export async function run(
  command: string[],
  options: { timeoutMs: number; env?: Record<string, string>; cwd?: string },
): Promise<Result> {
  const start = performance.now();
  const child = new Deno.Command(command[0], {
    args: command.slice(1),
    env: { NO_COLOR: "1", ...options.env },
    cwd: options.cwd,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    detached: true,
  }).spawn();
  begun(child.pid);
  const { promise: late, resolve: giveUp } = Promise.withResolvers<void>();
  let outlived: ReturnType<typeof setTimeout> | undefined;
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    killGroup(child.pid);
    // What has left the group may have the pipes open for ever.
    outlived = setTimeout(giveUp, OUTLIVED_MS);
  }, options.timeoutMs);

  const stdout = new Output(child.stdout);
  const stderr = new Output(child.stderr);
  const { success, code, signal } = await child.status;
  await Promise.race([Promise.all([stdout.ended, stderr.ended]), late]);

  clearTimeout(timer);
  clearTimeout(outlived);
  ended(child.pid);
  return {
    ok: success && !timedOut,
    reason: timedOut ? `no end after ${options.timeoutMs / 1000} s` : signal ?? `exit code ${code}`,
    output: stdout.text + stderr.text,
    seconds: (performance.now() - start) / 1000,
  };
}

/** What a program writes, as far as it has come. */
class Output {
  text = "";
  readonly ended: Promise<void>;

  constructor(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.ended = this.#read(stream);
  }

  async #read(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    for await (const part of stream.pipeThrough(new TextDecoderStream())) this.text += part;
  }
}

function begun(pid: number): void {
  if (running.size === 0) {
    Deno.addSignalListener("SIGINT", interrupt);
    Deno.addSignalListener("SIGTERM", interrupt);
  }
  running.add(pid);
}

function ended(pid: number): void {
  running.delete(pid);
  if (running.size > 0) return;
  Deno.removeSignalListener("SIGINT", interrupt); // a listener keeps our process alive
  Deno.removeSignalListener("SIGTERM", interrupt);
}

function interrupt(): void {
  for (const pid of running) killGroup(pid);
  Deno.exit(130);
}

function killGroup(pid: number): void {
  try {
    Deno.kill(-pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // it has just ended
  }
}

/** `zig build` with the given arguments and with SQLite's folder, which is in SQLITE_DIR. */
export function zigBuild(...args: string[]): Promise<Result> {
  const sqlite = `-Dsqlite=${Deno.env.get("SQLITE_DIR")}`;
  return run(["zig", "build", sqlite, ...args], { timeoutMs: 1_200_000 });
}
