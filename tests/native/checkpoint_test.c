/*
** The checkpointer at work: it keeps the WAL short beside commits, waits for
** readers, and stands in nobody's way.
*/
#include "database.h"
#include "testvfs.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 10000

static const char *path;
static const char *wal_path;

/* A WAL database with a table and a running writer. */
static sqlite3 *setup(int checkpoint_bytes, int idle_ms) {
  async_setup();
  path = test_path("x.db");
  wal_path = test_path("x.db-wal");
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, checkpoint_bytes), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, idle_ms), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  return db;
}

static void check_rows(int64_t rows) {
  sqlite3 *plain = open_plain(path);
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM t"), rows);
  check_integrity(plain);
  close_database(plain);
}

static void finish(sqlite3 *db, int64_t rows) {
  close_database(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
  CHECK(access(wal_path, F_OK) != 0);
  check_rows(rows);
}

static void commit(sqlite3 *db, int times) {
  for (int i = 0; i < times; i++) exec(db, "INSERT INTO t(b) VALUES (zeroblob(200))");
}

static bool is_status(const char *words) {
  char text[4096];
  CHECK(sqlite3async_status(path, text, sizeof text) > 0);
  return strstr(text, words) != NULL;
}

static int64_t wal_bytes(void) { return status_number(path, "walBytes"); }

/* ---- SQLite's automatic checkpoints ---- */

static void connections_make_no_automatic_checkpoints(void) {
  sqlite3 *db = setup(0, 60000); /* and the checkpointer waits */
  CHECK_EQ(query_int(db, "PRAGMA wal_autocheckpoint"), 0);
  sqlite3 *two = open_async(path);
  commit(two, 1);
  CHECK_EQ(query_int(two, "PRAGMA wal_autocheckpoint"), 0);
  commit(db, 1500);
  CHECK(wal_bytes() > 1500 * 4096);
  close_database(two);
  finish(db, 1501);
}

static void a_connection_that_asks_for_them_has_them(void) {
  sqlite3 *db = setup(0, 60000);
  sqlite3 *by_pragma = open_async(path);
  exec(by_pragma, "PRAGMA wal_autocheckpoint = 100; SELECT * FROM t");
  CHECK_EQ(query_int(by_pragma, "PRAGMA wal_autocheckpoint"), 100);
  commit(by_pragma, 500);
  CHECK(wal_bytes() < 250 * 4120);
  sqlite3 *by_function = open_async(path);
  CHECK_EQ(sqlite3_wal_autocheckpoint(by_function, 200), SQLITE_OK);
  CHECK_EQ(query_int(by_function, "SELECT count(*) FROM t"), 500);
  CHECK_EQ(query_int(by_function, "PRAGMA wal_autocheckpoint"), 200);
  commit(by_function, 1000);
  CHECK(wal_bytes() < 450 * 4120);
  close_database(by_pragma);
  close_database(by_function);
  finish(db, 1500);
}

static void a_setting_made_later_holds_too(void) {
  sqlite3 *db = setup(0, 60000);
  CHECK_EQ(query_int(db, "PRAGMA wal_autocheckpoint"), 0);
  CHECK_EQ(query_int(db, "PRAGMA wal_autocheckpoint = 1000"), 1000);
  commit(db, 1);
  CHECK_EQ(query_int(db, "PRAGMA wal_autocheckpoint"), 1000);
  commit(db, 2500);
  CHECK(wal_bytes() < 2100 * 4120);
  finish(db, 2501);
}

static void without_a_checkpointer_they_are_as_in_plain_SQLite(void) {
  async_setup();
  path = test_path("x.db");
  wal_path = test_path("x.db-wal");
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA journal_mode = WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  CHECK_EQ(query_int(db, "PRAGMA wal_autocheckpoint"), 1000);
  commit(db, 1200);
  CHECK(wal_bytes() < 1100 * 4120);
  close_database(db);
  step_all();
  check_rows(1200);
}

/* ---- Keeping the WAL short ---- */

static void the_WAL_stays_short_under_a_steady_committer(void) {
  sqlite3 *db = setup(200000, 0);
  int64_t longest = 0;
  int restarts = 0;
  int64_t before = 0;
  for (int i = 0; i < 6000; i++) {
    commit(db, 1);
    int64_t now = wal_bytes();
    if (now < before) restarts++;
    if (now > longest) longest = now;
    before = now;
    if (i % 20 == 0) sleep_ms(1); /* so that a busy machine lets others run, too */
  }
  printf("# %d restarts, longest %lld\n", restarts, (long long)longest);
  CHECK(restarts > 3);
  CHECK(longest < 6000 * 4120 / 2); /* how long depends on how busy the machine is */
  finish(db, 6000);
}

static void an_idle_database_is_checkpointed(void) {
  sqlite3 *db = setup(0, 50);
  commit(db, 50);
  int64_t checkpoints = status_number(path, "checkpoints");
  WAIT_FOR(WAIT_MS, status_number(path, "checkpoints") > checkpoints);
  WAIT_FOR(WAIT_MS, is_status("\"queuedOps\":0,"));
  sleep_ms(150);
  int64_t after = status_number(path, "checkpoints");
  sleep_ms(150);
  CHECK_EQ(status_number(path, "checkpoints"), after); /* once is enough */
  commit(db, 1);
  CHECK(wal_bytes() < 5 * 4120); /* it has begun anew */
  finish(db, 51);
}

/* ---- Readers ---- */

static void a_long_reader_is_shown_and_bounds_the_WAL(void) {
  sqlite3 *db = setup(100000, 0);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_WAL_BYTES, 1000000), SQLITE_OK);
  sqlite3 *reader = open_async(path);
  commit(db, 1);
  exec(reader, "BEGIN; SELECT * FROM t");
  int rows = 1;
  int code = SQLITE_OK;
  while (code == SQLITE_OK && rows < 2000) {
    code = exec_code(db, "INSERT INTO t(b) VALUES (zeroblob(200))");
    if (code == SQLITE_OK) rows++;
  }
  CHECK_EQ(code, SQLITE_BUSY);
  CHECK(wal_bytes() >= 1000000 && wal_bytes() < 1000000 + 10 * 4120);
  WAIT_FOR(WAIT_MS, is_status("\"checkpointBlocked\":true"));
  CHECK_EQ(query_int(db, "SELECT count(*) FROM t"), rows); /* reading goes on */
  CHECK_EQ(query_int(reader, "SELECT count(*) FROM t"), 1);
  exec(reader, "COMMIT");
  sqlite3_busy_timeout(db, WAIT_MS);
  commit(db, 1);
  WAIT_FOR(WAIT_MS, !is_status("\"checkpointBlocked\":true"));
  sqlite3_busy_timeout(db, 0);
  commit(db, 100);
  CHECK(wal_bytes() < 1000000);
  close_database(reader);
  finish(db, rows + 101);
}

