/** Running a command to its end, and the runtime that runs the tests. @module */
import { spawn } from "node:child_process";
import process from "node:process";

/** The runtime that runs the tests: "deno", "bun" or "node". */
export const RUNTIME: string = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";

/** What a command did. */
export interface Outcome {
  /** Its exit code; null if a signal ended it. */
  code: number | null;
  /** The signal that ended it. */
  signal: string | null;
  stdout: string;
  stderr: string;
  /** Was it ended for not ending in time? */
  late: boolean;
}

/**
 * Run a command, with no stdin. It leads a process group of its own, so that the time-out reaches
 * the programs that it started too.
 *
 * @param options `env` is the whole environment. Rejects if there is no such command.
 */
export function execute(
  command: string,
  args: string[],
  options: { cwd: string; env: Record<string, string | undefined>; timeoutMs: number },
): Promise<Outcome> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const outcome: Outcome = { code: null, signal: null, stdout: "", stderr: "", late: false };
  child.stdout.on("data", (chunk) => outcome.stdout += chunk);
  child.stderr.on("data", (chunk) => outcome.stderr += chunk);
  const timer = setTimeout(() => {
    outcome.late = true;
    process.kill(-child.pid!, "SIGKILL");
  }, options.timeoutMs);
  return new Promise((resolve, reject) => {
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ ...outcome, code, signal });
    });
  });
}
