/*
** Interleavings of callers, the writer and whoever waits for it, in the rollback modes.
*/
#include "explore_pair.h"

#include "memdisk.h"
#include "stepper.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* Nobody waits for the clock, but for polls of a millisecond at the most. */
#define PROMPT_US 1500
/* SQLite's busy handler waits for so long at most in all. */
#define BUSY_US 19000
/* Whether the writer was stopped is only seen every 50 ms. */
#define SLICE_US 60000

/* ---- A flush, by the writer's help or by waiting for it ---- */

static void run_commit_and_flush(void) {
  pair_open();
  step_branch(true);
  pair_insert(pair_first);
  pair_flush_and_look(pair_first, -1, 1);
  pair_insert(pair_first);
  pair_flush_and_look(pair_first, 1000, 2);
  pair_finish(2);
}

static void a_flush_finds_what_was_committed_before_it(void) {
  explore(&(History){.name = "commit_and_flush",
                     .prepare = pair_make,
                     .run = run_commit_and_flush,
                     .time_max_us = PROMPT_US,
                     .schedules = 240});
}

/* ---- Two who commit, and wait for it in the two ways ---- */

static void insert_and_help(void *db) {
  pair_insert(db);
  pair_flush_and_look(db, -1, 1);
}

static void insert_and_wait(void *db) {
  pair_insert(db);
  pair_flush_and_look(db, 1000, 1);
}

static void run_two_committers(void) {
  pair_open();
  step_branch(true);
  ExploreThread *a = explore_thread("helper", insert_and_help, pair_first);
  ExploreThread *b = explore_thread("waiter", insert_and_wait, pair_second);
  explore_join(a);
  explore_join(b);
  CHECK(number_after_power_cut(pair_path, NULL, PAIR_COUNT) == 2);
  pair_finish(2);
}

