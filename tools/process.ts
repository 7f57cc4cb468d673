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
  const interrupt = () => {
    killGroup(child.pid);
    Deno.exit(130);
  };
  Deno.addSignalListener("SIGINT", interrupt);
  Deno.addSignalListener("SIGTERM", interrupt);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    killGroup(child.pid);
  }, options.timeoutMs);

  const { success, code, signal, stdout, stderr } = await child.output();

  clearTimeout(timer);
  Deno.removeSignalListener("SIGINT", interrupt);
  Deno.removeSignalListener("SIGTERM", interrupt);
  const decoder = new TextDecoder();
  return {
    ok: success && !timedOut,
    reason: timedOut ? `no end after ${options.timeoutMs / 1000} s` : signal ?? `exit code ${code}`,
    output: decoder.decode(stdout) + decoder.decode(stderr),
    seconds: (performance.now() - start) / 1000,
  };
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
