/*
** Commit levels where something stands in the way: a disk that is full or fails, other databases of
** the transaction, other threads, the end of the process.  No wait is for ever, and SQLITE_OK is
** said only of what is there.
*/
#include "database.h"
#include "ending.h"
#include "registry.h"
#include "testvfs.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define WAIT_MS 5000
#define COUNT "SELECT count(*) FROM t"
#define INSERT "INSERT INTO t VALUES (1)"

static char folder[300];
static const char *path;

static void set(int parameter, int64_t value) {
  CHECK_EQ(sqlite3async_set(parameter, value), SQLITE_OK);
}

static sqlite3 *make(const char *name, const char *mode) {
  sqlite3 *db = open_async(test_path(name));
  exec(db, "PRAGMA journal_mode = %s; PRAGMA synchronous = NORMAL; CREATE TABLE t(a)", mode);
  return db;
}

static sqlite3 *setup(const char *mode, int level) {
  async_setup();
  snprintf(folder, sizeof folder, "%s", test_path("live"));
  CHECK(mkdir(folder, 0700) == 0);
  path = test_path("live/x.db");
  set(SQLITEASYNC_MAX_DELAY_MS, 0);
  set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 0);
  set(SQLITEASYNC_DISK_FULL_RETRY_MS, 300);
  sqlite3 *db = make("live/x.db", mode);
  step_all();
  testvfs_reset();
  set(SQLITEASYNC_COMMIT, level);
  return db;
}

static void finish(sqlite3 *db) {
  testvfs_reset();
  set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER);
  sqlite3_close(db);
  sqlite3async_close(WAIT_MS); /* of a stream that failed it tells */
}

static void count_rows(void *arg) {
  sqlite3 *db = open_plain(path);
  *(int64_t *)arg = query_int(db, COUNT);
  close_database(db);
}

static int64_t rows_on_disk(void) {
  int64_t n = -1;
  with_copy(folder, count_rows, &n);
  return n;
}

/* ---- The disk fails ---- */

/* What is still to be told of on stderr. */
static int64_t lost(void) {
  AsyncStream *stream = async_registry_find(path);
  async_mutex_enter(&stream->mutex);
  int64_t n = async_stream_lost(stream);
  async_mutex_leave(&stream->mutex);
  async_registry_unref(stream);
  return n;
}

/* The commit tells, and so does everything after it. */
static void check_failure(sqlite3 *db, unsigned set_of, const char *name, int code) {
  testvfs_fail(set_of, name, 0, 1, code, 0);
  CHECK_EQ(exec_code(db, INSERT), code);
  CHECK_EQ(testvfs_failures(), 1);
  CHECK_EQ(exec_code(db, INSERT), code);
  CHECK_EQ(exec_code(db, COUNT), code);
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), code);
  CHECK_EQ(lost(), 0);
}

static void a_write_that_fails_is_the_commits(void) {
  sqlite3 *db = setup("WAL", SQLITEASYNC_COMMIT_APPLIED);
  exec(db, INSERT);
  check_failure(db, ON_WRITE, "x.db-wal", SQLITE_IOERR_WRITE);
  CHECK_EQ(rows_on_disk(), 1);
  finish(db);
}

static void a_write_of_a_writers_that_fails_is_the_commits(void) {
  sqlite3 *db = setup("WAL", SQLITEASYNC_COMMIT_APPLIED);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  check_failure(db, ON_WRITE, "x.db-wal", SQLITE_IOERR_WRITE);
  finish(db);
}

static void a_sync_that_fails_is_the_commits(void) {
  sqlite3 *db = setup("WAL", SQLITEASYNC_COMMIT_DURABLE);
  exec(db, INSERT);
  check_failure(db, ON_SYNC, "x.db-wal", SQLITE_IOERR_FSYNC);
  finish(db);
}

static void a_journal_that_cannot_be_deleted_fails_the_commit(void) {
  sqlite3 *db = setup("DELETE", SQLITEASYNC_COMMIT_APPLIED);
  exec(db, INSERT);
  check_failure(db, ON_DELETE, "x.db-journal", SQLITE_IOERR_DELETE);
  CHECK_EQ(rows_on_disk(), 1);
  finish(db);
}

/* SQLite would take this code for OK. */
static void no_code_of_the_disk_passes_for_ok(void) {
  sqlite3 *db = setup("WAL", SQLITEASYNC_COMMIT_APPLIED);
  exec(db, INSERT);
  testvfs_fail(ON_WRITE, "x.db-wal", 0, 1, SQLITE_NOTFOUND, 0);
  CHECK_EQ(exec_code(db, INSERT), SQLITE_IOERR);
  CHECK_EQ(rows_on_disk(), 1);
  finish(db);
}

/* ---- The disk is full ---- */

