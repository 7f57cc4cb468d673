/*
** A WAL is voided before it starts anew, see wal.h: beside releases, checkpoints by hand and
** readers, with the threads running.
*/
#include "database.h"
#include "registry.h"
#include "testvfs.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define WAIT_MS 5000

static const char *path;

/* With a checkpointer that does not come by itself. */
static sqlite3 *setup(void) {
  async_setup();
  path = test_path("x.db");
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 600000), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  return db;
}

static void finish(sqlite3 *db) {
  testvfs_reset();
  close_database(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

/* Whoever recovers a WAL whose header is zeros begins with a header that is always the same; old
** frames would fit to it. */
static void what_is_released_has_its_header(void) {
  sqlite3 *db = setup();
  exec(db, "INSERT INTO t VALUES (1, 0); PRAGMA wal_checkpoint");
  exec(db, "UPDATE t SET b = 9; PRAGMA wal_checkpoint");
  CHECK_EQ(wal_header(path), ASYNC_WAL_VOID);
  CHECK_EQ(sqlite3async_release(path, WAIT_MS), SQLITE_OK);
  exec(db, "UPDATE t SET b = 1");
  exec(db, "UPDATE t SET b = 2; PRAGMA wal_checkpoint");
  CHECK_EQ(sqlite3async_release(path, WAIT_MS), SQLITE_OK);
  exec(db, "UPDATE t SET b = 1");
  CHECK_EQ(sqlite3async_release(path, WAIT_MS), SQLITE_OK);
  CHECK_EQ(query_int(db, "SELECT b FROM t"), 1);
  finish(db);
}

static void *checkpoint(void *db) {
  exec_code(db, "PRAGMA wal_checkpoint");
  return NULL;
}

static void *count(void *db) {
  exec_code(db, "SELECT count(*) FROM t");
  return NULL;
}

/* One thread makes the index anew while another one checkpoints what it does not know. */
static void what_was_not_recovered_is_not_voided(void) {
  sqlite3 *db = setup();
  sqlite3 *other = open_async(path);
  Random random = random_new(0);
  query_int(other, "SELECT count(*) FROM t");
  for (int i = 0; i < 300; i++) {
    exec(db, "INSERT INTO t(b) VALUES (1)");
    CHECK_EQ(sqlite3async_release(path, WAIT_MS), SQLITE_OK);
    Thread thread = thread_start(count, other);
    for (volatile int k = random_below(&random, 40000); k > 0; k--) continue;
    exec_code(db, "PRAGMA wal_checkpoint");
    thread_join(thread);
    CHECK_EQ(query_int(db, "SELECT count(*) FROM t"), i + 1);
  }
  close_database(other);
  finish(db);
}

/* A read that fails during the recovery of a WAL that was found, and a checkpoint then. */
static void what_cannot_be_recovered_is_not_voided(void) {
  sqlite3 *db = setup();
  for (int i = 0; i < 10; i++) exec(db, "INSERT INTO t(b) VALUES (zeroblob(3000))");
  CHECK_EQ(sqlite3async_release(path, WAIT_MS), SQLITE_OK);
  testvfs_fail(ON_READ, "x.db-wal$", 4, 2, SQLITE_IOERR_READ, 0);
  CHECK(exec_code(db, "SELECT count(*) FROM t") != SQLITE_OK);
  CHECK(sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) != SQLITE_OK);
  CHECK_EQ(wal_header(path), ASYNC_WAL_VALID);
  testvfs_reset();
  CHECK_EQ(query_int(db, "SELECT count(*) FROM t"), 10);
  finish(db);
}

/* Others make the checkpointer go while it voids the WAL: that goes on the next time. */
static void what_was_begun_is_ended(void) {
  sqlite3 *db = setup();
  sqlite3 *other = open_async(path);
  query_int(other, "SELECT count(*) FROM t");
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 100000), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_WAL_BYTES, 200000), SQLITE_OK);
  testvfs_hold(ON_SYNC, "x.db$");
  exec(db, "INSERT INTO t(b) VALUES (zeroblob(300000))");
  testvfs_wait_held();
  Thread thread = thread_start(checkpoint, other);
  sleep_ms(20);
  testvfs_release();
  thread_join(thread);
  for (int i = 0; i < 5; i++) exec(db, "INSERT INTO t(b) VALUES (1)");
  close_database(other);
  finish(db);
}

static atomic_bool stop;

static void *commit_on(void *db) {
  while (!stop) exec(db, "UPDATE t SET b = b + 1");
  return NULL;
}

