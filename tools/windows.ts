/**
 * Programs for Windows, run by Wine, and the TypeScript tests under the runtimes for Windows that
 * it can run.
 *
 * @module
 */

const FOLDER = "zig-out/platform/x64-windows";

/** Where the build for Windows puts the library. */
export const WINDOWS_LIBRARY = `${FOLDER}/sqlite3async.dll`;

/** What is called by a URL there: this checkout. */
export const WINDOWS_ROOT = `/Z:${Deno.cwd()}`;

/** The name that Windows has for a path here. */
function windowsPath(path: string): string {
  return `Z:${path.replaceAll("/", "\\")}`;
}

/** What Wine is to be told. It has its C: drive in zig-out/, writes nothing elsewhere, and shows
 * no windows. */
export function wineEnvironment(): Record<string, string> {
  const wine = Deno.env.get("WINE_DIR");
  // What Bun needs and Wine has not; and what a part of Wine itself needs.
  const libraries = [`${Deno.cwd()}/${FOLDER}`, `${wine}/usr/x86_64-w64-mingw32/lib`];
  return {
    WINEPREFIX: `${Deno.cwd()}/zig-out/platform/wine`,
    WINEDEBUG: "-all",
    WINEDLLOVERRIDES: "mscoree,mshtml,winemenubuilder.exe=",
    WINEPATH: libraries.map(windowsPath).join(";"),
  };
}

/** Node cannot write to a pipe that is not of Wine's own. */
const THROUGH_A_FILE = `
  output=$(mktemp)
  "$@" >"$output" 2>&1 </dev/null &
  program=$!
  tail --lines=+1 --follow --sleep-interval=0.1 --pid=$program "$output"
  rm "$output"
  wait $program`;

/** What the TypeScript tests are run by, if `./run` has installed it: commands. */
export function windowsRuntimes(): { bun: string[]; node22: string[] } | undefined {
  const wine = Deno.env.get("WINE_DIR");
  const bun = Deno.env.get("WINDOWS_BUN");
  const node22 = Deno.env.get("WINDOWS_NODE22");
  if (wine === undefined || bun === undefined || node22 === undefined) return undefined;
  const start = ["sh", "-c", THROUGH_A_FILE, "sh", `${wine}/bin/wine64`];
  return { bun: [...start, bun], node22: [...start, node22, "--experimental-strip-types"] };
}

/** What these are to be told besides. */
export function windowsEnvironment(): Record<string, string> {
  return {
    ...wineEnvironment(),
    SQLITE3ASYNC_LIBRARY: windowsPath(`${Deno.cwd()}/${WINDOWS_LIBRARY}`),
    NODE_SKIP_PLATFORM_CHECK: "1", // Wine's version is not Windows'
  };
}

/** Tests that need a shell, npm, a C compiler or namespaces. */
export const NOT_ON_WINDOWS = ["bench", "bundlers", "docs", "drivers", "image", "package"]
  .map((name) => `${name}.test.ts`);

/** What is not run, and why. */
export function skippedOnWindows(): string[] {
  const reason = "Wine 8.0 has no VirtualAlloc2(), by which the sandbox of its V8 reserves memory";
  const skipped = ["deno", "node24", "node"].map((name) => `x64-windows/${name}: ${reason}`);
  if (windowsRuntimes() !== undefined) return skipped;
  const names = ["x64-windows/bun", "x64-windows/node22"];
  return [...names.map((name) => `${name}: Wine or it could not be installed here`), ...skipped];
}
