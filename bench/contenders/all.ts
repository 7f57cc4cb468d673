/** Which contenders there are in this runtime. @module */
import type { AsyncVfs } from "../../mod.ts";
import type { Contender } from "../contender.ts";
import type { Series } from "../workload.ts";
import {
  MEMORY,
  oursDelete,
  oursFlushed,
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
  return [...builtin, ...oursBy(vfs)];
}

function oursBy(vfs: AsyncVfs): Contender[] {
  return [oursWal(vfs), oursFlushed(vfs), oursWal(vfs, "FULL"), oursDelete(vfs)];
}

/** Those that a report names, whichever runtime measured; with what they promise, not to be opened. */
export function contendersIn(series: Series, nameOf = (name: string) => name): Contender[] {
  const all = [...builtin, ...oursBy({} as AsyncVfs), ...nodeDrivers()];
  return all.filter(({ name }) => nameOf(name) in series);
}
