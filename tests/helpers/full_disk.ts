/**
 * For tests/full_disk.test.ts: rounds on a small file system that fills up, in a process that
 * may mount one. Some rounds are about the process's end and have a process of their own.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { rmSync, writeSync } from "node:fs";
import process from "node:process";
import { type Connection, open } from "../../examples/sqlite.ts";
import { type AsyncVfs, type AsyncVfsEvent, install } from "../../mod.ts";
import { errorOf, until } from "./check.ts";
import { Child } from "./child.ts";
import { Folder } from "./folder.ts";
import { createTables, lastIn, Numbered } from "./numbered.ts";
import { Random } from "./random.ts";
import { SmallDisk } from "./small_disk.ts";

/** What happens while the disk is full. */
const HAPPENINGS = [
  "room", // comes before the queue is full
  "full queue", // and room comes while commits wait for it
  "failure", // there is no room for too long
  "SIGKILL",
  "exit",
  "exit and room", // which comes while the exit drains
] as const;
type Happening = (typeof HAPPENINGS)[number];

/** What one round does. */
export interface FullDiskPlan {
  path: string;
  happening: Happening;
  seed: number;
  journalMode: string;
  synchronous: string;
  pageSize: number;
  /** Bytes that are free at first. */
  free: number;
  /** Bytes in the WAL when the disk fills up, for the checkpointer to copy. */
  toCheckpoint: number;
  onQueueFull: string;
}

const RETRY_MS = 30_000;
const DRAIN_MS = 150;
const TRANSACTIONS_MAX = 20_000;

function randomPlan(random: Random, path: string): FullDiskPlan {
  const journalMode = random.pick("WAL", "WAL", "DELETE", "TRUNCATE", "PERSIST");
  return {
    path,
    happening: random.pick("room", "room", "full queue", "failure", ...HAPPENINGS),
    seed: random.below(1_000_000_000),
    journalMode,
    synchronous: random.pick("NORMAL", "FULL", "OFF"),
    pageSize: random.pick(512, 4096, 4096),
    free: random.below(40_000) + random.pick(0, 0, 150_000),
    toCheckpoint: journalMode === "WAL" && random.oneIn(2) ? 50_000 + random.below(250_000) : 0,
    onQueueFull: random.pick("block", "busy"),
  };
}

function say(line: string): void {
  writeSync(1, `${line}\n`);
}

/** A database on the disk, and what its transactions came to. */
class Filler implements Disposable {
  readonly vfs: AsyncVfs;
  readonly plan: FullDiskPlan;
  readonly connection: Connection;
  readonly #numbered: Numbered;
  last = 0;

  constructor(vfs: AsyncVfs, plan: FullDiskPlan) {
    this.vfs = vfs;
    this.plan = plan;
    vfs.diskFullRetryMs = RETRY_MS;
    vfs.checkpointBytes = vfs.checkpointIdleMs = 0; // until there is something to be copied
    this.connection = open(vfs.uri(plan.path));
    this.connection.exec("PRAGMA busy_timeout = 15000");
    this.connection.exec(`PRAGMA page_size = ${plan.pageSize}`);
    this.connection.exec(`PRAGMA synchronous = ${plan.synchronous}`);
    this.connection.all(`PRAGMA journal_mode = ${plan.journalMode}`);
    createTables(this.connection, 1);
    this.#numbered = new Numbered(this.connection, 1);
    while (vfs.status(plan.path).walBytes < plan.toCheckpoint) this.commit();
    vfs.flushSync();
  }

  get isFull(): boolean {
    return this.vfs.status(this.plan.path).state === "disk-full";
  }

  commit(): void {
    this.last = this.#numbered.commit();
    assert.ok(this.last < TRANSACTIONS_MAX, "the disk does not get full");
  }

  /** Commit until the disk is full, and for a while on. */
  async fill(disk: SmallDisk): Promise<void> {
    disk.leave(this.plan.free);
    if (this.plan.toCheckpoint > 0) this.vfs.checkpointBytes = 1;
    const random = new Random(this.plan.seed);
    while (!this.isFull) {
      for (let i = random.below(20); i > 0; i--) this.commit();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    for (let i = random.below(50); i > 0; i--) this.commit();
    assert.ok(this.isFull);
  }

  [Symbol.dispose](): void {
    this.connection.close();
  }
}

/** The types of the events about one database. */
class Events implements Disposable {
  readonly vfs: AsyncVfs;
  readonly types: string[] = [];
  readonly #listener: (event: AsyncVfsEvent) => void;
  static readonly #names = ["diskfull", "resume", "error"] as const;

