/**
 * What people feel: an HTTP server that commits a row, or twenty, for each POST, while
 * unrelated requests are timed.
 *
 * A process of its own makes the load (native/load.c). In each round it finds for each
 * contender how many POSTs a second there can be with 64 connections; then, POSTs
 * come at 70 % of what the slowest of those that promise as much can do, so that they do
 * the same work, and the unrelated requests, 500 a second beside them, are timed from when
 * they were due. Once more at 70 % of what each can do itself. The delay of the event
 * loop is how much later than asked for a timer of 5 ms came.
 *
 * A POST of one row is mostly HTTP: so it is also found how many rows a second there can be
 * with twenty in a POST, as those send them who gather events.
 *
 * A POST is answered when its row is committed; by those named "awaited" when it is
 * durable, as plain SQLite's with `synchronous` FULL are.
 *
 * @module
 */
import { type AsyncVfs, install } from "../mod.ts";
import { overTime, percentiles } from "./charts.ts";
import type { Contender, Survives } from "./contender.ts";
import { oursWal, PLAIN_FULL, PLAIN_NORMAL } from "./contenders/builtin.ts";
import { WORKER_FULL, WORKER_NORMAL } from "./contenders/worker.ts";
import { create, type Database, finish } from "./databases.ts";
import { native } from "./native.ts";
import { count, duration } from "./print.ts";
import { serve, type Server } from "./server.ts";
import { median, middle, percentile, ratios, roundsOf, target } from "./statistics.ts";
import type { Report, Round, Series, Settings, Workload } from "./workload.ts";

const CONNECTIONS = 64;
const BATCH = 20;
/** Takes a JSON array of names. */
const INSERT_BATCH = "INSERT INTO t(name) SELECT value FROM json_each(?)";
const LOAD = 0.7;
const PINGS = 500;
const TIMER_MS = 5;
const WARM_UP_MS = 500;

const PLAIN = "plain WAL/NORMAL";
const WORKER = "Worker WAL/NORMAL";
const OURS = "sqlite3async WAL/NORMAL";
const AWAITED = "sqlite3async, awaited";
const DURABLE: Survives = { kill: "all", power: "all" };

/** A contender with its server and database. */
interface Site extends AsyncDisposable {
  name: string;
  database: Database;
  server: Server;
  /** Rows of POSTs that were answered. */
  acknowledged: number;
}

function entries(vfs: AsyncVfs): { contender: Contender; awaited: boolean }[] {
  const plain = [PLAIN_NORMAL, WORKER_NORMAL, oursWal(vfs), PLAIN_FULL, WORKER_FULL];
  const all = plain.map((contender) => ({ contender, awaited: false }));
  return [...all, {
    contender: { ...oursWal(vfs), name: AWAITED, survives: DURABLE },
    awaited: true,
  }];
}

async function openSite(
  folder: string,
  { contender, awaited }: { contender: Contender; awaited: boolean },
): Promise<Site> {
  const database = await create(folder, contender);
  const { insert } = database;
  const insertBatch = await database.store.prepare(INSERT_BATCH);
  const server = serve(async (request) => {
    if (request.method === "GET") return new Response("pong");
    const { names } = await request.json();
    const done = names.length === 1 ? insert.run(names[0]) : insertBatch.run(JSON.stringify(names));
    if (done instanceof Promise) await done;
    if (awaited) await contender.vfs!.flush();
    return new Response("committed");
  });
  const site: Site = {
    name: contender.name,
    database,
    server,
    acknowledged: 0,
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await finish(database, site.acknowledged);
    },
  };
  // A Worker is new in each turn, with none of its code compiled; the main thread is not.
  await load(site, 0, WARM_UP_MS, folder);
  return site;
}

/** Load of so many POSTs a second, 0 being as many as there can be, and what was measured. */
async function load(
  site: Site,
  posts: number,
  forMs: number,
  folder: string,
  rows = 1,
): Promise<Round> {
  const pings = posts === 0 ? 0 : PINGS;
  const variant = [site.server.port, CONNECTIONS, Math.round(posts), rows, pings, forMs];
  const result = await native("load", variant.join(","), folder);
  site.acknowledged += rows * result["write"]!.length;
  return result;
}

/** How many rows a second there can be with so many in each POST. */
async function capacityOf(
  site: Site,
  forMs: number,
  folder: string,
  rows = 1,
): Promise<number> {
  const found = await load(site, 0, forMs, folder, rows);
  return rows * found["answered in time"]![0]! / forMs * 1000;
}

