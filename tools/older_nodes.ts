/**
 * The tests under the older lines of Node that are supported: 22, which has no `using` and
 * strips no types unasked, from the first version on whose node:sqlite tells of
 * transactions; and 24.
 *
 * @module
 */

import { filesIn } from "./files.ts";
import { type Result, run } from "./process.ts";

/** Where the TypeScript goes that Node 22 is given; the files keep their names. */
export const LOWERED = "zig-out/node22";

/** Such a line of Node. */
export interface OlderNode {
  name: string;
  /** The command that runs Node. */
  command: string[];
  /** The folder with its files. */
  folder: string;
  /** Tests that it cannot run. */
  without: string[];
  /** What it calls this checkout, as the path of a URL; as we do, if it is not given. */
  root?: string;
}

/** Those that `./run test --full` has installed. */
export function olderNodes(): OlderNode[] {
  const nodes: OlderNode[] = [];
  const node22 = Deno.env.get("NODE22");
  const node24 = Deno.env.get("NODE24");
  if (node22 !== undefined) {
    const command = [node22, "--experimental-strip-types"];
    // The programs on the pages are written for newer ones.
    const without = ["docs.test.ts", "drivers.test.ts", "image.test.ts"];
    nodes.push({ name: "node22", command, folder: LOWERED, without });
  }
  if (node24 !== undefined) {
    nodes.push({ name: "node24", command: [node24], folder: ".", without: [] });
  }
  return nodes;
}

/** Write what Node 22 is given. Needs esbuild, whose path is in ESBUILD. */
export async function lower(): Promise<Result> {
  const folders = ["ffi", "examples", "tests", "tests/helpers", "tools", "bench"];
  folders.push("bench/contenders");
  await Deno.mkdir(LOWERED, { recursive: true });
  // Tests find what was built by a path from their own.
  await Deno.remove(`${LOWERED}/zig-out`).catch(() => {});
  await Deno.symlink("..", `${LOWERED}/zig-out`);
  const options = ["--log-level=warning", "--format=esm", "--out-extension:.js=.ts"];
  return await run([
    Deno.env.get("ESBUILD")!,
    ...[...options, "--target=node22", `--outdir=${LOWERED}`, "--outbase=."],
    ...["mod.ts", ...folders.flatMap((folder) => filesIn(folder, ".ts"))],
  ], { timeoutMs: 60_000 });
}