static void waits_for_room(bool has_writer) {
  sqlite3 *db = setup("WAL", SQLITEASYNC_COMMIT_APPLIED);
  if (has_writer) CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  exec(db, INSERT);
  testvfs_fail(ON_WRITE, "x.db-wal", 0, 2, SQLITE_FULL, 0);
  exec(db, INSERT);
  CHECK_EQ(testvfs_failures(), 2);
  CHECK_EQ(rows_on_disk(), 2);
  finish(db);
}

static void a_full_disk_is_waited_for(void) { waits_for_room(true); }
static void a_full_disk_is_waited_for_without_a_writer(void) { waits_for_room(false); }

static void gives_up(bool has_writer) {
  sqlite3 *db = setup("WAL", SQLITEASYNC_COMMIT_DURABLE);
  if (has_writer) CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  exec(db, INSERT);
  testvfs_fail(ON_WRITE, "x.db-wal", 0, -1, SQLITE_FULL, 0);
  int64_t start_ms = now_ms();
  CHECK_EQ(exec_code(db, INSERT), SQLITE_FULL);
  CHECK(now_ms() - start_ms >= 250 && now_ms() - start_ms < WAIT_MS);
  CHECK_EQ(rows_on_disk(), 1);
  finish(db);
}

static void a_disk_that_stays_full_is_an_error(void) { gives_up(true); }
static void a_disk_that_stays_full_is_an_error_without_a_writer(void) { gives_up(false); }

/* ---- The end ---- */

static void ends_in_time(bool drains) {
  sqlite3 *db = setup("WAL", SQLITEASYNC_COMMIT_APPLIED);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  set(SQLITEASYNC_DISK_FULL_RETRY_MS, 60000);
  set(SQLITEASYNC_EXIT_DRAIN_MS, 200);
  set(SQLITEASYNC_DRAIN_ON_EXIT, drains);
  async_ending_begin();
  exec(db, INSERT); /* what does not wait is done all the same */
  CHECK_EQ(rows_on_disk(), 1);
  testvfs_fail(ON_WRITE, "x.db-wal", 0, -1, SQLITE_FULL, 0);
  int64_t start_ms = now_ms();
  CHECK_EQ(exec_code(db, INSERT), SQLITE_IOERR_WRITE);
  CHECK(now_ms() - start_ms < WAIT_MS);
  finish(db);
}

static void at_the_end_nobody_waits_longer_than_the_drain(void) { ends_in_time(true); }
static void at_the_end_nobody_waits_without_a_drain(void) { ends_in_time(false); }

static void *insert_in(void *db) {
  static int code;
  code = exec_code(db, INSERT);
  return &code;
}

/* All that is committed is made durable before the connections are cut off. */
static void a_close_by_force_takes_no_commit_back(void) {
  sqlite3 *db = setup("WAL", SQLITEASYNC_COMMIT_APPLIED);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  testvfs_hold(ON_WRITE, "x.db-wal");
  Thread thread = thread_start(insert_in, db);
  testvfs_wait_held();
  testvfs_delay(ON_SYNC, "x.db-wal", 50);
  testvfs_release();
  CHECK_EQ(sqlite3async_close_by_force(WAIT_MS), SQLITE_OK);
  thread_join(thread);
  CHECK_EQ(exec_code(db, INSERT), SQLITE_IOERR_CLOSE);
  CHECK_EQ(rows_on_disk(), 1);
  sqlite3_close(db);
}

static void a_database_that_was_moved_is_written_to(void) {
  sqlite3 *db = setup("WAL", SQLITEASYNC_COMMIT_DURABLE);
  exec(db, INSERT);
  CHECK_EQ(rename(path, test_path("live/y.db")), 0);
  CHECK_EQ(rename(test_path("live/x.db-wal"), test_path("live/y.db-wal")), 0);
  path = test_path("live/y.db");
  exec(db, INSERT);
  CHECK_EQ(rows_on_disk(), 2);
  finish(db);
}

/* ---- Several databases in one transaction ---- */

static const char *other_path;

static sqlite3 *setup_two(int level) {
  sqlite3 *db = setup("DELETE", SQLITEASYNC_COMMIT_QUEUED);
  other_path = test_path("live/y.db");
  close_database(make("live/y.db", "DELETE"));
  step_all();
  set(SQLITEASYNC_COMMIT, level);
  exec(db, "ATTACH '%s' AS y", other_path);
  return db;
}

#define BOTH "BEGIN; INSERT INTO main.t VALUES (1); INSERT INTO y.t VALUES (1); COMMIT"

static void count_both(void *arg) {
  int64_t *n = arg;
  const char *paths[] = {path, other_path};
  for (int i = 0; i < 2; i++) {
    sqlite3 *db = open_plain(paths[i]);
    n[i] = query_int(db, COUNT);
    close_database(db);
  }
}

