/*
** A program for the original module: its four functions and its constants,
** with a pthread of its own in sqlite3async_run().
*/
#include "database.h"
#include "testvfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *run(void *unused) {
  (void)unused;
  sqlite3async_run();
  return NULL;
}

static int get(int verb) {
  int value = -1;
  CHECK_EQ(sqlite3async_control(verb, &value), SQLITE_OK);
  return value;
}

/* What is on disk, or -1 if there is no such table yet. */
static int64_t rows_on_disk(const char *path) {
  sqlite3 *plain = open_plain(path);
  int64_t count = -1;
  if (exec_code(plain, "SELECT * FROM t") == SQLITE_OK) {
    count = query_int(plain, "SELECT count(*) FROM t");
    check_integrity(plain);
  }
  close_database(plain);
  return count;
}

static void the_constants_have_the_original_values(void) {
  CHECK_TEXT(SQLITEASYNC_VFSNAME, "sqlite3async");
  static const int values[] = {
      SQLITEASYNC_HALT,       SQLITEASYNC_GET_HALT,  SQLITEASYNC_DELAY,
      SQLITEASYNC_GET_DELAY,  SQLITEASYNC_LOCKFILES, SQLITEASYNC_GET_LOCKFILES,
      SQLITEASYNC_HALT_NEVER, SQLITEASYNC_HALT_NOW,  SQLITEASYNC_HALT_IDLE};
  static const int original[] = {1, 2, 3, 4, 5, 6, 0, 1, 2};
  for (int i = 0; i < 9; i++) CHECK_EQ(values[i], original[i]);
}

static void an_unknown_parent_is_an_error(void) {
  CHECK_EQ(sqlite3async_initialize("no such vfs", 1), SQLITE_ERROR);
  CHECK(sqlite3_vfs_find(SQLITEASYNC_VFSNAME) == NULL);
  CHECK_EQ(sqlite3async_initialize(NULL, 0), SQLITE_OK);
  CHECK(sqlite3_vfs_find(SQLITEASYNC_VFSNAME) != NULL);
}

static void initializing_twice_changes_nothing(void) {
  sqlite3_vfs *before = sqlite3_vfs_find(NULL);
  CHECK_EQ(sqlite3async_initialize(NULL, 0), SQLITE_OK);
  CHECK(sqlite3_vfs_find(NULL) == before);
  CHECK_EQ(sqlite3async_initialize(NULL, 1), SQLITE_OK);
  CHECK_EQ(sqlite3async_initialize("no such vfs", 1), SQLITE_OK);
  CHECK(sqlite3_vfs_find(NULL) == before);
}

static void as_the_default_it_serves_plain_opens(void) {
  sqlite3_vfs *before = sqlite3_vfs_find(NULL);
  CHECK_EQ(sqlite3async_initialize(NULL, 1), SQLITE_OK);
  sqlite3 *db = NULL;
  CHECK_EQ(sqlite3_open(test_path("x.db"), &db), SQLITE_OK);
  exec(db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  CHECK_EQ(rows_on_disk(test_path("x.db")), -1);
  close_database(db);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_HALT, SQLITEASYNC_HALT_IDLE), SQLITE_OK);
  sqlite3async_run();
  CHECK_EQ(rows_on_disk(test_path("x.db")), 1);
  sqlite3async_shutdown();
  CHECK(sqlite3_vfs_find(NULL) == before);
  CHECK(sqlite3_vfs_find(SQLITEASYNC_VFSNAME) == NULL);
  CHECK_EQ(sqlite3async_initialize(NULL, 0), SQLITE_OK); /* and it may come back */
  CHECK(sqlite3_vfs_find(SQLITEASYNC_VFSNAME) != NULL);
}

static void bad_values_are_refused_and_change_nothing(void) {
  CHECK_EQ(sqlite3async_initialize(NULL, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_HALT, 3), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_HALT, -1), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_DELAY, -1), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_LOCKFILES, 2), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_LOCKFILES, -1), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_control(0, 1), SQLITE_ERROR);
  CHECK_EQ(sqlite3async_control(7, 1), SQLITE_ERROR);
  CHECK_EQ(get(SQLITEASYNC_GET_HALT), SQLITEASYNC_HALT_NEVER);
  CHECK_EQ(get(SQLITEASYNC_GET_DELAY), 0);
  CHECK_EQ(get(SQLITEASYNC_GET_LOCKFILES), 1);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_DELAY, 25), SQLITE_OK);
  CHECK_EQ(get(SQLITEASYNC_GET_DELAY), 25);
}

