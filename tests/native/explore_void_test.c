/*
** Interleavings of a WAL that is voided, starts anew, or is appended to with its header restored
** (wal.h), while two connections commit and one reads: whatever a crash or a power cut leaves at
** any time has what was told to be applied, or durable.
*/
#include "explore_pair.h"

#include "memdisk.h"
#include "stepper.h"

#include <stdlib.h>

#define SYNC_US 100
/* SQLite's busy handler waits so long at most in all; and nobody waits until the checkpointer
** comes again. */
#define BUSY_US 60000

static sqlite3 *reader;

static void setup(int checkpoint_bytes, const char *synchronous) {
  pair_open();
  reader = open_patient(pair_path);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, checkpoint_bytes), SQLITE_OK);
  exec(pair_first, "PRAGMA synchronous = %s; SELECT * FROM t", synchronous);
  exec(pair_second, "PRAGMA synchronous = %s; SELECT * FROM t", synchronous);
  exec(reader, "PRAGMA synchronous = %s; SELECT * FROM t", synchronous);
  memdisk_sync_takes_us(SYNC_US);
}

static void look_around(void *unused) {
  (void)unused;
  for (int i = 0; i < 5; i++) {
    pair_look_at_marks();
    step_sleep_us(SYNC_US);
  }
}

static void insert_and_look(void *db) {
  for (int i = 0; i < 3; i++) {
    pair_insert(db);
    pair_look_at_marks();
    if (i == 1) step_sleep_us(2 * SYNC_US);
  }
}

static void insert_and_flush(void *db) {
  pair_insert(db);
  step_sleep_us(3 * SYNC_US);
  pair_insert(db);
  pair_flush_and_look(db, 1000, 2);
}

static int rows_of_reader;

/* Who reads before it writes has no choice but to append. */
static void read_and_insert(void *unused) {
  (void)unused;
  step_sleep_us(SYNC_US);
  exec(reader, "BEGIN");
  int64_t before = query_int(reader, PAIR_COUNT);
  step_sleep_us(4 * SYNC_US);
  CHECK_EQ(query_int(reader, PAIR_COUNT), before);
  int rc = exec_code(reader, "INSERT INTO t VALUES (3)");
  CHECK(rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY);
  rows_of_reader = rc == SQLITE_OK ? 1 : 0;
  exec(reader, rc == SQLITE_OK ? "COMMIT" : "ROLLBACK");
  pair_look_at_marks();
}

static void run_all(void (*more)(void *)) {
  step_branch(true);
  ExploreThread *threads[] = {
      explore_thread("one", insert_and_look, pair_first),
      explore_thread("other", insert_and_flush, pair_second),
      explore_thread("reader", read_and_insert, NULL),
      explore_thread("more", more, NULL),
  };
  for (int i = 0; i < 4; i++) explore_join(threads[i]);
  pair_look_at_marks();
  step_branch(false);
  close_database(reader);
  pair_finish(5 + rows_of_reader);
}

/* ---- The checkpointer ---- */

static void run_normal(void) {
  setup(1, "NORMAL");
  run_all(look_around);
}

static void run_full(void) {
  setup(1, "FULL");
  run_all(look_around);
}

static void the_checkpointer_voids_it_with_NORMAL(void) {
  explore(&(History){.name = "void_normal",
                     .prepare = pair_make_wal,
                     .run = run_normal,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

static void the_checkpointer_voids_it_with_FULL(void) {
  explore(&(History){.name = "void_full",
                     .prepare = pair_make_wal,
                     .run = run_full,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

/* ---- Checkpoints by hand ---- */

static void checkpoint(void *unused) {
  (void)unused;
  static const char *const modes[] = {"PASSIVE", "PASSIVE", "FULL", "RESTART", "TRUNCATE"};
  sqlite3 *db = open_patient(pair_path);
  for (int i = 0; i < 5; i++) {
    exec(db, "PRAGMA wal_checkpoint(%s)", modes[i]);
    pair_look_at_marks();
    step_sleep_us(SYNC_US / 2);
  }
  close_database(db);
}

/* There is a checkpointer, that does not come: restarts are up to voiding all the same. */
static void run_by_hand(void) {
  setup(1000000000, "NORMAL");
  run_all(checkpoint);
}

static void checkpoints_by_hand_void_it(void) {
  explore(&(History){.name = "void_by_hand",
                     .prepare = pair_make_wal,
                     .run = run_by_hand,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

static void run_by_both(void) {
  setup(1, "FULL");
  run_all(checkpoint);
}

static void checkpoints_by_hand_beside_the_checkpointer(void) {
  explore(&(History){.name = "void_by_both",
                     .prepare = pair_make_wal,
                     .run = run_by_both,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

/* ---- What was left by another process ---- */

/* A WAL that is not synced, as of a process with synchronous=OFF that ended. */
static void leave_WAL(void) {
  pair_make_wal();
  sqlite3 *db = open_foreign(pair_path);
  exec(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF");
  exec(db, "INSERT INTO t VALUES (0); DELETE FROM t");
  CHECK_EQ(sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL), SQLITE_OK);
  close_database(db);
}

static void run_found(void) {
  setup(1, "NORMAL");
  run_all(look_around);
}

static void a_WAL_that_was_found_is_voided(void) {
  explore(&(History){.name = "void_found",
                     .prepare = leave_WAL,
                     .run = run_found,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

int main(void) {
  return run_tests((TestCase[]){TEST(the_checkpointer_voids_it_with_NORMAL),
                                TEST(the_checkpointer_voids_it_with_FULL),
                                TEST(checkpoints_by_hand_void_it),
                                TEST(checkpoints_by_hand_beside_the_checkpointer),
                                TEST(a_WAL_that_was_found_is_voided),
                                {0}});
}
