/*
** Interleavings of who opens a routed database, and who takes its route back.
*/
#include "explore_pair.h"

#include "memdisk.h"
#include "stepper.h"

#include <string.h>

/* Who waits for the end of a stream looks every 200 us. */
#define PROMPT_US 5000

static sqlite3 *opened; /* by its plain path */
static int taken_back;  /* the code of unroute() */

static void open_and_insert(void *unused) {
  (void)unused;
  CHECK_EQ(sqlite3_open(pair_path, &opened), SQLITE_OK);
  sqlite3_busy_timeout(opened, 1000);
  exec(opened, "INSERT INTO t VALUES (1)");
}

static void take_back(void *unused) {
  (void)unused;
  taken_back = sqlite3async_unroute(pair_path);
}

static bool is_ours(sqlite3 *db) {
  char *name = NULL;
  sqlite3_file_control(db, "main", SQLITE_FCNTL_VFSNAME, &name);
  bool ours = name != NULL && strstr(name, SQLITEASYNC_VFSNAME) != NULL;
  sqlite3_free(name);
  return ours;
}

/* What is not routed goes to the default VFS: that is to be the same disk. */
static void route(void) {
  explore_setup();
  CHECK_EQ(sqlite3_vfs_register(sqlite3_vfs_find(MEMDISK_NAME), 1), SQLITE_OK);
  CHECK_EQ(sqlite3async_route(pair_path), SQLITE_OK);
}

/* A journal takes the way that its database has taken. */
static void race(bool opener_first, int rows) {
  step_branch(true);
  ExploreThread *opener = NULL;
  if (opener_first) opener = explore_thread("opener", open_and_insert, NULL);
  ExploreThread *taker = explore_thread("taker", take_back, NULL);
  if (!opener_first) opener = explore_thread("opener", open_and_insert, NULL);
  explore_join(opener);
  explore_join(taker);
  step_branch(false);
  CHECK_EQ(taken_back, is_ours(opened) ? SQLITE_BUSY : SQLITE_OK);
  close_database(opened);
  CHECK_EQ(sqlite3async_flush(NULL, 1000), SQLITE_OK);
  CHECK_EQ(sqlite3async_unroute(pair_path), taken_back == SQLITE_OK ? SQLITE_NOTFOUND : SQLITE_OK);
  explore_close_all();
  CHECK_EQ(number_after_crash(pair_path, NULL, PAIR_COUNT), rows);
}

static void run_opener_first(void) {
  route();
  race(true, 1);
}

static void run_taker_first(void) {
  route();
  race(false, 1);
}

static void a_route_is_not_taken_back_from_a_database_that_is_being_opened(void) {
  explore(&(History){.name = "route_opener_first",
                     .prepare = pair_make,
                     .run = run_opener_first,
                     .time_max_us = PROMPT_US,
                     .schedules = 240});
}

static void a_database_is_not_opened_by_a_route_that_is_being_taken_back(void) {
  explore(&(History){.name = "route_taker_first",
                     .prepare = pair_make,
                     .run = run_taker_first,
                     .time_max_us = PROMPT_US,
                     .schedules = 240});
}

/* It was open before, and its stream is about to end. */
static void run_ending(void) {
  route();
  open_and_insert(NULL);
  CHECK(is_ours(opened));
  CHECK_EQ(sqlite3async_flush(NULL, 1000), SQLITE_OK);
  close_database(opened);
  race(false, 2);
}

static void a_database_is_opened_again_while_its_route_is_taken_back(void) {
  explore(&(History){.name = "route_ending",
                     .prepare = pair_make,
                     .run = run_ending,
                     .time_max_us = PROMPT_US,
                     .schedules = 240});
}

int main(void) {
  return run_tests(
      (TestCase[]){TEST(a_route_is_not_taken_back_from_a_database_that_is_being_opened),
                   TEST(a_database_is_not_opened_by_a_route_that_is_being_taken_back),
                   TEST(a_database_is_opened_again_while_its_route_is_taken_back),
                   {0}});
}
