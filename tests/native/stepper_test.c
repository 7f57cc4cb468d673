/*
** That the explorer finds what it is for: toys with a mistake that only some schedules
** show, and the same without it.
*/
#include "explore.h"

#include "mutex.h"
#include "stepper.h"

#include <stdio.h>
#include <stdlib.h>

#define END_MS 60000

static AsyncMutex low;
static AsyncMutex high;
static AsyncCond changed;
static int number;

static void setup(void) {
  async_mutex_init(&low, ASYNC_RANK_REGISTRY);
  async_mutex_init(&high, ASYNC_RANK_STREAM);
  async_cond_init(&changed);
}

static void run_two(void (*one)(void *), void (*other)(void *)) {
  setup();
  step_branch(true);
  ExploreThread *a = explore_thread("one", one, NULL);
  ExploreThread *b = explore_thread("other", other, NULL);
  explore_join(a);
  explore_join(b);
}

/* ---- Looked at under the mutex, and changed under it, but not at once ---- */

static void add_in_two_steps(void *arg) {
  (void)arg;
  async_mutex_enter(&high);
  int seen = number;
  async_mutex_leave(&high);
  async_mutex_enter(&high);
  number = seen + 1;
  async_mutex_leave(&high);
}

static void add_at_once(void *arg) {
  (void)arg;
  async_mutex_enter(&high);
  number++;
  async_mutex_leave(&high);
}

static void run_lost_update(void) {
  run_two(add_in_two_steps, add_in_two_steps);
  CHECK_EQ(number, 2);
}

static void run_update(void) {
  run_two(add_at_once, add_at_once);
  CHECK_EQ(number, 2);
}

/* ---- A wake-up between looking and waiting ---- */

static void tell(void *arg) {
  (void)arg;
  async_mutex_enter(&high);
  number = 1;
  async_cond_broadcast(&changed);
  async_mutex_leave(&high);
}

static void await_late(void *arg) {
  (void)arg;
  async_mutex_enter(&high);
  bool there = number == 1;
  async_mutex_leave(&high);
  async_mutex_enter(&high);
  if (!there) async_cond_wait(&changed, &high, -1);
  async_mutex_leave(&high);
}

static void await_polling(void *arg) {
  (void)arg;
  async_mutex_enter(&high);
  bool there = number == 1;
  async_mutex_leave(&high);
  async_mutex_enter(&high);
  if (!there) async_cond_wait(&changed, &high, 1000);
  async_mutex_leave(&high);
}

static void await_well(void *arg) {
  (void)arg;
  async_mutex_enter(&high);
  while (number == 0) async_cond_wait(&changed, &high, -1);
  async_mutex_leave(&high);
}

static void run_lost_wake_up(void) { run_two(await_late, tell); }
static void run_late_wake_up(void) { run_two(await_polling, tell); }
static void run_wake_up(void) { run_two(await_well, tell); }

/* ---- Two mutexes in two orders; the second pair is of one rank for the core ---- */

static void lock_up(void *arg) {
  (void)arg;
  async_mutex_enter(&low);
  async_mutex_enter(&high);
  async_mutex_leave(&high);
  async_mutex_leave(&low);
}

/* The lock order is asserted by rank: a mutex that lies about it is not noticed by that. */
static void lock_down(void *arg) {
  (void)arg;
  async_os_mutex_enter(&high.os);
  async_mutex_enter(&low);
  async_mutex_leave(&low);
  async_os_mutex_leave(&high.os);
}

static void run_deadlock(void) { run_two(lock_up, lock_down); }
static void run_one_order(void) { run_two(lock_up, lock_up); }

/* ---- Finding them ---- */

typedef struct Toy {
  const char *name;
  void (*run)(void);
} Toy;

static int explore_toy(void *arg) {
  const Toy *toy = arg;
  if (freopen("/dev/null", "w", stdout) == NULL) abort();
  explore(&(History){.name = toy->name, .run = toy->run, .time_max_us = 500, .schedules = 200});
  return 0;
}

static int code_of(const char *name, void (*run)(void)) {
  if (HAS_THREAD_SANITIZER) SKIP("only one thread runs at a time: there are no races to be seen");
  Toy toy = {name, run};
  fflush(stdout);
  return process_wait(process_start(explore_toy, &toy), END_MS);
}

static void an_update_that_is_lost_is_found(void) {
  CHECK_EQ(code_of("lost_update", run_lost_update), 1);
  CHECK_EQ(code_of("update", run_update), 0);
}

static void a_wake_up_that_is_lost_is_a_deadlock(void) {
  CHECK_EQ(code_of("lost_wake_up", run_lost_wake_up), 1);
  CHECK_EQ(code_of("wake_up", run_wake_up), 0);
}

static void or_time_gone_by(void) { CHECK_EQ(code_of("late_wake_up", run_late_wake_up), 1); }

static void two_mutexes_in_two_orders_are_a_deadlock(void) {
  CHECK_EQ(code_of("deadlock", run_deadlock), 1);
  CHECK_EQ(code_of("one_order", run_one_order), 0);
}

int main(void) {
  return run_tests((TestCase[]){TEST(an_update_that_is_lost_is_found),
                                TEST(a_wake_up_that_is_lost_is_a_deadlock),
                                TEST(or_time_gone_by),
                                TEST(two_mutexes_in_two_orders_are_a_deadlock),
                                {0}});
}