static void *read_for_a_while(void *arg) {
  sqlite3 *reader = arg;
  sleep_ms(200);
  exec(reader, "COMMIT");
  return NULL;
}

static void a_busy_timeout_outlasts_the_reader(void) {
  sqlite3 *db = setup(100000, 0);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_WAL_BYTES, 500000), SQLITE_OK);
  sqlite3 *reader = open_async(path);
  exec(reader, "BEGIN; SELECT * FROM t");
  Thread thread = thread_start(read_for_a_while, reader);
  sqlite3_busy_timeout(db, WAIT_MS);
  commit(db, 1000);
  thread_join(thread);
  close_database(reader);
  finish(db, 1000);
}

static atomic_int code_at_the_bound;

static void *read_once(void *db) {
  code_at_the_bound = exec_code(db, "SELECT count(*) FROM t");
  return NULL;
}

static void who_waits_at_the_bound_is_told_that_the_stream_has_failed(void) {
  code_at_the_bound = -1;
  sqlite3 *db = setup(100000, 0);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_WAL_BYTES, 400000), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 60000), SQLITE_OK); /* nobody else syncs */
  sqlite3 *reader = open_async(path);
  CHECK_EQ(query_int(reader, "SELECT count(*) FROM t"), 0);
  testvfs_hold(ON_SYNC, "x.db$");
  while (wal_bytes() < 100000) commit(db, 1);
  testvfs_wait_held(); /* the checkpointer, in the middle of its last checkpoint */
  while (wal_bytes() < 400000) commit(db, 1);
  Thread thread = thread_start(read_once, reader);
  sleep_ms(100);
  CHECK_EQ(code_at_the_bound, -1); /* it waits for the next one */
  testvfs_fail(ON_SYNC, "x.db-wal", 0, -1, SQLITE_IOERR_FSYNC, 0);
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_IOERR_FSYNC);
  testvfs_release();
  WAIT_FOR(WAIT_MS, code_at_the_bound != -1);
  CHECK_EQ(code_at_the_bound, SQLITE_IOERR_FSYNC);
  thread_join(thread);
  sqlite3_close(reader);
  sqlite3_close(db);
}

