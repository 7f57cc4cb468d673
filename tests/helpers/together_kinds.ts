/**
 * Closing what several connections, threads or transactions have in common.
 *
 * @module
 */
import { copyFileSync, existsSync, readdirSync, renameSync, unlinkSync } from "node:fs";
import type { Connection } from "../../examples/sqlite.ts";
import { Hand } from "./hand.ts";
import { outside } from "./outside.ts";
import { insertRows, type Kind, LOOK, type Stage } from "./stage.ts";

const HANDS = 2;
const ROWS_EACH = 5;
/** Less than what a close may wait for a disk that stays full. */
const CLOSE_MS = 9000;
/** How often to look whether a Worker that was terminated has ended, and to see that it has. */
const GONE_TRIES = 100;
const GONE_TIMES = 5;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What a copy of a database has, and what is left of it. */
function copied(stage: Stage, path: string): unknown {
  copyFileSync(path, `${path}.copy`);
  return { copy: outside(`${path}.copy`, ...LOOK), left: stage.left(path) };
}

/** Everybody opens a database and commits rows; then they close it. */
async function together(stage: Stage, hands: Hand[], path: string, close: () => Promise<void>) {
  stage.create(path, 0).close();
  for (const hand of hands) await hand.open(path);
  // One after the other: then the file does not depend on who was faster.
  for (const [i, hand] of hands.entries()) await hand.insert(1 + i * ROWS_EACH, ROWS_EACH);
  await close();
}

/**
 * The descriptors that are left when a Worker that was terminated has ended: until it comes back to
 * its event loop it may open the database again.
 */
async function settled(stage: Stage): Promise<number> {
  let times = 0;
  for (let i = 0; i < GONE_TRIES && times < GONE_TIMES; i++) {
    await sleep(100);
    times = stage.descriptors() === 0 ? times + 1 : 0;
  }
  return stage.descriptors();
}

/** A Worker is terminated while it works; then the main thread closes: is all there? */
async function terminated(stage: Stage, what: "commits" | "closes") {
  const path = stage.file("a.db");
  const connection = stage.create(path, 0);
  connection.exec("PRAGMA busy_timeout = 10000");
  const hand = await Hand.start(stage);
  const { last } = hand.loop(path, what);
  while (last() < 10) await sleep(1);
  await sleep(stage.random.below(10));
  hand.terminate();
  const told = last();
  const isGone = stage.random.oneIn(2);
  if (isGone) await sleep(200);
  stage.within(CLOSE_MS, "close", () => connection.close());
  const descriptors = await settled(stage);
  // The Worker may close at the same time; then in plain SQLite, too, neither may delete the WAL.
  for (const suffix of ["", "-wal"]) {
    if (existsSync(path + suffix)) copyFileSync(path + suffix, `${path}.copy${suffix}`);
  }
  const found = [path, `${path}.copy`].map((file) => {
    const [integrity, rows] = outside(file, LOOK[0]!, "SELECT max(n), count(*) FROM t").split("\n");
    const [max, count] = (rows ?? "").split("|").map(Number);
    return [integrity, max! >= told && max === count ? "all" : `${rows} of ${told}`];
  });
  return { found, descriptors };
}

export const kinds: Record<string, Kind> = {
  "two databases of one transaction": (stage) => {
    const [path, other] = [stage.file("a.db"), stage.file("b.db")];
    const connection = stage.create(path, 3);
    connection.exec(`ATTACH '${stage.nameOf(other)}' AS other`);
    connection.exec(`PRAGMA other.journal_mode = ${stage.mode}`);
    connection.exec("CREATE TABLE other.t(n INTEGER PRIMARY KEY, x)");
    for (let n = 10; n < 20; n++) {
      connection.exec("BEGIN");
      connection.exec(`INSERT INTO main.t VALUES (${n}, hex(zeroblob(1500)))`);
      connection.exec(`INSERT INTO other.t VALUES (${n}, hex(zeroblob(1500)))`);
      connection.exec("COMMIT");
    }
    stage.within(CLOSE_MS, "close", () => connection.close());
    return [copied(stage, path), copied(stage, other)];
  },

  "two connections of one thread": (stage) => {
    const path = stage.file("a.db");
    const connections = [stage.create(path, 3), stage.open(path)];
    connections.forEach((connection, i) => insertRows(connection, 10 + i * 10, 5));
    const first = stage.random.below(2);
    connections[first]!.close();
    stage.within(CLOSE_MS, "close", () => connections[1 - first]!.close());
    return copied(stage, path);
  },

  "connections of Workers": async (stage) => {
    const hands: Hand[] = [];
    for (let i = 0; i < HANDS; i++) hands.push(await Hand.start(stage));
    const inTurn = stage.file("in-turn.db");
    await together(stage, hands, inTurn, async () => {
      const left = [...hands];
      while (left.length > 0) await left.splice(stage.random.below(left.length), 1)[0]!.close();
    });
    const found = [copied(stage, inTurn)];

    const mixed = stage.file("mixed.db");
    let connection: Connection | undefined;
    await together(stage, hands, mixed, async () => {
      connection = stage.open(mixed);
      insertRows(connection, 100, 3);
      const isFirst = stage.random.oneIn(2);
      if (isFirst) connection.close();
      for (const hand of hands) await hand.close();
      if (!isFirst) connection.close();
    });
    found.push(copied(stage, mixed));

    const atOnce = stage.file("at-once.db");
    await together(stage, hands, atOnce, async () => {
      await Promise.all(hands.map((hand) => hand.close()));
    });
    // Of two that close at the same time in plain SQLite neither may delete the WAL.
    found.push({ descriptors: stage.descriptors(), look: outside(atOnce, ...LOOK) });
    for (const hand of hands) hand.terminate();
    return found;
  },

  "a connection beside a Worker that was terminated while it commits": (stage) => {
    return terminated(stage, "commits");
  },

  "a connection beside a Worker that was terminated while it closes": (stage) => {
    return terminated(stage, "closes");
  },

  "a foreign database that is put in its place during the close": async (stage) => {
    const path = stage.file("a.db");
    const foreign = stage.file("foreign.db");
    const hand = await Hand.start(stage);
    const found: unknown[] = [];
    for (let round = 0; round < 3; round++) {
      stage.create(path, 1).close();
      stage.makeForeign(foreign);
      await hand.open(path);
      await hand.insert(10, 20);
      const closed = hand.close();
      await sleep(round);
      renameSync(foreign, path);
      await closed;
      // In WAL mode plain SQLite may leave the old WAL beside the new file.
      const names = stage.files().map((line) => line.split(" ")[0]);
      const descriptors = stage.descriptors();
      if (stage.mode !== "WAL") found.push({ names, descriptors, look: outside(path, ...LOOK) });
      for (const name of readdirSync(stage.folder)) unlinkSync(stage.file(name));
    }
    hand.terminate();
    return found;
  },
};
