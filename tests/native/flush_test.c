/*
** Flushing: how far commits are committed, applied and durable, and who syncs
** when.
*/
#include "database.h"
#include "flush.h"
#include "registry.h"
#include "testvfs.h"

#include <stdlib.h>
#include <string.h>

static const char *path;

static sqlite3 *setup(const char *level) {
  async_setup();
  path = test_path("x.db");
  sqlite3 *plain = open_plain(path);
  exec(plain, "CREATE TABLE t(a)");
  close_database(plain);
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA synchronous = %s", level);
  step_all();
  testvfs_reset();
  return db;
}

static void finish(sqlite3 *db) {
  close_database(db);
  step_all();
}

static void check_marks(int committed, int applied, int durable) {
  CHECK_EQ(status_number(path, "committed"), committed);
  CHECK_EQ(status_number(path, "applied"), applied);
  CHECK_EQ(status_number(path, "durable"), durable);
}

/* As sqlite3async_flush(), without waiting. */
static int64_t request(void) {
  AsyncStream *stream = async_registry_find(path);
  CHECK(stream != NULL);
  int64_t ticket = async_flush_request(stream);
  async_registry_unref(stream);
  return ticket;
}

static int64_t durable_seq(void) {
  AsyncStream *stream = async_registry_find(path);
  CHECK(stream != NULL);
  int64_t durable = sqlite3async_durable(stream->id);
  async_registry_unref(stream);
  return durable;
}

static void the_marks_never_pass_each_other(void) {
  sqlite3 *db = setup("NORMAL");
  Random random = random_new(0);
  int committed = 0;
  int64_t last_applied = 0;
  int64_t last_durable = 0;
  for (int i = 0; i < 3000; i++) {
    if (random_one_in(&random, 8)) {
      exec(db, "INSERT INTO t VALUES (%d)", i);
      committed++;
    }
    if (random_one_in(&random, 40)) request();
    step_some(1);
    int64_t applied = status_number(path, "applied");
    int64_t durable = status_number(path, "durable");
    CHECK_EQ(status_number(path, "committed"), committed);
    CHECK(applied >= last_applied && applied <= committed);
    CHECK(durable >= last_durable && durable <= applied);
    last_applied = applied;
    last_durable = durable;
  }
  request();
  step_all();
  check_marks(committed, committed, committed);
  finish(db);
}

static void a_commit_without_syncs_becomes_durable_by_a_flush(void) {
  sqlite3 *db = setup("OFF");
  exec(db, "INSERT INTO t VALUES (1)");
  check_marks(1, 0, 0);
  step_all();
  check_marks(1, 1, 0);
  CHECK_EQ(testvfs_count(ON_SYNC, NULL), 0);
  int64_t ticket = request();
  CHECK(ticket > durable_seq());
  step_all();
  check_marks(1, 1, 1);
  CHECK(durable_seq() >= ticket);
  CHECK_EQ(testvfs_count(ON_SYNC, "x.db"), 1); /* the journal is gone by now */
  CHECK_EQ(request(), 0);                      /* nothing is left to do */
  finish(db);
}

static void reading_and_rolling_back_are_no_commits(void) {
  sqlite3 *db = setup("FULL");
  exec(db, "SELECT * FROM t; BEGIN; SELECT * FROM t; COMMIT");
  exec(db, "BEGIN; INSERT INTO t VALUES (1); ROLLBACK");
  step_all();
  CHECK_EQ(status_number(path, "committed"), status_number(path, "applied"));
  exec(db, "INSERT INTO t VALUES (1)");
  step_all();
  int64_t before = status_number(path, "committed");
  exec(db, "SELECT * FROM t");
  CHECK_EQ(status_number(path, "committed"), before);
  finish(db);
}

static void requests_that_wait_together_share_a_sync(void) {
  sqlite3 *db = setup("OFF");
  for (int i = 0; i < 50; i++) {
    exec(db, "INSERT INTO t VALUES (%d)", i);
    request();
  }
  step_all();
  check_marks(50, 50, 50);
  CHECK(testvfs_count(ON_SYNC, "x.db") <= 2);
  finish(db);
}

static void a_steady_stream_does_not_put_a_flush_off(void) {
  sqlite3 *db = setup("OFF");
  exec(db, "INSERT INTO t VALUES (0)");
  int64_t ticket = request();
  int steps = 0;
  for (; durable_seq() < ticket && steps < 200; steps++) {
    exec(db, "INSERT INTO t VALUES (%d)", steps); /* more than a step takes away */
    request();
    step_some(1);
  }
  CHECK(steps < 30);
  finish(db);
}

