/*
** Syncs beside the writer: while the checkpointer syncs the database, commits
** go on; what would destroy frames waits.  And how checkpoints fail and end.
*/
#include "sync.h"
#include "database.h"
#include "registry.h"
#include "testvfs.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 10000
#define DATABASE "x.db$"

static const char *path;

/* A WAL database with a running writer, whose checkpointer does not come by itself. */
static sqlite3 *setup(int checkpoint_bytes) {
  async_setup();
  path = test_path("x.db");
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, checkpoint_bytes), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, checkpoint_bytes == 0 ? 600000 : 0),
           SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK);
  testvfs_reset();
  return db;
}

static void check_rows(int64_t least, int64_t most) {
  sqlite3 *plain = open_plain(path);
  int64_t rows = query_int(plain, "SELECT count(*) FROM t");
  if (rows < least || rows > most) FAIL("%lld rows", (long long)rows);
  check_integrity(plain);
  close_database(plain);
}

static void finish(sqlite3 *db, int64_t rows) {
  testvfs_reset();
  close_database(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
  check_rows(rows, rows);
}

static void commit(sqlite3 *db, int times) {
  for (int i = 0; i < times; i++) exec(db, "INSERT INTO t(b) VALUES (zeroblob(200))");
}

static bool is_all_applied(void) {
  return status_number(path, "applied") == status_number(path, "committed");
}

static bool is_status(const char *words) {
  char text[4096];
  CHECK(sqlite3async_status(path, text, sizeof text) > 0);
  return strstr(text, words) != NULL;
}

/* ---- While the database is synced ---- */

static void commits_and_flushes_go_on_during_the_checkpointers_sync(void) {
  sqlite3 *db = setup(200000);
  sqlite3 *reader = open_async(path);
  for (int i = 0; i < 10; i++) exec(db, "INSERT INTO t(b) VALUES (zeroblob(3000))");
  exec(reader, "BEGIN; SELECT * FROM t"); /* so that the WAL cannot start anew */
  testvfs_hold(ON_SYNC, DATABASE);
  commit(db, 100);
  testvfs_wait_held();
  for (int i = 0; i < 20; i++) {
    commit(db, 5);
    int64_t start_ms = now_ms();
    CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK);
    CHECK(now_ms() - start_ms < 2000);
    CHECK_EQ(status_number(path, "durable"), status_number(path, "committed"));
  }
  CHECK_EQ(testvfs_count(ON_SYNC, DATABASE), 0);
  testvfs_release();
  close_database(reader);
  finish(db, 210);
}

static void *checkpoint(void *db) {
  exec(db, "PRAGMA wal_checkpoint(PASSIVE)");
  return NULL;
}

static void commits_and_flushes_go_on_during_the_sync_of_a_checkpoint_by_hand(void) {
  sqlite3 *db = setup(0);
  sqlite3 *reader = open_async(path);
  commit(db, 20);
  exec(reader, "BEGIN; SELECT * FROM t"); /* all may be copied, but the WAL cannot start anew */
  testvfs_hold(ON_SYNC, DATABASE);
  sqlite3 *other = open_async(path);
  Thread thread = thread_start(checkpoint, other);
  testvfs_wait_held();
  for (int i = 0; i < 20; i++) {
    commit(db, 5);
    CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK);
  }
  CHECK(is_all_applied());
  CHECK_EQ(testvfs_count(ON_SYNC, DATABASE), 0);
  testvfs_release();
  thread_join(thread);
  close_database(other);
  close_database(reader);
  finish(db, 120);
}

