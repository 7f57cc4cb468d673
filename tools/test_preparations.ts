/** What is made before test programs can run. @module */

import { buildAsan } from "./asan.ts";
import { lower } from "./older_nodes.ts";
import { platformBuilds } from "./platforms.ts";
import { type Result, run, zigBuild } from "./process.ts";
import { type Choice, hostFolders } from "./test_programs.ts";

/** Something that is made before. */
export interface Preparation {
  /** What programs name it by, in `needs`. */
  need: string;
  /** What it makes, in words. */
  what: string;
  make: () => Promise<Result>;
}

/** All of them, in the order in which they are made. */
export function preparations(choice: Choice): Preparation[] {
  return [
    { need: "library", what: "the library", make: () => zigBuild("install", "preload") },
    { need: "native", what: "the native tests", make: () => zigBuild("native-tests") },
    { need: "hosts", what: "the tests in other SQLites", make: buildHosts },
    {
      need: "native-tsan",
      what: "the native tests with the thread sanitizer",
      make: () => zigBuild("native-tests", "-Dtsan=true"),
    },
    { need: "native-asan", what: "the native tests, by gcc", make: buildAsan },
    { need: "lowered", what: "the tests for Node 22, by esbuild", make: lower },
    packing(choice),
    ...platformBuilds().map(({ name, build }) => {
      return { need: name, what: `the tests for ${name}`, make: build };
    }),
  ];
}

function buildHosts(): Promise<Result> {
  return zigBuild("hosts", ...hostFolders().map((folder) => `-Dhost=${folder}`));
}

/** What is published has the libraries of all platforms, and so it is packed for a full run. */
function packing({ full, packed }: Choice): Preparation {
  const need = "package";
  if (packed) return { need, what: "the package, which is there", make: () => tools() };
  return full ? { need, what: "the package", make: () => tools(["prebuilt.ts"], ["pack.ts"]) } : {
    need,
    what: "the package, for this platform alone",
    make: () => tools(["prebuilt.ts", "--here"], ["pack.ts", "--here"]),
  };
}

/** Run some of our tools, one after the other, until one fails. */
async function tools(...commands: string[][]): Promise<Result> {
  let result: Result = { ok: true, reason: "", output: "", seconds: 0 };
  for (const [tool, ...options] of commands) {
    const command = ["deno", "run", "-A", `tools/${tool}`, ...options];
    // They have time-outs of their own, which say more.
    result = await run(command, { timeoutMs: 3_600_000 });
    if (!result.ok) break;
  }
  return result;
}

/** Where package.test.ts finds what is packed. */
export function packedFolder({ full, packed }: Choice): string {
  return full || packed ? "zig-out/pack" : "zig-out/pack-here";
}
