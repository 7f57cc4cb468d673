/*
** Journals that are kept: one that was found on disk may have been left by a process
** that died before it synced what it did last, so it is synced before it is written
** to; one that this stream has left itself is not.
*/
#include "database.h"
#include "testvfs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *path;

static void add_row(sqlite3 *db) { exec(db, "INSERT INTO t VALUES (1)"); }

static sqlite3 *make_plain(const char *mode) {
  sqlite3 *plain = open_plain(path);
  exec(plain, "PRAGMA journal_mode = %s; CREATE TABLE IF NOT EXISTS t(a)", mode);
  add_row(plain);
  return plain;
}

/* How many syncs of the journal come before the first write to it? */
static int syncs_before_write(void) {
  char *log = testvfs_log();
  char *write = strstr(log, "write x.db-journal ");
  CHECK(write != NULL);
  *write = '\0';
  int n = 0;
  for (char *at = log; (at = strstr(at, "sync x.db-journal\n")) != NULL; at++) n++;
  free(log);
  testvfs_reset();
  return n;
}

static void check_mode(const char *mode) {
  sqlite3 *plain = make_plain(mode);
  CHECK(access(test_path("x.db-journal"), F_OK) == 0);
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA journal_mode = %s; PRAGMA synchronous = NORMAL", mode);
  step_all();
  testvfs_reset();
  add_row(db);
  step_all();
  CHECK_EQ(syncs_before_write(), 1);
  for (int i = 0; i < 3; i++) { /* the lock was free meanwhile, but nobody came */
    add_row(db);
    step_all();
    CHECK_EQ(syncs_before_write(), 0);
  }
  sleep_ms(20); /* longer than a tick of the clock that file systems use */
  add_row(plain);
  add_row(db);
  step_all();
  CHECK_EQ(syncs_before_write(), 1);
  CHECK_EQ(query_int(db, "SELECT count(*) FROM t"), 7);
  close_database(plain);
  close_database(db);
  step_all();
  unlink(path);
  unlink(test_path("x.db-journal"));
}

static void a_journal_found_on_disk_is_synced_before_it_is_written_to(void) {
  async_setup();
  path = test_path("x.db");
  check_mode("PERSIST");
}

static void a_journal_that_was_made_is_not(void) {
  async_setup();
  path = test_path("x.db");
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA synchronous = FULL; CREATE TABLE t(a)");
  step_all();
  testvfs_reset();
  add_row(db);
  step_all();
  CHECK_EQ(syncs_before_write(), 0);
  close_database(db);
  step_all();
}

int main(void) {
  return run_tests((TestCase[]){TEST(a_journal_found_on_disk_is_synced_before_it_is_written_to),
                                TEST(a_journal_that_was_made_is_not),
                                {0}});
}
