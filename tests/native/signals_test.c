/*
** Signals, in child processes: which are watched, what is written before they take
** their effect, and whose handler has them.
*/
#define _GNU_SOURCE 1

#include "database.h"
#include "testvfs.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROWS 60
#define COUNT(list) ((int)(sizeof(list) / sizeof(list)[0]))

static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR2};

/* In memory that survives the process: so many rows it was told are committed. */
static atomic_int *told;

static sqlite3 *db;
static atomic_int was_handled;
static atomic_int other_number;

static void set(int op, int64_t value) { CHECK_EQ(sqlite3async_set(op, value), SQLITE_OK); }

static int64_t get(int op) {
  sqlite3_int64 value = -1;
  CHECK_EQ(sqlite3async_get(op, &value), SQLITE_OK);
  return value;
}

static void insert_rows(int count) {
  for (int i = 0; i < count; i++) {
    exec(db, "INSERT INTO t VALUES (1)");
    ++*told;
  }
}

/* A database whose disk takes its time, so that rows are queued when a signal comes. */
static void begin(void) {
  async_setup();
  set(SQLITEASYNC_EXIT_DRAIN_MS, 20000);
  db = open_async(test_path("x.db"));
  exec(db, "CREATE TABLE t(a)");
  step_all();
  testvfs_delay(ON_WRITE, "x.db", 1);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
}

/* The signal ends it, in a while. */
static int die(int number) {
  raise(number);
  sleep_ms(15000);
  return 99;
}

/* How it ends; of the rows that it was told all are there, or only some. */
static void check_end(int (*life)(void *), int number, int wanted_code, bool keeps_all) {
  told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(told != MAP_FAILED);
  CHECK_EQ(process_wait(process_start(life, &number), 30000), wanted_code);
  sqlite3 *plain = open_plain(test_path("x.db"));
  check_integrity(plain);
  int64_t rows = query_int(plain, "SELECT count(*) FROM t");
  close_database(plain);
  CHECK(unlink(test_path("x.db")) == 0);
  if ((rows >= *told) != keeps_all) {
    FAIL("signal %d: %d rows of %d", number, (int)rows, (int)*told);
  }
}

/* ---- The default action ---- */

static int die_of_it(void *number) {
  begin();
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1);
  insert_rows(ROWS);
  return die(*(int *)number);
}

static void each_signal_drains_and_ends_the_process(void) {
  for (int i = 0; i < COUNT(numbers); i++) check_end(die_of_it, numbers[i], -numbers[i], true);
}

static int die_unwatched(void *number) {
  begin();
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1);
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 0);
  insert_rows(ROWS);
  return die(*(int *)number);
}

static void taken_back_it_only_ends_the_process(void) {
  for (int i = 0; i < COUNT(numbers); i++) check_end(die_unwatched, numbers[i], -numbers[i], false);
}

static int die_of_another(void *number) {
  begin();
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1);
  struct sigaction action;
  CHECK(sigaction(*(int *)number, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
  insert_rows(ROWS);
  return die(*(int *)number);
}

static void a_signal_of_the_runtimes_debuggers_is_left_alone(void) {
  check_end(die_of_another, SIGUSR1, -SIGUSR1, false);
}

/* ---- Who has set it ---- */

static int ask_for_it_unless_set(void *number) {
  begin();
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, SQLITEASYNC_UNLESS_SET);
  CHECK_EQ(get(SQLITEASYNC_DRAIN_ON_SIGNALS), 1);
  insert_rows(ROWS);
  return die(*(int *)number);
}

static int ask_for_it_too_late(void *number) {
  begin();
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, SQLITEASYNC_UNLESS_SET);
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 0);
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, SQLITEASYNC_UNLESS_SET);
  CHECK_EQ(get(SQLITEASYNC_DRAIN_ON_SIGNALS), 0);
  insert_rows(ROWS);
  return die(*(int *)number);
}

static void a_default_changes_nothing_that_somebody_has_set(void) {
  check_end(ask_for_it_unless_set, SIGHUP, -SIGHUP, true);
  check_end(ask_for_it_too_late, SIGHUP, -SIGHUP, false);
}

/* ---- Ignored signals ---- */

static int ignore_it(void *number_arg) {
  int number = *(int *)number_arg;
  signal(number, SIG_IGN);
  begin();
  for (int i = 0; i < COUNT(numbers); i++) {
    bool ignored = (get(SQLITEASYNC_IGNORED_SIGNALS) >> i & 1) != 0;
    CHECK_EQ(ignored, numbers[i] == number);
  }
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1);
  insert_rows(ROWS);
  struct sigaction action;
  CHECK(sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN);
  raise(number);
  insert_rows(ROWS);
  exit(7);
}

static void an_ignored_signal_stays_ignored(void) {
  for (int i = 0; i < COUNT(numbers); i++) check_end(ignore_it, numbers[i], 7, true);
}

/* ---- The program's handlers ---- */

static void note(int number) { was_handled = number; }

static int catch_it_over_ours(void *number_arg) {
  int number = *(int *)number_arg;
  begin();
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1);
  signal(number, note);
  insert_rows(ROWS);
  sleep_ms(50);
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1);
  raise(number);
  CHECK_EQ(was_handled, number); /* as ever, before raise() returns */
  insert_rows(ROWS);
  exit(7);
}

static int catch_it_alone(void *number_arg) {
  int number = *(int *)number_arg;
  signal(number, note);
  begin();
  set(SQLITEASYNC_COVER_HANDLERS, 0);
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1);
  insert_rows(ROWS);
  raise(number);
  CHECK_EQ(was_handled, number);
  signal(number, SIG_DFL);
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1);
  return die(number);
}

