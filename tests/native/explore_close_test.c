/*
** Interleavings of last closes with all that may be under way then: another close, an
** open, the checkpointer, a flush, a release, a transaction on two databases, the
** writer's end.  After each, another process looks: nothing is open, nobody holds the
** lock, no journal is left, and every commit is there.
*/
#include "explore_pair.h"

#include "event.h"
#include "memdisk.h"
#include "stepper.h"

#include <stdio.h>
#include <stdlib.h>

/* SQLite's busy handler, and polls of ours, wait for so long at most in all; a close that nobody
** wakes looks again after 20 ms. */
#define BUSY_US 19000
/* Whether the writer was stopped is only seen every 50 ms. */
#define SLICE_US 60000
/* exitDrainMs, and how often a full disk is tried. */
#define FULL_DRAIN_MS 50
#define FULL_US 260000
#define SCHEDULES 160

static int closed; /* connections of which the close has returned */

/* ---- What another process finds ---- */

static bool has_file(const char *path, const char *suffix) {
  char name[400];
  snprintf(name, sizeof name, "%s%s", path, suffix);
  return memdisk_has(name);
}

/* It gets the lock at once. */
static void look(const char *path, int64_t rows) {
  step_aside();
  sqlite3 *db = open_foreign(path);
  exec(db, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; ROLLBACK");
  check_integrity(db);
  CHECK_EQ(query_int(db, PAIR_COUNT), rows);
  close_database(db);
  step_back();
}

static void check_is_a_file(const char *path, int64_t rows) {
  CHECK(!has_file(path, "-journal"));
  CHECK(!has_file(path, "-wal"));
  look(path, rows);
}

static void check_all_is_closed(int64_t rows) {
  CHECK_EQ(memdisk_open_files(), 0);
  check_is_a_file(pair_path, rows);
}

/* ---- One or two that close ---- */

static void open_one(void) {
  explore_setup();
  pair_first = open_patient(pair_path);
  pair_second = NULL;
}

/* In WAL mode, with the checkpointer called by every commit. */
static void open_with_checkpointer(void) {
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 1), SQLITE_OK);
  exec(pair_first, "PRAGMA synchronous = NORMAL; SELECT * FROM t");
}

static void close_it(void *db) {
  close_database(db);
  closed++;
}

static void insert_and_close(void *db) {
  pair_insert(db);
  close_it(db);
}

static void end(int64_t rows) {
  pair_first = pair_second = NULL;
  check_all_is_closed(rows);
  step_branch(false);
  explore_close_all();
  CHECK_EQ(number_after_power_cut(pair_path, NULL, PAIR_COUNT), rows);
}

/* Who closes when the other has returned from it is the last one. */
static void insert_and_close_last(void *db) {
  pair_insert(db);
  bool is_last = closed == 1;
  close_it(db);
  if (is_last) check_all_is_closed(2);
}

static void run_two_closes(void) {
  pair_open();
  pair_run(insert_and_close_last, insert_and_close_last);
  end(2);
}

static void two_threads_close(void) {
  explore(&(History){.name = "two_closes",
                     .prepare = pair_make,
                     .run = run_two_closes,
                     .time_max_us = BUSY_US,
                     .schedules = SCHEDULES});
}

/* ---- Beside the writer, with something left to be synced ---- */

/* The writer may have done all that is queued just before the close. */
static void run_close_unsynced(void) {
  open_one();
  exec(pair_first, "PRAGMA synchronous = OFF");
  pair_insert(pair_first);
  step_branch(true);
  close_database(pair_first);
  step_branch(false);
  end(1);
}

