/*
** WAL mode through SQLite, with no thread: what connections see of each
** other's commits while these are queued, and that everything SQLite can do
** with a WAL gives what it gives without us.
*/
#include "database.h"
#include "testvfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *path;

/* A WAL database with a row; everything stays queued until somebody steps. */
static sqlite3 *setup(void) {
  async_setup();
  path = test_path("x.db");
  sqlite3 *db = open_async(path);
  char *mode = query_text(db, "PRAGMA journal_mode = WAL");
  CHECK_TEXT(mode, "3:wal\n= 0");
  sqlite3_free(mode);
  exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t(b) VALUES ('one')");
  return db;
}

static void finish(sqlite3 *db) {
  close_database(db);
  step_all();
  CHECK(access(test_path("x.db-wal"), F_OK) != 0);
  CHECK(access(test_path("x.db-shm"), F_OK) != 0);
  sqlite3 *plain = open_plain(path);
  check_integrity(plain);
  close_database(plain);
}

static void commit(sqlite3 *db, int times) {
  for (int i = 0; i < times; i++) exec(db, "INSERT INTO t(b) VALUES (zeroblob(500))");
}

static int64_t count(sqlite3 *db) { return query_int(db, "SELECT count(*) FROM t"); }

static sqlite3 *open_with(const char *name, const char *vfs, int flags) {
  sqlite3 *db = NULL;
  CHECK_EQ(sqlite3_open_v2(name, &db, flags, vfs), SQLITE_OK);
  return db;
}

static void check_text(sqlite3 *db, const char *sql, const char *wanted) {
  char *got = query_text(db, sql);
  CHECK_TEXT(got, wanted);
  sqlite3_free(got);
}

/* ---- Connections ---- */

static void connections_see_commits_that_are_queued(void) {
  sqlite3 *one = setup();
  sqlite3 *two = open_async(path);
  sqlite3 *three = open_async(path);
  for (int i = 1; i < 60; i++) {
    sqlite3 *dbs[] = {one, two, three};
    commit(dbs[i % 3], 1);
    for (int k = 0; k < 3; k++) CHECK_EQ(count(dbs[k]), i + 1);
  }
  CHECK_EQ(status_number(path, "applied"), 0);
  step_all();
  CHECK_EQ(count(two), 60);
  CHECK_EQ(status_number(path, "applied"), status_number(path, "committed"));
  close_database(two);
  close_database(three);
  finish(one);
}

static void a_long_reader_keeps_its_snapshot(void) {
  sqlite3 *db = setup();
  sqlite3 *reader = open_async(path);
  exec(reader, "BEGIN");
  CHECK_EQ(count(reader), 1);
  for (int i = 0; i < 30; i++) {
    commit(db, 1);
    exec(db, "UPDATE t SET b = %d WHERE a = 1", i);
    if (i == 10) step_some(7);
    if (i == 20) exec(db, "PRAGMA wal_checkpoint(PASSIVE)");
    check_text(reader, "SELECT b FROM t", "3:one\n= 0");
  }
  CHECK_EQ(exec_code(reader, "INSERT INTO t(b) VALUES (1)"), SQLITE_BUSY_SNAPSHOT);
  exec(reader, "COMMIT");
  CHECK_EQ(count(reader), 31);
  close_database(reader);
  finish(db);
}

static void one_connection_writes_at_a_time(void) {
  sqlite3 *one = setup();
  sqlite3 *two = open_async(path);
  exec(one, "BEGIN IMMEDIATE; INSERT INTO t(b) VALUES (2)");
  CHECK_EQ(exec_code(two, "BEGIN IMMEDIATE"), SQLITE_BUSY);
  CHECK_EQ(count(two), 1);
  exec(one, "ROLLBACK");
  commit(two, 1);
  CHECK_EQ(count(one), 2);
  close_database(two);
  finish(one);
}