/* A checkpoint of the first WAL beside the first flush, when all is synced but the names. */
static void a_sync_does_not_pass_for_the_folders(void) {
  sqlite3 *db = setup(0);
  AsyncStream *stream = async_registry_find(path);
  async_mutex_enter(&stream->mutex);
  AsyncFile *database = stream->files.database;
  stream->directory_dirty = true;
  async_mutex_leave(&stream->mutex);
  commit(db, 1);
  testvfs_hold(ON_SYNC_DIRECTORY, NULL);
  sqlite3_int64 ticket[2];
  CHECK_EQ(sqlite3async_flush_begin(path, ticket, 1), 1);
  testvfs_wait_held();
  async_mutex_enter(&stream->mutex);
  database->backfilled = true;
  async_mutex_leave(&stream->mutex);
  CHECK_EQ(async_sync_beside(stream, database), SQLITE_OK);
  CHECK_EQ(testvfs_count(ON_SYNC, DATABASE), 1);
  CHECK(status_number(path, "durable") < status_number(path, "committed"));
  testvfs_release();
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK);
  CHECK_EQ(status_number(path, "durable"), status_number(path, "committed"));
  async_registry_unref(stream);
  finish(db, 1);
}

static void nothing_is_copied_before_the_WAL_is_synced(void) {
  sqlite3 *db = setup(0);
  commit(db, 20);
  WAIT_FOR(WAIT_MS, is_all_applied());
  testvfs_hold(ON_SYNC, "x.db-wal");
  sqlite3_int64 ticket[2];
  CHECK_EQ(sqlite3async_flush_begin(path, ticket, 1), 1);
  testvfs_wait_held(); /* the writer is at it, so the checkpointer cannot be */
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 1), SQLITE_OK);
  sleep_ms(100);
  CHECK_EQ(testvfs_count(ON_WRITE, DATABASE), 0);
  testvfs_release();
  WAIT_FOR(WAIT_MS, testvfs_count(ON_WRITE, DATABASE) > 0);
  finish(db, 20);
}

static void frames_that_came_during_the_WALs_sync_are_synced_by_a_flush(void) {
  sqlite3 *db = setup(0);
  commit(db, 20);
  WAIT_FOR(WAIT_MS, is_all_applied());
  testvfs_hold(ON_SYNC, "x.db-wal");
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 1), SQLITE_OK);
  testvfs_wait_held(); /* the checkpointer, for nobody has asked for a flush */
  commit(db, 5);
  WAIT_FOR(WAIT_MS, is_all_applied());
  testvfs_release();
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK);
  char *log = testvfs_log();
  char *voided = strstr(log, "write x.db-wal 32 @0\n"); /* if the checkpointer was so fast */
  const char *end = voided != NULL ? voided : log + strlen(log);
  const char *last_write = NULL;
  for (const char *at = log; (at = strstr(at, "write x.db-wal ")) != NULL && at < end; at++) {
    last_write = at;
  }
  CHECK(last_write != NULL);
  const char *held = strstr(last_write, "sync x.db-wal\n"); /* noted when it has ended */
  CHECK(held != NULL && strstr(held + 1, "sync x.db-wal\n") != NULL);
  free(log);
  finish(db, 25);
}

/* Until then commits are appended, and wait for nothing. */
static void a_WAL_starts_anew_only_behind_it(void) {
  sqlite3 *db = setup(0);
  sqlite3 *other = open_async(path);
  commit(db, 20);
  testvfs_hold(ON_SYNC, DATABASE);
  Thread thread = thread_start(checkpoint, other);
  testvfs_wait_held();
  commit(db, 5);
  WAIT_FOR(WAIT_MS, is_all_applied());
  char *before = testvfs_log();
  testvfs_release();
  thread_join(thread);
  exec(db, "PRAGMA wal_checkpoint(PASSIVE)");
  commit(db, 1);
  WAIT_FOR(WAIT_MS, is_all_applied());
  char *after = testvfs_log();
  CHECK(strstr(before, "write x.db-wal 32 @0") == NULL);
  char *zeros = strstr(after, "write x.db-wal 32 @0");
  char *synced = strstr(after, "sync x.db\n");
  CHECK(zeros != NULL && synced != NULL && synced < zeros);
  CHECK(strstr(zeros + 1, "write x.db-wal 4152 @0") != NULL);
  free(before);
  free(after);
  close_database(other);
  finish(db, 26);
}