static void a_close_of_what_is_not_synced(void) {
  explore(&(History){.name = "close_unsynced",
                     .prepare = pair_make,
                     .run = run_close_unsynced,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

/* ---- Beside the checkpointer ---- */

static void run_close_beside_checkpointer(bool no_checkpoint) {
  open_one();
  open_with_checkpointer();
  memdisk_sync_takes_us(100); /* so that it is met in the middle of one */
  if (no_checkpoint) sqlite3_db_config(pair_first, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  step_branch(true);
  pair_insert(pair_first);
  pair_insert(pair_first);
  close_database(pair_first);
  memdisk_sync_takes_us(0);
  CHECK_EQ(memdisk_open_files(), 0);
  if (!no_checkpoint) check_is_a_file(pair_path, 2);
  if (no_checkpoint) look(pair_path, 2);
  step_branch(false);
  explore_close_all();
  CHECK_EQ(number_after_power_cut(pair_path, NULL, PAIR_COUNT), 2);
}

static void run_close_and_checkpoint(void) { run_close_beside_checkpointer(false); }
static void run_close_without_checkpoint(void) { run_close_beside_checkpointer(true); }

static void a_close_beside_the_checkpointer(void) {
  explore(&(History){.name = "close_checkpointer",
                     .prepare = pair_make_wal,
                     .run = run_close_and_checkpoint,
                     .time_max_us = BUSY_US,
                     .schedules = SCHEDULES});
}

static void a_close_that_leaves_its_WAL_beside_the_checkpointer(void) {
  explore(&(History){.name = "close_checkpointer_wal",
                     .prepare = pair_make_wal,
                     .run = run_close_without_checkpoint,
                     .time_max_us = BUSY_US,
                     .schedules = SCHEDULES});
}

/* ---- Beside an open of the same path, a flush, a release ---- */

static void open_insert_close(void *unused) {
  (void)unused;
  sqlite3 *db = open_patient(pair_path);
  exec(db, "INSERT INTO t VALUES (2)");
  close_it(db);
}

static void flush_it(void *unused) {
  (void)unused;
  CHECK_EQ(sqlite3async_flush(pair_path, -1), SQLITE_OK);
  CHECK_EQ(sqlite3async_flush(NULL, 1000), SQLITE_OK);
}

static void release_it(void *unused) {
  (void)unused;
  int rc = sqlite3async_release(pair_path, 100);
  CHECK(rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_NOTFOUND);
}

static void run_close_beside(void (*other)(void *), int rows, bool wal) {
  open_one();
  if (wal) open_with_checkpointer();
  pair_run(insert_and_close, other);
  end(rows);
}

static void run_close_and_open(void) { run_close_beside(open_insert_close, 2, false); }
static void run_close_and_flush(void) { run_close_beside(flush_it, 1, false); }
static void run_close_and_release(void) { run_close_beside(release_it, 1, false); }
static void run_close_and_release_WAL(void) { run_close_beside(release_it, 1, true); }

static void a_close_beside_an_open(void) {
  explore(&(History){.name = "close_open",
                     .prepare = pair_make,
                     .run = run_close_and_open,
                     .time_max_us = BUSY_US,
                     .schedules = SCHEDULES});
}

static void a_close_beside_a_flush(void) {
  explore(&(History){.name = "close_flush",
                     .prepare = pair_make,
                     .run = run_close_and_flush,
                     .time_max_us = BUSY_US,
                     .schedules = SCHEDULES});
}

static void a_close_beside_a_release(void) {
  explore(&(History){.name = "close_release",
                     .prepare = pair_make,
                     .run = run_close_and_release,
                     .time_max_us = BUSY_US,
                     .schedules = SCHEDULES});
}

static void a_close_beside_a_release_with_a_WAL(void) {
  explore(&(History){.name = "close_release_wal",
                     .prepare = pair_make_wal,
                     .run = run_close_and_release_WAL,
                     .time_max_us = BUSY_US,
                     .schedules = SCHEDULES});
}

/* ---- A transaction on two databases ---- */

static void commit_both_and_close(void *db) {
  exec(db, "BEGIN; INSERT INTO main.t VALUES (1); INSERT INTO other.t VALUES (1); COMMIT");
  close_it(db);
  check_is_a_file(pair_path, 1); /* which nobody else has open */
}

static void run_close_of_two(void) {
  explore_setup();
  pair_first = open_patient(pair_path);
  exec(pair_first, "ATTACH '%s' AS other", pair_other_path);
  pair_second = open_patient(pair_other_path);
  pair_run(commit_both_and_close, insert_and_close);
  check_is_a_file(pair_other_path, 2);
  end(1);
  CHECK_EQ(number_after_power_cut(pair_other_path, NULL, PAIR_COUNT), 2);
}

static void a_close_of_two_databases_that_share_a_transaction(void) {
  explore(&(History){.name = "close_two_databases",
                     .prepare = pair_make_two,
                     .run = run_close_of_two,
                     .time_max_us = BUSY_US,
                     .schedules = SCHEDULES});
}

/* ---- The writer stopped, or halted, meanwhile ---- */

static void stop_and_start(void *unused) {
  (void)unused;
  int rc = sqlite3async_stop(0);
  CHECK(rc == SQLITE_OK || rc == SQLITE_BUSY);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
}

static void halt_and_go_on(void *unused) {
  (void)unused;
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NOW), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER), SQLITE_OK);
}

/* The close may have returned at once; then the writer does the rest by itself. */
static void run_close_while(void (*interrupt)(void *)) {
  open_one();
  pair_run(insert_and_close, interrupt);
  for (int i = 0; memdisk_open_files() > 0; i++) {
    CHECK(i < 10);
    step_sleep_us(1000);
  }
  end(1);
}

static void run_close_while_stopped(void) { run_close_while(stop_and_start); }
static void run_close_while_halted(void) { run_close_while(halt_and_go_on); }

static void a_close_while_the_writer_is_stopped(void) {
  explore(&(History){.name = "close_stop",
                     .prepare = pair_make,
                     .run = run_close_while_stopped,
                     .time_max_us = SLICE_US,
                     .schedules = SCHEDULES,
                     .slices_pass = true});
}

static void a_close_while_the_writer_is_halted(void) {
  explore(&(History){.name = "close_halt",
                     .prepare = pair_make,
                     .run = run_close_while_halted,
                     .time_max_us = SLICE_US,
                     .schedules = SCHEDULES,
                     .slices_pass = true});
}

/* ---- A disk that stays full ---- */

static void flush_in_vain(void *unused) {
  (void)unused;
  int rc = sqlite3async_flush(pair_path, 1000);
  CHECK(rc == SQLITE_OK || (rc & 0xff) == SQLITE_FULL);
}

static void run_close_on_full_disk(void) {
  CHECK(freopen("/dev/null", "w", stderr) != NULL); /* where it tells what was lost */
  open_one();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_EXIT_DRAIN_MS, FULL_DRAIN_MS), SQLITE_OK);
  memdisk_full(true);
  pair_run(insert_and_close, flush_in_vain);
  memdisk_full(false);
  CHECK_EQ(memdisk_open_files(), 0);
  look(pair_path, 0);
  CHECK_EQ(async_event_count(), 2); /* that it is full, and that it failed */
  step_branch(false);
  int rc = explore_close_all_code();
  CHECK(rc == SQLITE_OK || rc == SQLITE_FULL);
}

