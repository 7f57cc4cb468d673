/*
** Commit levels: what is on disk when a commit returns, and whose level it is.  With no writer, or
** with one that is halted, it is who commits that has written it.
*/
#include "database.h"
#include "scheduler.h"
#include "testvfs.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define WAIT_MS 5000
#define COUNT "SELECT count(*) FROM t"

static char folder[300];
static const char *path;
static int rows; /* that are to be on disk */

static void set(int parameter, int64_t value) {
  CHECK_EQ(sqlite3async_set(parameter, value), SQLITE_OK);
}

/* A database in that mode, with nothing queued, and no writer. */
static sqlite3 *setup(const char *mode) {
  async_setup();
  rows = 0;
  snprintf(folder, sizeof folder, "%s", test_path("live"));
  CHECK(mkdir(folder, 0700) == 0);
  path = test_path("live/x.db");
  set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 0);
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA journal_mode = %s; PRAGMA synchronous = NORMAL; CREATE TABLE t(a)", mode);
  step_all();
  testvfs_reset();
  return db;
}

static void finish(sqlite3 *db) {
  testvfs_reset();
  set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER);
  sqlite3_close(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

static void count_rows(void *arg) {
  sqlite3 *db = open_plain(path);
  *(int64_t *)arg = query_int(db, COUNT);
  check_integrity(db);
  close_database(db);
}

/* As they are after a SIGKILL now. */
static int64_t rows_on_disk(void) {
  int64_t n = -1;
  with_copy(folder, count_rows, &n);
  return n;
}

static void insert_and_look(sqlite3 *db) {
  exec(db, "INSERT INTO t VALUES (1)");
  CHECK_EQ(rows_on_disk(), ++rows);
}

static bool is_durable(void) {
  return status_number(path, "durable") == status_number(path, "committed");
}

/* ---- What is there when a commit returns ---- */

static void is_applied_in(const char *mode) {
  sqlite3 *db = setup(mode);
  set(SQLITEASYNC_COMMIT, SQLITEASYNC_COMMIT_APPLIED);
  for (int i = 0; i < 5; i++) insert_and_look(db);
  exec(db, "BEGIN; INSERT INTO t VALUES (1); INSERT INTO t VALUES (zeroblob(300000)); COMMIT");
  CHECK_EQ(rows_on_disk(), rows += 2);
  CHECK_EQ(status_number(path, "queuedOps"), 0);
  finish(db);
}

static void applied_in_mode_WAL(void) { is_applied_in("WAL"); }
static void applied_in_mode_DELETE(void) { is_applied_in("DELETE"); }
static void applied_in_mode_TRUNCATE(void) { is_applied_in("TRUNCATE"); }
static void applied_in_mode_PERSIST(void) { is_applied_in("PERSIST"); }

static void is_durable_in(const char *mode, const char *synchronous) {
  sqlite3 *db = setup(mode);
  exec(db, "PRAGMA async_commit = durable; PRAGMA synchronous = %s", synchronous);
  for (int i = 0; i < 5; i++) {
    insert_and_look(db);
    CHECK(is_durable());
  }
  finish(db);
}

static void durable_in_mode_WAL(void) { is_durable_in("WAL", "NORMAL"); }
static void durable_in_mode_WAL_with_FULL(void) { is_durable_in("WAL", "FULL"); }
static void durable_in_mode_WAL_with_OFF(void) { is_durable_in("WAL", "OFF"); }
static void durable_in_mode_DELETE(void) { is_durable_in("DELETE", "FULL"); }
static void durable_in_mode_PERSIST(void) { is_durable_in("PERSIST", "NORMAL"); }

static void with_the_lock_kept(void) {
  sqlite3 *db = setup("DELETE");
  exec(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA async_commit = applied");
  insert_and_look(db);
  insert_and_look(db);
  exec(db, "PRAGMA journal_mode = WAL");
  insert_and_look(db);
  exec(db, "PRAGMA async_commit = durable");
  insert_and_look(db);
  CHECK(is_durable());
  finish(db);
}

static void a_commit_in_the_WAL_is_one_write(void) {
  sqlite3 *db = setup("WAL");
  exec(db, "PRAGMA async_commit = applied");
  insert_and_look(db);
  testvfs_reset();
  for (int i = 0; i < 10; i++) exec(db, "INSERT INTO t VALUES (1)");
  CHECK_EQ(testvfs_count(ON_CHANGE | ON_READ | ON_LOCK | ON_CONTROL, NULL), 10);
  CHECK_EQ(testvfs_count(ON_WRITE, "x.db-wal"), 10);
  finish(db);
}

/* ---- What else is queued ---- */

static void what_was_queued_before_is_applied_with_it(void) {
  sqlite3 *db = setup("WAL");
  for (int i = 0; i < 40; i++) {
    exec(db, "INSERT INTO t VALUES (zeroblob(70000))");
    rows++;
  }
  CHECK_EQ(rows_on_disk(), 0);
  exec(db, "PRAGMA async_commit = applied");
  insert_and_look(db);
  finish(db);
}

static void who_writes_nothing_waits_for_nothing(void) {
  sqlite3 *db = setup("WAL");
  sqlite3 *other = open_async(path);
  sqlite3 *reader = NULL;
  CHECK_EQ(sqlite3_open_v2(path, &reader, SQLITE_OPEN_READONLY, SQLITEASYNC_VFSNAME), SQLITE_OK);
  exec(other, "INSERT INTO t VALUES (1)");
  exec(db, "PRAGMA async_commit = durable; BEGIN IMMEDIATE; SELECT * FROM t; COMMIT");
  exec(db, "BEGIN; INSERT INTO t VALUES (2); ROLLBACK");
  exec(reader, "PRAGMA async_commit = durable; BEGIN; SELECT * FROM t; COMMIT");
  CHECK_EQ(rows_on_disk(), 0);
  close_database(reader);
  close_database(other);
  finish(db);
}

static void a_transaction_that_is_rolled_back_leaves_its_frames_to_the_writer(void) {
  sqlite3 *db = setup("WAL");
  set(SQLITEASYNC_COMMIT, SQLITEASYNC_COMMIT_APPLIED);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  exec(db, "PRAGMA cache_size = 5; BEGIN");
  for (int i = 0; i < 50; i++) exec(db, "INSERT INTO t VALUES (zeroblob(4000))");
  CHECK(status_number(path, "queuedOps") > 0);
  exec(db, "ROLLBACK");
  WAIT_FOR(WAIT_MS, status_number(path, "queuedOps") == 0);
  finish(db);
}

/* The queue is full of what others have committed, and nobody writes. */
static sqlite3 *setup_full(int on_full) {
  sqlite3 *db = setup("WAL");
  set(SQLITEASYNC_MAX_QUEUE_BYTES, 100000);
  set(SQLITEASYNC_ON_QUEUE_FULL, on_full);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NOW);
  set(SQLITEASYNC_MAX_QUEUE_BYTES, 100000);
  int rc = SQLITE_OK;
  while (rc == SQLITE_OK) {
    rc = exec_code(db, "INSERT INTO t VALUES (zeroblob(3000))");
    if (rc == SQLITE_OK) rows++;
  }
  CHECK_EQ(rc, SQLITE_FULL);
  return db;
}

static void a_full_queue_is_emptied(int on_full) {
  sqlite3 *db = setup_full(on_full);
  exec(db, "PRAGMA async_commit = applied");
  insert_and_look(db);
  finish(db);
}

static void a_full_queue_is_emptied_with_block(void) {
  a_full_queue_is_emptied(SQLITEASYNC_FULL_BLOCK);
}

static void a_full_queue_is_emptied_with_busy(void) {
  a_full_queue_is_emptied(SQLITEASYNC_FULL_BUSY);
}

/* ---- Whose level ---- */

static void check_level(sqlite3 *db, const char *pragma, const char *wanted) {
  char *text = query_text(db, pragma);
  char *line = sqlite3_mprintf("3:%s\n= 0", wanted);
  CHECK_TEXT(text, line);
  sqlite3_free(line);
  sqlite3_free(text);
}

#define ASK "PRAGMA async_commit"

static void a_connection_follows_the_process_until_it_has_its_own(void) {
  sqlite3 *db = setup("WAL");
  sqlite3 *other = open_async(path);
  check_level(db, ASK, "queued");
  set(SQLITEASYNC_COMMIT, SQLITEASYNC_COMMIT_DURABLE);
  check_level(db, ASK, "durable");
  check_level(db, "PRAGMA async_commit = Applied", "applied");
  check_level(other, ASK, "durable");
  set(SQLITEASYNC_COMMIT, SQLITEASYNC_COMMIT_QUEUED);
  check_level(db, ASK, "applied");
  check_level(other, ASK, "queued");
  check_level(db, "PRAGMA async_commit = queued", "queued");
  set(SQLITEASYNC_COMMIT, SQLITEASYNC_COMMIT_APPLIED);
  exec(db, "INSERT INTO t VALUES (1)");
  CHECK_EQ(rows_on_disk(), 0);
  close_database(other);
  finish(db);
}

static void a_wrong_level_is_an_error(void) {
  sqlite3 *db = setup("WAL");
  CHECK_EQ(exec_code(db, "PRAGMA async_commit = safe"), SQLITE_ERROR);
  CHECK_TEXT(sqlite3_errmsg(db),
             "async_commit=safe: the level is to be queued, applied or durable");
  check_level(db, ASK, "queued");
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_COMMIT, 3), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_COMMIT, -1), SQLITE_MISUSE);
  finish(db);
}

