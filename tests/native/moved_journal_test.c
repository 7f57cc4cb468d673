/*
** The journals and super-journals of a database that was moved while it is open here, beside a
** new database at its path: nothing that the old connections or the writer do meets a journal of
** the new one, or leaves it a hot one, also when the writer fails or waits for space.  And what is
** reported of a moved database that fails.
*/
#include "moving.h"
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

static const char *const modes[] = {"DELETE", "TRUNCATE", "PERSIST"};

/* ---- What is queued ---- */

static bool is_hot(void) {
  char first = 0;
  FILE *file = fopen(test_path("x.db-journal"), "rb");
  if (file == NULL) return false;
  bool hot = fread(&first, 1, 1, file) == 1 && first != 0;
  fclose(file);
  return hot;
}

/* The new one has no journal.  False if there are not so many ops. */
static bool move_after(const char *mode, int steps) {
  unlink(moving_path);
  unlink(moving_renamed);
  sqlite3 *old = open_async(moving_path);
  exec(old, "PRAGMA journal_mode = %s; CREATE TABLE t(a); INSERT INTO t VALUES (1)", mode);
  step_all();
  exec(old, "UPDATE t SET a = 2");
  bool enough = step_some(steps) == steps;
  bool was_hot = is_hot();
  moving_move_away();
  moving_put_new("DELETE");
  while (step_some(1) == 1) CHECK(was_hot || !is_hot());
  CHECK(strcmp(mode, "DELETE") != 0 || !moving_has_file("x.db-journal"));
  close_database(old);
  step_all();
  unlink(test_path("x.db-journal")); /* that was kept */
  moving_check_rows(moving_path, "n", MOVING_NEW_ROWS);
  return enough;
}

static void the_ops_of_an_old_connection_leave_no_journal(void) {
  moving_setup();
  for (int mode = 0; mode < 3; mode++) {
    int steps = 0;
    while (move_after(modes[mode], steps)) steps++;
    CHECK(steps > 5);
  }
}

/* The new one is another connection's, in the middle of a transaction. */
static void the_ops_of_an_old_connection_leave_the_journal_of_the_new_one(void) {
  moving_setup();
  for (int mode = 0; mode < 3; mode++) {
    bool enough = true;
    for (int steps = 0; enough; steps++) {
      unlink(moving_path);
      unlink(moving_renamed);
      unlink(test_path("x.db-journal"));
      sqlite3 *old = open_async(moving_path);
      exec(old, "PRAGMA journal_mode = %s; CREATE TABLE t(a)", modes[mode]);
      exec(old, "INSERT INTO t VALUES (1)");
      step_all();
      exec(old, "UPDATE t SET a = 2");
      enough = step_some(steps) == steps;
      moving_move_away();
      unlink(test_path("x.db-journal"));
      moving_put_new("DELETE");
      sqlite3 *db = open_plain(moving_path);
      exec(db, MOVING_SPILL);
      CHECK(is_hot());
      step_all();
      CHECK(is_hot());
      exec(db, "ROLLBACK");
      close_database(db);
      close_database(old);
      step_all();
      moving_check_rows(moving_path, "n", MOVING_NEW_ROWS);
    }
  }
}

/* ---- A writer that fails, or waits ---- */

/* A transaction of the old one has its journal; its first write to the database, which fails, is
** held.  Then the new one is put there. */
static sqlite3 *move_before_it_fails(const char *mode, int times, int code, int os_error) {
  unlink(moving_renamed);
  unlink(moving_path);
  unlink(test_path("x.db-journal"));
  sqlite3 *old = open_async(moving_path);
  exec(old, "PRAGMA journal_mode = %s; CREATE TABLE t(a); BEGIN", mode);
  for (int i = 0; i < 300; i++) exec(old, "INSERT INTO t VALUES (hex(zeroblob(400)) || 'old')");
  exec(old, "COMMIT");
  moving_flush();
  testvfs_reset();
  testvfs_hold(ON_WRITE, "x.db$");
  testvfs_fail(ON_WRITE, "x.db$", 0, times, code, os_error);
  exec(old, "UPDATE t SET a = a || 'x'");
  testvfs_wait_held();
  CHECK(is_hot());
  CHECK_EQ(rename(moving_path, moving_renamed), 0);
  moving_put_new("DELETE");
  return old;
}

static void a_writer_that_fails_leaves_no_journal_beside_the_new_one(void) {
  moving_setup_with_writer();
  for (int mode = 0; mode < 3; mode++) {
    sqlite3 *old = move_before_it_fails(modes[mode], -1, SQLITE_IOERR_WRITE, EIO);
    testvfs_release();
    CHECK_EQ(sqlite3async_flush(NULL, MOVING_WAIT_MS), SQLITE_IOERR_WRITE);
    CHECK_EQ(testvfs_failures(), 2); /* it is tried again when the move is found */
    CHECK(!moving_has_file("x.db-journal"));
    moving_check_rows(moving_path, "n", MOVING_NEW_ROWS);
    CHECK_EQ(exec_code(old, "SELECT * FROM t"), SQLITE_IOERR_WRITE);
    testvfs_reset();
    sqlite3_close(old);
  }
}

