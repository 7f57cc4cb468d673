/*
** Transactions on two databases: at every moment either both have one on disk
** or neither has.  Stepped; where a database of another VFS takes part, with
** a running writer and a look after every change.
*/
#include "database.h"
#include "testvfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char folder[300];
static char path_a[400];
static char path_b[400];
static int committed;
static int seen;

static void make_database(const char *path) {
  sqlite3 *db = open_plain(path);
  exec(db, "PRAGMA page_size = 1024; CREATE TABLE meta(k); INSERT INTO meta VALUES (0)");
  exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  close_database(db);
}

static void setup(void) {
  async_setup();
  committed = seen = 0;
  snprintf(folder, sizeof folder, "%s", test_path("live"));
  CHECK(mkdir(folder, 0700) == 0);
  snprintf(path_a, sizeof path_a, "%s/a.db", folder);
  snprintf(path_b, sizeof path_b, "%s/b.db", folder);
  make_database(path_a);
  make_database(path_b);
}

static sqlite3 *open_both(const char *mode) {
  sqlite3 *db = open_async(path_a);
  exec(db, "ATTACH '%s' AS b", path_b);
  exec(db, "PRAGMA main.journal_mode = %s; PRAGMA b.journal_mode = %s", mode, mode);
  exec(db, "PRAGMA main.cache_size = 10; PRAGMA b.cache_size = 10");
  return db;
}

static char *transaction_sql(int k) {
  return sqlite3_mprintf(
      "BEGIN; UPDATE main.meta SET k = %d; UPDATE b.meta SET k = %d;"
      "WITH n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n LIMIT 8)"
      " INSERT OR REPLACE INTO main.t SELECT i, zeroblob(i * 20) FROM n;"
      "INSERT OR REPLACE INTO b.t SELECT a, b FROM main.t WHERE a > %d - 8; COMMIT",
      k, k, k, k);
}

static int run_transaction(sqlite3 *db, int k) {
  char *sql = transaction_sql(k);
  int rc = exec_code(db, sql);
  sqlite3_free(sql);
  if (rc == SQLITE_OK) committed = k;
  return rc;
}

static int number_in(const char *path) {
  sqlite3 *db = open_plain(path);
  exec(db, "PRAGMA synchronous = OFF");
  check_integrity(db);
  int k = (int)query_int(db, "SELECT k FROM meta");
  close_database(db);
  return k;
}

static void check_both(void *unused) {
  (void)unused;
  int a = number_in(path_a);
  int b = number_in(path_b);
  if (a != b) FAIL("a.db has transaction %d and b.db %d", a, b);
  CHECK(a >= seen);
  seen = a;
}

static void look(void *unused) {
  (void)unused;
  with_copy(folder, check_both, NULL);
}

static void is_atomic_in(const char *mode) {
  setup();
  sqlite3 *db = open_both(mode);
  for (int k = 1; k <= 6; k++) {
    CHECK_EQ(run_transaction(db, k), SQLITE_OK);
    if (k % 3 != 0) continue; /* let some pile up */
    while (step_some(1) > 0) look(NULL);
  }
  step_all();
  look(NULL);
  CHECK_EQ(seen, 6);
  close_database(db);
  step_all();
}

static void both_or_none_in_mode_DELETE(void) { is_atomic_in("DELETE"); }
static void both_or_none_in_mode_TRUNCATE(void) { is_atomic_in("TRUNCATE"); }
static void both_or_none_in_mode_PERSIST(void) { is_atomic_in("PERSIST"); }

static void a_rolled_back_transaction_leaves_nothing(void) {
  setup();
  sqlite3 *db = open_both("DELETE");
  for (int k = 1; k <= 3; k++) {
    exec(db, "BEGIN; UPDATE main.meta SET k = 99; UPDATE b.meta SET k = 98; ROLLBACK");
    CHECK_EQ(run_transaction(db, k), SQLITE_OK);
    while (step_some(1) > 0) look(NULL);
  }
  CHECK_EQ(seen, 3);
  close_database(db);
  step_all();
}

/* ---- A participant fails ---- */

