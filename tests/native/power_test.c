/*
** Power cuts: whatever a cut leaves of what was not synced, the databases are sound,
** hold a whole prefix of the transactions, and at least those that were called
** durable.  See power_history.h for what happens, power_check.h for what is demanded,
** power_disk.h for what a cut is.
**
** Plain SQLite is held to the same, by what it promises in each mode.  Where it fails,
** we may fail as often, and nowhere else.
**
**   HISTORY=N   run only the history of this number, as a failure names it
**   EXPLAIN_PLAIN=1   say of plain SQLite's failures, too, what they are
*/
#include "power_history.h"

#include "database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#define HAS_FEATURE(feature) __has_feature(feature)
#else
#define HAS_FEATURE(feature) 0
#endif

/* Sanitizers are here for the core's sake, and cost time: a few histories do. */
#if HAS_FEATURE(thread_sanitizer) || defined(__SANITIZE_ADDRESS__)
#define IS_SLOW true
#else
#define IS_SLOW false
#endif

static Tally ours_sum;
static Tally plain_sum;
static uint64_t histories;

static bool is_full_run(void) { return test_scale() > 1 && !IS_SLOW; }

static void setup(void) {
  recorder_register();
  CHECK_EQ(sqlite3async_initialize(RECORDER_NAME, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 10000), SQLITE_OK);
}

static void add(Tally *sum, const Tally *tally) {
  sum->cuts += tally->cuts;
  sum->distinct += tally->distinct;
  sum->faults += tally->faults;
  sum->voids.voided += tally->voids.voided;
  sum->voids.restarted += tally->voids.restarted;
  sum->voids.restored += tally->voids.restored;
  sum->voids.cancelled += tally->voids.cancelled;
}

static void run_scenario(Scenario scenario) {
  const char *only = getenv("HISTORY");
  bool explains_plain = getenv("EXPLAIN_PLAIN") != NULL;
  histories++;
  if (only != NULL && strtoull(only, NULL, 10) != histories) return;
  bool full = is_full_run();
  scenario.points = full ? 60 : 6;
  scenario.cuts = full ? 6 : 2;
  scenario.actions = full ? 26 : 14;
  if (scenario.attached != ATTACHED_NOTHING) scenario.actions /= 2;
  if (strcmp(scenario.mode, "WAL") == 0) { /* it writes less */
    scenario.points *= 2;
    scenario.cuts *= 2;
  }
  scenario.later_parts = full ? 2 : 1;
  Tally plain = {0};
  Tally ours = {0};
  run_power_history(&scenario, true, histories, explains_plain, &plain);
  run_power_history(&scenario, false, histories, ours_sum.faults == 0, &ours);
  add(&ours_sum, &ours);
  add(&plain_sum, &plain);
}

static void end(bool plain_may_fail) {
  printf("# %lld distinct images of %lld cuts, %lld faults; plain SQLite: %lld images, %lld "
         "faults\n",
         (long long)ours_sum.distinct, (long long)ours_sum.cuts, (long long)ours_sum.faults,
         (long long)plain_sum.distinct, (long long)plain_sum.faults);
  const Voids *voids = &ours_sum.voids;
  if (voids->voided > 0) {
    printf("# WALs: %lld voided, %lld restarted then, %lld appended to, %lld needed meanwhile\n",
           (long long)voids->voided, (long long)voids->restarted, (long long)voids->restored,
           (long long)voids->cancelled);
  }
  check_free();
  CHECK(ours_sum.distinct > 100 || getenv("HISTORY") != NULL);
  if (!plain_may_fail) {
    CHECK_EQ(ours_sum.faults, 0);
    CHECK_EQ(plain_sum.faults, 0); /* else a cut is harder than SQLite bargains for */
  }
}

static const char *const levels[] = {"NORMAL", "FULL", "EXTRA"};
static const int sizes[] = {512, 4096, 65536};

/* Is a torn write harmless?  Not with a rollback journal that is synced once only. */
static bool survives_tearing(const Scenario *scenario) {
  if (strcmp(scenario->level, "NORMAL") != 0) return true;
  return strcmp(scenario->mode, "WAL") == 0 && !scenario->changes_modes;
}

/* All levels with all sizes; in a short run each once. */
static void run_scenarios(Scenario scenario) {
  setup();
  int other = random_below(&(Random){random_new(0).state}, 3);
  for (int level = 0; level < 3; level++) {
    for (int size = 0; size < 3; size++) {
      if (!is_full_run() && (level + size + other) % 3 != 0) continue;
      scenario.level = levels[level];
      scenario.page_size = sizes[size];
      scenario.beside = (level + size) % 2 == 1;
      scenario.raw = level == size;
      scenario.disk = survives_tearing(&scenario) ? DISK_USUAL : DISK_GENTLE;
      run_scenario(scenario);
    }
  }
  end(false);
}