static void check_both(int64_t wanted) {
  int64_t n[2];
  with_copy(folder, count_both, n);
  CHECK_EQ(n[0], wanted);
  CHECK_EQ(n[1], wanted);
}

static void commit_both(int level, bool has_writer) {
  sqlite3 *db = setup_two(level);
  set(SQLITEASYNC_WRITERS, 1);
  if (has_writer) CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  for (int i = 1; i <= 5; i++) {
    exec(db, BOTH);
    check_both(i);
  }
  finish(db);
}

static void two_databases_applied_without_a_writer(void) {
  commit_both(SQLITEASYNC_COMMIT_APPLIED, false);
}
static void two_databases_applied_with_one_writer(void) {
  commit_both(SQLITEASYNC_COMMIT_APPLIED, true);
}
static void two_databases_durable_without_a_writer(void) {
  commit_both(SQLITEASYNC_COMMIT_DURABLE, false);
}
static void two_databases_durable_with_one_writer(void) {
  commit_both(SQLITEASYNC_COMMIT_DURABLE, true);
}

/* The second database's barrier with a third one comes first, and nobody else runs that. */
static void a_transaction_waits_for_older_ones_of_others(void) {
  sqlite3 *db = setup_two(SQLITEASYNC_COMMIT_APPLIED);
  close_database(make("live/z.db", "DELETE"));
  sqlite3 *other = open_async(test_path("live/z.db"));
  exec(other, "PRAGMA async_commit = queued; ATTACH '%s' AS y", other_path);
  exec(other, BOTH);
  CHECK(status_number(test_path("live/z.db"), "queuedOps") > 0);
  exec(db, "INSERT INTO y.t VALUES (1)"); /* one database alone, behind that barrier */
  exec(db, "DELETE FROM y.t WHERE rowid > 1; DELETE FROM y.t");
  exec(other, BOTH);
  exec(db, BOTH);
  CHECK_EQ(query_int(other, "SELECT count(*) FROM y.t"), 2);
  CHECK_EQ(status_number(test_path("live/z.db"), "applied"), 3);
  close_database(other);
  finish(db);
}

/* The second database has a shrinking before that, which waits for a flush of its own. */
static void a_transaction_waits_for_a_flush_of_the_others(void) {
  sqlite3 *db = setup_two(SQLITEASYNC_COMMIT_QUEUED);
  sqlite3 *other = open_async(other_path);
  exec(other, "PRAGMA auto_vacuum = FULL; VACUUM; INSERT INTO t VALUES (zeroblob(50000))");
  step_all();
  exec(other, "DELETE FROM t");
  CHECK(status_number(other_path, "queuedOps") > 0);
  set(SQLITEASYNC_COMMIT, SQLITEASYNC_COMMIT_APPLIED);
  exec(db, BOTH);
  CHECK_EQ(status_number(other_path, "applied"), status_number(other_path, "committed"));
  close_database(other);
  finish(db);
}

/* Whichever op fails: if the commit said OK it is there in both, and else in none. */
static bool try_failure(int level, int n) {
  sqlite3 *db = open_async(path);
  exec(db, "ATTACH '%s' AS y; DELETE FROM main.t; DELETE FROM y.t", other_path);
  testvfs_reset();
  testvfs_fail(ON_CHANGE, "/live/", n, 1, SQLITE_IOERR, 0);
  set(SQLITEASYNC_COMMIT, level);
  int rc = exec_code(db, BOTH);
  bool failed = testvfs_failures() > 0;
  testvfs_reset();
  check_both(rc == SQLITE_OK ? 1 : 0);
  sqlite3_close(db);
  step_all();
  sqlite3async_flush(NULL, 0);
  check_both(rc == SQLITE_OK ? 1 : 0);
  return failed;
}