static void two_connections_commit_and_flush(void) {
  explore(&(History){.name = "two_committers",
                     .prepare = pair_make,
                     .run = run_two_committers,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

/* ---- The end of a stream, and its next beginning ---- */

static void close_it(void *db) { close_database(db); }

static void open_and_close(void *arg) {
  (void)arg;
  sqlite3 *db = open_patient(pair_path);
  pair_insert(db);
  close_database(db);
}

static void flush_all(void *arg) {
  (void)arg;
  CHECK_EQ(sqlite3async_flush(NULL, -1), SQLITE_OK);
}

/* A third thread may have a look at the stream just then, and do the writer's work. */
static void run_last_close(void) {
  pair_open();
  close_database(pair_second);
  pair_second = NULL;
  pair_insert(pair_first);
  step_sleep_us(1); /* the writer comes to rest; what it has applied is not durable */
  step_branch(true);
  ExploreThread *a = explore_thread("closer", close_it, pair_first);
  ExploreThread *b = explore_thread("opener", open_and_close, NULL);
  ExploreThread *c = explore_thread("flushing", flush_all, NULL);
  explore_join(a);
  explore_join(b);
  explore_join(c);
  pair_first = NULL;
  explore_close_all();
  CHECK_EQ(number_after_power_cut(pair_path, NULL, PAIR_COUNT), 2);
}

static void the_last_close_is_durable_whoever_opens_meanwhile(void) {
  explore(&(History){.name = "last_close",
                     .prepare = pair_make,
                     .run = run_last_close,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

static void insert_and_close(void *db) {
  pair_insert(db);
  close_database(db);
}

/* The writer's run may end just then, with a file not synced that is to be closed. */
static void run_close_at_once(void) {
  pair_open();
  close_database(pair_second);
  pair_second = NULL;
  exec(pair_first, "PRAGMA synchronous = OFF");
  step_branch(true);
  explore_join(explore_thread("closer", insert_and_close, pair_first));
  pair_first = NULL;
  step_branch(false);
  explore_close_all();
  CHECK_EQ(number_after_power_cut(pair_path, NULL, PAIR_COUNT), 1);
}

static void a_close_waits_for_no_slice_of_time(void) {
  explore(&(History){.name = "close_at_once",
                     .prepare = pair_make,
                     .run = run_close_at_once,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

/* ---- The writer stopped, halted, and going on ---- */

static void insert_and_flush_if_it_can(void *db) {
  pair_insert(db);
  int rc = sqlite3async_flush(pair_path, -1);
  CHECK(rc == SQLITE_OK || rc == SQLITE_MISUSE);
  if (rc == SQLITE_OK) pair_look(db, 1);
}

static void insert_and_wait_if_it_can(void *db) {
  pair_insert(db);
  int rc = sqlite3async_flush(pair_path, 1000);
  CHECK(rc == SQLITE_OK || rc == SQLITE_MISUSE);
  if (rc == SQLITE_OK) pair_look(db, 1);
}

static void stop_and_start(void *arg) {
  (void)arg;
  int rc = sqlite3async_stop(0);
  CHECK(rc == SQLITE_OK || rc == SQLITE_BUSY);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
}

static void halt_and_go_on(void *arg) {
  (void)arg;
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NOW), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER), SQLITE_OK);
}

static void run_interrupted(void (*interrupt)(void *)) {
  pair_open();
  step_branch(true);
  ExploreThread *a = explore_thread("helper", insert_and_flush_if_it_can, pair_first);
  ExploreThread *b = explore_thread("waiter", insert_and_wait_if_it_can, pair_second);
  ExploreThread *c = explore_thread("interrupter", interrupt, NULL);
  explore_join(a);
  explore_join(b);
  explore_join(c);
  /* It runs again: what they did not wait for is to be had. */
  CHECK_EQ(sqlite3async_flush(pair_path, -1), SQLITE_OK);
  pair_look(pair_first, 1);
  pair_look(pair_second, 1);
  pair_finish(2);
}

static void run_stop_and_start(void) { run_interrupted(stop_and_start); }
static void run_halt(void) { run_interrupted(halt_and_go_on); }

static void the_writer_is_stopped_and_started(void) {
  explore(&(History){.name = "stop_and_start",
                     .prepare = pair_make,
                     .run = run_stop_and_start,
                     .time_max_us = SLICE_US,
                     .schedules = 240,
                     .slices_pass = true});
}

static void the_writer_is_halted_and_goes_on(void) {
  explore(&(History){.name = "halt",
                     .prepare = pair_make,
                     .run = run_halt,
                     .time_max_us = SLICE_US,
                     .schedules = 240,
                     .slices_pass = true});
}

/* ---- A full queue ---- */

static void insert_blobs(void *db) {
  for (int i = 0; i < 2; i++) exec(db, "INSERT INTO t VALUES (zeroblob(5000))");
}

static void read_twice(void *db) {
  exec(db, "BEGIN");
  int64_t before = query_int(db, PAIR_COUNT);
  CHECK_EQ(query_int(db, PAIR_COUNT), before);
  exec(db, "COMMIT");
}

static void run_full_queue(void) {
  pair_open();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_QUEUE_BYTES, 8000), SQLITE_OK);
  step_branch(true);
  ExploreThread *a = explore_thread("writing", insert_blobs, pair_first);
  ExploreThread *b = explore_thread("reading", read_twice, pair_second);
  explore_join(a);
  explore_join(b);
  pair_finish(2);
}

static void a_full_queue_holds_up_nobody_for_good(void) {
  explore(&(History){.name = "full_queue",
                     .prepare = pair_make,
                     .run = run_full_queue,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

static void run_full_queue_busy(void) {
  pair_open();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_QUEUE_BYTES, 8000), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_ON_QUEUE_FULL, SQLITEASYNC_FULL_BUSY), SQLITE_OK);
  step_branch(true);
  ExploreThread *a = explore_thread("one", insert_blobs, pair_first);
  ExploreThread *b = explore_thread("other", insert_blobs, pair_second);
  explore_join(a);
  explore_join(b);
  pair_finish(4);
}

static void a_full_queue_refuses_and_busy_handlers_get_through(void) {
  explore(&(History){.name = "full_queue_busy",
                     .prepare = pair_make,
                     .run = run_full_queue_busy,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

/* ---- maxDelayMs ---- */

static void insert_and_await(void *db) {
  pair_insert(db);
  while (status_number(pair_path, "durable") != status_number(pair_path, "committed"))
    step_sleep_us(1000);
  pair_look(db, 1);
}

static void run_max_delay(void) {
  pair_open();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 8), SQLITE_OK);
  step_branch(true);
  ExploreThread *a = explore_thread("committing", insert_and_await, pair_first);
  ExploreThread *b = explore_thread("helper", insert_and_help, pair_second);
  explore_join(a);
  explore_join(b);
  pair_finish(2);
}

static void a_commit_becomes_durable_in_time_by_itself(void) {
  explore(&(History){.name = "max_delay",
                     .prepare = pair_make,
                     .run = run_max_delay,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

/* ---- Other processes ---- */

static int insert_as_foreign(int busy_ms) {
  sqlite3 *db = open_foreign(pair_path);
  sqlite3_busy_timeout(db, busy_ms);
  exec(db, "PRAGMA synchronous = EXTRA"); /* or a power cut may bring its journal back */
  int rc = exec_code(db, "INSERT INTO t VALUES (3)");
  close_database(db);
  return rc;
}

/* Who waited for a flush may expect the OS lock to be free; and it is free soon, anyway. */
static void run_foreign(void) {
  pair_open();
  step_branch(true);
  ExploreThread *thread = explore_thread("flushing", flush_all, NULL);
  pair_insert(pair_first);
  CHECK_EQ(sqlite3async_flush(pair_path, 1000), SQLITE_OK);
  CHECK_EQ(insert_as_foreign(0), SQLITE_OK);
  pair_insert(pair_first);
  CHECK_EQ(insert_as_foreign(30), SQLITE_OK);
  explore_join(thread);
  pair_finish(4);
}

static void another_process_gets_the_database_when_all_is_written(void) {
  explore(&(History){.name = "foreign",
                     .prepare = pair_make,
                     .run = run_foreign,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

/* ---- The process's end ---- */

static int rows_at_exit; /* committed before it */

/* Was registered first, and so is called when the core's handler has drained. */
static void look_after_exit(void) {
  step_branch(false);
  if (number_after_crash(pair_path, NULL, PAIR_COUNT) < rows_at_exit) {
    FAIL("a commit was lost at exit");
  }
  _exit(0);
}

static void insert_on(void *db) {
  for (int i = 0; i < 2; i++) pair_insert(db);
}

static void run_exit(void) {
  atexit(look_after_exit);
  pair_open();
  step_branch(true);
  explore_thread("committing on", insert_on, pair_second);
  pair_insert(pair_first);
  rows_at_exit = 1;
  exit(0);
}

static void exit_drains_while_another_thread_commits(void) {
  explore(&(History){.name = "exit",
                     .prepare = pair_make,
                     .run = run_exit,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

int main(void) {
  return run_tests((TestCase[]){TEST(a_flush_finds_what_was_committed_before_it),
                                TEST(two_connections_commit_and_flush),
                                TEST(the_last_close_is_durable_whoever_opens_meanwhile),
                                TEST(a_close_waits_for_no_slice_of_time),
                                TEST(the_writer_is_stopped_and_started),
                                TEST(the_writer_is_halted_and_goes_on),
                                TEST(a_full_queue_holds_up_nobody_for_good),
                                TEST(a_full_queue_refuses_and_busy_handlers_get_through),
                                TEST(a_commit_becomes_durable_in_time_by_itself),
                                TEST(another_process_gets_the_database_when_all_is_written),
                                TEST(exit_drains_while_another_thread_commits),
                                {0}});
}
