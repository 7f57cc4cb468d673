import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { open } from "../examples/sqlite.ts";
import { install } from "../mod.ts";
import { Folder } from "./helpers/folder.ts";
import { ACCOUNTS, BALANCE, create, type Part, play, type Report } from "./helpers/history.ts";
import { Random } from "./helpers/random.ts";
import { Settings } from "./helpers/settings.ts";

const WORKERS = 3;
const ROUNDS = process.env.SQLITE3ASYNC_TEST_FULL === undefined ? 2 : 40;
const ROUND_MS = 1200;

/** Play a part in a Worker. */
async function playInWorker(part: Part): Promise<Report> {
  const url = new URL("./helpers/history_worker.ts", import.meta.url);
  const worker = new Worker(url, { type: "module" });
  const { promise, resolve, reject } = Promise.withResolvers<Report | { error: string }>();
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = reject;
  worker.postMessage(part);
  try {
    const answer = await promise;
    if ("error" in answer) throw new Error(`worker ${part.actor}: ${answer.error}`);
    return answer;
  } finally {
    worker.terminate();
  }
}

/** What plain SQLite finds must be what the actors say they committed. */
function compare(path: string, reports: Report[]): void {
  using connection = open(path);
  assert.equal(connection.all("PRAGMA integrity_check")[0]?.integrity_check, "ok");

  const found = connection.all("SELECT version, actor FROM log ORDER BY version");
  const told = reports.flatMap(({ actor, versions }) =>
    versions.map((version) => [version, actor])
  );
  told.sort(([a], [b]) => a! - b!);
  assert.deepEqual(found.map(({ version, actor }) => [version, actor]), told);
  assert.deepEqual(told.map(([version]) => version), told.map((_, index) => index + 1));
  assert.equal(connection.all("SELECT n FROM version")[0]?.n, told.length);

  const balances = connection.all("SELECT balance FROM account ORDER BY id");
  const expected = Array.from({ length: ACCOUNTS }, (_, id) => {
    return reports.reduce((sum, { added }) => sum + added[id]!, BALANCE);
  });
  assert.deepEqual(balances.map(({ balance }) => balance), expected);
}

test(`threads that share a WAL database see one history: ${ROUNDS} rounds`, async () => {
  const random = Random.announced("history");
  const vfs = await install();
  const total = { commits: 0, snapshots: 0, checkpoints: 0, releases: 0, background: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    await using folder = new Folder();
    using _settings = new Settings(vfs);
    vfs.checkpointBytes = random.pick(1, 65_536, 1_048_576);
    vfs.checkpointIdleMs = random.pick(1, 20, 1000);
    vfs.maxQueueBytes = random.pick(131_072, 1_048_576, 67_108_864);
    vfs.maxWalBytes = random.pick(524_288, 1_073_741_824);
    vfs.maxDelayMs = random.pick(1, 50, 1000);
    const path = folder.file("a.db");
    // Stays open, so that the status is of all the round.
    let reports: Report[];
    {
      using connection = open(vfs.uri(path));
      create(connection);
      const shared = new SharedArrayBuffer(8);
      const parts = Array.from({ length: WORKERS + 1 }, (_, actor): Part => {
        return { path, actor, seed: random.below(1e9), durationMs: ROUND_MS, shared };
      });
      const played = await Promise.allSettled([
        play(parts[0]!),
        ...parts.slice(1).map(playInWorker),
      ]);
      reports = played.map((result) => {
        if (result.status === "rejected") throw result.reason;
        return result.value;
      });
      const { error, checkpointError, checkpoints } = vfs.status(path);
      assert.deepEqual([error, checkpointError], [null, null]);
      total.background += checkpoints;
    }
    await vfs.flush();
    compare(path, reports);
    for (const { versions, snapshots, checkpoints, releases } of reports) {
      total.commits += versions.length;
      total.snapshots += snapshots;
      total.checkpoints += checkpoints;
      total.releases += releases;
    }
  }
  console.log("history:", JSON.stringify(total));
  const { commits, snapshots, background } = total;
  assert.ok(Math.min(commits, snapshots, background) >= ROUNDS, "too little was done");
});
