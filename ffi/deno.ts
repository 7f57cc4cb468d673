/**
 * Deno: `Deno.dlopen` and `node:sqlite`. Needs `--allow-ffi` without a scope,
 * which loading an extension asks for.
 *
 * @module
 */
import { loadExtension } from "./node_sqlite.ts";
import type { Runtime } from "./runtime.ts";
import type { SignalName } from "./signals.ts";
import { type NativeFunctions, symbols } from "./symbols.ts";

/** The Deno runtime. */
export const runtime: Runtime = {
  open(path: string): NativeFunctions {
    return Deno.dlopen(path, symbols).symbols;
  },

  checkExtensions(): void {}, // that it may not is known when it is tried

  loadExtension,

  keepsSignalHandlers: true,

  claimSignals(signals: readonly SignalName[]): void {
    // With the first listener of a signal it puts a handler in place for good, which ends the
    // process if nobody listens. Of some it does so by itself, half a second after its start.
    const listener = () => {};
    for (const signal of Deno.build.os === "windows" ? ["SIGINT"] as const : signals) {
      Deno.addSignalListener(signal, listener);
      Deno.removeSignalListener(signal, listener);
    }
  },

  onExit(listener: () => void): void {
    // The isMainThread of node:worker_threads is true in the web's Workers, too.
    if ("WorkerGlobalScope" in globalThis) return;
    // process.on("exit") tells nothing of Deno.exit(). Nothing tells of an uncaught error.
    globalThis.addEventListener("unload", listener);
  },

  onReplace(): void {}, // it cannot be, and its handlers of signals are never taken off

  keptConnections: () => [], // its close() finalizes them

  collect(): void {
    (globalThis as { gc?: () => void }).gc?.(); // with V8's flag --expose-gc
  },

  environment(name: string): string | undefined {
    // Asking first, because Deno.env.get() would prompt the user.
    const permission = Deno.permissions.querySync({ name: "env", variable: name });
    return permission.state === "granted" ? Deno.env.get(name) : undefined;
  },
};