/* ---- In nobody's way ---- */

static void a_single_connection_never_meets_the_checkpointer(void) {
  sqlite3 *db = setup(100000, 1);
  sqlite3_stmt *insert = NULL;
  const char *sql = "INSERT INTO t(b) VALUES (randomblob(100))";
  CHECK_EQ(sqlite3_prepare_v2(db, sql, -1, &insert, NULL), SQLITE_OK);
  for (int i = 1; i <= 20000; i++) {
    int rc = sqlite3_step(insert);
    if (rc != SQLITE_DONE) FAIL("commit %d: %d %s", i, rc, sqlite3_errmsg(db));
    CHECK_EQ(sqlite3_reset(insert), SQLITE_OK);
    if (i % 500 != 0) continue;
    char *row = query_text(db, "PRAGMA wal_checkpoint(TRUNCATE)");
    if (strcmp(row, "1:0|1:0|1:0\n= 0") != 0) FAIL("checkpoint after %d: %s", i, row);
    sqlite3_free(row);
  }
  sqlite3_finalize(insert);
  finish(db, 20000);
}

static void the_mode_changes_while_it_works(void) {
  sqlite3 *db = setup(50000, 1);
  for (int i = 0; i < 40; i++) {
    commit(db, 30 + i);
    if (i % 4 == 1) sleep_ms(2);
    char *mode = query_text(db, "PRAGMA journal_mode = DELETE");
    CHECK_TEXT(mode, "3:delete\n= 0");
    sqlite3_free(mode);
    commit(db, 1);
    exec(db, "PRAGMA journal_mode = WAL");
  }
  finish(db, 40 * 31 + 39 * 20);
}

static void locking_becomes_exclusive_while_it_works(void) {
  sqlite3 *db = setup(50000, 1);
  for (int i = 0; i < 30; i++) {
    commit(db, 40);
    if (i % 4 == 1) sleep_ms(2);
    exec(db, "PRAGMA locking_mode = EXCLUSIVE");
    commit(db, 20);
    exec(db, "PRAGMA locking_mode = NORMAL; SELECT * FROM t LIMIT 1");
  }
  finish(db, 30 * 60);
}

static void the_last_close_ends_its_work(void) {
  sqlite3 *db = setup(50000, 1);
  close_database(db);
  for (int i = 0; i < 60; i++) {
    db = open_async(path);
    commit(db, 20 + i);
    if (i % 3 == 1) sleep_ms(i % 4);
    close_database(db);
    CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
    WAIT_FOR(WAIT_MS, access(wal_path, F_OK) != 0);
    sqlite3 *plain = open_plain(path); /* nobody has it any more */
    sqlite3_busy_timeout(plain, WAIT_MS);
    CHECK(query_int(plain, "SELECT count(*) FROM t") > 0);
    close_database(plain);
  }
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
  check_rows(60 * 20 + 59 * 30);
}

static void stop_and_start_while_it_works(void) {
  sqlite3 *db = setup(50000, 1);
  for (int i = 0; i < 40; i++) {
    commit(db, 60);
    if (i % 3 == 1) sleep_ms(i % 4);
    int rc = sqlite3async_stop(i % 2 == 0 ? WAIT_MS : 0);
    CHECK(rc == SQLITE_OK || (i % 2 == 1 && rc == SQLITE_BUSY));
    CHECK_EQ(query_int(db, "SELECT count(*) FROM t"), 60 * (i + 1));
    if (i % 5 == 0) CHECK_EQ(exec_code(db, "PRAGMA wal_checkpoint(PASSIVE)"), SQLITE_OK);
    CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  }
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_BUSY); /* one is open */
  commit(db, 1);
  finish(db, 60 * 40 + 1);
}

