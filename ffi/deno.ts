/**
 * Deno: Node-API and `node:sqlite`. Needs `--allow-ffi` without a scope, which
 * loading an extension asks for.
 *
 * Not `Deno.dlopen`: a library that it loaded is a resource that must be closed, to a test of
 * Deno's that calls `install()`, and ours stays as long as the process.
 *
 * @module
 */
import { loadAddon } from "./addon.ts";
import { loadExtension } from "./node_sqlite.ts";
import type { Runtime } from "./runtime.ts";
import type { SignalName } from "./signals.ts";
import type { NativeFunctions } from "./symbols.ts";

function environment(name: string): string | undefined {
  // Asking first, because Deno.env.get() would prompt the user.
  const permission = Deno.permissions.querySync({ name: "env", variable: name });
  return permission.state === "granted" ? Deno.env.get(name) : undefined;
}

/** The folder where Deno keeps its own without DENO_DIR; undefined if it may not be known. */
function defaultFolder(): string | undefined {
  if (Deno.build.os === "windows") return within(environment("LOCALAPPDATA"), "\\deno");
  const home = environment("HOME");
  if (Deno.build.os === "darwin") return within(home, "/Library/Caches/deno");
  const cache = environment("XDG_CACHE_HOME");
  return cache?.startsWith("/") ? `${cache}/deno` : within(home, "/.cache/deno");
}

function within(folder: string | undefined, path: string): string | undefined {
  return folder ? folder + path : undefined;
}

/** The Deno runtime. */
export const runtime: Runtime = {
  open(path: string): NativeFunctions {
    return loadAddon(path);
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

  ownStores(): string[] {
    // localStorage, Deno.openKv() without a path, the Cache API and the caches of modules.
    const folder = environment("DENO_DIR") || defaultFolder();
    return folder === undefined ? [] : [folder];
  },

  environment,
};