static void a_connection_that_only_reads_sees_commits(void) {
  sqlite3 *db = setup();
  sqlite3 *reader = open_with(path, SQLITEASYNC_VFSNAME, SQLITE_OPEN_READONLY);
  CHECK_EQ(count(reader), 1);
  commit(db, 5);
  CHECK_EQ(count(reader), 6);
  CHECK_EQ(exec_code(reader, "INSERT INTO t(b) VALUES (1)"), SQLITE_READONLY);
  step_all();
  CHECK_EQ(count(reader), 6);
  close_database(db);
  CHECK_EQ(count(reader), 6); /* the last of all, it has the WAL still */
  testvfs_reset();
  close_database(reader);
  step_all();
  /* It writes nothing: what is to be copied is for the next one that may. */
  CHECK_EQ(testvfs_count(ON_CHANGE & ~ON_SYNC, NULL), 0);
  CHECK(access(test_path("x.db-wal"), F_OK) == 0);
  sqlite3 *again = open_async(path);
  CHECK_EQ(count(again), 6);
  finish(again);
}

static void commits_are_counted_and_nothing_else_is(void) {
  sqlite3 *db = setup();
  sqlite3 *other = open_async(path);
  int64_t before = status_number(path, "committed");
  commit(db, 7);
  exec(db, "BEGIN; SELECT * FROM t; COMMIT; SELECT * FROM t");
  exec(db, "BEGIN; DELETE FROM t; ROLLBACK; BEGIN IMMEDIATE; COMMIT");
  exec(db, "PRAGMA wal_checkpoint(TRUNCATE)");
  CHECK_EQ(count(other), 8);
  exec(other, "PRAGMA wal_checkpoint(PASSIVE)");
  CHECK_EQ(status_number(path, "committed"), before + 7);
  step_all();
  CHECK_EQ(status_number(path, "committed"), before + 7);
  CHECK_EQ(status_number(path, "applied"), before + 7);
  commit(other, 1);
  CHECK_EQ(status_number(path, "committed"), before + 8);
  close_database(other);
  finish(db);
}

/* Pages that did not fit into the cache are in the WAL before the commit. */
static void a_spilled_transaction_that_rolls_back_leaves_no_trace(void) {
  sqlite3 *db = setup();
  sqlite3 *reader = open_async(path);
  exec(db, "PRAGMA cache_size = 4");
  for (int i = 0; i < 3; i++) {
    exec(db, "BEGIN");
    commit(db, 200);
    exec(db, "SAVEPOINT s");
    commit(db, 200);
    exec(db, "ROLLBACK TO s; UPDATE t SET b = 'x'; ROLLBACK");
    CHECK_EQ(count(reader), 1 + i);
    step_some(20);
    commit(db, 1);
    check_integrity(reader);
  }
  CHECK_EQ(status_number(path, "committed"), 6);
  close_database(reader);
  finish(db);
}

/* ---- Modes ---- */

static void the_mode_can_change_and_back_with_data(void) {
  async_setup();
  path = test_path("x.db");
  sqlite3 *db = open_async(path);
  exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  static const char *const modes[] = {"WAL", "DELETE", "WAL", "TRUNCATE", "WAL", "MEMORY", "WAL"};
  for (int i = 0; i < 7; i++) {
    exec(db, "PRAGMA journal_mode = %s", modes[i]);
    commit(db, 50);
    if (i % 2 == 1) step_some(3);
    CHECK_EQ(count(db), 50 * (i + 1));
    check_integrity(db);
  }
  exec(db, "PRAGMA journal_mode = DELETE");
  sqlite3 *two = open_async(path);
  CHECK_EQ(count(two), 350);
  check_text(two, "PRAGMA journal_mode", "3:delete\n= 0");
  close_database(two);
  finish(db);
}

static void the_mode_does_not_change_while_another_has_the_WAL(void) {
  sqlite3 *db = setup();
  sqlite3 *two = open_async(path);
  CHECK_EQ(count(two), 1);
  CHECK_EQ(exec_code(db, "PRAGMA journal_mode = DELETE"), SQLITE_BUSY);
  commit(two, 1);
  CHECK_EQ(count(db), 2);
  close_database(two);
  check_text(db, "PRAGMA journal_mode = DELETE", "3:delete\n= 0");
  CHECK_EQ(count(db), 2);
  finish(db);
}

