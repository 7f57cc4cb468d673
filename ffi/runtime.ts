/**
 * What differs between the runtimes, as one interface.
 *
 * @module
 */
import process from "node:process";
import type { Connections } from "./closing.ts";
import { AsyncVfsError } from "./errors.ts";
import type { ProcessListener } from "./process_methods.ts";
import type { SignalName } from "./signals.ts";
import type { NativeFunctions } from "./symbols.ts";

/** A runtime's ways to reach native code and its own SQLite. */
export interface Runtime {
  /** Open the library at an absolute path to call its functions, or throw. */
  open(path: string): NativeFunctions;
  /** Throw if its SQLite loads no extension, whatever else it is given. */
  checkExtensions(): void;
  /** Load the same file as an extension into the SQLite inside the runtime, or throw. */
  loadExtension(path: string): void;
  /**
   * Are its handlers of signals there for good, and end the process if the program has no
   * listener? Else they are there only as long as the program listens.
   */
  readonly keepsSignalHandlers: boolean;
  /**
   * Have the runtime's own handlers of these signals in place now, if it would put them over ours
   * later: then they would end the process while our handler is writing what is queued.
   */
  claimSignals(signals: readonly SignalName[]): void;
  /**
   * Have the listener called when the runtime begins to end the process. In a Worker it is not
   * called: its end is not the process's.
   */
  onExit(listener: () => void): void;
  /** Have the listener called before the process replaces itself or sends itself a signal. */
  onReplace(listener: ProcessListener): void;
  /** The classes of connections whose close() keeps them until their statements are collected. */
  keptConnections(): Connections[];
  /** Have the garbage collector run, if a program can ask for that. */
  collect(): void;
  /**
   * The databases that the runtime keeps for itself in its own SQLite, as files or folders, as far
   * as they can be known: they are not the program's, and other processes use them, too.
   */
  ownStores(): string[];
  /** An environment variable, or undefined if it isn't set or may not be read. */
  environment(name: string): string | undefined;
}

/** The runtime this code runs in. */
export async function currentRuntime(): Promise<Runtime> {
  if ("Deno" in globalThis) return (await import("./deno.ts")).runtime;
  if ("Bun" in globalThis) return (await import("./bun.ts")).runtime;
  // Deno and Bun have this, too.
  if (process.versions?.node !== undefined) return (await import("./node.ts")).runtime;
  const message = "Cannot install sqlite3async: this runtime is neither Deno, Bun nor Node";
  throw new AsyncVfsError(message, { codeName: "SQLITE_MISUSE", operation: "install" });
}
