/** Which contenders there are in this runtime. @module */
import type { AsyncVfs } from "../../mod.ts";
import type { Contender } from "../contender.ts";
import {
  MEMORY,
  oursDelete,
  oursWal,
  PLAIN_DELETE,
  PLAIN_FULL,
  PLAIN_NORMAL,
  PLAIN_OFF,
} from "./builtin.ts";
import { nodeDrivers } from "./node_drivers.ts";
import { WORKER_FULL, WORKER_NORMAL } from "./worker.ts";

/** The runtime's own SQLite, in each way to use it, and in a Worker. */
const builtin = [
  MEMORY,
  PLAIN_NORMAL,
  PLAIN_FULL,
  PLAIN_OFF,
  PLAIN_DELETE,
  WORKER_NORMAL,
  WORKER_FULL,
];

/** Is this Node, where other drivers run and ours does not? */
export const isNode: boolean = !("Deno" in globalThis) && !("Bun" in globalThis);

/** All of this runtime. The VFS is absent in Node. */
export function contendersHere(vfs: AsyncVfs | undefined): Contender[] {
  if (vfs === undefined) return [...builtin, ...nodeDrivers()];
  return [...builtin, oursWal(vfs), oursWal(vfs, "FULL"), oursDelete(vfs)];
}
