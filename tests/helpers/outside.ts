/**
 * Plain SQLite in a process of its own: the command sqlite3, or, where there is none, the runtime
 * that runs the tests.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { runtimeFlags } from "./child.ts";

const TIMEOUT_MS = 20_000;

const hasCommand = spawnSync("sqlite3", ["--version"]).status === 0;

/**
 * Run statements on a database, without a busy timeout.
 *
 * @returns The rows, a line each, with "|" between the columns; or the error.
 */
export function outside(path: string, ...statements: string[]): string {
  const [command, ...args] = hasCommand
    ? ["sqlite3", "-batch", path, `${statements.join("; ")};`]
    : [process.execPath, ...runtimeFlags([]), programPath(), path, ...statements];
  const { stdout, stderr, error, status } = spawnSync(command!, args, {
    encoding: "utf8",
    timeout: TIMEOUT_MS,
  });
  if (error !== undefined) return String(error);
  if (status === null) return `${command} did not run to its end`;
  return (stdout + stderr).trim();
}

function programPath(): string {
  return decodeURIComponent(new URL("./outside_program.ts", import.meta.url).pathname)
    .replace(/^\/([A-Z]:)/, "$1");
}
