/*
** Interleavings of commits with syncs that take their time: a flush goes on beside the ops, ops
** wait for a flush, and threads come to a file that another one is syncing.
*/
#include "explore_pair.h"

#include "memdisk.h"
#include "stepper.h"

#include <stdlib.h>

#define SYNC_US 100
/* SQLite's busy handler, and the polls below, wait for so long at most in all. */
#define BUSY_US 40000

static void look_around(void *unused) {
  (void)unused;
  for (int i = 0; i < 3; i++) {
    step_sleep_us(SYNC_US / 2);
    pair_look_at_marks();
  }
}

static void run_pair(void (*one)(void *), void (*other)(void *)) {
  memdisk_sync_takes_us(SYNC_US);
  step_branch(true);
  ExploreThread *threads[] = {explore_thread("one", one, pair_first),
                              explore_thread("other", other, pair_second),
                              explore_thread("looking", look_around, NULL)};
  for (int i = 0; i < 3; i++) explore_join(threads[i]);
}

/* ---- Commits and flushes in each journal mode ---- */

static void run_mode(const char *mode, const char *level) {
  pair_open();
  exec(pair_first, "PRAGMA journal_mode = %s; PRAGMA synchronous = %s", mode, level);
  exec(pair_second, "PRAGMA journal_mode = %s; PRAGMA synchronous = %s", mode, level);
  run_pair(pair_insert_and_help, pair_insert_and_wait);
  pair_finish(4);
}

static void run_delete(void) { run_mode("DELETE", "FULL"); }
static void run_truncate(void) { run_mode("TRUNCATE", "FULL"); }
static void run_persist(void) { run_mode("PERSIST", "FULL"); }
/* What is closed is left to the flush, and may be opened again while that is at it. */
static void run_persist_off(void) { run_mode("PERSIST", "OFF"); }

#define MODE_TEST(what, history)                                                                   \
  static void what(void) {                                                                         \
    explore(&(History){.name = #history,                                                           \
                       .prepare = pair_make,                                                       \
                       .run = run_##history,                                                       \
                       .time_max_us = BUSY_US,                                                     \
                       .schedules = 240});                                                         \
  }
MODE_TEST(commits_and_flushes_with_DELETE, delete)
MODE_TEST(commits_and_flushes_with_TRUNCATE, truncate)
MODE_TEST(commits_and_flushes_with_PERSIST, persist)
MODE_TEST(a_journal_that_is_synced_while_it_is_opened_again, persist_off)

/* ---- A database that shrinks waits for a flush ---- */

static void fill(void) {
  pair_make();
  sqlite3 *db = open_foreign(pair_path);
  exec(db, "PRAGMA auto_vacuum = FULL; VACUUM; CREATE TABLE filler(a)");
  exec(db, "INSERT INTO filler VALUES (zeroblob(30000))");
  close_database(db);
  memdisk_sync_all();
}

static void shrink(void *db) {
  exec(db, "BEGIN; DELETE FROM filler; INSERT INTO t VALUES (1); COMMIT");
  pair_insert(db);
  pair_flush_and_look(db, 1000, 2);
}

static void run_shrink(void) {
  pair_open();
  run_pair(shrink, pair_insert_and_wait);
  pair_finish(4);
}

