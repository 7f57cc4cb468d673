/*
** Interleavings in WAL mode: callers, the writer, the checkpointer, another process.
*/
#include "explore_pair.h"

#include "memdisk.h"
#include "stepper.h"

#include <stdlib.h>

/* SQLite's busy handler, and polls of ours, wait for so long at most in all; and nobody
** waits until the checkpointer gives up, or tries again, after 50 ms. */
#define BUSY_US 40000
/* But for a WAL at its bound: then commits are only let in when that is over. */
#define RETRY_US 170000

/* With the checkpointer called by every commit. */
static void setup(const char *synchronous) {
  pair_open();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 1), SQLITE_OK);
  exec(pair_first, "PRAGMA synchronous = %s; SELECT * FROM t", synchronous);
  exec(pair_second, "PRAGMA synchronous = %s; SELECT * FROM t", synchronous);
}

static void run_two(void (*one)(void *), void (*other)(void *)) {
  step_branch(true);
  ExploreThread *a = explore_thread("one", one, pair_first);
  ExploreThread *b = explore_thread("other", other, pair_second);
  for (int i = 0; i < 2; i++) { /* at any time */
    step_point("power cut");
    number_after_power_cut(pair_path, NULL, PAIR_COUNT);
  }
  explore_join(a);
  explore_join(b);
}

/* ---- Commits, flushes and checkpoints ---- */

/* While a sync takes its time, the others go on. */
#define SYNC_US 100

static void run_normal(void) {
  setup("NORMAL");
  memdisk_sync_takes_us(SYNC_US);
  run_two(pair_insert_and_help, pair_insert_and_wait);
  pair_finish(4);
}

static void run_full(void) {
  setup("FULL");
  memdisk_sync_takes_us(SYNC_US);
  run_two(pair_insert_and_help, pair_insert_and_wait);
  pair_finish(4);
}