static void a_close_on_a_full_disk_ends(void) {
  explore(&(History){.name = "close_full",
                     .prepare = pair_make,
                     .run = run_close_on_full_disk,
                     .time_max_us = FULL_US,
                     .schedules = SCHEDULES / 2,
                     .slices_pass = true});
}

/* ---- Statements that are not finalized ---- */

static sqlite3_stmt *left;

static void insert_and_leave_statement(void *db) {
  CHECK_EQ(sqlite3_prepare_v2(db, "SELECT a FROM t", -1, &left, NULL), SQLITE_OK);
  pair_insert(db);
  CHECK_EQ(sqlite3_close_v2(db), SQLITE_OK);
}

/* As long as the statement lives the files are open; but nobody is kept out. */
static void run_zombie(void) {
  pair_open();
  pair_run(insert_and_leave_statement, insert_and_close);
  look(pair_path, 2);
  CHECK_EQ(sqlite3_finalize(left), SQLITE_OK);
  end(2);
}

static void run_zombie_with_checkpointer(void) {
  pair_open();
  open_with_checkpointer();
  pair_run(insert_and_leave_statement, insert_and_close);
  look(pair_path, 2);
  CHECK_EQ(sqlite3_finalize(left), SQLITE_OK);
  end(2);
}

static void a_zombie_beside_a_connection_that_commits(void) {
  explore(&(History){.name = "zombie",
                     .prepare = pair_make,
                     .run = run_zombie,
                     .time_max_us = BUSY_US,
                     .schedules = SCHEDULES});
}

static void a_zombie_beside_a_connection_that_commits_to_a_WAL(void) {
  explore(&(History){.name = "zombie_wal",
                     .prepare = pair_make_wal,
                     .run = run_zombie_with_checkpointer,
                     .time_max_us = BUSY_US,
                     .schedules = SCHEDULES});
}

/* ---- By force ---- */

static int committed;

static void commit_if_it_can(void *db) {
  for (int i = 0; i < 2; i++) {
    int rc = exec_code(db, "INSERT INTO t VALUES (1)");
    if (rc != SQLITE_OK) CHECK_EQ(rc, SQLITE_IOERR_CLOSE);
    if (rc == SQLITE_OK) committed++;
  }
}

static void close_by_force(void *unused) {
  (void)unused;
  CHECK_EQ(sqlite3async_close_by_force(1000), SQLITE_OK);
}

/* What is committed while it is under way is there, or its commit failed. */
static void run_close_by_force(void) {
  CHECK(freopen(test_path("told"), "w", stderr) != NULL);
  open_one();
  pair_run(commit_if_it_can, close_by_force);
  look(pair_path, committed);
  sqlite3_close(pair_first);
  CHECK_EQ(memdisk_open_files(), 0);
  CHECK_EQ(async_event_count(), 0);
  char *told = file_text(test_path("told"));
  CHECK_TEXT(told, "");
  free(told);
}

static void a_close_by_force_beside_commits(void) {
  explore(&(History){.name = "close_by_force",
                     .prepare = pair_make,
                     .run = run_close_by_force,
                     .time_max_us = SLICE_US,
                     .schedules = SCHEDULES,
                     .slices_pass = true});
}

int main(void) {
  return run_tests((TestCase[]){TEST(two_threads_close),
                                TEST(a_close_of_what_is_not_synced),
                                TEST(a_close_beside_the_checkpointer),
                                TEST(a_close_that_leaves_its_WAL_beside_the_checkpointer),
                                TEST(a_close_beside_an_open),
                                TEST(a_close_beside_a_flush),
                                TEST(a_close_beside_a_release),
                                TEST(a_close_beside_a_release_with_a_WAL),
                                TEST(a_close_of_two_databases_that_share_a_transaction),
                                TEST(a_close_while_the_writer_is_stopped),
                                TEST(a_close_while_the_writer_is_halted),
                                TEST(a_close_on_a_full_disk_ends),
                                TEST(a_zombie_beside_a_connection_that_commits),
                                TEST(a_zombie_beside_a_connection_that_commits_to_a_WAL),
                                TEST(a_close_by_force_beside_commits),
                                {0}});
}