static void exclusive_locking_from_before_the_first_use_on(void) {
  async_setup();
  path = test_path("x.db");
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL");
  exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  commit(db, 30);
  sqlite3 *two = open_async(path);
  CHECK_EQ(exec_code(two, "SELECT * FROM t"), SQLITE_BUSY);
  step_all();
  CHECK_EQ(exec_code(two, "SELECT * FROM t"), SQLITE_BUSY);
  exec(db, "PRAGMA wal_checkpoint(TRUNCATE)");
  commit(db, 30);
  close_database(two);
  finish(db);
  sqlite3 *again = open_async(path);
  CHECK_EQ(count(again), 60);
  finish(again);
}

static void exclusive_locking_from_later_on_and_back(void) {
  sqlite3 *db = setup();
  sqlite3 *two = open_async(path);
  exec(db, "PRAGMA locking_mode = EXCLUSIVE; SELECT * FROM t");
  commit(db, 3);
  int code = exec_code(two, "SELECT * FROM t");
  CHECK_EQ(code, SQLITE_BUSY);
  exec(db, "PRAGMA locking_mode = NORMAL; SELECT * FROM t");
  CHECK_EQ(count(two), 4);
  commit(two, 1);
  CHECK_EQ(count(db), 5);
  close_database(two);
  finish(db);
}

static void page_sizes(void) {
  async_setup();
  path = test_path("x.db");
  static const int sizes[] = {512, 65536};
  for (int i = 0; i < 2; i++) {
    sqlite3 *db = open_async(path);
    exec(db, "PRAGMA page_size = %d; PRAGMA journal_mode = WAL", sizes[i]);
    exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    sqlite3 *two = open_async(path);
    for (int k = 0; k < 20; k++) {
      commit(db, 4);
      if (k % 7 == 3) exec(db, "PRAGMA wal_checkpoint(PASSIVE)");
      if (k == 10) step_some(20);
      CHECK_EQ(count(two), 4 * (k + 1));
    }
    CHECK_EQ(query_int(two, "PRAGMA page_size"), sizes[i]);
    check_integrity(two);
    close_database(two);
    finish(db);
    remove(path);
  }
}

static void attached_databases_commit_together(void) {
  sqlite3 *db = setup();
  exec(db, "ATTACH '%s' AS other; PRAGMA other.journal_mode = WAL", test_path("other.db"));
  exec(db, "CREATE TABLE other.o(a)");
  sqlite3 *reader = open_async(test_path("other.db"));
  for (int i = 0; i < 10; i++) {
    exec(db, "BEGIN; INSERT INTO t(b) VALUES (%d); INSERT INTO o VALUES (%d); %s", i, i,
         i % 3 == 2 ? "ROLLBACK" : "COMMIT");
    step_some(i);
  }
  CHECK_EQ(count(db), 8);
  CHECK_EQ(query_int(reader, "SELECT count(*) FROM o"), 7);
  CHECK_EQ(status_number(test_path("other.db"), "committed"), 9);
  close_database(reader);
  finish(db);
}

/* ---- Whole databases ---- */

static void copies_of_the_whole_database(void) {
  sqlite3 *db = setup();
  commit(db, 300);
  exec(db, "DELETE FROM t WHERE a %% 3 = 1");
  char *wanted = dump_text(db);
  exec(db, "VACUUM INTO '%s'", test_path("into.db"));
  sqlite3 *copy = open_plain(test_path("copy.db"));
  sqlite3_backup *backup = sqlite3_backup_init(copy, "main", db, "main");
  CHECK(backup != NULL);
  CHECK_EQ(sqlite3_backup_step(backup, 3), SQLITE_OK);
  step_some(5);
  CHECK_EQ(sqlite3_backup_step(backup, -1), SQLITE_DONE);
  CHECK_EQ(sqlite3_backup_finish(backup), SQLITE_OK);
  exec(db, "VACUUM");
  step_all(); /* into.db was written through us, too */
  sqlite3 *into = open_plain(test_path("into.db"));
  sqlite3 *dbs[] = {db, copy, into};
  for (int i = 0; i < 3; i++) {
    char *got = dump_text(dbs[i]);
    CHECK_TEXT(got, wanted);
    check_integrity(dbs[i]);
    sqlite3_free(got);
  }
  sqlite3_free(wanted);
  close_database(into);
  close_database(copy);
  finish(db);
}

