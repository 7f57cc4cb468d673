/*
** Interleavings of several writers, of those that poll, and of callers' threads in
** sqlite3async_run().
*/
#include "explore_pair.h"

#include "stepper.h"

#include <stddef.h>

/* Nobody waits for the clock, but for polls of a millisecond at the most. */
#define PROMPT_US 1500
#define BUSY_US 19000 /* SQLite's busy handler waits for so long at most in all */
#define POLL_US 400
#define LONG_POLL_US 100000 /* far more than any of the histories may take */
#define LOOK_US 50

/* The second connection's database is the other one. */
static void open_two(void) {
  explore_setup();
  pair_first = open_patient(pair_path);
  pair_second = open_patient(pair_other_path);
}

static void set(int verb, sqlite3_int64 value) {
  CHECK_EQ(sqlite3async_set(verb, value), SQLITE_OK);
}

/* ---- Who waits ends polling; who commits need not ---- */

static void run_poll_and_flush(void) {
  pair_open();
  set(SQLITEASYNC_POLL_US, LONG_POLL_US);
  pair_insert(pair_second); /* so that the writer has just had work */
  step_branch(true);
  pair_insert(pair_first);
  pair_flush_and_look(pair_first, 1000, 1);
  pair_insert(pair_first);
  pair_flush_and_look(pair_first, -1, 2);
  pair_finish(3);
}

static void who_waits_ends_polling(void) {
  explore(&(History){.name = "poll_and_flush",
                     .prepare = pair_make,
                     .run = run_poll_and_flush,
                     .time_max_us = PROMPT_US,
                     .schedules = 240});
}

/* Each time that he looks whether all is applied, and never helps. */
static void run_poll_and_stop(void) {
  pair_open();
  set(SQLITEASYNC_POLL_US, LONG_POLL_US);
  pair_insert(pair_second);
  step_branch(true);
  pair_insert(pair_first);
  CHECK_EQ(sqlite3async_stop(1000), SQLITE_OK);
  CHECK_EQ(number_after_crash(pair_path, NULL, PAIR_COUNT), 2);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  pair_finish(2);
}

static void and_so_does_who_stops_the_writers(void) {
  explore(&(History){.name = "poll_and_stop",
                     .prepare = pair_make,
                     .run = run_poll_and_stop,
                     .time_max_us = PROMPT_US,
                     .schedules = 240});
}

/* It looks by itself: nobody wakes it, and nobody waits for it. */
static void insert_until_applied(void *db) {
  for (int i = 0; i < 2; i++) {
    pair_insert(db);
    int64_t until_us = step_now_us() + 2 * POLL_US;
    while (status_number(pair_path, "applied") < status_number(pair_path, "committed")) {
      CHECK(step_now_us() <= until_us);
      step_sleep_us(LOOK_US);
    }
  }
}

static void insert_seldom(void *db) {
  pair_insert(db);
  step_sleep_us(6000); /* it has parked by then */
  insert_until_applied(db);
}

static void run_poll(void) {
  pair_open();
  set(SQLITEASYNC_POLL_US, POLL_US);
  step_branch(true);
  insert_until_applied(pair_first);
  insert_seldom(pair_first);
  pair_finish(5);
}

static void a_commit_that_wakes_nobody_is_applied_soon(void) {
  explore(&(History){.name = "poll",
                     .prepare = pair_make,
                     .run = run_poll,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

static void insert_and_wait_for_all(void *db) {
  pair_insert(db);
  CHECK_EQ(sqlite3async_flush(NULL, 1000), SQLITE_OK);
}

static void run_poll_and_two(void) {
  open_two();
  set(SQLITEASYNC_POLL_US, LONG_POLL_US);
  pair_run(insert_and_wait_for_all, insert_and_wait_for_all);
  CHECK_EQ(number_after_power_cut(pair_other_path, NULL, PAIR_COUNT), 1);
  pair_finish(1);
}

static void two_writers_poll_and_both_are_waited_for(void) {
  explore(&(History){.name = "poll_and_two",
                     .prepare = pair_make_two,
                     .run = run_poll_and_two,
                     .time_max_us = PROMPT_US,
                     .schedules = 240});
}

/* ---- `writers` is changed during a transaction on two databases ---- */

static void insert_into_both(void *db) {
  exec(db, "BEGIN; INSERT INTO t VALUES (1); INSERT INTO other.t VALUES (1); COMMIT");
  CHECK_EQ(sqlite3async_flush(NULL, 1000), SQLITE_OK);
  CHECK_EQ(number_after_power_cut(pair_path, pair_other_path, "SELECT count(*) FROM other.t"), 1);
}

static void change_writers(void *arg) {
  (void)arg;
  set(SQLITEASYNC_WRITERS, 1);
  set(SQLITEASYNC_WRITERS, 2);
}

static void run_fewer_writers(void) {
  open_two();
  exec(pair_first, "ATTACH '%s' AS other", pair_other_path);
  step_branch(true);
  ExploreThread *a = explore_thread("both", insert_into_both, pair_first);
  ExploreThread *b = explore_thread("changing", change_writers, NULL);
  explore_join(a);
  explore_join(b);
  pair_finish(1);
}

static void there_are_fewer_writers_and_more_again(void) {
  explore(&(History){.name = "fewer_writers",
                     .prepare = pair_make_two,
                     .run = run_fewer_writers,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

/* ---- Callers' threads run, until all is done ---- */

static void run_it(void *arg) {
  (void)arg;
  sqlite3async_run();
}

static void run_until_idle(void) {
  open_two();
  CHECK_EQ(sqlite3async_stop(1000), SQLITE_OK);
  step_branch(true);
  ExploreThread *a = explore_thread("running", run_it, NULL);
  ExploreThread *b = explore_thread("running, too", run_it, NULL);
  pair_insert(pair_first);
  pair_insert(pair_second);
  set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_IDLE);
  explore_join(a);
  explore_join(b);
  CHECK_EQ(number_after_crash(pair_path, NULL, PAIR_COUNT), 1);
  CHECK_EQ(number_after_crash(pair_other_path, NULL, PAIR_COUNT), 1);
  set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  pair_finish(1);
}

static void two_that_run_until_idle_return_when_all_is_applied(void) {
  explore(&(History){.name = "until_idle",
                     .prepare = pair_make_two,
                     .run = run_until_idle,
                     .time_max_us = BUSY_US,
                     .schedules = 240});
}

int main(void) {
  return run_tests((TestCase[]){TEST(who_waits_ends_polling),
                                TEST(and_so_does_who_stops_the_writers),
                                TEST(a_commit_that_wakes_nobody_is_applied_soon),
                                TEST(two_writers_poll_and_both_are_waited_for),
                                TEST(there_are_fewer_writers_and_more_again),
                                TEST(two_that_run_until_idle_return_when_all_is_applied),
                                {0}});
}
