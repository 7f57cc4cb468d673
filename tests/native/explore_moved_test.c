/*
** Interleavings of a database that its owner moves, deletes or replaces while it is open
** here, with the writer's work on it and with who opens its path again.  The database that
** is at the path then is sound at every moment, whatever the old one's connection and the
** writer do; the old one's file has every commit; nothing is left open or lying about.
*/
#include "explore_pair.h"

#include "event.h"
#include "memdisk.h"
#include "stepper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_US 19000
#define SCHEDULES 160
/* A transaction puts a row in each. */
#define DIFFERENCE "SELECT (SELECT count(*) FROM n) - (SELECT count(*) FROM m)"
#define TRANSACTIONS "SELECT count(*) FROM n"

static const char *moved_path;
static const char *foreign_path;
static const char *mode;
static int old_rows;     /* committed by the old connection */
static int transactions; /* by the new one */
static bool is_opened;   /* the path, by the new one */
static bool is_over;

/* ---- What is there ---- */

static void make_foreign(const char *journal_mode) {
  mode = journal_mode;
  pair_path = explore_path("x.db");
  moved_path = explore_path("moved.db");
  foreign_path = explore_path("foreign.db");
  make_table(pair_path, mode);
  sqlite3 *db = open_foreign(foreign_path);
  exec(db, "CREATE TABLE n(a); CREATE TABLE m(a)");
  close_database(db);
  memdisk_sync_all();
}

static void make_delete(void) { make_foreign("DELETE"); }
static void make_persist(void) { make_foreign("PERSIST"); }
static void make_wal(void) { make_foreign("WAL"); }

static bool has_wal(void) { return strcmp(mode, "WAL") == 0; }

