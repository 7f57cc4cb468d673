/*
** The journals, super-journals and WALs of a database that was moved while it is open here, beside
** a new database at its path: nothing that the old connections, the writer or the checkpointer do
** meets a file of the new one, also when the writer fails or waits for space.  And what is
** reported of a moved database that fails.
*/
#include "database.h"
#include "other.h"
#include "registry.h"
#include "testvfs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_MS 10000
#define NEW_ROWS 60

static char path[400];
static char renamed[400];

static void setup(void) {
  async_setup();
  snprintf(path, sizeof path, "%s", test_path("x.db"));
  snprintf(renamed, sizeof renamed, "%s", test_path("old.db"));
}

static void setup_with_writer(void) {
  setup();
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
}

static bool is_there(const char *name) { return access(test_path(name), F_OK) == 0; }

static void flush(void) { CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK); }

/* One row, all of it on disk. */
static sqlite3 *open_old(const char *mode) {
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA journal_mode = %s; CREATE TABLE t(a); INSERT INTO t VALUES (1)", mode);
  flush();
  return db;
}

/* With its WAL, if it has one: its owner knows what belongs together. */
static void move_away(void) {
  CHECK_EQ(rename(path, renamed), 0);
  if (is_there("x.db-wal")) CHECK_EQ(rename(test_path("x.db-wal"), test_path("old.db-wal")), 0);
}

/* Put a new database at the path, over what is there. */
static void put_new(const char *mode) {
  sqlite3 *plain = open_plain(test_path("new.db"));
  exec(plain,
       "PRAGMA journal_mode = %s; CREATE TABLE n(x); WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL "
       "SELECT i + 1 FROM c WHERE i < %d) INSERT INTO n SELECT hex(zeroblob(400)) FROM c",
       mode, NEW_ROWS);
  close_database(plain);
  CHECK_EQ(rename(test_path("new.db"), path), 0);
}

static void check_rows(const char *file, const char *table, int64_t rows) {
  sqlite3 *plain = open_plain(file);
  char sql[100];
  snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
  CHECK_EQ(query_int(plain, sql), rows);
  check_integrity(plain);
  close_database(plain);
}

/* More than the cache takes, so that there is a journal with pages in it. */
#define SPILL                                                                                      \
  "PRAGMA cache_size = 2; BEGIN; UPDATE n SET x = 'y'; WITH RECURSIVE c(i) AS (SELECT 1 UNION "    \
  "ALL SELECT i + 1 FROM c WHERE i < 100) INSERT INTO n SELECT hex(zeroblob(2000)) FROM c"

/* ---- A writer that fails, or waits ---- */

/* A transaction of the old one is in the database in part, and its journal is hot. */
static sqlite3 *write_half(const char *mode) {
  unlink(renamed);
  unlink(path);
  unlink(test_path("x.db-journal"));
  sqlite3 *old = open_async(path);
  exec(old, "PRAGMA journal_mode = %s; CREATE TABLE t(a); BEGIN", mode);
  for (int i = 0; i < 300; i++) exec(old, "INSERT INTO t VALUES (hex(zeroblob(400)) || 'old')");
  exec(old, "COMMIT");
  step_all();
  exec(old, "UPDATE t SET a = a || 'x'");
  testvfs_reset();
  while (testvfs_count(ON_WRITE, "x.db$") < 1) CHECK_EQ(step_some(1), 1);
  CHECK(is_there("x.db-journal"));
  return old;
}

static const char *const modes[] = {"DELETE", "TRUNCATE", "PERSIST"};

static void a_writer_that_fails_leaves_no_journal_beside_the_new_one(void) {
  setup();
  for (int mode = 0; mode < 3; mode++) {
    sqlite3 *old = write_half(modes[mode]);
    CHECK_EQ(rename(path, renamed), 0);
    put_new("DELETE");
    testvfs_fail(ON_WRITE, "x.db$", 0, -1, SQLITE_IOERR_WRITE, EIO);
    step_all();
    CHECK_EQ(testvfs_failures(), 1);
    CHECK(!is_there("x.db-journal"));
    check_rows(path, "n", NEW_ROWS);
    CHECK_EQ(exec_code(old, "SELECT * FROM t"), SQLITE_IOERR_WRITE);
    testvfs_reset();
    sqlite3_close(old);
    step_all();
  }
}