/** How late a timer is meanwhile, in nanoseconds. */
async function withTimer<T>(work: Promise<T>): Promise<{ result: T; lateNs: number[] }> {
  const lateNs: number[] = [];
  const look = (askedMs: number) => {
    const nowMs = performance.now();
    lateNs.push(Math.max(0, Math.round((nowMs - askedMs - TIMER_MS) * 1e6)));
    timer = setTimeout(look, TIMER_MS, nowMs);
  };
  let timer = setTimeout(look, TIMER_MS, performance.now());
  try {
    return { result: await work, lateNs };
  } finally {
    clearTimeout(timer); // or it would count what the turn's end takes
  }
}

async function* measure({ folder, quick }: Settings): AsyncGenerator<Round, void> {
  await using vfs = await install();
  const forMs = quick ? 700 : 2500;
  for (let round = -1; round < (quick ? 2 : 5); round++) { // the first one warms up
    const series: Round = {};
    const capacities: [Contender, number][] = [];
    for (const entry of entries(vfs)) {
      await using site = await openSite(folder, entry);
      const capacity = await capacityOf(site, forMs / 2, folder);
      capacities.push([entry.contender, capacity]);
      series[`${site.name}, POSTs/s`] = [capacity];
      series[`${site.name}, rows/s`] = [await capacityOf(site, forMs / 2, folder, BATCH)];
      const loaded = load(site, LOAD * capacity, forMs, folder);
      addPings(series, `${site.name}, its own`, await withTimer(loaded));
    }
    for (const entry of entries(vfs)) {
      await using site = await openSite(folder, entry);
      const alike = capacities.filter(([{ survives }]) =>
        survives.power === entry.contender.survives.power
      );
      const slowest = Math.min(...alike.map(([, capacity]) => capacity));
      addPings(series, site.name, await withTimer(load(site, LOAD * slowest, forMs, folder)));
    }
    if (round >= 0) yield series;
  }
}

function addPings(
  series: Round,
  name: string,
  { result, lateNs }: { result: Round; lateNs: number[] },
): void {
  series[name] = result["ping"]!;
  series[`${name}, POST`] = result["write"]!;
  series[`${name}, timer`] = lateNs;
}

const p99 = (samples: number[]) => percentile(samples, 0.99);

function report(series: Series): Report {
  const none = {} as AsyncVfs;
  const contenders = entries(none).map(({ contender }) => contender);
  const names = contenders.map(({ name }) => name);
  const p = (name: string, part: number) =>
    duration(median(roundsOf(series, name).map((samples) => percentile(samples, part))));
  const lines = contenders.map(({ name, survives }) => [
    name,
    count(middle(series, `${name}, POSTs/s`)),
    count(middle(series, `${name}, rows/s`)),
    ...[0.5, 0.99, 0.999, 1].map((part) => p(name, part)),
    p(`${name}, POST`, 0.99),
    p(`${name}, timer`, 0.99),
    ...[0.5, 0.99].map((part) => p(`${name}, its own`, part)),
    survives.kill,
    survives.power,
  ]);
  return {
    table: [
      [
        "",
        "POSTs/s",
        `rows/s, ${BATCH} a POST`,
        "same load: other p50",
        "other p99",
        "other p99.9",
        "longest",
        "POST p99",
        "timer p99",
        "its own 70 %: other p50",
        "other p99",
        "SIGKILL",
        "power cut",
      ],
      ...lines,
    ],
    targets: [
      target(
        "p99 of other requests at the same load, by plain WAL/NORMAL's",
        ratios(series, OURS, PLAIN, p99),
        "at most",
        0.2,
      ),
      target(
        "p99 of other requests at the same load, by the Worker's",
        ratios(series, OURS, WORKER, p99),
        "at most",
        0.5,
      ),
      target(
        "POSTs/s by the Worker's",
        ratios(series, `${OURS}, POSTs/s`, `${WORKER}, POSTs/s`),
        "at least",
        3,
      ),
      target(
        `rows/s, ${BATCH} a POST, by the Worker's`,
        ratios(series, `${OURS}, rows/s`, `${WORKER}, rows/s`),
        "at least",
        3,
      ),
    ],
    charts: [
      percentiles("Unrelated requests, while a row is committed for others", series, names),
      percentiles(
        "The same, at 70 % of each one's own capacity",
        series,
        names.map((name) => `${name}, its own`),
      ),
      overTime("The longest of the unrelated requests over time", series, names),
      percentiles("How late a timer is", series, names.map((name) => `${name}, timer`)),
    ],
    summary: contenders.map(({ name, survives }) => ({
      contender: name,
      survives,
      figures: {
        "POSTs/s": count(middle(series, `${name}, POSTs/s`)),
        [`rows/s, ${BATCH} a POST`]: count(middle(series, `${name}, rows/s`)),
        "other requests' p99 at the same load": p(name, 0.99),
        "at 70 % of its own POSTs/s": p(`${name}, its own`, 0.99),
      },
    })),
  };
}

/** The workload. */
export const http: Workload = {
  name: "http",
  about: "a server that commits what is POSTed, while other requests are timed",
  usesNative: true,
  measure,
  report,
};