static void a_database_shrinks_behind_a_flush(void) {
  explore(&(History){.name = "shrink",
                     .prepare = fill,
                     .run = run_shrink,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

/* ---- What nobody waits for ---- */

#define POLL_US 500

static void await(const char *what) {
  while (status_number(pair_path, what) != status_number(pair_path, "committed"))
    step_sleep_us(POLL_US);
}

static void insert_and_await_durable(void *db) {
  for (int i = 0; i < 2; i++) {
    pair_insert(db);
    await("durable");
  }
  pair_look(db, 2);
}

#define DELAY_MS 2

/* Within the sync for the other's, as far as the schedule lets it. */
static void insert_within_sync(void *db) {
  for (int i = 0; i < 2; i++) {
    step_sleep_us(DELAY_MS * 1000 + SYNC_US / 2);
    pair_insert(db);
  }
  await("durable");
  pair_look(db, 2);
}

static void run_max_delay(void) {
  pair_open();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, DELAY_MS), SQLITE_OK);
  run_pair(insert_and_await_durable, insert_within_sync);
  pair_finish(4);
}

static void commits_during_a_sync_for_maxDelayMs_have_one_of_their_own(void) {
  explore(&(History){.name = "max_delay",
                     .prepare = pair_make,
                     .run = run_max_delay,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

static void run_max_delay_wal(void) {
  pair_open();
  exec(pair_first, "PRAGMA synchronous = NORMAL");
  exec(pair_second, "PRAGMA synchronous = NORMAL");
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, DELAY_MS), SQLITE_OK);
  run_pair(insert_and_await_durable, insert_within_sync);
  pair_finish(4);
}

static void and_so_it_is_in_WAL_mode(void) {
  explore(&(History){.name = "max_delay_wal",
                     .prepare = pair_make_wal,
                     .run = run_max_delay_wal,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

static void insert_and_await_applied(void *db) {
  pair_insert(db);
  pair_insert(db);
  await("applied");
}

/* With a rollback journal that is more than a syncer applies in one go. */
static void ask_for_flush(void *db) {
  sqlite3_int64 ticket[2];
  pair_insert(db);
  CHECK(sqlite3async_flush_begin(pair_path, ticket, 1) >= 0);
  for (int i = 0; i < 4; i++) pair_insert(db);
  await("applied");
}

static void run_left(void) {
  pair_open();
  run_pair(ask_for_flush, insert_and_await_applied);
  pair_finish(7);
}

/* A syncer applies what it is to sync, and no more. */
static void what_a_syncer_leaves_the_writer_applies(void) {
  explore(&(History){.name = "left",
                     .prepare = pair_make,
                     .run = run_left,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

/* ---- A sync that fails ---- */

static void insert_until_told(void *db) {
  int rc = SQLITE_OK;
  for (int i = 0; i < 3 && rc == SQLITE_OK; i++) {
    rc = exec_code(db, "INSERT INTO t VALUES (1)");
    if (rc == SQLITE_OK) rc = sqlite3async_flush(pair_path, i == 1 ? -1 : 1000);
  }
  CHECK(rc == SQLITE_OK || rc == SQLITE_IOERR_FSYNC);
}

static void run_failing(void) {
  pair_open();
  memdisk_fail(MEM_SYNC, "", 2, SQLITE_IOERR_FSYNC);
  memdisk_sync_takes_us(SYNC_US);
  step_branch(true);
  ExploreThread *one = explore_thread("one", insert_until_told, pair_first);
  ExploreThread *other = explore_thread("other", insert_until_told, pair_second);
  explore_join(one);
  explore_join(other);
  CHECK_EQ(sqlite3async_flush(pair_path, 1000), SQLITE_IOERR_FSYNC);
  pair_close();
}

static void a_sync_that_fails_is_told_to_all_who_wait(void) {
  explore(&(History){.name = "failing",
                     .prepare = pair_make_wal,
                     .run = run_failing,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

int main(void) {
  return run_tests((TestCase[]){TEST(commits_and_flushes_with_DELETE),
                                TEST(commits_and_flushes_with_TRUNCATE),
                                TEST(commits_and_flushes_with_PERSIST),
                                TEST(a_journal_that_is_synced_while_it_is_opened_again),
                                TEST(a_database_shrinks_behind_a_flush),
                                TEST(commits_during_a_sync_for_maxDelayMs_have_one_of_their_own),
                                TEST(and_so_it_is_in_WAL_mode),
                                TEST(what_a_syncer_leaves_the_writer_applies),
                                TEST(a_sync_that_fails_is_told_to_all_who_wait),
                                {0}});
}
