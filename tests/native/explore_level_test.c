/*
** Interleavings of commits at different levels, with a writer: what a commit has told is on disk,
** after a crash of the process or a power cut, and nobody waits for a wake-up that is lost.
*/
#include "explore_pair.h"

#include "memdisk.h"
#include "stepper.h"

#include <string.h>

#define BUSY_US 40000
#define SYNC_US 100

static const char *mode;

static void make_in_mode(void) {
  pair_path = explore_path("x.db");
  make_table(pair_path, strcmp(mode, "WAL") == 0 ? "WAL" : "DELETE");
}

/* Each connection at a level of its own. */
static void setup(const char *first, const char *second) {
  pair_open();
  sqlite3 *each[] = {pair_first, pair_second};
  const char *levels[] = {first, second};
  for (int i = 0; i < 2; i++) {
    exec(each[i], "PRAGMA journal_mode = %s; PRAGMA synchronous = NORMAL", mode);
    exec(each[i], "PRAGMA async_commit = %s; SELECT * FROM t", levels[i]);
  }
  CHECK_EQ(sqlite3async_flush(NULL, -1), SQLITE_OK);
  memdisk_sync_takes_us(SYNC_US);
}

/* Of a connection's rows, those that are there afterwards. */
static int64_t rows_of(sqlite3 *db, int64_t (*after)(const char *, const char *, const char *)) {
  const char *sql = db == pair_first ? PAIR_COUNT " WHERE a = 1" : PAIR_COUNT " WHERE a = 2";
  return after(pair_path, NULL, sql);
}

static void commit_applied(void *db) {
  for (int i = 1; i <= 2; i++) {
    pair_insert(db);
    CHECK(rows_of(db, number_after_crash) >= i);
  }
}

static void commit_durable(void *db) {
  for (int i = 1; i <= 2; i++) {
    pair_insert(db);
    CHECK(rows_of(db, number_after_power_cut) >= i);
  }
}

static void commit_queued(void *db) {
  pair_insert(db);
  pair_insert(db);
}

typedef struct Pair {
  const char *levels[2];
  void (*run[2])(void *);
} Pair;

static const Pair *pair;

static void run(void) {
  setup(pair->levels[0], pair->levels[1]);
  pair_run(pair->run[0], pair->run[1]);
  pair_finish(4);
}

static void explore_in(const char *journal_mode, const char *name, const Pair *which,
                       int64_t time_max_us) {
  mode = journal_mode;
  pair = which;
  explore(&(History){.name = name,
                     .prepare = make_in_mode,
                     .run = run,
                     .time_max_us = time_max_us,
                     .schedules = 240});
}

static const Pair applied_durable = {{"applied", "durable"}, {commit_applied, commit_durable}};
static const Pair applied_twice = {{"applied", "applied"}, {commit_applied, commit_applied}};
static const Pair durable_twice = {{"durable", "durable"}, {commit_durable, commit_durable}};
static const Pair queued_applied = {{"queued", "applied"}, {commit_queued, commit_applied}};
static const Pair queued_durable = {{"queued", "durable"}, {commit_queued, commit_durable}};

static void applied_and_durable_in_mode_WAL(void) {
  explore_in("WAL", "level_wal", &applied_durable, BUSY_US);
}
static void applied_by_two_in_mode_WAL(void) {
  explore_in("WAL", "level_wal_applied", &applied_twice, BUSY_US);
}
static void durable_by_two_in_mode_WAL(void) {
  explore_in("WAL", "level_wal_durable", &durable_twice, BUSY_US);
}
static void queued_and_applied_in_mode_WAL(void) {
  explore_in("WAL", "level_wal_queued", &queued_applied, BUSY_US);
}
static void queued_and_durable_in_mode_WAL(void) {
  explore_in("WAL", "level_wal_queued_durable", &queued_durable, BUSY_US);
}
static void applied_and_durable_in_mode_DELETE(void) {
  explore_in("DELETE", "level_delete", &applied_durable, BUSY_US);
}
static void applied_and_durable_in_mode_PERSIST(void) {
  explore_in("PERSIST", "level_persist", &applied_durable, BUSY_US);
}

/* ---- The writer goes and comes ---- */

/* Who waits for a writer that is halted meanwhile sees that when it looks again. */
#define HALTED_US (BUSY_US + 50000)

