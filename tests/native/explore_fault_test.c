/*
** Interleavings with errors of the disk, full disks, and transactions on two databases.
*/
#include "explore_pair.h"

#include "event.h"
#include "memdisk.h"
#include "stepper.h"

#include <stdlib.h>

#define BOTH "SELECT (SELECT count(*) FROM main.t) * 10 + (SELECT count(*) FROM other.t)"
#define BUSY_US 19000
/* A full disk is tried again every 100 ms. */
#define FULL_US 260000

/* ---- The writer's error, and those who wait ---- */

static bool told; /* of an error */

static bool is_error(int rc) {
  bool is = (rc & 0xff) == SQLITE_IOERR;
  if (is) told = true;
  return is;
}

/* Whatever is told to be durable is. */
static void try_to_insert(sqlite3 *db, int timeout_ms) {
  int mine = db == pair_first ? 1 : 2;
  const char *count_mine = mine == 1 ? PAIR_COUNT " WHERE a = 1" : PAIR_COUNT " WHERE a = 2";
  int rc = exec_code(db, mine == 1 ? "INSERT INTO t VALUES (1)" : "INSERT INTO t VALUES (2)");
  CHECK(rc == SQLITE_OK || is_error(rc));
  bool committed = rc == SQLITE_OK;
  rc = sqlite3async_flush(pair_path, timeout_ms);
  CHECK(rc == SQLITE_OK || is_error(rc));
  if (rc == SQLITE_OK && committed)
    CHECK_EQ(number_after_power_cut(pair_path, NULL, count_mine), 1);
}

static void try_and_help(void *db) { try_to_insert(db, -1); }
static void try_and_wait(void *db) { try_to_insert(db, 1000); }

/* The stream has failed and all know; from here on it is as new. */
static void look_after_failure(void) {
  CHECK(is_error(sqlite3async_flush(pair_path, -1)));
  pair_close();
  int64_t rows = number_after_crash(pair_path, NULL, PAIR_COUNT);
  CHECK(rows >= 0 && rows <= 2);
  sqlite3 *db = open_patient(pair_path);
  exec(db, "INSERT INTO t VALUES (1)");
  CHECK_EQ(sqlite3async_flush(pair_path, 1000), SQLITE_OK);
  CHECK_EQ(number_after_power_cut(pair_path, NULL, PAIR_COUNT), rows + 1);
  close_database(db);
  explore_close_all();
  CHECK_EQ(async_event_count(), 1); /* it may come after who waits is told */
}

static void run_write_error(void) {
  pair_open();
  memdisk_fail(MEM_WRITE, "x.db", 2, SQLITE_IOERR_WRITE);
  pair_run(try_and_help, try_and_wait);
  look_after_failure();
}

static void run_sync_error(void) {
  pair_open();
  memdisk_fail(MEM_SYNC, "x.db-journal", 1, SQLITE_IOERR_FSYNC);
  pair_run(try_and_help, try_and_wait);
  look_after_failure();
}