static void the_level_can_change_inside_a_transaction(void) {
  sqlite3 *db = setup("WAL");
  exec(db, "BEGIN; INSERT INTO t VALUES (1); PRAGMA async_commit = applied; COMMIT");
  CHECK_EQ(rows_on_disk(), 1);
  exec(db, "BEGIN; INSERT INTO t VALUES (1); PRAGMA async_commit = queued; COMMIT");
  CHECK_EQ(rows_on_disk(), 1);
  exec(db, "BEGIN; INSERT INTO t VALUES (1)");
  exec(db, "PRAGMA async_commit = durable; COMMIT");
  CHECK_EQ(rows_on_disk(), 3);
  CHECK(is_durable());
  finish(db);
}

static void it_is_that_of_all_databases_of_the_connection(void) {
  sqlite3 *db = setup("WAL");
  const char *before = test_path("live/before.db");
  const char *after = test_path("live/after.db");
  exec(db, "ATTACH '%s' AS before; CREATE TABLE before.u(a)", before);
  check_level(db, "PRAGMA before.async_commit = applied", "applied");
  exec(db, "ATTACH '%s' AS after; CREATE TABLE after.u(a)", after);
  check_level(db, "PRAGMA after.async_commit", "applied");
  check_level(db, ASK, "applied");
  insert_and_look(db);
  exec(db, "INSERT INTO before.u VALUES (1)");
  CHECK_EQ(status_number(before, "queuedOps"), 0);
  exec(db, "INSERT INTO after.u VALUES (1)");
  CHECK_EQ(status_number(after, "queuedOps"), 0);
  finish(db);
}