static void a_writer_that_waits_for_space_leaves_no_journal_beside_the_new_one(void) {
  setup();
  for (int mode = 0; mode < 3; mode++) {
    for (int waits_before = 0; waits_before < 2; waits_before++) {
      sqlite3 *old = write_half(modes[mode]);
      testvfs_fail(ON_WRITE, "x.db$", 0, -1, SQLITE_FULL, ENOSPC);
      if (waits_before) step_all();
      CHECK_EQ(rename(path, renamed), 0);
      put_new("DELETE");
      int failures = testvfs_failures();
      CHECK_EQ(failures, waits_before);
      WAIT_FOR(WAIT_MS, step_some(1) == 1 || testvfs_failures() > failures);
      CHECK(!is_there("x.db-journal"));
      check_rows(path, "n", NEW_ROWS);
      testvfs_reset();
      WAIT_FOR(WAIT_MS, step_some(1) == 1);
      step_all();
      close_database(old);
      step_all();
      sqlite3 *plain = open_plain(renamed);
      CHECK_EQ(query_int(plain, "SELECT count(*) FROM t WHERE substr(a, -4) = 'oldx'"), 300);
      check_integrity(plain);
      close_database(plain);
    }
  }
}

/* No file is made by the journal's name, to see whether that could be made. */
static void a_journal_without_a_name_that_cannot_be_made_fails_at_once(void) {
  setup_with_writer();
  sqlite3 *old = open_old("DELETE");
  testvfs_reset();
  testvfs_hold(ON_DELETE, "x.db-journal");
  exec(old, "INSERT INTO t VALUES (2)");
  exec(old, "INSERT INTO t VALUES (3)");
  testvfs_wait_held();
  CHECK_EQ(unlink(test_path("x.db-journal")), 0); /* as the one that is held would */
  CHECK_EQ(rename(path, renamed), 0);
  struct stat before;
  struct stat after;
  CHECK_EQ(stat(test_folder(), &before), 0);
  testvfs_fail(ON_OPEN, NULL, 0, -1, SQLITE_IOERR_GETTEMPPATH, EACCES);
  testvfs_release();
  int64_t start_ms = now_ms();
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_IOERR_GETTEMPPATH);
  CHECK(now_ms() - start_ms < 5000);
  CHECK_EQ(testvfs_failures(), 1);
  CHECK_EQ(stat(test_folder(), &after), 0);
  CHECK_EQ(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
  CHECK(!is_there("x.db-journal"));
  sqlite3_close(old);
}

/* ---- What is reported ---- */

/* A database fails when it was renamed, or deleted, and is closed. */
static void fail_after(bool is_deleted, sqlite3_int64 *cursor) {
  testvfs_reset();
  sqlite3 *db = open_old("DELETE");
  testvfs_hold(ON_WRITE, "x.db$");
  testvfs_fail(ON_WRITE, "x.db$", 0, -1, SQLITE_IOERR_WRITE, EIO);
  exec(db, "INSERT INTO t VALUES (2)");
  testvfs_wait_held();
  CHECK_EQ(is_deleted ? unlink(path) : rename(path, renamed), 0);
  CHECK_EQ(sqlite3async_event(cursor, NULL, 0), 0);
  testvfs_release();
  CHECK_EQ(sqlite3_close(db), SQLITE_OK);
  CHECK_EQ(testvfs_open_files(), 0);
}