/* Also before it is tried again. */
static void a_writer_that_waits_for_space_leaves_no_journal_beside_the_new_one(void) {
  moving_setup_with_writer();
  for (int mode = 0; mode < 3; mode++) {
    sqlite3_int64 cursor = 0;
    CHECK_EQ(sqlite3async_event(&cursor, NULL, 0), 0);
    sqlite3 *old = move_before_it_fails(modes[mode], 2, SQLITE_FULL, ENOSPC);
    testvfs_release();
    char event[1000];
    WAIT_FOR(MOVING_WAIT_MS, sqlite3async_event(&cursor, event, sizeof event) > 0);
    CHECK(!moving_has_file("x.db-journal"));
    CHECK(strstr(event, "diskfull") != NULL);
    moving_check_rows(moving_path, "n", MOVING_NEW_ROWS);
    moving_flush();
    close_database(old);
    sqlite3 *plain = open_plain(moving_renamed);
    CHECK_EQ(query_int(plain, "SELECT count(*) FROM t WHERE substr(a, -4) = 'oldx'"), 300);
    check_integrity(plain);
    close_database(plain);
  }
}

/* No file is made by the journal's name, to see whether that could be made. */
static void a_journal_without_a_name_that_cannot_be_made_fails_at_once(void) {
  moving_setup_with_writer();
  sqlite3 *old = moving_open_old("DELETE");
  testvfs_reset();
  testvfs_hold(ON_DELETE, "x.db-journal");
  exec(old, "INSERT INTO t VALUES (2)");
  exec(old, "INSERT INTO t VALUES (3)");
  testvfs_wait_held();
  CHECK_EQ(unlink(test_path("x.db-journal")), 0); /* as the one that is held would */
  CHECK_EQ(rename(moving_path, moving_renamed), 0);
  struct stat before;
  struct stat after;
  CHECK_EQ(stat(test_folder(), &before), 0);
  testvfs_fail(ON_OPEN, NULL, 0, -1, SQLITE_IOERR_GETTEMPPATH, EACCES);
  testvfs_release();
  int64_t start_ms = now_ms();
  CHECK_EQ(sqlite3async_flush(NULL, MOVING_WAIT_MS), SQLITE_IOERR_GETTEMPPATH);
  CHECK(now_ms() - start_ms < 5000);
  CHECK_EQ(testvfs_failures(), 1);
  CHECK_EQ(stat(test_folder(), &after), 0);
  CHECK_EQ(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
  CHECK(!moving_has_file("x.db-journal"));
  sqlite3_close(old);
}

/* ---- What is reported ---- */

/* A database was renamed, or deleted, fails, and is closed.  Its stream, with a reference. */
static AsyncStream *fail_after(bool is_deleted, sqlite3_int64 *cursor) {
  testvfs_reset();
  sqlite3 *db = moving_open_old("DELETE");
  AsyncStream *stream = async_registry_find(moving_path);
  testvfs_hold(ON_WRITE, "x.db$");
  testvfs_fail(ON_WRITE, "x.db$", 0, -1, SQLITE_IOERR_WRITE, EIO);
  exec(db, "INSERT INTO t VALUES (2)");
  testvfs_wait_held();
  CHECK_EQ(is_deleted ? unlink(moving_path) : rename(moving_path, moving_renamed), 0);
  CHECK_EQ(sqlite3async_event(cursor, NULL, 0), 0);
  testvfs_release();
  CHECK_EQ(sqlite3_close(db), SQLITE_OK);
  CHECK_EQ(testvfs_open_files(), 0);
  return stream;
}

static void a_renamed_database_that_fails_is_reported_and_a_deleted_one_is_not(void) {
  moving_setup_with_writer();
  CHECK(freopen(test_path("stderr"), "w", stderr) != NULL);
  for (int is_deleted = 1; is_deleted >= 0; is_deleted--) {
    sqlite3_int64 cursor = 0;
    AsyncStream *stream = fail_after(is_deleted, &cursor);
    char event[1000] = "";
    CHECK_EQ(sqlite3async_event(&cursor, event, sizeof event) > 0, !is_deleted);
    bool told = strstr(event, "\"type\":\"error\",\"code\":778") != NULL;
    CHECK_EQ(told, !is_deleted);
    char *text = file_text(test_path("stderr"));
    CHECK_EQ(strstr(text, "close: 1 committed transactions of ") != NULL, !is_deleted);
    free(text);
    int wanted = is_deleted ? SQLITE_OK : SQLITE_IOERR_WRITE;
    CHECK_EQ(sqlite3async_flush(NULL, MOVING_WAIT_MS), wanted);
    async_registry_unref(stream);
    WAIT_FOR(MOVING_WAIT_MS, async_registry_count() == 0);
    moving_flush();
  }
}

/* ---- Super-journals ---- */

#define OTHER_ROWS 40

static sqlite3 *open_two(void) {
  sqlite3 *db = open_async(moving_path);
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
  unlink(moving_renamed);
  sqlite3 *db = open_two();
  bool enough = step_some(steps) == steps;
  CHECK_EQ(rename(moving_path, moving_renamed), 0);
  while (step_some(1) == 1) {
    *with_super += super_journals();
    with_copy(test_folder(), check_other_is_whole, NULL);
  }
  CHECK_EQ(super_journals(), 0);
  close_database(db);
  step_all();
  sqlite3 *plain = open_plain(moving_renamed);
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM t"), 1);
  close_database(plain);
  return enough;
}

static void a_crash_with_a_moved_home_leaves_the_other_database_whole(void) {
  moving_setup();
  int with_super = 0;
  int steps = 0;
  while (crash_at_every_op_after(steps, &with_super)) steps += 1 + steps / 2;
  CHECK(steps > 30 && with_super > 10);
}

/* ---- Names ---- */

/* The journals of both have the same name; the one on disk is the new one's. */
static void an_old_connection_leaves_the_journal_of_the_new_one(void) {
  moving_setup_with_writer();
  sqlite3 *old = moving_open_old("DELETE");
  sqlite3 *reader = open_async(moving_path);
  CHECK_EQ(query_int(reader, "SELECT count(*) FROM t"), 1);
  exec(old, "BEGIN; INSERT INTO t VALUES (2)");
  moving_move_away();
  moving_put_new("DELETE");
  sqlite3 *db = open_async(moving_path);
  exec(db, MOVING_SPILL);
  moving_flush();
  CHECK(moving_has_file("x.db-journal"));
  CHECK_EQ(query_int(reader, "SELECT count(*) FROM t"), 1); /* it looks for a hot journal */
  moving_flush();
  CHECK(moving_has_file("x.db-journal"));
  exec(old, "COMMIT"); /* it deletes its own */
  moving_flush();
  CHECK(moving_has_file("x.db-journal"));
  CHECK_EQ(query_int(reader, "SELECT count(*) FROM t"), 2);
  exec(db, "ROLLBACK");
  moving_flush();
  close_database(reader);
  close_database(old);
  close_database(db);
  moving_check_rows(moving_path, "n", MOVING_NEW_ROWS);
  moving_check_rows(moving_renamed, "t", 2);
}

/* It is another process's, which is in the middle of a transaction.  Plain SQLite rolls it back. */
static void the_journal_of_another_process_stays(void) {
  Other other = other_start(test_path("x.db"));
  moving_setup_with_writer();
  sqlite3 *old = moving_open_old("DELETE");
  sqlite3 *reader = open_async(moving_path); /* it would be in the way of a rollback */
  exec(reader, "BEGIN; SELECT * FROM t");
  moving_move_away();
  moving_put_new("DELETE");
  tell(&other, "open");
  tell(&other, MOVING_SPILL);
  CHECK(moving_has_file("x.db-journal"));
  CHECK_EQ(query_int(old, "SELECT count(*) FROM t"), 1);
  moving_flush();
  CHECK(moving_has_file("x.db-journal"));
  CHECK_TEXT(tell(&other, "ROLLBACK"), "= 0");
  tell(&other, "close");
  close_database(reader);
  close_database(old);
  moving_check_rows(moving_path, "n", MOVING_NEW_ROWS);
  moving_check_rows(moving_renamed, "t", 1);
  other_end(&other);
}

/* ---- Back again ---- */

static void a_database_that_was_moved_back_has_a_journal_with_a_name(void) {
  moving_setup();
  sqlite3 *db = open_async(moving_path);
  exec(db, "PRAGMA journal_mode = DELETE; CREATE TABLE t(a)");
  step_all();
  exec(db, "INSERT INTO t VALUES (1)");
  CHECK_EQ(rename(moving_path, moving_renamed), 0);
  while (step_some(1) == 1) CHECK(!moving_has_file("x.db-journal"));
  CHECK_EQ(rename(moving_renamed, moving_path), 0);
  exec(db, "INSERT INTO t VALUES (2)");
  int with_journal = 0;
  while (step_some(1) == 1) with_journal += moving_has_file("x.db-journal");
  CHECK(with_journal > 0 && !moving_has_file("x.db-journal"));
  close_database(db);
  step_all();
  moving_check_rows(moving_path, "t", 2);
}

int main(void) {
  return run_tests(
      (TestCase[]){TEST(the_ops_of_an_old_connection_leave_no_journal),
                   TEST(the_ops_of_an_old_connection_leave_the_journal_of_the_new_one),
                   TEST(a_writer_that_fails_leaves_no_journal_beside_the_new_one),
                   TEST(a_writer_that_waits_for_space_leaves_no_journal_beside_the_new_one),
                   TEST(a_journal_without_a_name_that_cannot_be_made_fails_at_once),
                   TEST(a_renamed_database_that_fails_is_reported_and_a_deleted_one_is_not),
                   TEST(a_crash_with_a_moved_home_leaves_the_other_database_whole),
                   TEST(an_old_connection_leaves_the_journal_of_the_new_one),
                   TEST(the_journal_of_another_process_stays),
                   TEST(a_database_that_was_moved_back_has_a_journal_with_a_name),
                   {0}});
}
