/*
** Several writers: one database's slow disk does not hold up another one, and how
** writers park, poll and are woken.
*/
#include "database.h"
#include "registry.h"
#include "testvfs.h"
#include "writer.h"

#define WAIT_MS 5000

static int parked(void) {
  int count = 0;
  async_mutex_enter(&async_scheduler.mutex);
  for (AsyncRunner *runner = async_scheduler.lanes[ASYNC_LANE_WRITE].parked; runner != NULL;
       runner = runner->next) {
    count++;
  }
  async_mutex_leave(&async_scheduler.mutex);
  return count;
}

static int looping(void) {
  async_mutex_enter(&async_scheduler.mutex);
  int count = async_scheduler.lanes[ASYNC_LANE_WRITE].looping;
  async_mutex_leave(&async_scheduler.mutex);
  return count;
}

static int polling(void) {
  async_mutex_enter(&async_scheduler.mutex);
  int count = async_scheduler.lanes[ASYNC_LANE_WRITE].polling;
  async_mutex_leave(&async_scheduler.mutex);
  return count;
}

/* Resting, and not to look again by itself. */
static int resting_for_good(void) {
  int count = 0;
  async_mutex_enter(&async_scheduler.mutex);
  for (AsyncRunner *runner = async_scheduler.lanes[ASYNC_LANE_WRITE].parked; runner != NULL;
       runner = runner->next) {
    if (!runner->polling) count++;
  }
  async_mutex_leave(&async_scheduler.mutex);
  return count;
}

/* With no checkpointer at work, whose own connection is a handle of its own. */
static void setup(int poll_us) {
  async_setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_POLL_US, poll_us), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
}

static sqlite3 *open_table(const char *name) {
  sqlite3 *db = open_async(test_path(name));
  exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE t(a)");
  CHECK_EQ(sqlite3async_flush(test_path(name), WAIT_MS), SQLITE_OK);
  return db;
}

static int64_t queued(const char *name) { return status_number(test_path(name), "queuedOps"); }

static bool is_durable(const char *name) {
  const char *path = test_path(name);
  return status_number(path, "durable") == status_number(path, "committed");
}

/* ---- Several ---- */

static void a_sync_that_takes_long_holds_up_no_other_database(void) {
  setup(500);
  sqlite3 *slow = open_table("slow.db");
  sqlite3 *fast = open_table("fast.db");
  testvfs_hold(ON_SYNC, "slow.db-wal");
  exec(slow, "INSERT INTO t VALUES (1)");
  sqlite3_int64 pairs[2];
  CHECK_EQ(sqlite3async_flush_begin(test_path("slow.db"), pairs, 1), 1);
  testvfs_wait_held();
  exec(fast, "INSERT INTO t VALUES (1)");
  CHECK_EQ(sqlite3async_flush(test_path("fast.db"), WAIT_MS), SQLITE_OK);
  exec(fast, "INSERT INTO t VALUES (2)");
  WAIT_FOR(WAIT_MS, queued("fast.db") == 0); /* also what nobody waits for */
  CHECK(!is_durable("slow.db"));
  testvfs_release();
  close_database(slow);
  close_database(fast);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

static void there_are_as_many_as_databases_and_at_most_writers(void) {
  setup(500);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_WRITERS, 3), SQLITE_OK);
  sqlite3 *dbs[5];
  static const char *const names[5] = {"1.db", "2.db", "3.db", "4.db", "5.db"};
  for (int i = 0; i < 5; i++) {
    dbs[i] = open_table(names[i]);
    WAIT_FOR(WAIT_MS, looping() == (i < 3 ? i + 1 : 3));
  }
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_WRITERS, 1), SQLITE_OK);
  WAIT_FOR(WAIT_MS, looping() == 1);
  for (int i = 0; i < 5; i++) exec(dbs[i], "INSERT INTO t VALUES (1)");
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_WRITERS, 16), SQLITE_OK);
  WAIT_FOR(WAIT_MS, looping() == 5);
  for (int i = 0; i < 5; i++) close_database(dbs[i]);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
  CHECK_EQ(looping(), 0);
}