static int64_t number_at(const char *path, const char *sql) {
  step_aside();
  sqlite3 *db = open_foreign(path);
  exec(db, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; ROLLBACK");
  check_integrity(db);
  int64_t number = query_int(db, sql);
  close_database(db);
  step_back();
  return number;
}

/* ---- Who is at it ---- */

static void open_old(void) {
  explore_setup();
  pair_first = open_patient(pair_path);
  exec(pair_first, "PRAGMA journal_mode = %s", mode);
}

/* It cannot open a journal that it has just found, if that is another one's by then. */
static void check_refusal(int rc) {
  if (rc != SQLITE_OK && rc != SQLITE_CANTOPEN) CHECK_EQ(rc, SQLITE_READONLY_DBMOVED);
}

static void insert_if_it_can(sqlite3 *db) {
  int rc = exec_code(db, "INSERT INTO t VALUES (1)");
  if (rc == SQLITE_OK) old_rows++;
  check_refusal(rc);
}

static void go_on_and_close(void *db) {
  for (int i = 0; i < 2; i++) insert_if_it_can(db);
  close_database(db);
}

static void begin_and_roll_back(void *db) {
  int rc = exec_code(db, "BEGIN; INSERT INTO t VALUES (1)");
  check_refusal(rc);
  step_point("in the middle of a transaction");
  if (!sqlite3_get_autocommit(db)) exec(db, "ROLLBACK");
  close_database(db);
}

/* Through us, at the path that is another database's now. */
static void use_path(void) {
  sqlite3 *db = open_patient(pair_path);
  exec(db, "PRAGMA journal_mode = %s", mode);
  is_opened = true;
  for (int i = 0; i < 2; i++) {
    exec(db, "BEGIN; INSERT INTO n VALUES (1); INSERT INTO m VALUES (1); COMMIT");
    transactions++;
  }
  close_database(db);
  is_over = true;
}

static void replace(void *unused) {
  (void)unused;
  memdisk_rename(foreign_path, pair_path);
  use_path();
}

static void rename_and_replace(void *unused) {
  (void)unused;
  memdisk_rename(pair_path, moved_path);
  /* One that stays would be the new one's by plain SQLite's rules, too. */
  if (has_wal()) memdisk_unlink(explore_path("x.db-wal"));
  memdisk_rename(foreign_path, pair_path);
  use_path();
}

/* The process dies, again and again.  As long as nobody has the path open here, there may be a
** journal that was made just before the move, as by plain SQLite. */
static void die(void *unused) {
  (void)unused;
  for (int i = 0; i < 6; i++) {
    step_point("crash");
    if (is_opened) CHECK_EQ(number_after_crash(pair_path, NULL, DIFFERENCE), 0);
  }
}

static void end(void) {
  pair_first = NULL;
  CHECK_EQ(memdisk_open_files(), 0);
  CHECK_EQ(number_at(pair_path, DIFFERENCE), 0);
  CHECK_EQ(number_at(pair_path, TRANSACTIONS), transactions);
  bool has_all = !has_wal() && memdisk_has(moved_path);
  if (has_all) CHECK_EQ(number_at(moved_path, PAIR_COUNT), old_rows);
  CHECK_EQ(async_event_count(), 0);
  step_branch(false);
  explore_close_all();
  CHECK_EQ(number_after_power_cut(pair_path, NULL, TRANSACTIONS), transactions);
}

static void run_moved(void (*old)(void *), void (*owner)(void *)) {
  open_old();
  insert_if_it_can(pair_first); /* is queued; but not the creation of a WAL, which the owner is to
                                ** find and unlink */
  if (has_wal()) CHECK_EQ(sqlite3async_flush(pair_path, -1), SQLITE_OK);
  step_branch(true);
  ExploreThread *a = explore_thread("old", old, pair_first);
  ExploreThread *b = explore_thread("owner", owner, NULL);
  ExploreThread *c = explore_thread("death", die, NULL);
  explore_join(a);
  explore_join(b);
  explore_join(c);
  end();
}

/* ---- The histories ---- */

static void run_replaced(void) { run_moved(go_on_and_close, replace); }
static void run_renamed(void) { run_moved(go_on_and_close, rename_and_replace); }
static void run_rolled_back(void) { run_moved(begin_and_roll_back, rename_and_replace); }

static void replaced_and_opened_again(void) {
  explore(&(History){.name = "replaced",
                     .prepare = make_delete,
                     .run = run_replaced,
                     .time_max_us = BUSY_US,
                     .schedules = SCHEDULES});
}

static void renamed_and_opened_again(void) {
  explore(&(History){.name = "renamed",
                     .prepare = make_delete,
                     .run = run_renamed,
                     .time_max_us = BUSY_US,
                     .schedules = SCHEDULES});
}

static void renamed_with_a_journal_that_is_kept(void) {
  explore(&(History){.name = "renamed_persist",
                     .prepare = make_persist,
                     .run = run_renamed,
                     .time_max_us = BUSY_US,
                     .schedules = SCHEDULES});
}

static void renamed_with_a_WAL(void) {
  explore(&(History){.name = "renamed_wal",
                     .prepare = make_wal,
                     .run = run_renamed,
                     .time_max_us = BUSY_US,
                     .schedules = SCHEDULES});
}

static void renamed_in_the_middle_of_a_transaction(void) {
  explore(&(History){.name = "renamed_rollback",
                     .prepare = make_delete,
                     .run = run_rolled_back,
                     .time_max_us = BUSY_US,
                     .schedules = SCHEDULES});
}

/* ---- Nobody comes to the path again ---- */

static void unlink_it(void *unused) {
  (void)unused;
  memdisk_unlink(pair_path);
}

static void run_unlinked(void) {
  open_old();
  insert_if_it_can(pair_first);
  step_branch(true);
  ExploreThread *a = explore_thread("old", go_on_and_close, pair_first);
  ExploreThread *b = explore_thread("owner", unlink_it, NULL);
  explore_join(a);
  explore_join(b);
  CHECK_EQ(memdisk_open_files(), 0);
  CHECK(!memdisk_has(pair_path));
  CHECK_EQ(async_event_count(), 0);
  step_branch(false);
  explore_close_all();
}

static void unlinked_and_closed(void) {
  explore(&(History){.name = "unlinked",
                     .prepare = make_delete,
                     .run = run_unlinked,
                     .time_max_us = BUSY_US,
                     .schedules = SCHEDULES});
}

int main(void) {
  return run_tests((TestCase[]){TEST(replaced_and_opened_again),
                                TEST(renamed_and_opened_again),
                                TEST(renamed_with_a_journal_that_is_kept),
                                TEST(renamed_with_a_WAL),
                                TEST(renamed_in_the_middle_of_a_transaction),
                                TEST(unlinked_and_closed),
                                {0}});
}