static void a_renamed_database_that_fails_is_reported_and_a_deleted_one_is_not(void) {
  setup_with_writer();
  CHECK(freopen(test_path("stderr"), "w", stderr) != NULL);
  for (int is_deleted = 1; is_deleted >= 0; is_deleted--) {
    sqlite3_int64 cursor = 0;
    fail_after(is_deleted, &cursor);
    char event[1000] = "";
    CHECK_EQ(sqlite3async_event(&cursor, event, sizeof event) > 0, !is_deleted);
    bool told = strstr(event, "\"type\":\"error\",\"code\":778") != NULL;
    CHECK_EQ(told, !is_deleted);
    char *text = file_text(test_path("stderr"));
    CHECK_EQ(strstr(text, "close: 1 committed transactions of ") != NULL, !is_deleted);
    free(text);
    CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), is_deleted ? SQLITE_OK : SQLITE_IOERR_WRITE);
  }
}

/* ---- Super-journals ---- */

#define OTHER_ROWS 40

static sqlite3 *open_two(void) {
  sqlite3 *db = open_async(path);
  exec(db, "ATTACH '%s' AS y", test_path("y.db"));
  exec(db, "PRAGMA cache_size = 5; PRAGMA y.cache_size = 5");
  exec(db, "CREATE TABLE IF NOT EXISTS t(a); CREATE TABLE IF NOT EXISTS y.t(a)");
  exec(db, "DELETE FROM y.t");
  for (int i = 0; i < OTHER_ROWS; i++) exec(db, "INSERT INTO y.t VALUES (hex(zeroblob(1000)))");
  step_all();
  exec(db, "BEGIN; INSERT INTO main.t VALUES (1); UPDATE y.t SET a = a || 'x'; COMMIT");
  return db;
}

/* As it is after a crash now: before the transaction, or behind it. */
static void check_other_is_whole(void *unused) {
  (void)unused;
  sqlite3 *plain = open_plain(test_path("y.db"));
  check_integrity(plain);
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM t"), OTHER_ROWS);
  int64_t changed = query_int(plain, "SELECT count(*) FROM t WHERE a LIKE '%x'");
  CHECK(changed == 0 || changed == OTHER_ROWS);
  close_database(plain);
}

static int super_journals(void) {
  int count = 0;
  DIR *dir = opendir(test_folder());
  CHECK(dir != NULL);
  struct dirent *entry;
  while ((entry = readdir(dir)) != NULL) count += strstr(entry->d_name, "-mj") != NULL;
  closedir(dir);
  return count;
}

/* The home of a transaction's super-journal is its first database.  False if there are not so
** many ops. */
static bool crash_at_every_op_after(int steps, int *with_super) {
  unlink(renamed);
  sqlite3 *db = open_two();
  bool enough = step_some(steps) == steps;
  CHECK_EQ(rename(path, renamed), 0);
  while (step_some(1) == 1) {
    *with_super += super_journals();
    with_copy(test_folder(), check_other_is_whole, NULL);
  }
  CHECK_EQ(super_journals(), 0);
  close_database(db);
  step_all();
  sqlite3 *plain = open_plain(renamed);
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM t"), 1);
  close_database(plain);
  return enough;
}

static void a_crash_with_a_moved_home_leaves_the_other_database_whole(void) {
  setup();
  int with_super = 0;
  int steps = 0;
  while (crash_at_every_op_after(steps, &with_super)) steps += 1 + steps / 4;
  CHECK(steps > 30 && with_super > 20);
}

/* ---- Names ---- */

/* The journals of both have the same name; the one on disk is the new one's. */
static void an_old_connection_leaves_the_journal_of_the_new_one(void) {
  setup_with_writer();
  sqlite3 *old = open_old("DELETE");
  sqlite3 *reader = open_async(path);
  CHECK_EQ(query_int(reader, "SELECT count(*) FROM t"), 1);
  exec(old, "BEGIN; INSERT INTO t VALUES (2)");
  move_away();
  put_new("DELETE");
  sqlite3 *db = open_async(path);
  exec(db, SPILL);
  flush();
  CHECK(is_there("x.db-journal"));
  CHECK_EQ(query_int(reader, "SELECT count(*) FROM t"), 1); /* it looks for a hot journal */
  flush();
  CHECK(is_there("x.db-journal"));
  exec(old, "COMMIT"); /* it deletes its own */
  flush();
  CHECK(is_there("x.db-journal"));
  CHECK_EQ(query_int(reader, "SELECT count(*) FROM t"), 2);
  exec(db, "ROLLBACK");
  flush();
  close_database(reader);
  close_database(old);
  close_database(db);
  check_rows(path, "n", NEW_ROWS);
  check_rows(renamed, "t", 2);
}

