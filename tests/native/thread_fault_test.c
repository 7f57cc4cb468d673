/*
** The system gives no thread, or no memory for one: sqlite3async_start() says so, all
** is as it was before, and it can be tried again.
**
** Not here: mutexes and condition variables that cannot be initialized, which on these
** systems only misuse can bring about.
*/
#include "checkpoint.h"
#include "database.h"
#include "libfault.h"
#include "scheduler.h"
#include "writer.h"

#include <stdio.h>
#include <string.h>

#define WAIT_MS 20000

static const char *path;

static void setup(void) {
  async_setup();
  path = test_path("x.db");
}

static int64_t parameter(int op) {
  sqlite3_int64 value = 0;
  CHECK_EQ(sqlite3async_get(op, &value), SQLITE_OK);
  return value;
}

static void check_message(const char *part) {
  char text[300];
  sqlite3async_errmsg(text, sizeof text);
  if (strstr(text, part) == NULL) FAIL("the message is \"%s\"", text);
}

/* The n-th thing of the set that start needs cannot be had. */
static void fail_to_start(unsigned set, int n) {
  libfault_fail(set, n, 1);
  int rc = sqlite3async_start();
  CHECK_EQ(libfault_stop(), 1);
  CHECK_EQ(rc, SQLITE_ERROR);
  check_message("start: the system gives no thread");
}

/* Stepped, and then by a thread. */
static void check_works(void) {
  sqlite3 *db = open_async(path);
  exec(db, "CREATE TABLE IF NOT EXISTS t(a); INSERT INTO t VALUES (1)");
  step_all();
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  CHECK(async_scheduler_has_runner());
  CHECK(async_checkpoint_is_active());
  exec(db, "INSERT INTO t VALUES (2)");
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK);
  close_database(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
  sqlite3 *plain = open_plain(path);
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM t"), 2);
  close_database(plain);
}

static void leaves_all_as_it_was(unsigned set, int n) {
  setup();
  int64_t blocks = libfault_live_blocks();
  fail_to_start(set, n);
  CHECK(!async_scheduler_has_runner());
  CHECK(!async_checkpoint_is_active());
  CHECK_EQ(libfault_live_blocks(), blocks);
  CHECK_EQ(parameter(SQLITEASYNC_MAX_QUEUE_BYTES), 0);
  CHECK_EQ(parameter(SQLITEASYNC_MAX_DELAY_MS), 0);
  fail_to_start(set, n);
  check_works();
}

static void without_a_thread_for_the_writer_nothing_has_changed(void) {
  leaves_all_as_it_was(OF_THREAD, 0);
}
static void without_a_thread_for_the_checkpointer_the_writer_is_stopped_too(void) {
  leaves_all_as_it_was(OF_THREAD, 1);
}
static void without_memory_for_the_writers_thread_nothing_has_changed(void) {
  leaves_all_as_it_was(OF_MEMORY, 0);
}
static void without_memory_for_the_checkpointers_thread_nothing_has_changed(void) {
  leaves_all_as_it_was(OF_MEMORY, 1);
}

static void a_writer_that_ran_before_goes_on(void) {
  setup();
  CHECK(async_writer_start());
  fail_to_start(OF_THREAD, 0);
  CHECK(async_scheduler_has_runner());
  async_writer_stop();
  check_works();
}

static void a_close_that_is_refused_leaves_a_writer_without_a_checkpointer(void) {
  setup();
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  sqlite3 *db = open_async(path);
  exec(db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  libfault_fail(OF_THREAD, 0, 1);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_BUSY); /* it had to be stopped to see that */
  CHECK_EQ(libfault_stop(), 1);
  check_message("still open");
  CHECK(async_scheduler_has_runner());
  CHECK(!async_checkpoint_is_active()); /* so connections checkpoint for themselves */
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  CHECK(async_checkpoint_is_active());
  exec(db, "INSERT INTO t VALUES (2)");
  close_database(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

static void signals_are_not_watched_without_a_thread_for_it(void) {
  setup();
  libfault_fail(OF_THREAD, 0, 1);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1), SQLITE_ERROR);
  CHECK_EQ(libfault_stop(), 1);
  check_message("drain on signals: the system gives no thread");
  CHECK_EQ(parameter(SQLITEASYNC_DRAIN_ON_SIGNALS), 0);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1), SQLITE_OK);
  CHECK_EQ(parameter(SQLITEASYNC_DRAIN_ON_SIGNALS), 1);
  check_works();
}

int main(void) {
  return run_tests(
      (TestCase[]){TEST(without_a_thread_for_the_writer_nothing_has_changed),
                   TEST(without_a_thread_for_the_checkpointer_the_writer_is_stopped_too),
                   TEST(without_memory_for_the_writers_thread_nothing_has_changed),
                   TEST(without_memory_for_the_checkpointers_thread_nothing_has_changed),
                   TEST(a_writer_that_ran_before_goes_on),
                   TEST(a_close_that_is_refused_leaves_a_writer_without_a_checkpointer),
                   TEST(signals_are_not_watched_without_a_thread_for_it),
                   {0}});
}