/* Two databases, and a writer that is held at the first one; the second one's is another's. */
static void open_one_held_and_two(sqlite3 **one, sqlite3 **two) {
  setup(500);
  *one = open_table("one.db");
  *two = open_table("two.db");
  testvfs_hold(ON_WRITE, "one.db-wal");
  exec(*one, "INSERT INTO t VALUES (1)");
  testvfs_wait_held();
  exec(*two, "INSERT INTO t VALUES (1)");
}

static void a_surplus_writer_leaves_its_work_to_the_others(void) {
  sqlite3 *one;
  sqlite3 *two;
  open_one_held_and_two(&one, &two);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_WRITERS, 1), SQLITE_OK);
  testvfs_release();
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  WAIT_FOR(WAIT_MS, looping() == 1);
  close_database(one);
  close_database(two);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

/* For each of SQLite's writes, merged or not: a frame is two of them, its header and its page. */
static void the_delay_is_a_pause_between_writes_of_one_database(void) {
  setup(500);
  sqlite3 *one = open_table("one.db");
  sqlite3 *two = open_table("two.db"); /* so that there are two writers */
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_DELAY, 4), SQLITE_OK);
  int64_t before = status_number(test_path("one.db"), "opsApplied");
  int64_t start_ms = now_ms();
  for (int i = 0; i < 10; i++) exec(one, "INSERT INTO t VALUES (zeroblob(70000))");
  CHECK_EQ(sqlite3async_flush(test_path("one.db"), WAIT_MS), SQLITE_OK);
  int64_t ops = status_number(test_path("one.db"), "opsApplied") - before;
  CHECK(ops >= 10);
  /* A row is 17 frames at least, and nobody waits for the pause after the last of them. */
  CHECK(now_ms() - start_ms >= 4 * 2 * 17 * 9);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_DELAY, 0), SQLITE_OK);
  close_database(one);
  close_database(two);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

static void halted_when_idle_they_return_when_the_last_is_done(void) {
  setup(500);
  sqlite3 *slow = open_table("slow.db");
  sqlite3 *fast = open_table("fast.db");
  testvfs_hold(ON_WRITE, "slow.db-wal");
  exec(slow, "INSERT INTO t VALUES (1)");
  testvfs_wait_held();
  exec(fast, "INSERT INTO t VALUES (1)");
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_IDLE), SQLITE_OK);
  WAIT_FOR(WAIT_MS, queued("fast.db") == 0);
  sleep_ms(20);
  CHECK_EQ(looping(), 2);
  testvfs_release();
  WAIT_FOR(WAIT_MS, looping() == 0);
  CHECK_EQ(status_number(NULL, "queuedOps"), 0);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER), SQLITE_OK);
  close_database(slow);
  close_database(fast);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

static void *stop_writers(void *unused) {
  async_writer_stop();
  return unused;
}

static bool is_looking_or_told(bool stopping) {
  async_mutex_enter(&async_scheduler.mutex);
  bool looks = async_scheduler.lanes[ASYNC_LANE_WRITE].parked == NULL &&
               async_scheduler.lanes[ASYNC_LANE_WRITE].coming == 0;
  bool told = async_scheduler.stopping;
  async_mutex_leave(&async_scheduler.mutex);
  return stopping ? told : looks;
}