/* It has not read yet, so it finds only now that it is in WAL mode. */
static void an_old_connection_is_not_led_into_the_WAL_of_the_new_one(void) {
  setup_with_writer();
  close_database(open_old("WAL"));
  sqlite3 *old = open_async(path);
  CHECK_EQ(rename(path, renamed), 0);
  put_new("WAL");
  sqlite3 *db = open_async(path);
  exec(db, "INSERT INTO n VALUES (1)");
  flush();
  CHECK(is_there("x.db-wal"));
  CHECK_EQ(query_int(old, "SELECT count(*) FROM t"), 1);
  exec_code(old, "INSERT INTO t VALUES (2)");
  CHECK_EQ(query_int(db, "SELECT count(*) FROM n"), NEW_ROWS + 1);
  exec(db, "INSERT INTO n VALUES (2)");
  CHECK_EQ(sqlite3_close(old), SQLITE_OK);
  exec(db, "INSERT INTO n VALUES (3)");
  close_database(db);
  check_rows(path, "n", NEW_ROWS + 3);
}

/* It is another process's, which is in the middle of a transaction.  Plain SQLite rolls it back. */
static void the_journal_of_another_process_stays(void) {
  Other other = other_start(test_path("x.db"));
  setup_with_writer();
  sqlite3 *old = open_old("DELETE");
  move_away();
  put_new("DELETE");
  tell(&other, "open");
  tell(&other, SPILL);
  CHECK(is_there("x.db-journal"));
  CHECK_EQ(query_int(old, "SELECT count(*) FROM t"), 1);
  flush();
  CHECK(is_there("x.db-journal"));
  CHECK_TEXT(tell(&other, "ROLLBACK"), "= 0");
  tell(&other, "close");
  close_database(old);
  check_rows(path, "n", NEW_ROWS);
  check_rows(renamed, "t", 1);
  other_end(&other);
}

/* ---- A database that was released ---- */

static void a_released_database_that_was_moved_is_refused(void) {
  Other other = other_start(test_path("x.db"));
  setup_with_writer();
  for (int is_replaced = 0; is_replaced < 2; is_replaced++) {
    unlink(renamed);
    unlink(test_path("old.db-wal"));
    sqlite3 *old = open_old("WAL");
    CHECK_EQ(sqlite3async_release(path, WAIT_MS), SQLITE_OK);
    move_away();
    unlink(test_path("x.db-shm"));
    if (is_replaced) put_new("WAL");
    if (is_replaced) tell(&other, "open");
    if (is_replaced) tell(&other, "INSERT INTO n VALUES (1); INSERT INTO n VALUES (2)");
    for (int i = 0; i < 3; i++) {
      CHECK_EQ(exec_code(old, "INSERT INTO t VALUES (2)"), SQLITE_READONLY_DBMOVED);
      CHECK_EQ(exec_code(old, "SELECT * FROM t"), SQLITE_READONLY_DBMOVED);
    }
    flush();
    CHECK_EQ(is_there("x.db-wal"), is_replaced);
    CHECK_EQ(sqlite3_close(old), SQLITE_OK);
    CHECK_EQ(is_there("x.db-wal"), is_replaced);
    if (!is_replaced) continue;
    CHECK_TEXT(tell(&other, "INSERT INTO n VALUES (3); SELECT count(*) FROM n"), "1:63\n= 0");
    tell(&other, "close");
    check_rows(path, "n", NEW_ROWS + 3);
  }
  check_rows(renamed, "t", 1);
  other_end(&other);
}

/* ---- The checkpointer ---- */