static void a_program_with_its_own_thread(void) {
  CHECK_EQ(sqlite3async_initialize(NULL, 0), SQLITE_OK);
  Thread writer = thread_start(run, NULL);
  sqlite3 *db = open_async(test_path("x.db"));
  exec(db, "CREATE TABLE t(a)");
  for (int i = 0; i < 100; i++) exec(db, "INSERT INTO t VALUES (%d)", i);
  CHECK_EQ(query_int(db, "SELECT count(*) FROM t"), 100);
  close_database(db);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_HALT, SQLITEASYNC_HALT_IDLE), SQLITE_OK);
  thread_join(writer);
  CHECK_EQ(rows_on_disk(test_path("x.db")), 100);
  sqlite3async_shutdown();
}

static void halted_at_once_it_leaves_the_queue_as_it_is(void) {
  CHECK_EQ(sqlite3async_initialize(NULL, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NOW), SQLITE_OK);
  sqlite3 *db = open_async(test_path("x.db"));
  exec(db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  sqlite3async_run();
  CHECK_EQ(rows_on_disk(test_path("x.db")), -1);
  CHECK_EQ(query_int(db, "SELECT count(*) FROM t"), 1);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_HALT, SQLITEASYNC_HALT_IDLE), SQLITE_OK);
  sqlite3async_run();
  CHECK_EQ(rows_on_disk(test_path("x.db")), 1);
  close_database(db);
  sqlite3async_run();
}

static void a_running_writer_is_halted_at_once(void) {
  CHECK_EQ(sqlite3async_initialize(NULL, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_DELAY, 20), SQLITE_OK);
  sqlite3 *db = open_async(test_path("x.db"));
  exec(db, "CREATE TABLE t(a)");
  for (int i = 0; i < 50; i++) exec(db, "INSERT INTO t VALUES (%d)", i);
  Thread writer = thread_start(run, NULL);
  sleep_ms(100);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NOW), SQLITE_OK);
  int64_t start_ms = now_ms();
  thread_join(writer);
  CHECK(now_ms() - start_ms < 2000);
  CHECK(status_number(NULL, "queuedOps") > 0);
  CHECK(status_number(NULL, "opsApplied") > 0);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_DELAY, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_HALT, SQLITEASYNC_HALT_IDLE), SQLITE_OK);
  sqlite3async_run();
  close_database(db);
  sqlite3async_run();
  CHECK_EQ(rows_on_disk(test_path("x.db")), 50);
}

static void the_delay_is_a_pause_after_each_op(void) {
  CHECK_EQ(sqlite3async_initialize(NULL, 0), SQLITE_OK);
  sqlite3 *db = open_async(test_path("x.db"));
  exec(db, "CREATE TABLE t(a)");
  int64_t ops = status_number(NULL, "queuedOps");
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_DELAY, 10), SQLITE_OK);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_HALT, SQLITEASYNC_HALT_IDLE), SQLITE_OK);
  int64_t start_ms = now_ms();
  sqlite3async_run();
  CHECK(ops > 4);
  CHECK(now_ms() - start_ms >= 10 * (ops - 1));
  CHECK(now_ms() - start_ms < 10 * ops + 3000);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_DELAY, 0), SQLITE_OK);
  close_database(db);
  sqlite3async_run();
}

static void two_runners_serve_one_database(void) {
  CHECK_EQ(sqlite3async_initialize(NULL, 0), SQLITE_OK);
  Thread one = thread_start(run, NULL);
  Thread two = thread_start(run, NULL);
  sqlite3 *db = open_async(test_path("x.db"));
  exec(db, "CREATE TABLE t(a)");
  for (int i = 0; i < 300; i++) exec(db, "INSERT INTO t VALUES (%d)", i);
  close_database(db);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_HALT, SQLITEASYNC_HALT_IDLE), SQLITE_OK);
  thread_join(one);
  thread_join(two);
  CHECK_EQ(rows_on_disk(test_path("x.db")), 300);
}