static void a_handler_that_is_not_covered_has_the_signal_for_itself(void) {
  for (int i = 0; i < COUNT(numbers); i++) check_end(catch_it_alone, numbers[i], -numbers[i], true);
}

static int catch_it_below_ours(void *number_arg) {
  int number = *(int *)number_arg;
  signal(number, note);
  begin();
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1);
  insert_rows(ROWS);
  for (int i = 0; i < 2; i++) {
    was_handled = 0;
    raise(number);
    WAIT_FOR(15000, was_handled == number);
    insert_rows(ROWS);
  }
  exit(7);
}

static void a_program_that_catches_it_lives_on(void) {
  for (int i = 0; i < COUNT(numbers); i++) {
    check_end(catch_it_over_ours, numbers[i], 7, true);
    check_end(catch_it_below_ours, numbers[i], 7, true);
  }
}

static void wait_for_our_handler(int number) {
  struct sigaction action;
  WAIT_FOR(10000,
           (insert_rows(1), sigaction(number, NULL, &action) == 0) && action.sa_handler != SIG_DFL);
}

static int take_a_handler_off(void *number_arg) {
  int number = *(int *)number_arg;
  begin();
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1);
  signal(number, note);
  signal(number, SIG_DFL);
  wait_for_our_handler(number); /* as soon as somebody commits */
  insert_rows(ROWS);
  return die(number);
}

static int take_a_handler_from_below_ours_off(void *number_arg) {
  int number = *(int *)number_arg;
  signal(number, note);
  begin();
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1);
  signal(number, SIG_DFL);
  wait_for_our_handler(number);
  insert_rows(ROWS);
  return die(number); /* the one from before has nothing to do with it any more */
}

static int take_a_handler_off_and_say_so(void *number_arg) {
  int number = *(int *)number_arg;
  begin();
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1);
  insert_rows(ROWS);
  signal(number, note);
  signal(number, SIG_DFL);
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, SQLITEASYNC_UNLESS_SET);
  return die(number);
}

static void once_the_programs_handler_is_taken_off_it_drains_again(void) {
  for (int i = 0; i < COUNT(numbers); i++) {
    check_end(take_a_handler_off, numbers[i], -numbers[i], true);
    check_end(take_a_handler_from_below_ours_off, numbers[i], -numbers[i], true);
    check_end(take_a_handler_off_and_say_so, numbers[i], -numbers[i], true);
  }
}

static int take_a_handler_off_unwatched(void *number_arg) {
  int number = *(int *)number_arg;
  begin();
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1);
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 0);
  signal(number, note);
  signal(number, SIG_DFL);
  for (int i = 0; i < 10; i++) {
    insert_rows(ROWS / 10);
    sleep_ms(10);
  }
  struct sigaction action;
  CHECK(sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
  return die(number);
}

static void taken_back_no_handler_of_ours_comes_back(void) {
  check_end(take_a_handler_off_unwatched, SIGUSR2, -SIGUSR2, false);
}

/* ---- Handlers that leave it to a thread, as Deno's ---- */

static void leave_it_to_a_thread(int number) { other_number = number; }

static void *end_the_process(void *unused) {
  while (other_number == 0) sleep_ms(1);
  sleep_ms(2);
  signal(other_number, SIG_DFL);
  kill(getpid(), other_number);
  return unused;
}

static int commit_until_a_thread_ends_it(void *number_arg) {
  int number = *(int *)number_arg;
  signal(number, leave_it_to_a_thread);
  begin();
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1);
  thread_start(end_the_process, NULL);
  insert_rows(ROWS);
  raise(number);
  for (;;) insert_rows(1);
}

static void what_was_told_is_there_when_another_thread_ends_it(void) {
  for (int i = 0; i < COUNT(numbers); i++) {
    check_end(commit_until_a_thread_ends_it, numbers[i], -numbers[i], true);
  }
}

/* ---- Who may live on is not held up by a slow disk ---- */

static int commit_beside_the_drain(void *number_arg) {
  int number = *(int *)number_arg;
  signal(number, note);
  begin();
  set(SQLITEASYNC_DRAIN_ON_SIGNALS, 1);
  insert_rows(ROWS);
  testvfs_hold(ON_WRITE, "x.db");
  raise(number);
  sleep_ms(200); /* it has begun to drain */
  int64_t start_ms = now_ms();
  insert_rows(ROWS);
  CHECK(now_ms() - start_ms < 5000);
  CHECK_EQ(was_handled, 0);
  testvfs_release();
  WAIT_FOR(15000, was_handled == number);
  insert_rows(ROWS);
  exit(7);
}

static void commits_go_on_while_it_drains_for_a_programs_handler(void) {
  check_end(commit_beside_the_drain, SIGHUP, 7, true);
}

int main(void) {
  return run_tests((TestCase[]){TEST(each_signal_drains_and_ends_the_process),
                                TEST(taken_back_it_only_ends_the_process),
                                TEST(a_signal_of_the_runtimes_debuggers_is_left_alone),
                                TEST(a_default_changes_nothing_that_somebody_has_set),
                                TEST(an_ignored_signal_stays_ignored),
                                TEST(a_program_that_catches_it_lives_on),
                                TEST(a_handler_that_is_not_covered_has_the_signal_for_itself),
                                TEST(once_the_programs_handler_is_taken_off_it_drains_again),
                                TEST(taken_back_no_handler_of_ours_comes_back),
                                TEST(what_was_told_is_there_when_another_thread_ends_it),
                                TEST(commits_go_on_while_it_drains_for_a_programs_handler),
                                {0}});
}
