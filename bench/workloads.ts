/** All workloads, in the order in which they run. @module */
import { backlog } from "./backlog.ts";
import { bound } from "./bound.ts";
import { close } from "./close.ts";
import { commit } from "./commit.ts";
import { cpu } from "./cpu.ts";
import { depth } from "./depth.ts";
import { durable } from "./durable.ts";
import { enqueue } from "./enqueue.ts";
import { full } from "./full.ts";
import { http } from "./http.ts";
import { bulkImport } from "./import.ts";
import { levels } from "./levels.ts";
import { memory } from "./memory.ts";
import { mix } from "./mix.ts";
import { opened } from "./opened.ts";
import { sizes } from "./sizes.ts";
import { slow } from "./slow.ts";
import { speedtest } from "./speedtest.ts";
import { spread } from "./spread.ts";
import { sustained } from "./sustained.ts";
import { wait } from "./wait.ts";
import { window } from "./window.ts";
import { workers } from "./workers.ts";
import type { Workload } from "./workload.ts";

/** All workloads. */
export const workloads: Workload[] = [
  commit,
  levels,
  window,
  cpu,
  close,
  durable,
  spread,
  http,
  slow,
  full,
  opened,
  workers,
  sizes,
  depth,
  mix,
  bulkImport,
  speedtest,
  sustained,
  wait,
  backlog,
  enqueue,
  memory,
  bound,
];