/* ---- One database ---- */

static void in_mode_DELETE(void) { run_scenarios((Scenario){.mode = "DELETE"}); }
static void in_mode_TRUNCATE(void) { run_scenarios((Scenario){.mode = "TRUNCATE"}); }
static void in_mode_PERSIST(void) { run_scenarios((Scenario){.mode = "PERSIST"}); }
static void in_mode_WAL_with_readers_and_checkpoints(void) {
  run_scenarios((Scenario){.mode = "WAL", .company = true});
}
static void in_mode_WAL_released_to_others(void) {
  run_scenarios((Scenario){.mode = "WAL", .company = true, .releases = true});
}

/* With a writer to be waited for; and whatever can become of such a WAL does so. */
static void in_mode_WAL_that_is_voided_and_starts_anew(void) {
  setup();
  for (int i = 0; i < (is_full_run() ? 18 : 9); i++) {
    run_scenario((Scenario){.mode = "WAL",
                            .level = levels[i % 3],
                            .page_size = sizes[i / 3 % 3],
                            .company = true,
                            .beside = true,
                            .voids = true,
                            .raw = i % 2 == 0});
  }
  const Voids *voids = &ours_sum.voids;
  if (getenv("HISTORY") == NULL && !IS_SLOW) {
    CHECK(voids->voided > 0 && voids->restarted > 0);
    CHECK(voids->restored > 0 && voids->cancelled > 0);
  }
  end(false);
}

static void in_changing_modes(void) {
  run_scenarios((Scenario){.mode = "WAL", .company = true, .changes_modes = true});
}
static void in_changing_modes_from_PERSIST(void) {
  run_scenarios((Scenario){.mode = "PERSIST", .changes_modes = true});
}

/* ---- Two databases ---- */

static void attached_in_mode_DELETE(void) {
  run_scenarios((Scenario){.mode = "DELETE", .attached = ATTACHED_BESIDE});
}
static void attached_from_another_folder_in_mode_TRUNCATE(void) {
  run_scenarios((Scenario){.mode = "TRUNCATE", .attached = ATTACHED_BELOW});
}
static void attached_from_another_folder_in_mode_PERSIST(void) {
  run_scenarios((Scenario){.mode = "PERSIST", .attached = ATTACHED_BELOW});
}
static void attached_in_changing_modes(void) {
  run_scenarios((Scenario){.mode = "DELETE", .attached = ATTACHED_BESIDE, .changes_modes = true});
}
static void attached_in_mode_WAL(void) {
  run_scenarios((Scenario){.mode = "WAL", .attached = ATTACHED_BESIDE});
}

/* ---- Where plain SQLite fails ---- */

/* Of few cases chance has its part: we may fail twice as often, and three times more. */
static void check_no_worse(void) {
  end(true);
  CHECK(ours_sum.faults * plain_sum.distinct <= (2 * plain_sum.faults + 3) * ours_sum.distinct);
}

static void torn_journals_with_NORMAL_do_no_more_harm_than_in_plain_SQLite(void) {
  static const char *const modes[] = {"DELETE", "TRUNCATE", "PERSIST"};
  setup();
  for (int i = 0; i < (is_full_run() ? 9 : 3); i++) {
    run_scenario((Scenario){.mode = modes[i % 3], .level = "NORMAL", .page_size = sizes[i / 3]});
  }
  check_no_worse();
}

/* If truncations don't wait for the deletions before them. */
static void a_database_shrinks_more_safely_than_in_plain_SQLite(void) {
  setup();
  for (int i = 0; i < (is_full_run() ? 9 : 3); i++) {
    run_scenario((Scenario){.mode = "DELETE",
                            .level = levels[1 + i % 2],
                            .page_size = sizes[i % 2],
                            .disk = DISK_LOOSE});
  }
  end(true);
  CHECK_EQ(ours_sum.faults, 0);
}

int main(void) {
  return run_tests(
      (TestCase[]){TEST(in_mode_DELETE),
                   TEST(in_mode_TRUNCATE),
                   TEST(in_mode_PERSIST),
                   TEST(in_mode_WAL_with_readers_and_checkpoints),
                   TEST(in_mode_WAL_released_to_others),
                   TEST(in_mode_WAL_that_is_voided_and_starts_anew),
                   TEST(in_changing_modes),
                   TEST(in_changing_modes_from_PERSIST),
                   TEST(attached_in_mode_DELETE),
                   TEST(attached_from_another_folder_in_mode_TRUNCATE),
                   TEST(attached_from_another_folder_in_mode_PERSIST),
                   TEST(attached_in_changing_modes),
                   TEST(attached_in_mode_WAL),
                   TEST(torn_journals_with_NORMAL_do_no_more_harm_than_in_plain_SQLite),
                   TEST(a_database_shrinks_more_safely_than_in_plain_SQLite),
                   {0}});
}