static void stop_and_start(void *db) {
  (void)db;
  int rc = sqlite3async_stop(0);
  CHECK(rc == SQLITE_OK || rc == SQLITE_BUSY);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
}

static void run_stop(void) {
  setup("applied", "queued");
  exec(pair_first, "PRAGMA async_commit = durable");
  pair_run(commit_durable, stop_and_start);
  pair_finish(2);
}

static void the_writer_is_stopped_and_started(void) {
  mode = "WAL";
  explore(&(History){.name = "level_stop",
                     .prepare = make_in_mode,
                     .run = run_stop,
                     .time_max_us = HALTED_US,
                     .schedules = 240,
                     .slices_pass = true});
}

static void halt(void *db) {
  (void)db;
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NOW), SQLITE_OK);
}

static void run_halt(void) {
  setup("applied", "durable");
  step_branch(true);
  ExploreThread *a = explore_thread("one", commit_applied, pair_first);
  ExploreThread *b = explore_thread("other", commit_durable, pair_second);
  ExploreThread *c = explore_thread("halt", halt, NULL);
  explore_join(a);
  explore_join(b);
  explore_join(c);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER), SQLITE_OK);
  pair_finish(4);
}

static void the_writer_is_halted(void) {
  mode = "WAL";
  explore(&(History){.name = "level_halt",
                     .prepare = make_in_mode,
                     .run = run_halt,
                     .time_max_us = HALTED_US,
                     .schedules = 240,
                     .slices_pass = true});
}

/* ---- Two databases in one transaction ---- */

static void make_two(void) {
  mode = "DELETE";
  pair_make_two();
}

#define BOTH "BEGIN; INSERT INTO main.t VALUES (1); INSERT INTO other.t VALUES (1); COMMIT"
#define COUNT_BOTH "SELECT min((SELECT count(*) FROM t), (SELECT count(*) FROM other.t))"

static void commit_both_applied(void *db) {
  exec(db, BOTH);
  CHECK_EQ(number_after_crash(pair_path, pair_other_path, COUNT_BOTH), 1);
}

static void commit_both_durable(void *db) {
  exec(db, BOTH);
  CHECK_EQ(number_after_power_cut(pair_path, pair_other_path, COUNT_BOTH), 1);
}

static void run_both(const char *level, void (*commit)(void *), bool halts) {
  setup(level, "queued");
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_WRITERS, 1), SQLITE_OK);
  exec(pair_first, "ATTACH '%s' AS other", pair_other_path);
  pair_run(commit, halts ? halt : commit_queued);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER), SQLITE_OK);
  pair_finish(halts ? 1 : 3);
}

static void run_both_applied(void) { run_both("applied", commit_both_applied, false); }
static void run_both_durable(void) { run_both("durable", commit_both_durable, false); }
static void run_both_halted(void) { run_both("durable", commit_both_durable, true); }

static void explore_both(const char *name, void (*run_it)(void), bool slices_pass) {
  explore(&(History){.name = name,
                     .prepare = make_two,
                     .run = run_it,
                     .time_max_us = 10 * BUSY_US,
                     .schedules = 240,
                     .slices_pass = slices_pass});
}

static void two_databases_applied(void) { explore_both("level_both", run_both_applied, false); }
static void two_databases_durable(void) {
  explore_both("level_both_durable", run_both_durable, false);
}
static void two_databases_while_the_writer_is_halted(void) {
  explore_both("level_both_halt", run_both_halted, true);
}

int main(void) {
  return run_tests((TestCase[]){TEST(applied_and_durable_in_mode_WAL),
                                TEST(applied_by_two_in_mode_WAL),
                                TEST(durable_by_two_in_mode_WAL),
                                TEST(queued_and_applied_in_mode_WAL),
                                TEST(queued_and_durable_in_mode_WAL),
                                TEST(applied_and_durable_in_mode_DELETE),
                                TEST(applied_and_durable_in_mode_PERSIST),
                                TEST(the_writer_is_stopped_and_started),
                                TEST(the_writer_is_halted),
                                TEST(two_databases_applied),
                                TEST(two_databases_durable),
                                TEST(two_databases_while_the_writer_is_halted),
                                {0}});
}
