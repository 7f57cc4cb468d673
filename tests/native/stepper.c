/*
** The stepper.  See stepper.h.
*/
#include "stepper.h"

#include "harness.h"
#include "mutex.h"

#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More points than any history has: it is running in circles. */
#define POINTS_MAX 400000
#define START_US INT64_C(1000000000)

typedef enum State { RUNNABLE, WAITING, ENDED } State;

typedef struct Stepped {
  State state;
  StepWait kind;      /* what a WAITING one waits for ... */
  const void *object; /* ... and which */
  int64_t until_us;
  bool timed_out;
  const char *name;
  const char *doing;
  uint64_t priority;
  sem_t turn;
} Stepped;

static bool is_on;
static bool branching;
static int aside;
static int points;
static int64_t now_us_virtual = START_US;
static Stepped threads[STEP_THREADS_MAX];
static int thread_count;
static StepPlan plan;
static StepTrace *trace;
static int deviations_done;
static uint64_t random_state;
static uint64_t lowest = UINT64_C(1) << 32; /* priorities given at a change go down from here */
static _Thread_local int self = -1;

/* Read by threads that are not stepped, in processes without a stepper. */
bool step_is_on(void) { return is_on && self >= 0; }

/* ---- Failing ---- */

static const char *mutex_name(const void *mutex) {
  static const char *const names[] = {"?",         "control", "registry",  "barrier",  "lock table",
                                      "wal-index", "stream",  "scheduler", "doorbell", "events",
                                      "notify",    "router",  "known",     "arena",    "position"};
  AsyncRank rank = ((const AsyncMutex *)mutex)->rank;
  return rank <= ASYNC_RANK_POSITION ? names[rank] : "?";
}

static void print_threads(void) {
  static const char *const kinds[] = {"a mutex", "a condition", "a sleep", "a thread's end"};
  for (int i = 0; i < thread_count; i++) {
    Stepped *thread = &threads[i];
    printf("#   %d %s: ", i, thread->name);
    if (thread->state == ENDED) {
      printf("has ended\n");
    } else if (thread->state == RUNNABLE) {
      printf("can run (%s)\n", thread->doing);
    } else {
      bool mutex = thread->kind == STEP_MUTEX;
      printf("waits for %s%s%s since: %s\n", kinds[thread->kind], mutex ? ": " : "",
             mutex ? mutex_name(thread->object) : "", thread->doing);
    }
  }
}

static _Noreturn void fail(const char *why) {
  print_threads();
  FAIL("%s", why);
}

/* ---- Deciding ---- */

static uint64_t draw(void) {
  Random random = {random_state};
  uint64_t number = random_next(&random);
  random_state = random.state;
  return number;
}

static int decide_by_list(int number) {
  if (deviations_done >= plan.count) return 0;
  StepDeviation next = plan.list[deviations_done];
  if (next.decision != number) return 0;
  deviations_done++;
  return next.choice;
}

static int decide_to_deviate(int n) {
  if (deviations_done >= plan.count) return 0;
  if (draw() % (uint64_t)plan.length >= (uint64_t)plan.count) return 0;
  deviations_done++;
  return 1 + (int)(draw() % (uint64_t)(n - 1));
}

static int decide_by_priority(const int *options, int n) {
  bool change =
      deviations_done < plan.count && draw() % (uint64_t)plan.length < (uint64_t)plan.count;
  if (change) {
    deviations_done++;
    threads[options[0]].priority = --lowest;
  }
  int best = 0;
  for (int i = 1; i < n; i++) {
    if (threads[options[i]].priority > threads[options[best]].priority) best = i;
  }
  return best;
}

static int decide(const int *options, int n) {
  int number = trace->decisions;
  if (number >= STEP_DECISIONS_MAX) fail("too many decisions");
  int choice = 0;
  switch (plan.mode) {
  case STEP_BY_LIST:
    choice = decide_by_list(number);
    break;
  case STEP_DEVIATE:
    choice = decide_to_deviate(n);
    break;
  case STEP_BY_PRIORITY:
    choice = decide_by_priority(options, n);
    break;
  }
  if (choice >= n) fail("the run is not the same as before: there is no such choice");
  trace->options[number] = (unsigned char)n;
  trace->choices[number] = (unsigned char)choice;
  trace->decisions = number + 1;
  return choice;
}

/* Who could go on: this thread first, then the others in turn. */
static int collect(int *options) {
  int n = 0;
  for (int k = 0; k < thread_count; k++) {
    int i = (self + k) % thread_count;
    if (threads[i].state == RUNNABLE) options[n++] = i;
  }
  return n;
}

