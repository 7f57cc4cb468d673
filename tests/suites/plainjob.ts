// @ts-nocheck: what it imports is installed by `./run suites` only
/**
 * plainjob, a queue of jobs: over better-sqlite3 in Node, over bun:sqlite in Bun. Several workers
 * claim jobs, in this thread and in others, each with a connection of its own.
 *
 * @module
 */
import assert from "node:assert/strict";
import process from "node:process";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { JOURNAL, removeDatabase, RUNTIME, Suite } from "./harness.ts";

const { better, bun, defineQueue, defineWorker, JobStatus } = await import(String("plainjob"));
const { default: Database } = RUNTIME === "bun"
  ? { default: (await import(String("bun:sqlite"))).Database }
  : await import(String("better-sqlite3"));

const logger = { error() {}, warn() {}, info() {}, debug() {} };

function openQueue(path, options = {}) {
  const connection = RUNTIME === "bun" ? bun(new Database(path)) : better(new Database(path));
  if (RUNTIME === "bun") connection.prepare = statementsOf(connection);
  const { pragma } = connection;
  // The queue sets a WAL and 5 s. Here it gets the journal mode of the run, and a longer timeout:
  // with a rollback journal the threads wait longer for each other.
  pragma("busy_timeout = 60000");
  connection.pragma = (text) => {
    if (text.startsWith("journal_mode")) pragma(`journal_mode = ${JOURNAL}`);
    else if (!text.startsWith("busy_timeout")) pragma(text);
  };
  return defineQueue({ connection, logger, ...options });
}

