/**
 * Deno: `Deno.dlopen` and `node:sqlite`. Needs `--allow-ffi` without a scope,
 * which loading an extension asks for.
 *
 * @module
 */
import { loadExtension } from "./node_sqlite.ts";
import type { Runtime } from "./runtime.ts";
import { type NativeFunctions, symbols } from "./symbols.ts";

/** The Deno runtime. */
export const runtime: Runtime = {
  open(path: string): NativeFunctions {
    return Deno.dlopen(path, symbols).symbols;
  },

  checkExtensions(): void {}, // that it may not is known when it is tried

  loadExtension,

  claimSignals(): void {
    // It does so once, with the first listener: at the latest its own, half a second after start.
    const listener = () => {};
    Deno.addSignalListener("SIGINT", listener);
    Deno.removeSignalListener("SIGINT", listener);
  },

  onExit(listener: () => void): void {
    // The isMainThread of node:worker_threads is true in the web's Workers, too.
    if ("WorkerGlobalScope" in globalThis) return;
    // process.on("exit") tells nothing of Deno.exit(). Nothing tells of an uncaught error.
    globalThis.addEventListener("unload", listener);
  },

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