/* As in plain SQLite: who commits next starts the WAL anew, void or not. */
static void after_RESTART_by_hand_it_starts_anew(void) {
  sqlite3 *db = setup();
  sqlite3 *other = open_async(path);
  exec(db, "INSERT INTO t VALUES (1, 1); PRAGMA busy_timeout = 5000");
  exec(other, "PRAGMA busy_timeout = 5000");
  AsyncStream *stream = async_registry_find(path);
  testvfs_delay(ON_SYNC, NULL, 5);
  Thread thread = thread_start(commit_on, other);
  for (int i = 0; i < 5; i++) {
    sleep_ms(10);
    async_mutex_enter(&stream->mutex);
    int64_t starts = stream->wal.starts;
    async_mutex_leave(&stream->mutex);
    exec(db, "PRAGMA wal_checkpoint(RESTART)");
    int64_t until_ms = now_ms() + WAIT_MS;
    bool anew = false;
    while (!anew && now_ms() < until_ms) {
      async_mutex_enter(&stream->mutex);
      anew = stream->wal.starts > starts;
      async_mutex_leave(&stream->mutex);
    }
    CHECK(anew);
  }
  stop = true;
  thread_join(thread);
  async_registry_unref(stream);
  close_database(other);
  finish(db);
}

/* At its bound the WAL's end is waited for, though a checkpoint has just met the transaction of the
** same connection. */
static void a_lone_connection_is_not_refused_at_the_bound(void) {
  sqlite3 *db = setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 100000), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_WAL_BYTES, 1000000), SQLITE_OK);
  testvfs_delay(ON_SYNC, NULL, 10);
  for (int i = 0; i < 8; i++) {
    exec(db, "BEGIN IMMEDIATE");
    for (int k = 0; k < 6; k++) {
      exec(db, "INSERT INTO t(b) VALUES (zeroblob(50000))");
      sleep_ms(12);
    }
    exec(db, "COMMIT; INSERT INTO t(b) VALUES (1)");
  }
  finish(db);
}

/* So the first transaction at the bound asks for a checkpoint, and others wait for that one: if it
** copies all and cannot void the WAL, it must come again. */
static void one_at_its_bound_that_could_not_be_voided_is_voided_later(void) {
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_WAL_BYTES, 100000), SQLITE_OK);
  AsyncWal wal = {.end = 200000, .backfilled = 200000, .header = ASYNC_WAL_VOIDING};
  const AsyncWalOutcome done = {.code = SQLITE_OK, .opened = true, .progress = true};
  async_wal_note_checkpoint(&wal, &done);
  CHECK(async_wal_due_us(&wal) >= 0);
  wal.header = ASYNC_WAL_VOID;
  async_wal_note_checkpoint(&wal, &done);
  CHECK_EQ(async_wal_due_us(&wal), -1);
}

static atomic_bool goes_on;

static void *halt_and_go_on(void *unused) {
  Random random = random_new(1);
  while (goes_on) {
    CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NOW), SQLITE_OK);
    for (volatile int k = random_below(&random, 200000); k > 0; k--) continue;
    CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER), SQLITE_OK);
    for (volatile int k = random_below(&random, 400000); k > 0; k--) continue;
  }
  return unused;
}

/* A halt interrupts what voids the WAL. */
static void halted_now_and_then_at_the_bound_commits_go_on(void) {
  sqlite3 *db = setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_WAL_BYTES, 100000), SQLITE_OK);
  goes_on = true;
  Thread thread = thread_start(halt_and_go_on, NULL);
  int rows = 0;
  for (int i = 0; i < 400; i++) {
    if (exec_code(db, "INSERT INTO t(b) VALUES (zeroblob(3000))") == SQLITE_OK) rows++;
  }
  goes_on = false;
  thread_join(thread);
  CHECK_EQ(query_int(db, "SELECT count(*) FROM t"), rows);
  finish(db);
}

int main(void) {
  return run_tests((TestCase[]){TEST(what_is_released_has_its_header),
                                TEST(what_was_not_recovered_is_not_voided),
                                TEST(what_cannot_be_recovered_is_not_voided),
                                TEST(what_was_begun_is_ended),
                                TEST(after_RESTART_by_hand_it_starts_anew),
                                TEST(a_lone_connection_is_not_refused_at_the_bound),
                                TEST(one_at_its_bound_that_could_not_be_voided_is_voided_later),
                                TEST(halted_now_and_then_at_the_bound_commits_go_on),
                                {0}});
}