static void a_backup_into_a_WAL_database(void) {
  sqlite3 *db = setup();
  sqlite3 *reader = open_async(path);
  CHECK_EQ(count(reader), 1);
  sqlite3 *source = open_plain(test_path("source.db"));
  exec(source, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  commit(source, 100);
  sqlite3_backup *backup = sqlite3_backup_init(db, "main", source, "main");
  CHECK(backup != NULL);
  CHECK_EQ(sqlite3_backup_step(backup, -1), SQLITE_DONE);
  CHECK_EQ(sqlite3_backup_finish(backup), SQLITE_OK);
  CHECK_EQ(count(reader), 100);
  close_database(source);
  close_database(reader);
  finish(db);
}

/* ---- The WAL's file ---- */

static int64_t wal_size(void) {
  FILE *file = fopen(test_path("x.db-wal"), "rb");
  if (file == NULL) return -1;
  CHECK(fseek(file, 0, SEEK_END) == 0);
  int64_t size = ftell(file);
  fclose(file);
  return size;
}

static void journal_size_limit_cuts_the_WAL(void) {
  sqlite3 *db = setup();
  exec(db, "PRAGMA journal_size_limit = 20000");
  commit(db, 100);
  step_all();
  CHECK(wal_size() > 100000);
  exec(db, "PRAGMA wal_checkpoint(RESTART)");
  commit(db, 1);
  step_all();
  CHECK_EQ(wal_size(), 20000);
  CHECK_EQ(count(db), 102);
  commit(db, 20);
  step_all();
  CHECK(wal_size() > 20000);
  finish(db);
}

static void the_WAL_stays_if_it_is_to_persist(void) {
  sqlite3 *db = setup();
  int on = 1;
  CHECK_EQ(sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &on), SQLITE_OK);
  commit(db, 10);
  close_database(db);
  step_all();
  CHECK(wal_size() >= 0);
  db = open_async(path);
  CHECK_EQ(count(db), 11);
  commit(db, 1);
  finish(db);
}

static void the_WAL_goes_with_the_last_connection(void) {
  sqlite3 *db = setup();
  sqlite3 *two = open_async(path);
  commit(two, 5);
  step_all();
  close_database(db);
  step_all();
  CHECK(wal_size() > 0);
  close_database(two);
  CHECK(wal_size() > 0); /* it is queued */
  sqlite3 *three = open_async(path);
  CHECK_EQ(count(three), 6);
  step_some(2);
  commit(three, 1);
  step_some(3);
  CHECK_EQ(count(three), 7);
  finish(three);
}

static void a_closed_WAL_is_begun_again_while_its_end_is_queued(void) {
  sqlite3 *db = setup();
  int64_t rows = 1;
  for (int i = 0; i < 20; i++) {
    commit(db, 3);
    rows += 3;
    close_database(db);
    step_some(i);
    db = open_async(path);
    CHECK_EQ(count(db), rows);
    check_integrity(db);
  }
  finish(db);
}

int main(void) {
  return run_tests((TestCase[]){TEST(connections_see_commits_that_are_queued),
                                TEST(a_long_reader_keeps_its_snapshot),
                                TEST(one_connection_writes_at_a_time),
                                TEST(a_connection_that_only_reads_sees_commits),
                                TEST(commits_are_counted_and_nothing_else_is),
                                TEST(a_spilled_transaction_that_rolls_back_leaves_no_trace),
                                TEST(the_mode_can_change_and_back_with_data),
                                TEST(the_mode_does_not_change_while_another_has_the_WAL),
                                TEST(exclusive_locking_from_before_the_first_use_on),
                                TEST(exclusive_locking_from_later_on_and_back),
                                TEST(page_sizes),
                                TEST(attached_databases_commit_together),
                                TEST(copies_of_the_whole_database),
                                TEST(a_backup_into_a_WAL_database),
                                TEST(journal_size_limit_cuts_the_WAL),
                                TEST(the_WAL_stays_if_it_is_to_persist),
                                TEST(the_WAL_goes_with_the_last_connection),
                                TEST(a_closed_WAL_is_begun_again_while_its_end_is_queued),
                                {0}});
}
