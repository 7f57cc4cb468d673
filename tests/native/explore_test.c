/*
** Interleavings of callers, the writer and whoever waits for it, in the rollback modes.
*/
#include "explore.h"

#include "memdisk.h"
#include "stepper.h"

#include <stdlib.h>

#define COUNT "SELECT count(*) FROM t"
/* Nothing in these histories waits for the clock: polls of a millisecond at the most. */
#define PROMPT_US 1500

static const char *path;

static void make_database(void) {
  path = explore_path("x.db");
  sqlite3 *db = open_foreign(path);
  exec(db, "CREATE TABLE t(a)");
  close_database(db);
}

/* The library, running, with nothing that comes by the clock. */
static void setup(void) {
  CHECK_EQ(sqlite3async_initialize(MEMDISK_NAME, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
}

__attribute__((unused)) static sqlite3 *open_busy(void) {
  sqlite3 *db = open_async(path);
  sqlite3_busy_timeout(db, 1000);
  return db;
}

static void insert(void *db) { exec(db, "INSERT INTO t VALUES (1)"); }

static void flush_and_look(int timeout_ms, int rows) {
  CHECK_EQ(sqlite3async_flush(path, timeout_ms), SQLITE_OK);
  CHECK(number_after_power_cut(path, COUNT) >= rows);
}

/* ---- A commit, and a flush that does the writer's work or waits for it ---- */

static void run_commit_and_flush(void) {
  setup();
  sqlite3 *db = open_async(path);
  step_branch(true);
  insert(db);
  flush_and_look(-1, 1);
  insert(db);
  flush_and_look(1000, 2);
  step_branch(false);
  close_database(db);
  explore_close_all();
  CHECK_EQ(number_after_power_cut(path, COUNT), 2);
}

static void a_flush_finds_what_was_committed_before_it(void) {
  explore(&(History){"commit_and_flush", make_database, run_commit_and_flush, PROMPT_US, 1000, 20000});
}

int main(void) { return run_tests((TestCase[]){TEST(a_flush_finds_what_was_committed_before_it), {0}}); }
