/**
 * The error class of this package.
 *
 * @module
 */
import { type CodeName, codeOf, nameOf } from "./codes.ts";

/** What an {@linkcode AsyncVfsError} carries besides its message. */
export interface AsyncVfsErrorDetails {
  /** SQLite's result code, as its name. */
  codeName?: string;
  /** SQLite's result code, as its number. Found by the name if absent. */
  code?: number;
  /** The file it is about, if it is about one. */
  path?: string | null;
  /** What was tried: a function of this package, or the step that failed in the background. */
  operation?: string | null;
  /** The error behind this one. */
  cause?: unknown;
}

/**
 * Everything this package throws and rejects with, but for the reason of an aborted signal. What
 * a driver throws, such as "database is locked", is the driver's.
 *
 * @example
 * ```ts
 * import { AsyncVfsError, install } from "@sqlite3async/vfs";
 *
 * const vfs = await install();
 * try {
 *   vfs.route("app.db");
 * } catch (error) {
 *   if (error instanceof AsyncVfsError && error.codeName === "SQLITE_BUSY") {
 *     console.error(`${error.path} is open already`);
 *   }
 * }
 * ```
 */
export class AsyncVfsError extends Error {
  /** Always `"AsyncVfsError"`. */
  override readonly name: string = "AsyncVfsError";
  /** SQLite's extended result code. */
  readonly code: number;
  /** The name of {@linkcode code}, such as `"SQLITE_IOERR_FSYNC"`. */
  readonly codeName: string;
  /** The file it is about, or null. */
  readonly path: string | null;
  /** What was tried, or null. */
  readonly operation: string | null;

  /**
   * Make an error.
   *
   * @param message What was tried, why it can't be and what to do.
   * @param details The result code and what it is about.
   */
  constructor(message: string, details: AsyncVfsErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    const code = details.code ?? codeOf((details.codeName ?? "SQLITE_ERROR") as CodeName) ?? 1;
    this.code = code;
    this.codeName = details.codeName ?? nameOf(code);
    this.path = details.path ?? null;
    this.operation = details.operation ?? null;
  }
}

/** A value that was given, for a message: what an object says of itself may be anything. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

/** What an error says, as part of a message: in one line, which Windows' own have more of. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\s*[\r\n]+\s*/g, " ").trim();
}

/** The error for a call that could not be right, whatever the state. */
export function misuse(operation: string, message: string, path?: string): AsyncVfsError {
  return new AsyncVfsError(message, { codeName: "SQLITE_MISUSE", operation, path });
}

/** Is it Deno's error for a permission that it was not given? */
export function isDenied(error: unknown): boolean {
  return error instanceof Error && error.name === "NotCapable";
}

/** The error for a library that cannot be loaded. */
export function cannotOpen(message: string, path: string | null, cause?: unknown): AsyncVfsError {
  const details = { codeName: "SQLITE_CANTOPEN", operation: "install", path, cause };
  return new AsyncVfsError(message, details);
}