  constructor(vfs: AsyncVfs, path: string) {
    this.vfs = vfs;
    this.#listener = (event) => void (event.path === path && this.types.push(event.type));
    for (const name of Events.#names) vfs.addEventListener(name, this.#listener);
  }

  [Symbol.dispose](): void {
    for (const name of Events.#names) this.vfs.removeEventListener(name, this.#listener);
  }
}

async function checkRoom(vfs: AsyncVfs, disk: SmallDisk, plan: FullDiskPlan): Promise<void> {
  using events = new Events(vfs, plan.path);
  let last = 0;
  {
    using filler = new Filler(vfs, plan);
    await filler.fill(disk);
    await until(() => events.types.length > 0);
    let flushed = false;
    const flush = vfs.flush({ path: plan.path }).then(() => flushed = true);
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.ok(!flushed, "a flush resolved though the disk is full");
    disk.unload();
    await flush;
    filler.commit();
    await vfs.flush({ path: plan.path });
    assert.equal(vfs.status(plan.path).state, "running");
    last = filler.last;
  }
  await vfs.flush();
  assert.equal(lastIn(plan.path), last);
  await until(() => events.types.at(-1) === "resume");
  // It may have become full again: once more for each time it had become free.
  events.types.forEach((type, i) => assert.equal(type, i % 2 === 0 ? "diskfull" : "resume"));
}

async function checkFullQueue(vfs: AsyncVfs, disk: SmallDisk, plan: FullDiskPlan): Promise<void> {
  let last = 0;
  {
    using filler = new Filler(vfs, plan);
    await filler.fill(disk);
    const { queuedBytes, fullWaits } = vfs.status(plan.path);
    vfs.maxQueueBytes = queuedBytes + 50_000;
    vfs.onQueueFull = plan.onQueueFull as "block" | "busy";
    const start = performance.now();
    const remover = spawn("sh", ["-c", `sleep 0.15; rm '${disk.file("ballast")}'`]);
    const removed = new Promise((resolve) => remover.on("close", resolve));
    while (filler.isFull) filler.commit();
    const waited = vfs.status(plan.path).fullWaits > fullWaits;
    assert.ok(waited || plan.onQueueFull === "busy", "no commit met a full queue");
    assert.ok(performance.now() - start < 15_000);
    await removed;
    await vfs.flush({ path: plan.path });
    last = filler.last;
  }
  await vfs.flush();
  assert.equal(lastIn(plan.path), last);
}

async function checkFailure(vfs: AsyncVfs, disk: SmallDisk, plan: FullDiskPlan): Promise<void> {
  using events = new Events(vfs, plan.path);
  let last = 0;
  let applied = 0;
  {
    using filler = new Filler(vfs, plan);
    await filler.fill(disk);
    const status = vfs.status(plan.path);
    applied = filler.last - (status.committed - status.applied);
    const flushed = errorOf(() => vfs.flush({ path: plan.path }));
    vfs.diskFullRetryMs = new Random(plan.seed).pick(0, 50);
    const error = await flushed;
    assert.equal(error.codeName, "SQLITE_FULL", error.message);
    assert.equal(vfs.status(plan.path).state, "failed");
    last = filler.last;
    assert.throws(() => filler.commit(), /full/);
    assert.equal((await errorOf(() => vfs.flushSync())).codeName, "SQLITE_FULL");
    await until(() => events.types.at(-1) === "error");
  }
  disk.unload();
  await until(() => isFree(plan.path)); // of the checkpointer, too
  const found = lastIn(plan.path);
  assert.ok(found >= applied && found <= last, `${found} of ${applied} to ${last}`);
  using filler = new Filler(vfs, { ...plan, toCheckpoint: 0 });
  filler.commit();
  await vfs.flush({ path: plan.path });
  assert.equal(filler.last, found + 1);
}

/** Can plain SQLite read it? */
function isFree(path: string): boolean {
  using connection = open(path);
  try {
    return connection.all("SELECT n FROM counter").length === 1;
  } catch (error) {
    assert.match(String(error), /locked/);
    return false;
  }
}

const program = import.meta.url;

/** What is said at the end of what was committed and not written. */
const TOLD = new RegExp(
  "^sqlite3async: (?:exit|close): (\\d+) committed transactions of (.*) were not written: " +
    `(?:it took longer than ${DRAIN_MS} ms|database or disk is full)$`, // Bun closes at its end
);

/** In a process of its own, which ends. */
export async function end(plan: FullDiskPlan, diskPath: string): Promise<void> {
  const vfs = await install({ exitDrainMs: plan.happening === "exit" ? DRAIN_MS : 20_000 });
  const filler = new Filler(vfs, plan);
  await filler.fill(new SmallDisk(diskPath));
  const { committed, applied } = vfs.status(plan.path);
  say(`committed ${filler.last}`);
  say(`applied ${filler.last - (committed - applied)}`);
  if (plan.happening === "SIGKILL") process.kill(process.pid, "SIGKILL");
  process.exit(3);
}

async function checkEnd(disk: SmallDisk, plan: FullDiskPlan): Promise<void> {
  using child = new Child(`
    const { end } = await import(${JSON.stringify(program)});
    await end(${JSON.stringify(plan)}, ${JSON.stringify(disk.path)});
  `);
  if (plan.happening === "exit and room") {
    await child.printed("applied");
    disk.unload();
  }
  const { code, signal, stdout, stderr } = await child.ended();
  const said = (what: string) => Number(stdout.match(new RegExp(`^${what} (\\d+)$`, "m"))![1]);
  disk.unload();
  const found = lastIn(plan.path);
  if (plan.happening === "SIGKILL") {
    assert.equal(signal, "SIGKILL", stderr);
    assert.ok(found >= said("applied"), `${found} of ${stdout}`);
    return;
  }
  assert.deepEqual([code, signal], [3, null], stderr);
  const committed = said("committed");
  // It may drain though the disk was full: tmpfs frees late what was deleted before that.
  if (plan.happening === "exit and room" || stderr === "") {
    assert.deepEqual([found, stderr], [committed, ""]);
    return;
  }
  const [told, lost, path] = stderr.match(TOLD) ?? [];
  assert.deepEqual([told, path], [stderr, plan.path]);
  const missing = committed - found;
  const numbers = `${missing} are missing: ${stderr}\n${stdout}`;
  // The write that found the disk full may have got a part there.
  assert.ok(missing >= 0 && missing <= Number(lost), numbers);
  assert.ok(Number(lost) > 0 && Number(lost) <= committed - said("applied"), numbers);
}

async function round(vfs: AsyncVfs, disk: SmallDisk, plan: FullDiskPlan): Promise<void> {
  vfs.maxQueueBytes = 64 << 20;
  switch (plan.happening) {
    case "room":
      return await checkRoom(vfs, disk, plan);
    case "full queue":
      return await checkFullQueue(vfs, disk, plan);
    case "failure":
      return await checkFailure(vfs, disk, plan);
    default:
      return await checkEnd(disk, plan);
  }
}

/** So many rounds; prints how many of each kind there were. */
export async function rounds(seed: number, count: number): Promise<void> {
  const vfs = await install();
  const random = new Random(seed);
  using folder = new Folder();
  using disk = SmallDisk.mount(folder, "16m");
  const done: Record<string, number> = {};
  for (let i = 0; i < count; i++) {
    const plan = randomPlan(random, disk.file(`${i}.db`));
    plan.happening = HAPPENINGS[i] ?? plan.happening; // each at least once
    try {
      await round(vfs, disk, plan);
    } catch (error) {
      console.log(`full_disk: round ${i}:`, JSON.stringify(plan));
      throw error;
    } finally {
      disk.unload();
    }
    for (const suffix of ["", "-wal", "-shm", "-journal"]) {
      rmSync(plan.path + suffix, { force: true });
    }
    done[plan.happening] = (done[plan.happening] ?? 0) + 1;
  }
  console.log("done", JSON.stringify(done));
}
