/*
** A caller who blocks until commits are durable does the writer's work meanwhile,
** if the writer is not at it.
*/
#include "database.h"
#include "testvfs.h"

#include <string.h>

#define WAIT_MS 5000

static const char *path;
static sqlite3 *other; /* a database whose write holds the writer */

/* The only writer is in the middle of a write to another database. */
static sqlite3 *setup(int max_delay_ms) {
  async_setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_WRITERS, 1), SQLITE_OK);
  path = test_path("x.db");
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, max_delay_ms), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  sqlite3 *db = open_async(path);
  other = open_async(test_path("y.db"));
  exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE t(a)");
  exec(other, "PRAGMA journal_mode = WAL; CREATE TABLE t(a)");
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  testvfs_reset();
  testvfs_hold(ON_WRITE, "y.db-wal");
  exec(other, "INSERT INTO t VALUES (1)");
  testvfs_wait_held();
  return db;
}

static void finish(sqlite3 *db) {
  testvfs_reset();
  close_database(db);
  close_database(other);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

static bool is_durable(void) {
  return status_number(path, "durable") == status_number(path, "committed");
}

static void a_flush_does_not_wait_for_a_busy_writer(void) {
  sqlite3 *db = setup(0);
  exec(db, "INSERT INTO t VALUES (1)");
  CHECK_EQ(sqlite3async_flush(path, -1), SQLITE_OK); /* hangs if nobody helps */
  CHECK(is_durable());
  CHECK_EQ(testvfs_count(ON_WRITE, "y.db-wal"), 0);
  testvfs_release();
  finish(db);
}

static void one_with_a_bound_waits_for_who_syncs(void) {
  sqlite3 *db = setup(0);
  exec(db, "INSERT INTO t VALUES (1)");
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK); /* who applies what he is to sync */
  CHECK_EQ(testvfs_count(ON_WRITE, "y.db-wal"), 0);
  testvfs_reset();
  testvfs_hold(ON_SYNC, "x.db-wal");
  exec(db, "INSERT INTO t VALUES (2)");
  CHECK_EQ(sqlite3async_flush(path, 50), SQLITE_BUSY);
  testvfs_release();
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK);
  finish(db);
}

static void *flush(void *arg) {
  (void)arg;
  CHECK_EQ(sqlite3async_flush(path, -1), SQLITE_OK);
  return NULL;
}

/* The writer sleeps by the time the helper knows that there is something to do later. */
static void what_comes_in_meanwhile_is_durable_in_time(void) {
  sqlite3 *db = setup(100);
  testvfs_delay(ON_SYNC, "x.db-wal", 300);
  exec(db, "INSERT INTO t VALUES (1)");
  Thread thread = thread_start(flush, NULL);
  sleep_ms(100);
  testvfs_release();
  sleep_ms(100);
  exec(db, "INSERT INTO t VALUES (2)"); /* while the helper syncs */
  thread_join(thread);
  int64_t until_ms = now_ms() + WAIT_MS;
  while (!is_durable()) {
    if (now_ms() > until_ms) FAIL("not durable after %d ms, maxDelayMs is 100", WAIT_MS);
    sleep_ms(5);
  }
  finish(db);
}

static void a_full_disk_that_the_helper_met_is_tried_again(void) {
  sqlite3 *db = setup(0);
  testvfs_fail(ON_WRITE, "x.db-wal", 0, 1, SQLITE_FULL, 0);
  exec(db, "INSERT INTO t VALUES (1)");
  Thread thread = thread_start(flush, NULL);
  sleep_ms(50);
  testvfs_release();
  thread_join(thread); /* hangs if nobody comes back to it */
  CHECK(is_durable());
  finish(db);
}

static void *flush_in_vain(void *arg) {
  (void)arg;
  CHECK_EQ(sqlite3async_flush(path, -1), SQLITE_MISUSE);
  return NULL;
}

static void a_helper_heeds_the_halt(void) {
  sqlite3 *db = setup(0);
  testvfs_delay(ON_WRITE, "x.db-wal", 20);
  for (int i = 0; i < 50; i++) exec(db, "INSERT INTO t VALUES (zeroblob(60000))");
  Thread thread = thread_start(flush_in_vain, NULL);
  sleep_ms(100);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NOW), SQLITE_OK);
  thread_join(thread);
  CHECK(!is_durable());
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER), SQLITE_OK);
  testvfs_release();
  finish(db);
}

int main(void) {
  return run_tests((TestCase[]){TEST(a_flush_does_not_wait_for_a_busy_writer),
                                TEST(one_with_a_bound_waits_for_who_syncs),
                                TEST(what_comes_in_meanwhile_is_durable_in_time),
                                TEST(a_full_disk_that_the_helper_met_is_tried_again),
                                TEST(a_helper_heeds_the_halt),
                                {0}});
}