/* The stream's mutex keeps it from seeing whether anything is queued; the test has the
** stream's task, as a thread that helps, whose end wakes nobody. */
static void stopped_while_it_looks_whether_all_is_idle_a_writer_ends(void) {
  setup(0);
  sqlite3 *db = open_table("x.db");
  AsyncStream *stream = async_registry_find(test_path("x.db"));
  WAIT_FOR(WAIT_MS, parked() == 1);
  CHECK(async_scheduler_claim(&stream->task));
  async_mutex_enter(&stream->mutex);
  async_writer_set_halt(SQLITEASYNC_HALT_IDLE);
  WAIT_FOR(WAIT_MS, is_looking_or_told(false));
  async_writer_set_halt(SQLITEASYNC_HALT_NEVER);
  Thread thread = thread_start(stop_writers, NULL);
  WAIT_FOR(WAIT_MS, is_looking_or_told(true));
  async_mutex_leave(&stream->mutex);
  sleep_ms(20);
  async_mutex_enter(&async_scheduler.mutex);
  async_scheduler_finish(&stream->task, false, 0);
  async_scheduler_delegate();
  async_mutex_leave(&async_scheduler.mutex);
  WAIT_FOR(WAIT_MS, looping() == 0);
  thread_join(thread);
  async_registry_unref(stream);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  close_database(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

static void one_task_wakes_one_writer(void) {
  setup(0);
  sqlite3 *one = open_table("one.db");
  sqlite3 *two = open_table("two.db");
  WAIT_FOR(WAIT_MS, parked() == 2);
  testvfs_hold(ON_WRITE, "one.db-wal");
  exec(one, "INSERT INTO t VALUES (1)");
  testvfs_wait_held();
  sleep_ms(20);
  CHECK_EQ(parked(), 1);
  testvfs_release();
  WAIT_FOR(WAIT_MS, parked() == 2);
  close_database(one);
  close_database(two);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

/* ---- Polling ---- */

#define LONG_POLL_US 1000000

/* A writer that had to wait for a processor after its work parks instead: then it
** gets more. */
static void commit_until_a_writer_polls(sqlite3 *db) {
  int64_t until_ms = now_ms() + WAIT_MS;
  while (polling() != 1) {
    if (now_ms() > until_ms) FAIL("none polls");
    if (resting_for_good() > 0) exec(db, "INSERT INTO t VALUES (0)");
    sleep_ms(1);
  }
}

static void who_commits_while_a_writer_polls_wakes_nobody(void) {
  setup(LONG_POLL_US);
  sqlite3 *db = open_table("x.db");
  commit_until_a_writer_polls(db);
  int64_t start_ms = now_ms();
  exec(db, "INSERT INTO t VALUES (1)");
  sleep_ms(100);
  if (now_ms() - start_ms > 500) SKIP("the machine is too busy");
  CHECK_EQ(polling(), 1);
  CHECK(queued("x.db") > 0);
  WAIT_FOR(WAIT_MS, queued("x.db") == 0); /* when it looks by itself */
  close_database(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

static void who_waits_ends_the_polling(void) {
  setup(LONG_POLL_US);
  sqlite3 *db = open_table("x.db");
  for (int i = 0; i < 5; i++) {
    commit_until_a_writer_polls(db);
    exec(db, "INSERT INTO t VALUES (1)");
    int64_t start_ms = now_ms();
    /* In each way there is to wait: as the writer, beside it, and in JavaScript. */
    if (i == 0) CHECK_EQ(sqlite3async_flush(test_path("x.db"), -1), SQLITE_OK);
    if (i == 1) CHECK_EQ(sqlite3async_flush(test_path("x.db"), WAIT_MS), SQLITE_OK);
    if (i == 2) query_int(db, "PRAGMA async_flush = 5000");
    sqlite3_int64 pair[2];
    if (i > 2) CHECK_EQ(sqlite3async_flush_begin(NULL, pair, 1), 1);
    WAIT_FOR(WAIT_MS, queued("x.db") == 0);
    CHECK(now_ms() - start_ms < 500);
  }
  close_database(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

/* It looks again and again whether all is applied, and helps nobody. */
static void and_so_does_who_stops_the_writers(void) {
  setup(LONG_POLL_US);
  sqlite3 *db = open_table("x.db");
  commit_until_a_writer_polls(db);
  exec(db, "INSERT INTO t VALUES (1)");
  int64_t start_ms = now_ms();
  CHECK_EQ(sqlite3async_stop(WAIT_MS), SQLITE_OK);
  CHECK_EQ(queued("x.db"), 0);
  CHECK(now_ms() - start_ms < 500);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  close_database(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

static void much_that_is_queued_ends_the_polling(void) {
  setup(LONG_POLL_US);
  sqlite3 *db = open_table("x.db");
  commit_until_a_writer_polls(db);
  int64_t start_ms = now_ms();
  int64_t before = status_number(NULL, "opsApplied");
  exec(db, "INSERT INTO t VALUES (zeroblob(3000000))");
  WAIT_FOR(WAIT_MS, status_number(NULL, "opsApplied") > before); /* the rest is little again */
  CHECK(now_ms() - start_ms < 500);
  close_database(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

static void without_work_a_writer_rests_for_good_and_a_commit_wakes_it(void) {
  setup(LONG_POLL_US);
  sqlite3 *db = open_table("x.db");
  commit_until_a_writer_polls(db);
  WAIT_FOR(WAIT_MS, polling() == 0 && parked() == 1);
  int64_t start_ms = now_ms();
  exec(db, "INSERT INTO t VALUES (1)");
  WAIT_FOR(WAIT_MS, queued("x.db") == 0);
  CHECK(now_ms() - start_ms < 500);
  close_database(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

static void one_that_did_nothing_does_not_poll_beside_another(void) {
  sqlite3 *one;
  sqlite3 *two;
  open_one_held_and_two(&one, &two);
  commit_until_a_writer_polls(two);
  testvfs_release(); /* now both have had work */
  int64_t until_ms = now_ms() + WAIT_MS;
  while (resting_for_good() != 1) {
    if (now_ms() > until_ms) FAIL("both poll");
    for (int i = 0; i < 20; i++) exec(one, "INSERT INTO t VALUES (1)");
  }
  close_database(one);
  close_database(two);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

static void a_writer_that_polls_is_stopped_at_once(void) {
  setup(LONG_POLL_US);
  sqlite3 *db = open_table("x.db");
  commit_until_a_writer_polls(db);
  int64_t start_ms = now_ms();
  CHECK_EQ(sqlite3async_stop(0), SQLITE_OK);
  CHECK(now_ms() - start_ms < 500);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  close_database(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

static void what_maxDelayMs_asks_for_comes_in_time(void) {
  setup(LONG_POLL_US);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 50), SQLITE_OK);
  sqlite3 *db = open_table("x.db");
  WAIT_FOR(WAIT_MS, polling() == 0 && parked() == 1);
  int64_t start_ms = now_ms();
  exec(db, "INSERT INTO t VALUES (1)");
  WAIT_FOR(WAIT_MS, is_durable("x.db"));
  CHECK(now_ms() - start_ms < 500);
  close_database(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

int main(void) {
  return run_tests((TestCase[]){TEST(a_sync_that_takes_long_holds_up_no_other_database),
                                TEST(there_are_as_many_as_databases_and_at_most_writers),
                                TEST(a_surplus_writer_leaves_its_work_to_the_others),
                                TEST(the_delay_is_a_pause_between_writes_of_one_database),
                                TEST(halted_when_idle_they_return_when_the_last_is_done),
                                TEST(stopped_while_it_looks_whether_all_is_idle_a_writer_ends),
                                TEST(one_task_wakes_one_writer),
                                TEST(who_commits_while_a_writer_polls_wakes_nobody),
                                TEST(who_waits_ends_the_polling),
                                TEST(and_so_does_who_stops_the_writers),
                                TEST(much_that_is_queued_ends_the_polling),
                                TEST(without_work_a_writer_rests_for_good_and_a_commit_wakes_it),
                                TEST(one_that_did_nothing_does_not_poll_beside_another),
                                TEST(a_writer_that_polls_is_stopped_at_once),
                                TEST(what_maxDelayMs_asks_for_comes_in_time),
                                {0}});
}
