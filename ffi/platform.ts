/**
 * The platforms for which the package carries a library.
 *
 * @module
 */
import process from "node:process";
import { cannotOpen } from "./errors.ts";

/** Their names. build.zig builds a library for each of them. */
export const PLATFORMS = [
  "linux_x64_gnu",
  "linux_arm64_gnu",
  "linux_x64_musl",
  "linux_arm64_musl",
  "macos_x64",
  "macos_arm64",
  "windows_x64",
  "windows_arm64",
] as const;

/** The name of a platform: system, processor and, on Linux, C library. */
export type Platform = typeof PLATFORMS[number];

/**
 * The platform this process runs on.
 *
 * @throws {AsyncVfsError} If the package has no library for it. Says how to do without.
 */
export function currentPlatform(): Platform {
  const systems: Record<string, string> = { linux: "linux", darwin: "macos", win32: "windows" };
  const system = systems[process.platform] ?? process.platform;
  const parts = [system, process.arch, ...(system === "linux" ? [cLibrary()] : [])];
  const platform = PLATFORMS.find((name) => name === parts.join("_"));
  if (platform !== undefined) return platform;
  const message = `Cannot load the sqlite3async library: this package carries none for ` +
    `${parts.join(" ")}; build it with "./run build" in a clone of the repository, and give its ` +
    `path as the option "library" or in SQLITE3ASYNC_LIBRARY`;
  throw cannotOpen(message, null);
}

/** The C library that this process has loaded. Needs no permission in Deno. */
function cLibrary(): "gnu" | "musl" {
  if ("Deno" in globalThis) return Deno.build.target.includes("musl") ? "musl" : "gnu";
  const report = process.report as typeof process.report & { excludeNetwork?: boolean };
  const { excludeNetwork } = report;
  report.excludeNetwork = true; // or Node looks up the names of open connections
  const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } };
  report.excludeNetwork = excludeNetwork ?? false;
  return header.glibcVersionRuntime === undefined ? "musl" : "gnu";
}