static void a_write_that_fails_is_told_to_all_who_wait(void) {
  explore(&(History){.name = "write_error",
                     .prepare = pair_make,
                     .run = run_write_error,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

static void a_sync_that_fails_is_told_to_all_who_wait(void) {
  explore(&(History){.name = "sync_error",
                     .prepare = pair_make,
                     .run = run_sync_error,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

/* The checkpointer meets it, beside the writer: then somebody is told, at the latest who
** closes, or everything is durable. */
static void run_side_error(const char *file, int nth) {
  pair_open();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 1), SQLITE_OK);
  memdisk_fail(MEM_SYNC, file, nth, SQLITE_IOERR_FSYNC);
  pair_run(try_and_help, try_and_wait);
  pair_close();
  int rc = explore_close_all_code();
  CHECK(rc == SQLITE_OK || is_error(rc));
  if (rc == SQLITE_OK && !told) CHECK_EQ(number_after_power_cut(pair_path, NULL, PAIR_COUNT), 2);
  CHECK(number_after_crash(pair_path, NULL, PAIR_COUNT) <= 2);
}

static void run_side_error_of_WAL(void) { run_side_error("x.db-wal", 2); }
static void run_side_error_of_database(void) { run_side_error("x.db", 1); }

static void a_sync_of_the_WAL_beside_the_writer_that_fails_is_told(void) {
  explore(&(History){.name = "side_error",
                     .prepare = pair_make_wal,
                     .run = run_side_error_of_WAL,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

static void a_sync_of_the_database_beside_the_writer_that_fails_is_told(void) {
  explore(&(History){.name = "side_error_database",
                     .prepare = pair_make_wal,
                     .run = run_side_error_of_database,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

/* ---- A full disk ---- */

static void insert_and_help(void *db) {
  exec(db, "INSERT INTO t VALUES (1)");
  CHECK_EQ(sqlite3async_flush(pair_path, -1), SQLITE_OK);
  CHECK(number_after_power_cut(pair_path, NULL, PAIR_COUNT) >= 1);
}

static void insert_and_wait(void *db) {
  exec(db, "INSERT INTO t VALUES (1)");
  CHECK_EQ(sqlite3async_flush(pair_path, 1000), SQLITE_OK);
  CHECK(number_after_power_cut(pair_path, NULL, PAIR_COUNT) >= 1);
}

static void make_room(void *arg) {
  (void)arg;
  step_sleep_us(1000);
  memdisk_full(false);
}

/* Nothing, if there was room before anything was written; else that it was full, and that
** it went on. */
static void check_full_events(void) {
  int64_t cursor = 0;
  AsyncEvent event;
  if (!async_event_read(&cursor, &event)) return;
  CHECK_EQ(event.kind, ASYNC_EVENT_DISK_FULL);
  cursor++;
  CHECK(async_event_read(&cursor, &event));
  CHECK_EQ(event.kind, ASYNC_EVENT_RESUME);
  CHECK_EQ(async_event_count(), 2);
}

static void run_disk_full(void) {
  pair_open();
  memdisk_full(true);
  ExploreThread *thread = explore_thread("making room", make_room, NULL);
  pair_run(insert_and_help, insert_and_wait);
  explore_join(thread);
  pair_close();
  explore_close_all();
  check_full_events();
  CHECK_EQ(number_after_power_cut(pair_path, NULL, PAIR_COUNT), 2);
}

static void a_full_disk_is_waited_for(void) {
  explore(&(History){.name = "disk_full",
                     .prepare = pair_make,
                     .run = run_disk_full,
                     .time_max_us = FULL_US,
                     .schedules = 240,
                     .slices_pass = true});
}

/* ---- Transactions on two databases ---- */

static void setup_pair(void) {
  explore_setup();
  pair_first = open_patient(pair_path);
  exec(pair_first, "ATTACH '%s' AS other", pair_other_path);
  pair_second = open_patient(pair_other_path);
}

/* x has as many rows as transactions committed, and y those and its own. */
static bool is_whole(int64_t rows) { return rows % 10 == rows / 10 || rows % 10 == rows / 10 + 1; }

static int insert_both(void) {
  return exec_code(pair_first, "BEGIN; INSERT INTO main.t VALUES (1);"
                               "INSERT INTO other.t VALUES (1); COMMIT");
}

static void commit_both(void *db) {
  (void)db;
  CHECK_EQ(insert_both(), SQLITE_OK);
  CHECK(is_whole(number_after_crash(pair_path, pair_other_path, BOTH)));
  CHECK_EQ(sqlite3async_flush(NULL, -1), SQLITE_OK);
  int64_t rows = number_after_power_cut(pair_path, pair_other_path, BOTH);
  CHECK(is_whole(rows) && rows / 10 == 1);
}

static void commit_one(void *db) {
  exec(db, "INSERT INTO t VALUES (2)");
  CHECK_EQ(sqlite3async_flush(pair_other_path, 1000), SQLITE_OK);
  CHECK(is_whole(number_after_power_cut(pair_path, pair_other_path, BOTH)));
}

static void cut_power(void *arg) {
  (void)arg;
  for (int i = 0; i < 2; i++) {
    step_point("power cut");
    CHECK(is_whole(number_after_power_cut(pair_path, pair_other_path, BOTH)));
  }
}

static void run_barrier(void) {
  setup_pair();
  step_branch(true);
  ExploreThread *power = explore_thread("power", cut_power, NULL);
  pair_run(commit_both, commit_one);
  explore_join(power);
  pair_close();
  explore_close_all();
  CHECK_EQ(number_after_power_cut(pair_path, pair_other_path, BOTH), 12);
}

static void a_transaction_on_two_databases_is_whole(void) {
  explore(&(History){.name = "barrier",
                     .prepare = pair_make_two,
                     .run = run_barrier,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

static void try_both(void *db) {
  (void)db;
  int rc = insert_both();
  CHECK(rc == SQLITE_OK || is_error(rc));
  rc = sqlite3async_flush(pair_path, -1);
  CHECK(rc == SQLITE_OK || is_error(rc));
}

static void flush_other(void *db) {
  (void)db;
  int rc = sqlite3async_flush(pair_other_path, 1000);
  CHECK(rc == SQLITE_OK || is_error(rc));
}

/* One of the two fails before the commit: none has it. */
static void run_broken_barrier(void) {
  setup_pair();
  memdisk_fail(MEM_WRITE, "y.db", 1, SQLITE_IOERR_WRITE);
  pair_run(try_both, flush_other);
  bool one = is_error(sqlite3async_flush(pair_path, -1));
  bool other = is_error(sqlite3async_flush(pair_other_path, -1));
  CHECK(one || other);
  pair_close();
  CHECK_EQ(number_after_crash(pair_path, pair_other_path, BOTH), 0);
  setup_pair();
  CHECK_EQ(insert_both(), SQLITE_OK);
  pair_close();
  explore_close_all();
  CHECK_EQ(number_after_power_cut(pair_path, pair_other_path, BOTH), 11);
}

static void if_one_of_two_databases_fails_so_does_the_other(void) {
  explore(&(History){.name = "broken_barrier",
                     .prepare = pair_make_two,
                     .run = run_broken_barrier,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

int main(void) {
  return run_tests((TestCase[]){TEST(a_write_that_fails_is_told_to_all_who_wait),
                                TEST(a_sync_that_fails_is_told_to_all_who_wait),
                                TEST(a_sync_of_the_WAL_beside_the_writer_that_fails_is_told),
                                TEST(a_sync_of_the_database_beside_the_writer_that_fails_is_told),
                                TEST(a_full_disk_is_waited_for),
                                TEST(a_transaction_on_two_databases_is_whole),
                                TEST(if_one_of_two_databases_fails_so_does_the_other),
                                {0}});
}