/** In Bun: statements that are finalized before the connection is closed, and take names bare. */
function statementsOf(connection) {
  const { prepare, close } = connection;
  const statements = [];
  connection.close = () => {
    for (const statement of statements) statement.finalize();
    close();
  };
  return (sql) => {
    const statement = prepare(sql);
    statements.push(statement);
    const named = (values) =>
      values.map((value) =>
        typeof value === "object"
          ? Object.fromEntries(Object.entries(value).map(([key, value]) => [`@${key}`, value]))
          : value
      );
    return {
      run: (...values) => statement.run(...named(values)),
      get: (...values) => statement.get(...named(values)),
      all: (...values) => statement.all(...named(values)),
    };
  };
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Run workers until no job of theirs is left. */
async function work(queue, workers, isDone) {
  const running = workers.map((worker) => worker.start());
  const deadline = Date.now() + 20_000;
  while (!isDone()) {
    assert.ok(Date.now() < deadline, "the workers do not come to an end");
    await sleep(5);
  }
  await Promise.all(workers.map((worker) => worker.stop()));
  await Promise.all(running);
  return queue.countJobs({ status: JobStatus.Done });
}

async function checks() {
  const suite = await Suite.begin({
    host: RUNTIME === "node" ? () => new Database(":memory:") : undefined,
    databases: ["jobs.db", "threads.db", "ticks.db", "log.db"],
    volatile: ["created_at", "next_run_at", "failed_at", "error", "thread"],
  });
  let queue = openQueue("jobs.db");

  await suite.check("jobs are added", () => [
    queue.add("mail", { to: "ada" }).id,
    queue.add("mail", { to: "bob" }).id,
    queue.add("print", { pages: 3 }).id,
  ]);
  await suite.checkInUse("jobs.db");
  await suite.check("many jobs are added in a transaction", () => {
    const { ids } = queue.addMany("bulk", Array.from({ length: 500 }, (_, i) => ({ i })));
    return [ids.length, ids[0], ids.at(-1)];
  });
  await suite.check("jobs are counted", () => [
    queue.countJobs(),
    queue.countJobs({ type: "mail" }),
    queue.countJobs({ status: JobStatus.Pending }),
    queue.countJobs({ type: "print", status: JobStatus.Done }),
    queue.getJobTypes().sort(),
  ]);
  await suite.check("a job is looked up", () => {
    const { id, type, data, status } = queue.getJobById(2);
    return [id, type, data, status, queue.getJobById(9999) ?? null];
  });
  await suite.check("a job is claimed, by one only, and done", () => {
    const first = queue.getAndMarkJobAsProcessing("mail").id;
    const second = queue.getAndMarkJobAsProcessing("mail").id;
    const third = queue.getAndMarkJobAsProcessing("mail") ?? null;
    queue.markJobAsDone(first);
    queue.markJobAsFailed(second, "no such address");
    return [
      first !== second,
      third,
      queue.getJobById(first).status,
      queue.getJobById(second).error,
    ];
  });
  await suite.check("a job that is delayed is not claimed before its time", async () => {
    queue.add("later", {}, { delay: 300 });
    const early = queue.getAndMarkJobAsProcessing("later") ?? null;
    await sleep(350);
    const { id } = queue.getAndMarkJobAsProcessing("later");
    queue.markJobAsDone(id);
    return [early, queue.getJobById(id).status];
  });
  await suite.check("a worker does what there is", async () => {
    const seen = [];
    const worker = defineWorker("print", (job) => {
      seen.push(job.data);
    }, { queue, pollIntervall: 2, logger });
    const done = () => queue.countJobs({ type: "print", status: JobStatus.Done }) === 1;
    await work(queue, [worker], done);
    return seen;
  });
  await suite.check("four workers share five hundred jobs", async () => {
    const done = [[], [], [], []];
    const workers = done.map((list) =>
      defineWorker("bulk", async (job) => {
        await sleep(0);
        list.push(JSON.parse(job.data).i);
      }, { queue, pollIntervall: 2, logger })
    );
    await work(queue, workers, () => done.flat().length === 500);
    assert.ok(done.every((list) => list.length > 0), "one of them did nothing");
    return [new Set(done.flat()).size, queue.countJobs({ type: "bulk", status: JobStatus.Done })];
  });
  await suite.check("jobs that fail are kept with their error", async () => {
    queue.addMany("bad", [1, 2, 3, 4]);
    const failed = [];
    const worker = defineWorker("bad", (job) => {
      if (Number(job.data) % 2 === 0) throw new Error(`refused ${job.data}`);
    }, {
      queue,
      pollIntervall: 2,
      logger,
      onFailed: (job, error) => failed.push([job.data, error.split("\n").at(-1)]),
    });
    const count = (status) => queue.countJobs({ type: "bad", status });
    await work(queue, [worker], () => count(JobStatus.Done) + count(JobStatus.Failed) === 4);
    return [failed, count(JobStatus.Done), count(JobStatus.Failed)];
  });
  await suite.check("a job that its worker never finished is claimed again", async () => {
    queue.add("stuck", {});
    const { id } = queue.getAndMarkJobAsProcessing("stuck");
    await sleep(20);
    const before = queue.getAndMarkJobAsProcessing("stuck") ?? null;
    queue.requeueTimedOutJobs(5);
    const again = queue.getAndMarkJobAsProcessing("stuck").id;
    queue.markJobAsDone(again);
    return [before, id === again];
  });
  await suite.check("old jobs are removed", async () => {
    await sleep(5);
    const before = queue.countJobs();
    queue.removeFailedJobs(1);
    const between = queue.countJobs();
    queue.add("kept", {});
    queue.removeDoneJobs(-1_000);
    return [before, between, queue.countJobs(), queue.getJobTypes()];
  });
  await suite.check("maintenance by the queue's own timer", async () => {
    const removed = [];
    const second = openQueue("jobs.db", {
      maintenanceInterval: 20,
      removeDoneJobsOlderThan: 1,
      onDoneJobsRemoved: (count) => removed.push(count),
    });
    second.markJobAsDone(second.add("gone", {}).id);
    while (!removed.includes(1)) await sleep(10);
    second.close();
    return queue.countJobs({ type: "gone" });
  });
  await suite.check("jobs by a schedule", async () => {
    const queue = openQueue("ticks.db"); // of its own, for how many jobs it makes is chance
    const { id } = queue.schedule("tick", { cron: "* * * * * *" });
    queue.schedule("tick", { cron: "* * * * * *" });
    const ticks = [];
    const worker = defineWorker("tick", () => {
      ticks.push(1);
    }, { queue, pollIntervall: 20, logger });
    await work(queue, [worker], () => ticks.length >= 2);
    const schedules = queue.getScheduledJobs();
    queue.close();
    removeDatabase("ticks.db");
    return [id, schedules.map(({ type, cronExpression }) => [type, cronExpression])];
  });
  await suite.check("an invalid schedule is refused", () => {
    assert.throws(() => queue.schedule("never", { cron: "whenever" }));
    return queue.getScheduledJobs().length;
  });
  await suite.check("two queues on one file", () => {
    const second = openQueue("jobs.db");
    second.addMany("shared", ["a", "b", "c"]);
    const claimed = [queue, second, queue].map((on) => on.getAndMarkJobAsProcessing("shared").id);
    const left = second.getAndMarkJobAsProcessing("shared") ?? null;
    for (const id of claimed) queue.markJobAsDone(id);
    second.close();
    return [new Set(claimed).size, left];
  });
  await suite.check("it is closed and opened again", () => {
    const before = queue.countJobs();
    queue.close();
    queue = openQueue("jobs.db");
    return [before === queue.countJobs(), queue.countJobs({ type: "shared" })];
  });
  queue.close();

  await suite.check("threads that claim a hundred and fifty jobs", async () => {
    const queue = openQueue("threads.db");
    queue.addMany("shared", Array.from({ length: 150 }, (_, i) => i));
    const workers = [1, 2, 3].map((thread) =>
      new Worker(process.argv[1], { workerData: { path: "threads.db", thread } })
    );
    const results = await Promise.all(workers.map((worker) =>
      new Promise((resolve, reject) => {
        worker.on("message", resolve);
        worker.on("error", reject);
      })
    ));
    await Promise.all(workers.map((worker) => worker.terminate()));
    const left = queue.countJobs({ status: JobStatus.Pending });
    const done = queue.countJobs({ status: JobStatus.Done });
    queue.close();
    return [results.flat().length, new Set(results.flat()).size, left, done];
  });
  await suite.check("jobs that write to a database of their own", async () => {
    const queue = openQueue("jobs.db");
    const log = new Database("log.db");
    log.exec(`PRAGMA journal_mode = ${JOURNAL}`);
    log.exec("CREATE TABLE done(job INTEGER PRIMARY KEY, data TEXT)");
    const insert = log.prepare("INSERT INTO done VALUES (?, ?)");
    queue.addMany("log", Array.from({ length: 100 }, (_, i) => `line ${i}`));
    const worker = defineWorker("log", (job) => void insert.run(job.id, job.data), {
      queue,
      pollIntervall: 2,
      logger,
    });
    const left = () => queue.countJobs({ type: "log", status: JobStatus.Done }) < 100;
    await work(queue, [worker], () => !left());
    const rows = log.prepare("SELECT count(*) AS n FROM done").all();
    if (RUNTIME === "bun") insert.finalize();
    log.close();
    queue.close();
    return rows;
  });

  await suite.checkFiles({
    // Bun keeps the statements of its transactions until they are collected.
    closes: RUNTIME === "node" || JOURNAL === "DELETE",
    fill(path, count) {
      const queue = openQueue(path);
      for (let i = 0; i < count; i++) queue.add("line", i);
      queue.close();
    },
    count(path) {
      const queue = openQueue(path);
      const count = queue.countJobs();
      queue.close();
      return count;
    },
  });
  await suite.check("reset between tests: close, delete, define the queue", () => {
    const counts = [];
    for (let round = 0; round < 5; round++) {
      removeDatabase("threads.db");
      const queue = openQueue("threads.db");
      queue.add("only", round);
      counts.push([queue.countJobs(), queue.getJobById(1).data]);
      queue.close();
    }
    return counts;
  });
  await suite.end();
}

/** In a thread: claim jobs until there are none. */
function claimAll({ path }) {
  const queue = openQueue(path);
  const mine = [];
  for (;;) {
    const job = queue.getAndMarkJobAsProcessing("shared");
    if (job === undefined) break;
    mine.push(job.id);
    queue.markJobAsDone(job.id);
  }
  queue.close();
  parentPort.postMessage(mine);
}

if (isMainThread) await checks();
else claimAll(workerData);
