/**
 * For tests/history.test.ts: one actor of several, on threads of their own, that share
 * one database. All transfer between accounts, so that the sum of these is constant.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type Connection, open } from "../../examples/sqlite.ts";
import { type AsyncVfs, install } from "../../mod.ts";
import { Random } from "./random.ts";

export const ACCOUNTS = 200;
export const BALANCE = 1000;
export const SUM = ACCOUNTS * BALANCE;

/** What an actor is to do. */
export interface Part {
  path: string;
  actor: number;
  seed: number;
  durationMs: number;
  /** Two numbers, of all actors: the newest version known to be committed; actors that failed. */
  shared: SharedArrayBuffer;
}

/** What it has done. */
export interface Report {
  actor: number;
  /** The versions that it committed. */
  versions: number[];
  /** What it added to each account. */
  added: number[];
  snapshots: number;
  checkpoints: number;
  releases: number;
}

/** Make the database. */
export function create(connection: Connection): void {
  assert.equal(connection.all("PRAGMA journal_mode = WAL")[0]?.journal_mode, "wal");
  connection.exec(`
    BEGIN;
    CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, note TEXT);
    CREATE TABLE version(n INTEGER NOT NULL);
    CREATE TABLE log(version INTEGER PRIMARY KEY, actor INTEGER NOT NULL);
    INSERT INTO version VALUES (0);
    COMMIT;
  `);
  const insert = connection.prepare("INSERT INTO account VALUES (?, ?, '')");
  connection.exec("BEGIN");
  for (let id = 0; id < ACCOUNTS; id++) insert.run(id, BALANCE);
  connection.exec("COMMIT");
}

/** One actor's connection, with what it does with it. */
class Actor {
  readonly vfs: AsyncVfs;
  readonly part: Part;
  readonly report: Report;
  readonly #random: Random;
  readonly #committed: Int32Array;
  #connection!: Connection;
  #statements!: ReturnType<typeof prepareAll>;

  constructor(vfs: AsyncVfs, part: Part) {
    this.vfs = vfs;
    this.part = part;
    const { actor, seed } = part;
    const added = new Array(ACCOUNTS).fill(0);
    this.report = { actor, versions: [], added, snapshots: 0, checkpoints: 0, releases: 0 };
    this.#random = new Random(seed);
    this.#committed = new Int32Array(part.shared);
    this.open();
  }

  open(): void {
    this.#connection = open(this.vfs.uri(this.part.path));
    const synchronous = this.#random.pick("OFF", "NORMAL", "FULL");
    this.#connection.exec(`PRAGMA busy_timeout = 20000; PRAGMA synchronous = ${synchronous}`);
    // With a small one, large transactions write to the WAL before they commit.
    this.#connection.exec(`PRAGMA cache_size = ${this.#random.pick(5, 2000)}`);
    this.#statements = prepareAll(this.#connection);
  }

  close(): void {
    this.#connection.close();
  }

  /** Do one thing. */
  async step(): Promise<void> {
    const random = this.#random;
    const way = random.below(100);
    if (way < 55) return this.transfer();
    if (way < 85) return await this.read();
    if (way < 92) return this.checkpoint();
    if (way < 94) return await this.vfs.flush({ path: this.part.path });
    if (way < 95) return this.vfs.flushSync();
    if (way < 97) return await this.release();
    if (way < 98) return await new Promise((resolve) => setTimeout(resolve, random.below(10)));
    this.close();
    this.open();
  }