static void a_flush_syncs_the_folder_after_a_deletion(void) {
  sqlite3 *db = setup("NORMAL"); /* does not sync the folder by itself */
  exec(db, "INSERT INTO t VALUES (1)");
  step_all();
  check_marks(1, 1, 0); /* the journal might come back */
  request();
  step_all();
  check_marks(1, 1, 1);
  exec(db, "PRAGMA synchronous = EXTRA; INSERT INTO t VALUES (2)");
  step_all();
  check_marks(2, 2, 2); /* here SQLite has asked for it */
  finish(db);
}

/*
** In mode PERSIST the end of a transaction is a write to the journal.  Who opens the
** database next looks into the journal for a moment; that write must be synced all
** the same.
*/
static void a_flush_syncs_a_journal_that_was_closed_and_opened_again(void) {
  sqlite3 *db = setup("OFF");
  exec(db, "PRAGMA journal_mode = PERSIST; INSERT INTO t VALUES (1)");
  sqlite3 *other = open_async(path);
  close_database(db);
  step_all();
  check_marks(1, 1, 0);
  testvfs_reset();
  CHECK_EQ(query_int(other, "SELECT count(*) FROM t"), 1);
  CHECK(testvfs_count(ON_OPEN, "x.db-journal") > 0);
  request();
  step_all();
  CHECK_EQ(testvfs_count(ON_SYNC, "x.db-journal"), 1);
  check_marks(1, 1, 1);
  finish(other);
}

static void max_delay_makes_commits_durable_unasked(void) {
  sqlite3 *db = setup("OFF");
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 80), SQLITE_OK);
  exec(db, "INSERT INTO t VALUES (1)");
  step_all();
  check_marks(1, 1, 0);
  sleep_ms(100);
  step_all();
  check_marks(1, 1, 1);

  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  int64_t start_ms = now_ms();
  exec(db, "INSERT INTO t VALUES (2)");
  while (status_number(path, "durable") < 2) {
    CHECK(now_ms() - start_ms < 5000);
    sleep_ms(5);
  }
  close_database(db);
  CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
}

static void a_flush_that_takes_too_long_is_busy_and_goes_on(void) {
  sqlite3 *db = setup("OFF");
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  testvfs_hold(ON_SYNC, "x.db");
  exec(db, "INSERT INTO t VALUES (1)");
  int64_t start_ms = now_ms();
  CHECK_EQ(sqlite3async_flush(path, 60), SQLITE_BUSY);
  CHECK(now_ms() - start_ms >= 55 && now_ms() - start_ms < 3000);
  CHECK_EQ(exec_code(db, "PRAGMA async_flush = 30"), SQLITE_BUSY);
  testvfs_wait_held();
  testvfs_release();
  CHECK_EQ(sqlite3async_flush(path, 20000), SQLITE_OK);
  check_marks(1, 1, 1);
  close_database(db);
  CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
}

static void a_flush_that_nobody_would_do_is_misuse(void) {
  sqlite3 *db = setup("OFF");
  CHECK_EQ(sqlite3async_flush(path, -1), SQLITE_OK); /* there is nothing to do */
  exec(db, "INSERT INTO t VALUES (1)");
  CHECK_EQ(sqlite3async_flush(path, -1), SQLITE_MISUSE);
  sqlite3_int64 pair[2];
  CHECK_EQ(sqlite3async_flush_begin(path, pair, 1), -SQLITE_MISUSE);
  CHECK(exec_code(db, "PRAGMA async_flush") != SQLITE_OK);
  CHECK_EQ(sqlite3async_flush(test_path("none.db"), -1), SQLITE_NOTFOUND);
  step_all();
  finish(db);
}

static void a_sync_that_fails_is_not_tried_again(void) {
  sqlite3 *db = setup("OFF");
  exec(db, "INSERT INTO t VALUES (1)");
  step_all();
  testvfs_reset();
  testvfs_fail(ON_SYNC, "x.db", 0, 1, SQLITE_IOERR_FSYNC, 0);
  request();
  step_all();
  CHECK_EQ(testvfs_failures(), 1);
  CHECK_EQ(testvfs_count(ON_SYNC, NULL), 0);
  CHECK_EQ(durable_seq(), -SQLITE_IOERR_FSYNC);
  CHECK_EQ(request(), -SQLITE_IOERR_FSYNC);
  CHECK_EQ(exec_code(db, "INSERT INTO t VALUES (2)"), SQLITE_IOERR_FSYNC);
  CHECK_EQ(testvfs_count(ON_SYNC, NULL), 0);
  finish(db);
}

