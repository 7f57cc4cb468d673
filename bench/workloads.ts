/** All workloads, in the order in which they run. @module */
import { backlog } from "./backlog.ts";
import { bound } from "./bound.ts";
import { commit } from "./commit.ts";
import { cpu } from "./cpu.ts";
import { depth } from "./depth.ts";
import { durable } from "./durable.ts";
import { enqueue } from "./enqueue.ts";
import { memory } from "./memory.ts";
import { sizes } from "./sizes.ts";
import { sustained } from "./sustained.ts";
import { wait } from "./wait.ts";
import { wal } from "./wal.ts";
import { workers } from "./workers.ts";
import type { Workload } from "./workload.ts";

/** All workloads. */
export const workloads: Workload[] = [
  commit,
  cpu,
  depth,
  enqueue,
  memory,
  bound,
  backlog,
  wait,
  wal,
  durable,
  sizes,
  workers,
  sustained,
];