/* The n-th change of a file with `name` in its path fails; false if there is none. */
static bool try_failure(const char *name, int n) {
  sqlite3 *db = open_both("DELETE");
  sqlite3 *other = open_async(test_path("other.db"));
  exec(other, "CREATE TABLE IF NOT EXISTS t(a)");
  step_all();
  testvfs_reset();
  testvfs_fail(ON_CHANGE, name, n, 1, SQLITE_IOERR_WRITE, 0);
  for (int k = committed + 1, end = k + 2; k < end; k++) {
    if (run_transaction(db, k) != SQLITE_OK) break;
    exec(other, "INSERT INTO t VALUES (1)");
    while (step_some(1) > 0) {
    }
    look(NULL);
  }
  bool failed = testvfs_failures() > 0;
  if (failed) { /* no transaction can use both again, and others do not mind */
    bool a_failed = exec_code(db, "SELECT count(*) FROM main.t") != SQLITE_OK;
    bool b_failed = exec_code(db, "SELECT count(*) FROM b.t") != SQLITE_OK;
    CHECK(a_failed || b_failed);
    CHECK(run_transaction(db, committed + 1) != SQLITE_OK);
    step_all();
    look(NULL);
  }
  exec(other, "INSERT INTO t VALUES (2)");
  testvfs_reset();
  sqlite3_close(db);
  close_database(other);
  step_all();
  look(NULL);
  committed = seen;
  /* With all connections closed they can be used again. */
  db = open_both("DELETE");
  CHECK_EQ(run_transaction(db, committed + 1), SQLITE_OK);
  close_database(db);
  step_all();
  look(NULL);
  CHECK_EQ(seen, committed);
  return failed;
}

static void every_failure_of(const char *name) {
  setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_DISK_FULL_RETRY_MS, 0), SQLITE_OK);
  int n = 0;
  while (try_failure(name, n)) n++;
  CHECK(n >= 8);
}

static void a_failure_of_the_main_database_fails_both(void) { every_failure_of("/a.db"); }
static void a_failure_of_the_attached_one_fails_both(void) { every_failure_of("/b.db"); }

/* ---- With a database of another VFS ---- */

static void with_foreign(const char *main_vfs, const char *other_vfs) {
  setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  sqlite3 *db = NULL;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI;
  CHECK_EQ(sqlite3_open_v2(path_a, &db, flags, main_vfs), SQLITE_OK);
  exec(db, "ATTACH 'file:%s?vfs=%s' AS b", path_b, other_vfs);
  testvfs_reset();
  testvfs_on_change(look, NULL);
  for (int k = 1; k <= 4; k++) CHECK_EQ(run_transaction(db, k), SQLITE_OK);
  CHECK_EQ(sqlite3async_flush(NULL, 30000), SQLITE_OK);
  testvfs_reset();
  look(NULL);
  CHECK_EQ(seen, 4);
  close_database(db);
  CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
}

static void both_or_none_with_a_foreign_attached_database(void) {
  with_foreign(SQLITEASYNC_VFSNAME, TESTVFS_NAME);
}

static void both_or_none_attached_to_a_foreign_main_database(void) {
  with_foreign(TESTVFS_NAME, SQLITEASYNC_VFSNAME);
}

/* ---- Many at once ---- */

static void *commit_pairs(void *arg) {
  bool turned = arg != NULL;
  sqlite3 *db = open_async(turned ? path_b : path_a);
  sqlite3_busy_timeout(db, 60000);
  exec(db, "ATTACH '%s' AS other", turned ? path_a : path_b);
  for (int i = 0; i < 60; i++) {
    /* Lock in one order, or the two would wait for each other. */
    const char *first = turned ? "other" : "main";
    const char *second = turned ? "main" : "other";
    exec(db, "BEGIN; UPDATE %s.meta SET k = k + 1", first);
    exec(db, "UPDATE %s.meta SET k = k + 1; COMMIT", second);
  }
  close_database(db);
  return NULL;
}

static void barriers_in_both_directions_do_not_wait_for_each_other(void) {
  setup();
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  Thread one = thread_start(commit_pairs, NULL);
  Thread two = thread_start(commit_pairs, path_b);
  thread_join(one);
  thread_join(two);
  CHECK_EQ(sqlite3async_close(30000), SQLITE_OK);
  CHECK_EQ(number_in(path_a), 120);
  CHECK_EQ(number_in(path_b), 120);
}

int main(void) {
  return run_tests((TestCase[]){TEST(both_or_none_in_mode_DELETE),
                                TEST(both_or_none_in_mode_TRUNCATE),
                                TEST(both_or_none_in_mode_PERSIST),
                                TEST(a_rolled_back_transaction_leaves_nothing),
                                TEST(a_failure_of_the_main_database_fails_both),
                                TEST(a_failure_of_the_attached_one_fails_both),
                                TEST(both_or_none_with_a_foreign_attached_database),
                                TEST(both_or_none_attached_to_a_foreign_main_database),
                                TEST(barriers_in_both_directions_do_not_wait_for_each_other),
                                {0}});
}