static void while_one_is_held_up_the_other_runs_another_database(void) {
  async_setup();
  sqlite3 *one = open_async(test_path("x.db"));
  sqlite3 *two = open_async(test_path("y.db"));
  exec(one, "CREATE TABLE t(a)");
  exec(two, "CREATE TABLE t(a)");
  int64_t queued = status_number(test_path("x.db"), "queuedOps");
  testvfs_hold(ON_CHANGE, "x.db");
  Thread threads[2] = {thread_start(run, NULL), thread_start(run, NULL)};
  testvfs_wait_held();
  WAIT_FOR(5000, status_number(test_path("y.db"), "queuedOps") == 0);
  CHECK_EQ(status_number(test_path("x.db"), "queuedOps"), queued);
  testvfs_release();
  close_database(one);
  close_database(two);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_HALT, SQLITEASYNC_HALT_IDLE), SQLITE_OK);
  thread_join(threads[0]);
  thread_join(threads[1]);
  CHECK_EQ(rows_on_disk(test_path("x.db")), 0);
  CHECK_EQ(rows_on_disk(test_path("y.db")), 0);
}

static void WAL_works_with_a_thread_in_run(void) {
  CHECK_EQ(sqlite3async_initialize(NULL, 0), SQLITE_OK);
  sqlite3 *db = open_async(test_path("x.db"));
  char *mode = query_text(db, "PRAGMA journal_mode = WAL");
  CHECK_TEXT(mode, "3:wal\n= 0");
  sqlite3_free(mode);
  exec(db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  /* There is no checkpointer, so SQLite's own automatic checkpoints stay on. */
  CHECK_EQ(query_int(db, "PRAGMA wal_autocheckpoint"), 1000);
  close_database(db);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_HALT, SQLITEASYNC_HALT_IDLE), SQLITE_OK);
  sqlite3async_run();
  CHECK_EQ(rows_on_disk(test_path("x.db")), 1);
}

static void ops_queued_at_the_shutdown_are_applied_by_a_later_run(void) {
  CHECK_EQ(sqlite3async_initialize(NULL, 0), SQLITE_OK);
  sqlite3 *db = open_async(test_path("x.db"));
  exec(db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  close_database(db);
  sqlite3async_shutdown();
  sqlite3async_shutdown();
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_HALT, SQLITEASYNC_HALT_IDLE), SQLITE_OK);
  sqlite3async_run();
  CHECK_EQ(rows_on_disk(test_path("x.db")), 1);
}

static void the_bounds_are_off_until_start(void) {
  CHECK_EQ(sqlite3async_initialize(NULL, 0), SQLITE_OK);
  sqlite3_int64 bytes = -1;
  sqlite3_int64 delay = -1;
  sqlite3async_get(SQLITEASYNC_MAX_QUEUE_BYTES, &bytes);
  sqlite3async_get(SQLITEASYNC_MAX_DELAY_MS, &delay);
  CHECK(bytes == 0 && delay == 0);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 0), SQLITE_OK); /* set, though to the same */
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  sqlite3async_get(SQLITEASYNC_MAX_QUEUE_BYTES, &bytes);
  sqlite3async_get(SQLITEASYNC_MAX_DELAY_MS, &delay);
  CHECK_EQ(bytes, 64 * 1024 * 1024);
  CHECK_EQ(delay, 0);
  CHECK_EQ(sqlite3async_close(5000), SQLITE_OK);
}

int main(void) {
  return run_tests((TestCase[]){TEST(the_constants_have_the_original_values),
                                TEST(an_unknown_parent_is_an_error),
                                TEST(initializing_twice_changes_nothing),
                                TEST(as_the_default_it_serves_plain_opens),
                                TEST(bad_values_are_refused_and_change_nothing),
                                TEST(a_program_with_its_own_thread),
                                TEST(halted_at_once_it_leaves_the_queue_as_it_is),
                                TEST(a_running_writer_is_halted_at_once),
                                TEST(the_delay_is_a_pause_after_each_op),
                                TEST(two_runners_serve_one_database),
                                TEST(while_one_is_held_up_the_other_runs_another_database),
                                TEST(WAL_works_with_a_thread_in_run),
                                TEST(ops_queued_at_the_shutdown_are_applied_by_a_later_run),
                                TEST(the_bounds_are_off_until_start),
                                {0}});
}
