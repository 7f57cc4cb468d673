/*
** What the core calls in the native tests in place of pthreads and the clock: build.zig
** and tools/asan.ts rename the calls.  (To start a thread it comes by libfault.c.)
** Without a stepper these are the system's own.
**
** Mutexes are the system's in both cases; with a stepper they are never waited for, for
** who would wait gives the baton away instead.
*/
#include "mutex.h"
#include "stepper.h"

#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int test_pthread_mutex_lock(pthread_mutex_t *mutex);
int test_pthread_mutex_unlock(pthread_mutex_t *mutex);
int test_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int test_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                const struct timespec *until);
int test_pthread_cond_broadcast(pthread_cond_t *cond);
int test_pthread_join(pthread_t thread, void **result);
int test_clock_gettime(clockid_t clock, struct timespec *out);
int test_nanosleep(const struct timespec *wanted, struct timespec *left);

static int64_t us_of(const struct timespec *time) {
  return (int64_t)time->tv_sec * 1000000 + time->tv_nsec / 1000;
}

/* ---- Mutexes and conditions ---- */

/* What happens under the others concerns nobody else. */
static const char *const lock_names[] = {
    [ASYNC_RANK_API] = "lock control",         [ASYNC_RANK_REGISTRY] = "lock registry",
    [ASYNC_RANK_BARRIER] = "lock barrier",     [ASYNC_RANK_LOCK] = "lock lock table",
    [ASYNC_RANK_WALINDEX] = "lock wal-index",  [ASYNC_RANK_STREAM] = "lock stream",
    [ASYNC_RANK_SCHEDULER] = "lock scheduler", [ASYNC_RANK_DOORBELL] = "lock doorbell",
    [ASYNC_RANK_ROUTER] = "lock router"};
#define LOCK_NAMES ((int)(sizeof lock_names / sizeof lock_names[0]))

static int rank_of(const pthread_mutex_t *mutex) {
  int rank = (int)((const AsyncMutex *)(const void *)mutex)->rank;
  return rank < LOCK_NAMES && lock_names[rank] != NULL ? rank : 0;
}

static void acquire(pthread_mutex_t *mutex) {
  while (pthread_mutex_trylock(mutex) != 0) step_wait(STEP_MUTEX, mutex, STEP_FOR_EVER);
}

/* Where flags are no points, what was written to them before an unlock and what is read
** behind it shall be on different sides of one. */
static void point_of_unlock(int rank) {
#ifndef STEP_ATOMICS
  if (rank > 0) step_point("unlock");
#else
  (void)rank;
#endif
}

static int release(pthread_mutex_t *mutex) {
  int error = pthread_mutex_unlock(mutex);
  step_wake(STEP_MUTEX, mutex);
  return error;
}

int test_pthread_mutex_lock(pthread_mutex_t *mutex) {
  if (!step_is_on()) return pthread_mutex_lock(mutex);
  int rank = rank_of(mutex);
  if (rank > 0) step_point(lock_names[rank]);
  acquire(mutex);
  return 0;
}

int test_pthread_mutex_unlock(pthread_mutex_t *mutex) {
  if (!step_is_on()) return pthread_mutex_unlock(mutex);
  int rank = rank_of(mutex);
  int error = release(mutex);
  point_of_unlock(rank);
  return error;
}

static int wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_us) {
  release(mutex);
  bool woken = step_wait(STEP_CONDITION, cond, until_us);
  acquire(mutex);
  /* Under this mutex threads wait for what the writer does, which always tells them. */
  if (!woken && rank_of(mutex) == ASYNC_RANK_STREAM) step_note_slice();
  return woken ? 0 : ETIMEDOUT;
}

int test_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex) {
  if (!step_is_on()) return pthread_cond_wait(cond, mutex);
  return wait_until(cond, mutex, STEP_FOR_EVER);
}

int test_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                const struct timespec *until) {
  if (!step_is_on()) return pthread_cond_timedwait(cond, mutex, until);
  return wait_until(cond, mutex, us_of(until));
}

int test_pthread_cond_broadcast(pthread_cond_t *cond) {
  if (!step_is_on()) return pthread_cond_broadcast(cond);
  step_wake(STEP_CONDITION, cond);
  return 0;
}

/* ---- Threads ---- */

typedef struct Start {
  int number;
  void *(*run)(void *);
  void *arg;
} Start;

static struct {
  pthread_t thread;
  bool known;
} started[STEP_THREADS_MAX];

static void *stepped_main(void *arg) {
  Start start = *(Start *)arg;
  free(arg);
  step_enter(start.number);
  void *result = start.run(start.arg);
  step_leave(start.number);
  return result;
}

int step_thread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                       void *arg) {
  if (!step_is_on()) return pthread_create(thread, attributes, run, arg);
  Start *start = malloc(sizeof *start);
  if (start == NULL) return EAGAIN;
  *start = (Start){step_new_thread(), run, arg};
  int number = start->number;
  int error = pthread_create(thread, attributes, stepped_main, start);
  CHECK_EQ(error, 0);
  started[number].thread = *thread;
  started[number].known = true;
  step_point("start of a thread");
  return 0;
}

int step_thread_join(pthread_t thread, void **result) {
  if (!step_is_on()) return pthread_join(thread, result);
  for (int i = 0; i < STEP_THREADS_MAX; i++) {
    if (!started[i].known || !pthread_equal(started[i].thread, thread)) continue;
    step_join(i);
    started[i].known = false;
  }
  return pthread_join(thread, result);
}

int test_pthread_join(pthread_t thread, void **result) { return step_thread_join(thread, result); }

/* ---- Time ---- */

int test_clock_gettime(clockid_t clock, struct timespec *out) {
  if (!step_is_on()) return clock_gettime(clock, out);
  int64_t now_us = step_now_us();
  out->tv_sec = (time_t)(now_us / 1000000);
  out->tv_nsec = (long)(now_us % 1000000) * 1000;
  return 0;
}

int test_nanosleep(const struct timespec *wanted, struct timespec *left) {
  if (!step_is_on()) return nanosleep(wanted, left);
  step_sleep_us(us_of(wanted));
  return 0;
}