static void in_memory_with_an_attached_one_of_ours(void) {
  sqlite3 *db = setup("WAL");
  close_database(db);
  db = open_async(":memory:");
  exec(db, "ATTACH '%s' AS x", path);
  check_level(db, "PRAGMA x.async_commit = applied", "applied");
  insert_and_look(db);
  finish(db);
}

static void with_a_shared_cache_it_is_the_caches(void) {
  sqlite3 *db = setup("WAL");
  close_database(db);
  step_all();
  char *uri = sqlite3_mprintf("file:%s?cache=shared", path);
  db = open_async(uri);
  sqlite3 *other = open_async(uri);
  sqlite3_free(uri);
  check_level(db, "PRAGMA async_commit = applied", "applied");
  check_level(other, ASK, "applied");
  insert_and_look(other);
  close_database(other);
  finish(db);
}

static void the_status_tells(void) {
  sqlite3 *db = setup("WAL");
  set(SQLITEASYNC_COMMIT, SQLITEASYNC_COMMIT_APPLIED);
  char text[2000];
  CHECK(sqlite3async_status(path, text, sizeof text) > 0);
  CHECK(strstr(text, "\"commit\":\"applied\"") != NULL);
  exec(db, "PRAGMA async_commit = durable");
  sqlite3_stmt *own = NULL;
  CHECK_EQ(sqlite3_prepare_v2(db, "PRAGMA async_status", -1, &own, NULL), SQLITE_OK);
  CHECK_EQ(sqlite3_step(own), SQLITE_ROW);
  CHECK(strstr((const char *)sqlite3_column_text(own, 0), "\"commit\":\"durable\"") != NULL);
  sqlite3_finalize(own);
  CHECK(sqlite3async_status(NULL, text, sizeof text) > 0);
  CHECK(strstr(text, "\"commit\":\"applied\"") != NULL);
  finish(db);
}

/* ---- Who writes ---- */

static void the_writers_are_halted(void) {
  sqlite3 *db = setup("WAL");
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NOW);
  exec(db, "PRAGMA async_commit = applied");
  insert_and_look(db);
  exec(db, "PRAGMA async_commit = durable");
  insert_and_look(db);
  CHECK(is_durable());
  exec(db, "PRAGMA async_commit = queued; INSERT INTO t VALUES (1)");
  CHECK_EQ(rows_on_disk(), rows);
  finish(db);
}