static void the_pragma_returns_the_durable_ticket(void) {
  sqlite3 *db = setup("OFF");
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  exec(db, "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)");
  CHECK_EQ(query_int(db, "PRAGMA async_flush"), 2);
  CHECK_EQ(query_int(db, "PRAGMA async_flush = 5000"), 2);
  CHECK_EQ(exec_code(db, "PRAGMA async_flush = -1"), SQLITE_ERROR);
  CHECK_EQ(exec_code(db, "PRAGMA async_flush = soon"), SQLITE_ERROR);
  char *status = query_text(db, "PRAGMA async_status");
  CHECK(strstr(status, "3:") == status);
  sqlite3_free(status);
  close_database(db);
  CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
}

static void *insert_and_flush(void *arg) {
  (void)arg;
  sqlite3 *db = open_async(path);
  sqlite3_busy_timeout(db, 30000);
  for (int i = 0; i < 50; i++) {
    exec(db, "INSERT INTO t VALUES (%d)", i);
    CHECK_EQ(sqlite3async_flush(path, 30000), SQLITE_OK);
  }
  close_database(db);
  return NULL;
}

static void waiters_on_many_threads_all_come_back(void) {
  sqlite3 *db = setup("OFF");
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  Thread threads[6];
  for (int i = 0; i < 6; i++) threads[i] = thread_start(insert_and_flush, NULL);
  for (int i = 0; i < 6; i++) thread_join(threads[i]);
  CHECK_EQ(query_int(db, "SELECT count(*) FROM t"), 300);
  close_database(db);
  CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
}

/* ---- A database that shrinks ---- */

static int journal_ends; /* truncations of the journal */
static int syncs_then;   /* of the journal, up to the last of them */
static int shrinks;

static void look_at_order(void *unused) {
  (void)unused;
  int ends = testvfs_count(ON_TRUNCATE, "x.db-journal");
  int syncs = testvfs_count(ON_SYNC, "x.db-journal");
  if (ends > journal_ends) syncs_then = syncs;
  journal_ends = ends;
  int truncations = testvfs_count(ON_TRUNCATE, "x.db$");
  if (truncations > shrinks) CHECK(syncs > syncs_then);
  shrinks = truncations;
}

/* Else a power cut could leave it without what an old journal rolls back into. */
static void a_database_shrinks_when_the_end_of_its_journal_is_durable(void) {
  async_setup();
  sqlite3 *db = open_async(test_path("x.db"));
  exec(db, "PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = NORMAL");
  exec(db, "CREATE TABLE t(a); INSERT INTO t VALUES (zeroblob(100000))");
  exec(db, "DELETE FROM t");
  step_all();
  path = test_path("x.db");
  request(); /* of the folder, too, which is not to be the reason */
  step_all();
  testvfs_reset();
  testvfs_on_change(look_at_order, NULL);
  exec(db, "VACUUM");
  step_all();
  testvfs_on_change(NULL, NULL);
  CHECK_EQ(shrinks, 1);
  CHECK_EQ(journal_ends, 1);
  close_database(db);
  step_all();
}

int main(void) {
  return run_tests((TestCase[]){TEST(the_marks_never_pass_each_other),
                                TEST(a_commit_without_syncs_becomes_durable_by_a_flush),
                                TEST(reading_and_rolling_back_are_no_commits),
                                TEST(requests_that_wait_together_share_a_sync),
                                TEST(a_steady_stream_does_not_put_a_flush_off),
                                TEST(a_flush_syncs_the_folder_after_a_deletion),
                                TEST(a_flush_syncs_a_journal_that_was_closed_and_opened_again),
                                TEST(max_delay_makes_commits_durable_unasked),
                                TEST(a_flush_that_takes_too_long_is_busy_and_goes_on),
                                TEST(a_flush_that_nobody_would_do_is_misuse),
                                TEST(a_sync_that_fails_is_not_tried_again),
                                TEST(the_pragma_returns_the_durable_ticket),
                                TEST(waiters_on_many_threads_all_come_back),
                                TEST(a_database_shrinks_when_the_end_of_its_journal_is_durable),
                                {0}});
}