/* What is committed beyond maxWalBytes need not wait for a checkpoint, which cannot be. */
static void the_checkpointer_of_a_moved_database_opens_nothing_at_its_path(void) {
  setup_with_writer();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 100000), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_WAL_BYTES, 1000000), SQLITE_OK);
  sqlite3 *old = open_old("WAL");
  move_away();
  put_new("WAL");
  testvfs_reset();
  int64_t start_ms = now_ms();
  for (int i = 0; i < 1000; i++) exec(old, "INSERT INTO t VALUES (zeroblob(3000))");
  CHECK(now_ms() - start_ms < WAIT_MS);
  flush();
  CHECK(testvfs_count(ON_CONTROL, "x.db$") > 0); /* somebody has looked whether it has moved */
  CHECK_EQ(testvfs_count(ON_OPEN, "x.db"), 0);
  CHECK(!is_there("x.db-wal"));
  CHECK_EQ(query_int(old, "SELECT count(*) FROM t"), 1001);
  CHECK_EQ(sqlite3_close(old), SQLITE_OK);
  check_rows(path, "n", NEW_ROWS);
}

/* It was there when the checkpointer looked, and is moved before that opens it. */
static void the_checkpointer_makes_no_checkpoint_of_the_new_one(void) {
  setup_with_writer();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 1), SQLITE_OK);
  sqlite3 *old = open_old("WAL");
  AsyncStream *stream = async_registry_find(path);
  CHECK(stream != NULL);
  sleep_ms(100);
  testvfs_reset();
  exec(old, "INSERT INTO t VALUES (2)");
  async_mutex_enter(&stream->lock.mutex);
  WAIT_FOR(WAIT_MS, testvfs_count(ON_CONTROL, "x.db$") > 0);
  move_away();
  put_new("WAL");
  int64_t checkpoints = stream->stats.checkpoints;
  async_mutex_leave(&stream->lock.mutex);
  sqlite3async_stop(WAIT_MS); /* the checkpointer, too */
  CHECK_EQ(stream->stats.checkpoints, checkpoints);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  async_registry_release(stream);
  CHECK_EQ(sqlite3_close(old), SQLITE_OK);
  check_rows(path, "n", NEW_ROWS);
}

/* ---- Back again ---- */

static void a_database_that_was_moved_back_has_a_journal_with_a_name(void) {
  setup();
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA journal_mode = DELETE; CREATE TABLE t(a)");
  step_all();
  exec(db, "INSERT INTO t VALUES (1)");
  CHECK_EQ(rename(path, renamed), 0);
  while (step_some(1) == 1) CHECK(!is_there("x.db-journal"));
  CHECK_EQ(rename(renamed, path), 0);
  exec(db, "INSERT INTO t VALUES (2)");
  int with_journal = 0;
  while (step_some(1) == 1) with_journal += is_there("x.db-journal");
  CHECK(with_journal > 0 && !is_there("x.db-journal"));
  close_database(db);
  step_all();
  check_rows(path, "t", 2);
}

int main(void) {
  return run_tests(
      (TestCase[]){TEST(a_writer_that_fails_leaves_no_journal_beside_the_new_one),
                   TEST(a_writer_that_waits_for_space_leaves_no_journal_beside_the_new_one),
                   TEST(a_journal_without_a_name_that_cannot_be_made_fails_at_once),
                   TEST(a_renamed_database_that_fails_is_reported_and_a_deleted_one_is_not),
                   TEST(a_crash_with_a_moved_home_leaves_the_other_database_whole),
                   TEST(an_old_connection_leaves_the_journal_of_the_new_one),
                   TEST(an_old_connection_is_not_led_into_the_WAL_of_the_new_one),
                   TEST(the_journal_of_another_process_stays),
                   TEST(a_released_database_that_was_moved_is_refused),
                   TEST(the_checkpointer_of_a_moved_database_opens_nothing_at_its_path),
                   TEST(the_checkpointer_makes_no_checkpoint_of_the_new_one),
                   TEST(a_database_that_was_moved_back_has_a_journal_with_a_name),
                   {0}});
}