static void every_failure_at(int level) {
  close_database(setup_two(SQLITEASYNC_COMMIT_APPLIED));
  int n = 0;
  while (try_failure(level, n)) n++;
  CHECK(n >= 12);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

static void an_error_in_either_is_the_commits_if_applied(void) {
  every_failure_at(SQLITEASYNC_COMMIT_APPLIED);
}
static void an_error_in_either_is_the_commits_if_durable(void) {
  every_failure_at(SQLITEASYNC_COMMIT_DURABLE);
}

/* The second one's disk is full, and the process ends: what is told as an error is rolled back. */
static void the_end_in_the_middle_of_two_takes_both_back(void) {
  sqlite3 *db = setup_two(SQLITEASYNC_COMMIT_APPLIED);
  exec(db, BOTH);
  set(SQLITEASYNC_DISK_FULL_RETRY_MS, 60000);
  set(SQLITEASYNC_EXIT_DRAIN_MS, 200);
  async_ending_begin();
  testvfs_fail(ON_WRITE, "y.db$", 0, -1, SQLITE_FULL, 0);
  CHECK_EQ(exec_code(db, BOTH), SQLITE_IOERR_WRITE);
  check_both(1);
  testvfs_reset();
  step_all();
  check_both(1);
  finish(db);
}

/* In WAL mode SQLite asks for no sync, so that this comes late; but not too late. */
static void an_error_of_a_third_one_in_the_WAL_takes_all_back(void) {
  sqlite3 *db = setup_two(SQLITEASYNC_COMMIT_DURABLE);
  close_database(make("live/z.db", "WAL"));
  exec(db, "ATTACH '%s' AS z; INSERT INTO z.t VALUES (1)", test_path("live/z.db"));
  testvfs_fail(ON_SYNC, "z.db-wal", 0, 1, SQLITE_IOERR_FSYNC, 0);
  const char *all = "BEGIN; INSERT INTO main.t VALUES (1); INSERT INTO y.t VALUES (1);"
                    "INSERT INTO z.t VALUES (1); COMMIT";
  CHECK_EQ(exec_code(db, all), SQLITE_IOERR_FSYNC);
  CHECK_EQ(testvfs_failures(), 1);
  step_all();
  check_both(0);
  exec(db, BOTH);
  check_both(1);
  finish(db);
}

/* ---- Several threads ---- */

#define THREADS 4
#define COMMITS 100

static void *commit_many(void *unused) {
  (void)unused;
  sqlite3 *db = open_async(path);
  sqlite3_busy_timeout(db, 60000);
  for (int i = 0; i < COMMITS; i++) exec(db, INSERT);
  close_database(db);
  return NULL;
}

static void commit_from_threads(int level, bool has_writer) {
  sqlite3 *db = setup("WAL", level);
  if (has_writer) CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  testvfs_delay(ON_SYNC, "x.db-wal", 2);
  Thread threads[THREADS];
  for (int i = 0; i < THREADS; i++) threads[i] = thread_start(commit_many, NULL);
  for (int i = 0; i < THREADS; i++) thread_join(threads[i]);
  CHECK_EQ(rows_on_disk(), THREADS * COMMITS);
  int syncs = testvfs_count(ON_SYNC, "x.db-wal");
  if (level == SQLITEASYNC_COMMIT_DURABLE && syncs > THREADS * COMMITS * 3 / 4) {
    FAIL("%d syncs for %d commits: they do not share them", syncs, THREADS * COMMITS);
  }
  finish(db);
}

static void threads_that_commit_applied(void) {
  commit_from_threads(SQLITEASYNC_COMMIT_APPLIED, true);
}
static void threads_that_commit_applied_without_a_writer(void) {
  commit_from_threads(SQLITEASYNC_COMMIT_APPLIED, false);
}
static void threads_that_commit_durable_share_syncs(void) {
  commit_from_threads(SQLITEASYNC_COMMIT_DURABLE, true);
}
static void threads_that_commit_durable_without_a_writer(void) {
  commit_from_threads(SQLITEASYNC_COMMIT_DURABLE, false);
}

int main(void) {
  return run_tests((TestCase[]){TEST(a_write_that_fails_is_the_commits),
                                TEST(a_write_of_a_writers_that_fails_is_the_commits),
                                TEST(a_sync_that_fails_is_the_commits),
                                TEST(a_journal_that_cannot_be_deleted_fails_the_commit),
                                TEST(no_code_of_the_disk_passes_for_ok),
                                TEST(a_full_disk_is_waited_for),
                                TEST(a_full_disk_is_waited_for_without_a_writer),
                                TEST(a_disk_that_stays_full_is_an_error),
                                TEST(a_disk_that_stays_full_is_an_error_without_a_writer),
                                TEST(at_the_end_nobody_waits_longer_than_the_drain),
                                TEST(at_the_end_nobody_waits_without_a_drain),
                                TEST(a_close_by_force_takes_no_commit_back),
                                TEST(a_database_that_was_moved_is_written_to),
                                TEST(two_databases_applied_without_a_writer),
                                TEST(two_databases_applied_with_one_writer),
                                TEST(two_databases_durable_without_a_writer),
                                TEST(two_databases_durable_with_one_writer),
                                TEST(a_transaction_waits_for_older_ones_of_others),
                                TEST(a_transaction_waits_for_a_flush_of_the_others),
                                TEST(an_error_in_either_is_the_commits_if_applied),
                                TEST(an_error_in_either_is_the_commits_if_durable),
                                TEST(the_end_in_the_middle_of_two_takes_both_back),
                                TEST(an_error_of_a_third_one_in_the_WAL_takes_all_back),
                                TEST(threads_that_commit_applied),
                                TEST(threads_that_commit_applied_without_a_writer),
                                TEST(threads_that_commit_durable_share_syncs),
                                TEST(threads_that_commit_durable_without_a_writer),
                                {0}});
}