/* Nothing is open, but what is queued cannot be written in time. */
static void a_close_that_is_refused_leaves_the_checkpointer_running(void) {
  sqlite3 *db = setup(50000, 60000);
  commit(db, 1);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NOW), SQLITE_OK);
  commit(db, 1);
  sqlite3 *other = open_async(test_path("other.db"));
  exec(other, "CREATE TABLE t(a)");
  close_database(other);
  close_database(db);
  CHECK_EQ(sqlite3async_close(20), SQLITE_BUSY);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER), SQLITE_OK);
  db = open_async(path);
  commit(db, 60);
  WAIT_FOR(WAIT_MS, status_number(path, "checkpoints") > 0);
  finish(db, 62);
}

/* Nor does it start a writer that was stopped. */
static void a_close_that_is_refused_leaves_the_writer_stopped(void) {
  sqlite3 *db = setup(0, 0);
  CHECK_EQ(sqlite3async_stop(WAIT_MS), SQLITE_OK);
  exec(db, "PRAGMA wal_autocheckpoint = 0");
  commit(db, 1);
  close_database(db);
  CHECK(status_number(NULL, "queuedOps") > 0);
  testvfs_delay(ON_WRITE, NULL, 100);
  CHECK_EQ(sqlite3async_close(1), SQLITE_BUSY);
  testvfs_reset();
  char text[4000];
  CHECK(sqlite3async_status(NULL, text, sizeof text) > 0);
  CHECK(strstr(text, "\"state\":\"halted\"") != NULL);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
  check_rows(1);
}

/* ---- Several connections ---- */

static _Atomic bool stopped;

static void *commit_until_stopped(void *arg) {
  sqlite3 *db = open_async(path);
  sqlite3_busy_timeout(db, WAIT_MS);
  int64_t *rows = arg;
  for (; !stopped; (*rows)++) commit(db, 1);
  close_database(db);
  return NULL;
}

static void threads_commit_read_and_checkpoint_beside_it(void) {
  sqlite3 *db = setup(100000, 5);
  int64_t rows[3] = {0};
  Thread threads[3];
  for (int i = 0; i < 3; i++) threads[i] = thread_start(commit_until_stopped, &rows[i]);
  int64_t seen = 0;
  sqlite3_busy_timeout(db, WAIT_MS);
  for (int64_t end_ms = now_ms() + 700; now_ms() < end_ms;) {
    exec(db, "BEGIN");
    int64_t now = query_int(db, "SELECT count(*) FROM t");
    CHECK(now >= seen);
    CHECK_EQ(query_int(db, "SELECT max(a) FROM t"), now == 0 ? 0 : now);
    exec(db, "COMMIT");
    seen = now;
    exec(db, "PRAGMA wal_checkpoint(PASSIVE)");
    sleep_ms(1);
  }
  stopped = true;
  for (int i = 0; i < 3; i++) thread_join(threads[i]);
  printf("# %lld commits, %lld checkpoints\n", (long long)(rows[0] + rows[1] + rows[2]),
         (long long)status_number(path, "checkpoints"));
  finish(db, rows[0] + rows[1] + rows[2]);
}

int main(void) {
  return run_tests((TestCase[]){TEST(connections_make_no_automatic_checkpoints),
                                TEST(a_connection_that_asks_for_them_has_them),
                                TEST(a_setting_made_later_holds_too),
                                TEST(without_a_checkpointer_they_are_as_in_plain_SQLite),
                                TEST(the_WAL_stays_short_under_a_steady_committer),
                                TEST(an_idle_database_is_checkpointed),
                                TEST(a_long_reader_is_shown_and_bounds_the_WAL),
                                TEST(a_busy_timeout_outlasts_the_reader),
                                TEST(who_waits_at_the_bound_is_told_that_the_stream_has_failed),
                                TEST(a_single_connection_never_meets_the_checkpointer),
                                TEST(the_mode_changes_while_it_works),
                                TEST(locking_becomes_exclusive_while_it_works),
                                TEST(the_last_close_ends_its_work),
                                TEST(stop_and_start_while_it_works),
                                TEST(a_close_that_is_refused_leaves_the_checkpointer_running),
                                TEST(a_close_that_is_refused_leaves_the_writer_stopped),
                                TEST(threads_commit_read_and_checkpoint_beside_it),
                                {0}});
}