static void the_writers_are_stopped(void) {
  sqlite3 *db = setup("DELETE");
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  CHECK_EQ(sqlite3async_stop(WAIT_MS), SQLITE_OK);
  set(SQLITEASYNC_COMMIT, SQLITEASYNC_COMMIT_DURABLE);
  insert_and_look(db);
  CHECK(is_durable());
  finish(db);
}

static void a_pause_of_the_writers_is_not_for_who_commits(void) {
  sqlite3 *db = setup("WAL");
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  set(SQLITEASYNC_DELAY, 60000);
  exec(db, "INSERT INTO t VALUES (zeroblob(100000))"); /* several ops, one a minute */
  rows++;
  sleep_ms(50);
  int64_t start_ms = now_ms();
  exec(db, "PRAGMA async_commit = applied; INSERT INTO t VALUES (1)");
  CHECK(now_ms() - start_ms < WAIT_MS);
  CHECK_EQ(rows_on_disk(), ++rows);
  set(SQLITEASYNC_DELAY, 0);
  finish(db);
}

static int64_t worked_us(void) {
  async_mutex_enter(&async_scheduler.mutex);
  int64_t us = async_scheduler.worked_us;
  async_mutex_leave(&async_scheduler.mutex);
  return us;
}

/* Who flushes returns before the run that synced has ended. */
static bool nobody_runs(void) {
  async_mutex_enter(&async_scheduler.mutex);
  bool nobody = async_scheduler.running == 0;
  async_mutex_leave(&async_scheduler.mutex);
  return nobody;
}

static void the_writers_are_left_alone(void) {
  sqlite3 *db = setup("WAL");
  set(SQLITEASYNC_MAX_DELAY_MS, 1500);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  exec(db, "PRAGMA async_commit = applied; INSERT INTO t VALUES (1)");
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  rows++;
  WAIT_FOR(WAIT_MS, nobody_runs());
  int64_t before_us = worked_us();
  for (int i = 0; i < 20; i++) insert_and_look(db);
  CHECK_EQ(worked_us(), before_us); /* no writer has worked, or polls as if one had */
  WAIT_FOR(WAIT_MS, is_durable());  /* but for the sync that is due */
  CHECK(worked_us() > before_us);
  finish(db);
}

/* How often threads of the process have waited for something. */
static long waits(void) {
  struct rusage usage;
  CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
  return usage.ru_nvcsw;
}

#define MANY 100

static void no_writer_is_woken(void) {
  sqlite3 *db = setup("WAL");
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  exec(db, "PRAGMA async_commit = applied; INSERT INTO t VALUES (1)");
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  sleep_ms(50);
  long before = waits();
  for (int i = 0; i < MANY; i++) {
    exec(db, "INSERT INTO t VALUES (1)");
    sleep_ms(1); /* one wait; a writer that was woken would park again meanwhile: one more */
  }
  if (waits() - before > MANY * 3 / 2) FAIL("%ld waits in %d commits", waits() - before, MANY);
  finish(db);
}

int main(void) {
  return run_tests(
      (TestCase[]){TEST(applied_in_mode_WAL),
                   TEST(applied_in_mode_DELETE),
                   TEST(applied_in_mode_TRUNCATE),
                   TEST(applied_in_mode_PERSIST),
                   TEST(durable_in_mode_WAL),
                   TEST(durable_in_mode_WAL_with_FULL),
                   TEST(durable_in_mode_WAL_with_OFF),
                   TEST(durable_in_mode_DELETE),
                   TEST(durable_in_mode_PERSIST),
                   TEST(with_the_lock_kept),
                   TEST(a_commit_in_the_WAL_is_one_write),
                   TEST(what_was_queued_before_is_applied_with_it),
                   TEST(who_writes_nothing_waits_for_nothing),
                   TEST(a_transaction_that_is_rolled_back_leaves_its_frames_to_the_writer),
                   TEST(a_full_queue_is_emptied_with_block),
                   TEST(a_full_queue_is_emptied_with_busy),
                   TEST(a_connection_follows_the_process_until_it_has_its_own),
                   TEST(a_wrong_level_is_an_error),
                   TEST(the_level_can_change_inside_a_transaction),
                   TEST(it_is_that_of_all_databases_of_the_connection),
                   TEST(in_memory_with_an_attached_one_of_ours),
                   TEST(with_a_shared_cache_it_is_the_caches),
                   TEST(the_status_tells),
                   TEST(the_writers_are_halted),
                   TEST(the_writers_are_stopped),
                   TEST(a_pause_of_the_writers_is_not_for_who_commits),
                   TEST(the_writers_are_left_alone),
                   TEST(no_writer_is_woken),
                   {0}});
}