  /** Move money in one transaction, or begin to and roll it back. */
  transfer(): void {
    const random = this.#random;
    const size = random.oneIn(20) ? 150 : 1 + random.below(8);
    const moves = Array.from({ length: size }, () => {
      return { from: random.below(ACCOUNTS), to: random.below(ACCOUNTS), n: random.below(50) };
    });
    const known = Atomics.load(this.#committed, 0);
    this.#connection.exec("BEGIN IMMEDIATE");
    const version = this.#version() + 1;
    assert.ok(version > known, `writes version ${version}, though ${known} was committed`);
    const note = "x".repeat(random.below(300));
    for (const { from, to, n } of moves) {
      this.#statements.add.run(-n, note, from);
      this.#statements.add.run(n, note, to);
    }
    this.#statements.setVersion.run(version);
    this.#statements.log.run(version, this.part.actor);
    if (random.oneIn(8)) {
      this.#connection.exec("ROLLBACK");
      return;
    }
    this.#connection.exec("COMMIT");
    this.#tell(version);
    this.report.versions.push(version);
    for (const { from, to, n } of moves) {
      this.report.added[from]! -= n;
      this.report.added[to]! += n;
    }
  }

  /** Look at the same things several times in one transaction. */
  async read(): Promise<void> {
    const random = this.#random;
    const known = Atomics.load(this.#committed, 0);
    this.#connection.exec("BEGIN");
    const version = this.#version();
    assert.ok(version >= known, `reads version ${version}, though ${known} was committed`);
    const first = this.#balances();
    for (let again = random.below(4); again > 0; again--) {
      await new Promise((resolve) => setTimeout(resolve, random.below(4)));
      assert.equal(this.#version(), version, "the version changed in a snapshot");
      assert.equal(this.#balances(), first, "a balance changed in a snapshot");
    }
    const [log] = this.#connection.all("SELECT count(*) AS n, max(version) AS last FROM log");
    assert.deepEqual({ ...log }, { n: version, last: version || null });
    this.#connection.exec("COMMIT");
    this.report.snapshots++;
  }

  checkpoint(): void {
    const mode = this.#random.pick("PASSIVE", "FULL", "RESTART", "TRUNCATE");
    // Readers may be in the way for longer than we like to wait.
    this.#connection.exec("PRAGMA busy_timeout = 5");
    const [row] = this.#connection.all(`PRAGMA wal_checkpoint(${mode})`);
    this.#connection.exec("PRAGMA busy_timeout = 20000");
    if (row?.busy === 0) this.report.checkpoints++;
  }

  async release(): Promise<void> {
    try {
      await this.vfs.release(this.part.path, { timeoutMs: 10 });
      this.report.releases++;
    } catch (error) {
      assert.equal((error as { codeName?: string }).codeName, "SQLITE_BUSY", String(error));
    }
  }

  #version(): number {
    return Number(this.#statements.getVersion.all()[0]!.n);
  }

  /** As text; that they have the right sum was checked. */
  #balances(): string {
    const balances = this.#statements.balances.all().map(({ balance }) => Number(balance));
    assert.equal(balances.reduce((sum, balance) => sum + balance), SUM);
    return balances.join();
  }

  /** A version is committed: all who begin to read from now on must see it. */
  #tell(version: number): void {
    for (;;) {
      const known = Atomics.load(this.#committed, 0);
      if (known >= version) return;
      if (Atomics.compareExchange(this.#committed, 0, known, version) === known) return;
    }
  }
}

function prepareAll(connection: Connection) {
  return {
    add: connection.prepare("UPDATE account SET balance = balance + ?, note = ? WHERE id = ?"),
    balances: connection.prepare("SELECT balance FROM account ORDER BY id"),
    getVersion: connection.prepare("SELECT n FROM version"),
    setVersion: connection.prepare("UPDATE version SET n = ?"),
    log: connection.prepare("INSERT INTO log VALUES (?, ?)"),
  };
}

/** Play a part to its end, or until another actor fails. */
export async function play(part: Part): Promise<Report> {
  const failed = new Int32Array(part.shared, 4);
  const actor = new Actor(await install(), part);
  const end = performance.now() + part.durationMs;
  try {
    while (performance.now() < end && Atomics.load(failed, 0) === 0) await actor.step();
    return actor.report;
  } catch (error) {
    Atomics.add(failed, 0, 1);
    throw error;
  } finally {
    actor.close();
  }
}
