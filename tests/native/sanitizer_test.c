/*
** That the sanitizers find what they are there for, in the way in which the tests are
** run: in a forked process that ends by exit().
*/
#include "harness.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#define HAS_ADDRESS_SANITIZER true
#else
#define HAS_ADDRESS_SANITIZER false
#endif

#define END_MS 60000

/* What it says is not for the one who reads the results. */
static void check_found(int (*run)(void *), bool found) {
  fflush(stdout);
  int process = process_start(run, NULL);
  int code = process_wait(process, END_MS);
  CHECK(found ? code != 0 : code == 0);
}

static void be_quiet(void) {
  if (freopen("/dev/null", "w", stderr) == NULL) abort();
}

static int leak(void *arg) {
  (void)arg;
  be_quiet();
  char *volatile block = malloc(100);
  if (block == NULL) abort();
  memset(block, 1, 100);
  block = NULL;
  return 0;
}

static int use_after_free(void *arg) {
  (void)arg;
  be_quiet();
  char *volatile block = malloc(100);
  if (block == NULL) abort();
  memset(block, 0, 100);
  free(block);
  return block[50];
}

static int overflow(void *arg) {
  (void)arg;
  be_quiet();
  volatile int large = INT_MAX;
  large = large + 1;
  return 0;
}

static int raced;

static void *race_on(void *arg) {
  for (int i = 0; i < 1000; i++) raced++;
  return arg;
}

static int race(void *arg) {
  (void)arg;
  be_quiet();
  Thread thread = thread_start(race_on, NULL);
  race_on(NULL);
  thread_join(thread);
  return 0;
}

static void a_leak_is_found(void) {
  if (!HAS_ADDRESS_SANITIZER) SKIP("this build has no address sanitizer");
  check_found(leak, true);
}

static void a_use_after_free_is_found(void) {
  if (!HAS_ADDRESS_SANITIZER) SKIP("this build has no address sanitizer");
  check_found(use_after_free, true);
}

static void a_race_is_found(void) {
  if (!HAS_THREAD_SANITIZER) SKIP("this build has no thread sanitizer");
  check_found(race, true);
}

static void undefined_behaviour_is_found(void) { check_found(overflow, true); }

static int do_nothing(void *arg) {
  (void)arg;
  return 0;
}

static void nothing_else_is(void) { check_found(do_nothing, false); }

int main(void) {
  return run_tests((TestCase[]){TEST(a_leak_is_found),
                                TEST(a_use_after_free_is_found),
                                TEST(a_race_is_found),
                                TEST(undefined_behaviour_is_found),
                                TEST(nothing_else_is),
                                {0}});
}