static void commits_flushes_and_checkpoints_with_NORMAL(void) {
  explore(&(History){.name = "wal_normal",
                     .prepare = pair_make_wal,
                     .run = run_normal,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

static void commits_flushes_and_checkpoints_with_FULL(void) {
  explore(&(History){.name = "wal_full",
                     .prepare = pair_make_wal,
                     .run = run_full,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

/* ---- A reader sees one state, whatever is checkpointed ---- */

static void insert_pairs(void *db) {
  for (int i = 0; i < 2; i++) exec(db, "INSERT INTO t VALUES (1), (2)");
}

static void read_twice(void *db) {
  exec(db, "BEGIN");
  int64_t before = query_int(db, PAIR_COUNT);
  CHECK_EQ(before % 2, 0);
  CHECK_EQ(query_int(db, PAIR_COUNT), before);
  exec(db, "COMMIT");
  CHECK(query_int(db, PAIR_COUNT) >= before);
}

static void run_reader(void) {
  setup("NORMAL");
  run_two(insert_pairs, read_twice);
  pair_finish(4);
}

static void a_reader_sees_one_state_while_others_commit_and_checkpoint(void) {
  explore(&(History){.name = "wal_reader",
                     .prepare = pair_make_wal,
                     .run = run_reader,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

/* ---- The database is handed to another process and taken back ---- */

/* What another process does; SQLITE_BUSY if it does not get the database. */
static int insert_as_foreign(void) {
  sqlite3 *db = open_foreign(pair_path);
  int rc = exec_code(db, "PRAGMA locking_mode = EXCLUSIVE; INSERT INTO t VALUES (3)");
  sqlite3_close(db);
  return rc;
}

static int foreign_rows;

static void release_and_let_in(void *db) {
  (void)db;
  int rc = sqlite3async_release(pair_path, 100);
  CHECK(rc == SQLITE_OK || rc == SQLITE_BUSY);
  rc = insert_as_foreign();
  CHECK(rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY);
  foreign_rows = rc == SQLITE_OK ? 1 : 0;
}

static void insert_twice(void *db) {
  pair_insert(db);
  pair_insert(db);
}

static void run_release(void) {
  setup("NORMAL");
  run_two(insert_twice, release_and_let_in);
  CHECK_EQ(query_int(pair_second, PAIR_COUNT), 2 + foreign_rows);
  pair_finish(2 + foreign_rows);
}

static void the_database_is_released_to_another_process_and_taken_back(void) {
  explore(&(History){.name = "wal_release",
                     .prepare = pair_make_wal,
                     .run = run_release,
                     .time_max_us = RETRY_US,
                     .schedules = 240});
}

/* ---- What only the checkpointer stands in the way of waits for it ---- */

static void insert_and_close(void *db) {
  pair_insert(db);
  close_database(db);
}

static void run_last_close(void) {
  setup("NORMAL");
  run_two(insert_and_close, insert_and_close);
  pair_first = pair_second = NULL;
  step_branch(false);
  explore_close_all();
  /* SQLite removes the WAL unless both are the last to close at once. */
  CHECK_EQ(number_after_power_cut(pair_path, NULL, PAIR_COUNT), 2);
}

static void the_last_closes_wait_for_nothing_but_the_checkpointer(void) {
  explore(&(History){.name = "wal_last_close",
                     .prepare = pair_make_wal,
                     .run = run_last_close,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

static void run_journal_mode(void) {
  setup("NORMAL");
  close_database(pair_second);
  pair_second = NULL;
  step_branch(true);
  pair_insert(pair_first);
  exec(pair_first, "PRAGMA journal_mode = DELETE");
  pair_insert(pair_first);
  pair_finish(2);
}

static void the_journal_mode_can_be_changed_under_the_checkpointer(void) {
  explore(&(History){.name = "wal_journal_mode",
                     .prepare = pair_make_wal,
                     .run = run_journal_mode,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

static void run_by_hand(void) {
  setup("NORMAL");
  step_branch(true);
  /* A reader that keeps the checkpointer waiting must not keep others waiting for it. */
  pair_insert(pair_first);
  exec(pair_second, "BEGIN; SELECT * FROM t");
  pair_insert(pair_first);
  CHECK_EQ(query_int(pair_first, "PRAGMA wal_checkpoint(PASSIVE)"), 0);
  exec(pair_second, "COMMIT");
  CHECK_EQ(query_int(pair_first, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
  pair_insert(pair_first);
  pair_finish(3);
}

static void a_checkpoint_by_hand_waits_for_the_checkpointer(void) {
  explore(&(History){.name = "wal_by_hand",
                     .prepare = pair_make_wal,
                     .run = run_by_hand,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

/* ---- The WAL at its bound ---- */

static void run_bound(void) {
  setup("NORMAL");
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_WAL_BYTES, 5000), SQLITE_OK);
  run_two(insert_twice, insert_twice);
  pair_finish(4);
}

static void a_WAL_at_its_bound_holds_up_nobody_for_good(void) {
  explore(&(History){.name = "wal_bound",
                     .prepare = pair_make_wal,
                     .run = run_bound,
                     .time_max_us = RETRY_US,
                     .schedules = 240,
                     .slices_pass = true});
}

/* ---- Threads that end while others are at work ---- */

static void insert_and_flush_if_it_can(void *db) {
  pair_insert(db);
  int rc = sqlite3async_flush(pair_path, -1);
  CHECK(rc == SQLITE_OK || rc == SQLITE_MISUSE);
  if (rc == SQLITE_OK) CHECK(number_after_power_cut(pair_path, NULL, PAIR_COUNT) >= 1);
}

static void stop_and_start(void *db) {
  (void)db;
  int rc = sqlite3async_stop(0);
  CHECK(rc == SQLITE_OK || rc == SQLITE_BUSY);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
}

static void run_stop(void) {
  setup("NORMAL");
  run_two(insert_and_flush_if_it_can, stop_and_start);
  pair_flush_and_look(pair_first, -1, 1);
  pair_finish(1);
}

static void both_threads_are_stopped_and_started(void) {
  explore(&(History){.name = "wal_stop",
                     .prepare = pair_make_wal,
                     .run = run_stop,
                     .time_max_us = BUSY_US,
                     .schedules = 240,
                     .slices_pass = true});
}

int main(void) {
  return run_tests((TestCase[]){TEST(commits_flushes_and_checkpoints_with_NORMAL),
                                TEST(commits_flushes_and_checkpoints_with_FULL),
                                TEST(a_reader_sees_one_state_while_others_commit_and_checkpoint),
                                TEST(the_database_is_released_to_another_process_and_taken_back),
                                TEST(the_last_closes_wait_for_nothing_but_the_checkpointer),
                                TEST(the_journal_mode_can_be_changed_under_the_checkpointer),
                                TEST(a_checkpoint_by_hand_waits_for_the_checkpointer),
                                TEST(a_WAL_at_its_bound_holds_up_nobody_for_good),
                                TEST(both_threads_are_stopped_and_started),
                                {0}});
}
