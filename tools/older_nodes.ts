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
const LOWERED = "zig-out/node22";

/** Such a line of Node. */
export interface OlderNode {
  name: string;
  /** The command that runs Node. */
  command: string[];
  /** The folder with its files. */
  folder: string;
}

/** Those that `./run test --full` has installed. */
export function olderNodes(): OlderNode[] {
  const nodes: OlderNode[] = [];
  const node22 = Deno.env.get("NODE22");
  const node24 = Deno.env.get("NODE24");
  if (node22 !== undefined) {
    const command = [node22, "--experimental-strip-types"];
    nodes.push({ name: "node22", command, folder: LOWERED });
  }
  if (node24 !== undefined) nodes.push({ name: "node24", command: [node24], folder: "." });
  return nodes;
}

/** Write what Node 22 is given. */
export function lower(): Promise<Result> {
  const folders = ["ffi", "examples", "tests", "tests/helpers", "bench", "bench/contenders"];
  const options = ["--log-level=warning", "--format=esm", "--out-extension:.js=.ts"];
  return run([
    Deno.env.get("ESBUILD")!,
    ...[...options, "--target=node22", `--outdir=${LOWERED}`, "--outbase=."],
    ...["mod.ts", ...folders.flatMap((folder) => filesIn(folder, ".ts"))],
  ], { timeoutMs: 60_000 });
}