/* Nobody can run: let the time pass until somebody can. */
static void pass_time(void) {
  int64_t next_us = STEP_FOR_EVER;
  for (int i = 0; i < thread_count; i++) {
    if (threads[i].state == WAITING && threads[i].until_us < next_us) next_us = threads[i].until_us;
  }
  if (next_us == STEP_FOR_EVER) fail("deadlock: nobody can go on");
  if (next_us > now_us_virtual) now_us_virtual = next_us;
  trace->virtual_us = now_us_virtual - START_US;
  for (int i = 0; i < thread_count; i++) {
    Stepped *thread = &threads[i];
    if (thread->state != WAITING || thread->until_us > now_us_virtual) continue;
    thread->state = RUNNABLE;
    thread->timed_out = true;
    if (plan.verbose) printf("#        %d %s has waited long enough\n", i, thread->name);
  }
}

static int next_thread(void) {
  int options[STEP_THREADS_MAX];
  int n = collect(options);
  while (n == 0) {
    pass_time();
    n = collect(options);
  }
  return n == 1 || !branching ? options[0] : options[decide(options, n)];
}

/* ---- The baton ---- */

static void note(const char *what) {
  threads[self].doing = what;
  if (plan.verbose) printf("# %5d  %d %s: %s\n", trace->decisions, self, threads[self].name, what);
  if (++points > POINTS_MAX) fail("livelock: they run in circles");
  uint32_t hash = (trace->hash ^ (uint32_t)self) * 16777619u;
  for (const char *c = what; *c != '\0'; c++) hash = (hash ^ (unsigned char)*c) * 16777619u;
  trace->hash = hash;
}

/* Let the next one go on; this one, if it has not ended, waits for its turn. */
static void pass_on(bool ended) {
  int next = next_thread();
  if (next == self) return;
  sem_post(&threads[next].turn);
  while (!ended && sem_wait(&threads[self].turn) != 0) {
  }
}

void step_point(const char *what) {
  if (!step_is_on() || aside > 0) return;
  note(what);
  pass_on(false);
}

bool step_wait(StepWait kind, const void *object, int64_t until_us) {
  if (aside > 0) fail("what the test looks at waits");
  Stepped *thread = &threads[self];
  thread->state = WAITING;
  thread->kind = kind;
  thread->object = object;
  thread->until_us = until_us;
  thread->timed_out = false;
  pass_on(false);
  return !thread->timed_out;
}

void step_wake(StepWait kind, const void *object) {
  for (int i = 0; i < thread_count; i++) {
    Stepped *thread = &threads[i];
    if (thread->state == WAITING && thread->kind == kind && thread->object == object)
      thread->state = RUNNABLE;
  }
}

void step_note_slice(void) {
  trace->slices++;
  if (plan.verbose) printf("#        %d %s has waited in vain\n", self, threads[self].name);
}

int64_t step_now_us(void) { return now_us_virtual; }

void step_sleep_us(int64_t us) {
  note("sleep");
  step_wait(STEP_SLEEP, NULL, now_us_virtual + us);
}

/* ---- Threads ---- */

int step_new_thread(void) {
  CHECK(thread_count < STEP_THREADS_MAX);
  Stepped *thread = &threads[thread_count];
  *thread = (Stepped){.state = RUNNABLE, .name = "thread", .doing = "start"};
  if (plan.mode == STEP_BY_PRIORITY) thread->priority = (UINT64_C(1) << 33) + (draw() >> 32);
  CHECK_EQ(sem_init(&thread->turn, 0, 0), 0);
  return thread_count++;
}

void step_enter(int number) {
  self = number;
  while (sem_wait(&threads[self].turn) != 0) {
  }
}

void step_leave(int number) {
  CHECK_EQ(number, self);
  note("end");
  threads[self].state = ENDED;
  step_wake(STEP_JOIN, &threads[self]);
  pass_on(true);
  self = -1;
}

void step_join(int number) {
  note("join");
  while (threads[number].state != ENDED) step_wait(STEP_JOIN, &threads[number], STEP_FOR_EVER);
}

void step_name(const char *name) {
  if (step_is_on()) threads[self].name = name;
}

void step_aside(void) { aside++; }

void step_back(void) { aside--; }

void step_branch(bool on) { branching = on; }

void step_start(const StepPlan *wanted, StepTrace *out) {
  plan = *wanted;
  trace = out;
  trace->decisions = 0;
  trace->hash = 2166136261u;
  trace->virtual_us = 0;
  trace->slices = 0;
  random_state = plan.seed;
  if (plan.length < 1) plan.length = 1;
  self = step_new_thread();
  step_name("main");
  is_on = true;
  threads[self].name = "main";
}