static void *close_in_thread(void *db) {
  close_database(db);
  return NULL;
}

static void the_WALs_end_waits_for_it(void) {
  sqlite3 *db = setup(0);
  commit(db, 20);
  testvfs_hold(ON_SYNC, DATABASE);
  Thread closer = thread_start(close_in_thread, db);
  testvfs_wait_held();
  sleep_ms(50);
  CHECK(access(test_path("x.db-wal"), F_OK) == 0);
  testvfs_release();
  thread_join(closer);
  CHECK(access(test_path("x.db-wal"), F_OK) != 0);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
  CHECK(access(test_path("x.db-wal"), F_OK) != 0);
  check_rows(20, 20);
}

/* ---- Failing ---- */

static void check_failed(sqlite3 *db, int code, const char *operation) {
  char words[100];
  snprintf(words, sizeof words, "\"code\":%d,\"operation\":\"%s\"", code, operation);
  if (!is_status(words)) {
    char text[4096];
    sqlite3async_status(path, text, sizeof text);
    FAIL("%s", text);
  }
  CHECK_EQ(exec_code(db, "INSERT INTO t(b) VALUES (1)"), code);
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), code);
}

static void check_failure(int checkpoint_bytes, unsigned set, int times, int code,
                          const char *operation) {
  sqlite3 *db = setup(checkpoint_bytes);
  testvfs_fail(set, DATABASE, 0, times, code, 0);
  int committed = 0;
  while (testvfs_failures() == 0 && committed < 200) {
    if (exec_code(db, "INSERT INTO t(b) VALUES (zeroblob(200))") == SQLITE_OK) committed++;
    if (checkpoint_bytes == 0 && committed == 30) exec_code(db, "PRAGMA wal_checkpoint(FULL)");
    sleep_ms(1);
  }
  WAIT_FOR(WAIT_MS, !is_status("\"error\":null"));
  CHECK_EQ(testvfs_failures(), times);
  check_failed(db, code, operation);
  CHECK_EQ(testvfs_count(ON_SYNC, DATABASE), 0); /* it is not tried again */
  sqlite3_close(db);
  int rc = sqlite3async_close(WAIT_MS);
  CHECK(rc == SQLITE_OK || rc == code);
  check_rows(1, committed); /* the WAL has what was applied */
}

static void a_sync_of_the_checkpointers_that_fails_fails_the_database(void) {
  check_failure(50000, ON_SYNC, 1, SQLITE_IOERR_FSYNC, "sync");
}
static void a_sync_of_a_checkpoint_by_hand_that_fails_fails_the_database(void) {
  check_failure(0, ON_SYNC, 1, SQLITE_IOERR_FSYNC, "sync");
}
/* The WAL has all of it: the checkpoint is told of, and made again. */
static void fails_only_the_checkpoint(int code) {
  sqlite3 *db = setup(50000);
  testvfs_fail(ON_WRITE, DATABASE, 0, 1, code, 0);
  commit(db, 200);
  WAIT_FOR(WAIT_MS, testvfs_failures() == 1);
  WAIT_FOR(WAIT_MS, !is_status("\"checkpointError\":null"));
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK);
  CHECK(is_status("\"error\":null"));
  WAIT_FOR(WAIT_MS, is_status("\"checkpointError\":null"));
  CHECK(testvfs_count(ON_SYNC, DATABASE) > 0);
  finish(db, 200);
}

static void a_write_of_the_checkpointers_that_fails_fails_only_the_checkpoint(void) {
  fails_only_the_checkpoint(SQLITE_IOERR_WRITE);
}
static void a_full_disk_fails_only_the_checkpoint(void) { fails_only_the_checkpoint(SQLITE_FULL); }

