/*
** Exploring interleavings: the search.  See explore.h.
*/
#include "explore.h"

#include "memdisk.h"
#include "stepper.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* A run that takes so long in real time waits for something that is not stepped. */
#define RUN_TIMEOUT_S 60
/* However many schedules are wanted, a history takes no longer than this. */
#define SEARCH_MS_MAX 1500
#define SEARCH_MS_MAX_FULL 13000
/* A full run has so many times as many schedules. */
#define FULL_FACTOR 25

typedef struct Search {
  const History *history;
  StepPlan plan;
  StepTrace *trace; /* shared with the processes */
  int budget;
  int runs;
  int64_t until_ms;
  int decisions_max;
  int64_t virtual_us_max;
} Search;

/* ---- A run ---- */

static void run_history(const Search *search) {
  alarm(RUN_TIMEOUT_S);
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, 1, NULL);
  step_start(&search->plan, search->trace);
  search->history->run();
  if (search->trace->slices > 0 && !search->history->slices_pass) {
    FAIL("a thread that waited for the writer had to look by itself: was a wake-up lost?");
  }
  int64_t took_us = search->trace->virtual_us;
  if (took_us > search->history->time_max_us) {
    FAIL("it took %lld us of virtual time: was a wake-up lost?", (long long)took_us);
  }
}

static void print_schedule(const Search *search) {
  const StepTrace *trace = search->trace;
  printf("# SCHEDULE=%s/", search->history->name);
  const char *comma = "";
  for (int i = 0; i < trace->decisions; i++) {
    if (trace->choices[i] == 0) continue;
    printf("%s%d.%d", comma, i, trace->choices[i]);
    comma = ",";
  }
  printf("\n");
  fflush(stdout);
}

static void run(Search *search) {
  search->runs++;
  fflush(stdout);
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    run_history(search);
    fflush(stdout);
    _exit(0);
  }
  int status = 0;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  if (search->trace->decisions > search->decisions_max)
    search->decisions_max = search->trace->decisions;
  if (search->trace->virtual_us > search->virtual_us_max)
    search->virtual_us_max = search->trace->virtual_us;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  print_schedule(search);
  if (WIFSIGNALED(status)) {
    FAIL("schedule %d of %s: %s", search->runs, search->history->name, strsignal(WTERMSIG(status)));
  }
  FAIL("schedule %d of %s", search->runs, search->history->name);
}

static bool is_over(const Search *search) {
  return search->runs >= search->budget || now_ms() > search->until_ms;
}

/* ---- All schedules with so many deviations ---- */

static void run_list(Search *search) {
  search->plan.mode = STEP_BY_LIST;
  run(search);
}

/* All that add `more` deviations to those of the plan, which has just been run. */
static void deviate(Search *search, int more) {
  StepPlan *plan = &search->plan;
  int at = plan->count;
  int first = at == 0 ? 0 : plan->list[at - 1].decision + 1;
  int decisions = search->trace->decisions;
  unsigned char *options = malloc((size_t)decisions + 1);
  CHECK(options != NULL);
  memcpy(options, search->trace->options, (size_t)decisions);
  for (int decision = first; decision < decisions; decision++) {
    for (int choice = 1; choice < options[decision] && !is_over(search); choice++) {
      plan->list[at] = (StepDeviation){decision, choice};
      plan->count = at + 1;
      /* With fewer deviations it has been run before, but what it came to is needed. */
      if (more > 1) search->runs--;
      run_list(search);
      if (more > 1) deviate(search, more - 1);
    }
  }
  plan->count = at;
  free(options);
}

/* How many schedules with one deviation there are, going by the last run. */
static int64_t count_single(const Search *search) {
  int64_t count = 0;
  for (int i = 0; i < search->trace->decisions; i++) count += search->trace->options[i] - 1;
  return count;
}

/* Returns how many deviations all schedules were run with. */
static int run_systematically(Search *search) {
  search->plan.count = 0;
  run_list(search);
  uint32_t hash = search->trace->hash;
  int decisions = search->trace->decisions;
  run_list(search);
  if (hash != search->trace->hash || decisions != search->trace->decisions) {
    FAIL("%s: the same schedule is not the same run", search->history->name);
  }
  CHECK(decisions > 0);
  int bound = 0;
  int64_t single = count_single(search);
  for (int64_t more = single;
       more > 0 && search->runs + more <= search->budget && !is_over(search);) {
    search->plan.count = 0;
    run_list(search);
    deviate(search, bound + 1);
    bound++;
    more = more * (single - bound) / (bound + 1);
  }
  return bound;
}

/* ---- As many as there is time for ---- */

static void run_at_random(Search *search) {
  Random random = random_new(0);
  int length = search->decisions_max;
  while (!is_over(search)) {
    search->plan = (StepPlan){.mode = search->runs % 2 == 0 ? STEP_DEVIATE : STEP_BY_PRIORITY,
                              .count = 1 + random_below(&random, 6),
                              .seed = random_next(&random),
                              .length = length};
    run(search);
  }
}

/* ---- One schedule ---- */

/* SCHEDULE is for this history: run what it says.  False if there is none. */
static bool run_given(Search *search, const char *given) {
  size_t length = strlen(search->history->name);
  if (strncmp(given, search->history->name, length) != 0 || given[length] != '/') return false;
  StepPlan *plan = &search->plan;
  plan->verbose = true;
  const char *at = given + length + 1;
  StepDeviation next;
  int n;
  /* A random run can have more deviations than a list has room for. */
  while (sscanf(at, "%d.%d%n", &next.decision, &next.choice, &n) == 2) {
    CHECK(plan->count < STEP_DEVIATIONS_MAX);
    plan->list[plan->count++] = next;
    at += n;
    if (*at == ',') at++;
  }
  run_list(search);
  return true;
}

void explore(const History *history) {
  if (HAS_THREAD_SANITIZER) SKIP("only one thread runs at a time: there are no races to be seen");
  bool full = test_scale() > 1;
  Search search = {.history = history,
                   .budget = history->schedules * (full ? FULL_FACTOR : 1),
                   .until_ms = now_ms() + (full ? SEARCH_MS_MAX_FULL : SEARCH_MS_MAX)};
  search.trace =
      mmap(NULL, sizeof *search.trace, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(search.trace != MAP_FAILED);
  memdisk_register();
  if (history->prepare != NULL) history->prepare();
  const char *given = getenv("SCHEDULE");
  if (given != NULL) {
    run_given(&search, given);
    return;
  }
  int64_t start_ms = now_ms();
  int bound = run_systematically(&search);
  int systematic = search.runs;
  run_at_random(&search);
  int64_t took_ms = now_ms() - start_ms;
  printf("# %s: %d schedules in %lld ms, all with up to %d deviations from %d decisions, %d at "
         "random; %lld us of virtual time at most\n",
         history->name, search.runs, (long long)took_ms, bound, search.decisions_max,
         search.runs - systematic, (long long)search.virtual_us_max);
}
