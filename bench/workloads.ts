/** All workloads, in the order in which they run. @module */
import { backlog } from "./backlog.ts";
import { bound } from "./bound.ts";
import { commit } from "./commit.ts";
import { durable } from "./durable.ts";
import { enqueue } from "./enqueue.ts";
import { http } from "./http.ts";
import { bulkImport } from "./import.ts";
import { memory } from "./memory.ts";
import { mix } from "./mix.ts";
import { opened } from "./opened.ts";
import { reads } from "./reads.ts";
import { slow } from "./slow.ts";
import { speedtest } from "./speedtest.ts";
import { spread } from "./spread.ts";
import { sustained } from "./sustained.ts";
import { wait } from "./wait.ts";
import type { Workload } from "./workload.ts";

/** All workloads. */
export const workloads: Workload[] = [
  commit,
  reads,
  enqueue,
  memory,
  bound,
  backlog,
  wait,
  durable,
  mix,
  bulkImport,
  speedtest,
  http,
  spread,
  opened,
  slow,
  sustained,
];