static void a_checkpointer_that_cannot_open_does_no_harm(void) {
  sqlite3 *db = setup(50000);
  testvfs_fail(ON_READ, "x.db", 0, 40, SQLITE_IOERR_READ, 0);
  int rows = 0;
  for (int i = 0; i < 300; i++) {
    if (exec_code(db, "INSERT INTO t(b) VALUES (zeroblob(200))") == SQLITE_OK) rows++;
  }
  testvfs_reset();
  commit(db, 100);
  WAIT_FOR(WAIT_MS, is_all_applied());
  finish(db, rows + 100);
}

/* ---- The process's end ---- */

typedef struct End {
  int rows;
  int sleep_ms;
  bool by_quick_exit;
} End;

static int commit_and_exit(void *arg) {
  const End *end = arg;
  static sqlite3 *db; /* left open */
  db = setup(30000);
  testvfs_delay(ON_SYNC, DATABASE, 1);
  commit(db, end->rows);
  sleep_ms(end->sleep_ms);
  if (end->by_quick_exit) quick_exit(0);
  return 0;
}

static void the_exit_of_the_process_loses_nothing(void) {
  Random random = random_new(0);
  path = test_path("x.db");
  char wal[600];
  snprintf(wal, sizeof wal, "%s-wal", path);
  for (int i = 0; i < 25 * test_scale(); i++) {
    End end = {1 + random_below(&random, 400), random_below(&random, 3), random_one_in(&random, 2)};
    CHECK_EQ(process_wait(process_start(commit_and_exit, &end), WAIT_MS), 0);
    check_rows(end.rows, end.rows);
    remove(path);
    remove(wal);
  }
}

static int commit_for_ever(void *unused) {
  (void)unused;
  sqlite3 *db = setup(30000);
  for (;;) commit(db, 1);
  return 0;
}

static void a_kill_at_any_moment_leaves_whole_transactions(void) {
  Random random = random_new(1);
  path = test_path("x.db");
  char wal[600];
  snprintf(wal, sizeof wal, "%s-wal", path);
  for (int i = 0; i < 25 * test_scale(); i++) {
    int pid = process_start(commit_for_ever, NULL);
    sleep_ms(15 + random_below(&random, 20));
    kill(pid, SIGKILL);
    CHECK_EQ(process_wait(pid, WAIT_MS), -SIGKILL);
    sqlite3 *plain = open_plain(path);
    check_integrity(plain);
    int64_t rows = query_int(plain, "SELECT count(*) FROM sqlite_schema");
    if (rows > 0) CHECK_EQ(query_int(plain, "SELECT count(*) = ifnull(max(a), 0) FROM t"), 1);
    close_database(plain);
    remove(path);
    remove(wal);
  }
}

int main(void) {
  return run_tests(
      (TestCase[]){TEST(commits_and_flushes_go_on_during_the_checkpointers_sync),
                   TEST(commits_and_flushes_go_on_during_the_sync_of_a_checkpoint_by_hand),
                   TEST(a_sync_does_not_pass_for_the_folders),
                   TEST(nothing_is_copied_before_the_WAL_is_synced),
                   TEST(frames_that_came_during_the_WALs_sync_are_synced_by_a_flush),
                   TEST(a_WAL_starts_anew_only_behind_it),
                   TEST(the_WALs_end_waits_for_it),
                   TEST(a_sync_of_the_checkpointers_that_fails_fails_the_database),
                   TEST(a_sync_of_a_checkpoint_by_hand_that_fails_fails_the_database),
                   TEST(a_write_of_the_checkpointers_that_fails_fails_only_the_checkpoint),
                   TEST(a_full_disk_fails_only_the_checkpoint),
                   TEST(a_checkpointer_that_cannot_open_does_no_harm),
                   TEST(the_exit_of_the_process_loses_nothing),
                   TEST(a_kill_at_any_moment_leaves_whole_transactions),
                   {0}});
}
