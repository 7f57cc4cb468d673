/*
** The n-th call of the parent fails, once or for ever: every kind of call, with
** the codes that fit it, for every n until a run meets none, in every scenario
** (scenario.h).
**
** A full run makes all of these injections.  Otherwise a sample is drawn, by the
** seed, so that each run makes others; and all of the most important ones.
*/
#include "database.h"
#include "registry.h"
#include "scenario.h"
#include "script.h"
#include "testvfs.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Calls of one kind in a run are fewer. */
#define CALLS_MAX 2000
/* Without a full run: one in so many of the kinds, and of a kind's calls. */
#define KINDS 3
#define CALLS 10
#define WAIT_MS 20000

typedef struct Fault {
  const char *name;
  unsigned set;
  int code;
  int os_error;
  bool halfway;
} Fault;

static const Fault faults[] = {
    {"xOpen", ON_OPEN, SQLITE_CANTOPEN, 0, false},
    {"xOpen, no space", ON_OPEN, SQLITE_CANTOPEN, ENOSPC, false},
    {"xRead", ON_READ, SQLITE_IOERR_READ, 0, false},
    {"xWrite", ON_WRITE, SQLITE_IOERR_WRITE, 0, false},
    {"xWrite, halfway", ON_WRITE, SQLITE_IOERR_WRITE, 0, true},
    {"xWrite, full", ON_WRITE, SQLITE_FULL, 0, true},
    {"xWrite, no space", ON_WRITE, SQLITE_IOERR_WRITE, ENOSPC, true},
    {"xTruncate", ON_TRUNCATE, SQLITE_IOERR_TRUNCATE, 0, false},
    {"xSync", ON_SYNC, SQLITE_IOERR_FSYNC, 0, false},
    {"xSync, no space", ON_SYNC, SQLITE_IOERR_FSYNC, ENOSPC, false},
    {"xDelete", ON_DELETE, SQLITE_IOERR_DELETE, 0, false},
    {"xClose", ON_CLOSE, SQLITE_IOERR_CLOSE, 0, false},
    {"xAccess", ON_ACCESS, SQLITE_IOERR_ACCESS, 0, false},
    {"xFileSize", ON_FILE_SIZE, SQLITE_IOERR_FSTAT, 0, false},
    {"xLock", ON_LOCK, SQLITE_IOERR_LOCK, 0, false},
    {"xLock, busy", ON_LOCK, SQLITE_BUSY, 0, false},
    {"xUnlock", ON_UNLOCK, SQLITE_IOERR_UNLOCK, 0, false},
    {"xFileControl", ON_CONTROL, SQLITE_IOERR, 0, false},
    {"xCheckReservedLock", ON_CHECK_RESERVED, SQLITE_IOERR_CHECKRESERVEDLOCK, 0, false},
    {"sync of the folder", ON_SYNC_DIRECTORY, SQLITE_IOERR_DIR_FSYNC, 0, false},
};
#define FAULT_COUNT ((int)(sizeof faults / sizeof faults[0]))

typedef struct Injection {
  const Scenario *scenario;
  const Fault *fault;
  int n;
  int times;
  int resumed; /* how often a full disk was seen, and waited for */
} Injection;

static int injections;

static void begin(void *arg) {
  const Injection *injection = arg;
  const Fault *fault = injection->fault;
  void (*fail)(unsigned, const char *, int, int, int, int) =
      fault->halfway ? testvfs_fail_halfway : testvfs_fail;
  fail(fault->set, SCENARIO_PATHS, injection->n, injection->times, fault->code, fault->os_error);
}

static int end(void *arg) {
  (void)arg;
  return testvfs_failures();
}

/* The code with which a stream fails. */
static int background_code(const Fault *fault) {
  return fault->os_error != 0 && fault->set != ON_SYNC ? SQLITE_FULL : fault->code;
}

/* Does the code tell of this fault? */
static bool tells(const Injection *injection, int code) {
  const Fault *fault = injection->fault;
  if (code == fault->code || code == background_code(fault)) return true;
  /* SQLITE_BUSY_RECOVERY, too; and ATTACH has words, but no code. */
  if (fault->code == SQLITE_BUSY && (code & 0xff) == SQLITE_BUSY) return true;
  return injection->scenario->two && code == SQLITE_ERROR;
}

static void check_codes(const Injection *injection, const Outcome *outcome, int count) {
  const Fault *fault = injection->fault;
  for (int i = 0; i < outcome->code_count; i++) {
    if (!tells(injection, outcome->codes[i])) SCENARIO_FAIL("somebody got %d", outcome->codes[i]);
  }
  int code = outcome->stream_code;
  if (code != SQLITE_OK && code != background_code(fault))
    SCENARIO_FAIL("the stream failed with %d", code);
  if ((fault->set & (ON_SYNC | ON_SYNC_DIRECTORY)) == 0 || count == 0) return;
  /* What failed to be synced is not synced again, and nobody goes on as if it were. */
  bool again = count > (injection->scenario->two ? 2 : 1);
  bool goes_on = code == SQLITE_OK || !outcome->told;
  bool claims = outcome->flushed && outcome->code_count > 0;
  if (again || goes_on || claims) SCENARIO_FAIL("a sync failed, %d times: code %d", count, code);
}

static int run(Injection *injection, bool eager, void (*settle)(void *), Outcome *outcome) {
  Hooks hooks = {.begin = begin, .end = end, .settle = settle, .arg = injection};
  scenario_note("%s: %s, n = %d, %s, %s", injection->scenario->name, injection->fault->name,
                injection->n, injection->times < 0 ? "for ever" : "once", eager ? "eager" : "late");
  int count = scenario_run(injection->scenario, eager, &hooks, outcome);
  if (count > 0) injections++;
  return count;
}

/* False if the call does not come. */
static bool inject(const Scenario *scenario, const Fault *fault, int n, int times, bool eager) {
  Injection injection = {scenario, fault, n, times, 0};
  Outcome outcome;
  int count = run(&injection, eager, NULL, &outcome);
  check_codes(&injection, &outcome, count);
  return count > 0;
}

/* What every run makes all of. */
static bool is_important(const Scenario *scenario, const Fault *fault, int times, bool eager) {
  static const char *const names[] = {"commit_in_mode_delete", "commit_in_mode_wal",
                                      "commit_to_two"};
  bool among = false;
  for (int i = 0; i < 3; i++) among = among || strcmp(scenario->name, names[i]) == 0;
  unsigned set = fault->set & (ON_WRITE | ON_SYNC | ON_DELETE);
  return among && set != 0 && fault->os_error == 0 && times == 1 && !eager;
}

static void every_n(const Scenario *scenario, const Fault *fault, int times, bool eager) {
  bool all = is_important(scenario, fault, times, eager) && !test_is_sanitized();
  if (!all && !scenario_chooses(KINDS)) return;
  bool meets = true;
  for (int n = 0; meets; n++) {
    CHECK(n < CALLS_MAX);
    if (all || scenario_chooses(CALLS * scenario_thins(scenario)))
      meets = inject(scenario, fault, n, times, eager);
  }
}

static void every_call_fails(void) {
  const Scenario *scenario = scenario_find(test_name());
  scenario_prepare(scenario);
  for (int i = 0; i < FAULT_COUNT; i++) {
    for (int way = 0; way < 4; way++) {
      every_n(scenario, &faults[i], way & 1 ? -1 : 1, (way & 2) != 0);
    }
  }
  printf("# %d injections\n", injections);
}

/* ---- Full disks ---- */

/* If an op is held for want of space, or of memory: it is there again, and the writer looks. */
static void make_space(void *arg) {
  Injection *injection = arg;
  static const char *const names[] = {"x.db", "y.db"};
  for (int i = 0; i < 2; i++) {
    AsyncStream *stream = async_registry_find(script_path(names[i]));
    if (stream == NULL) continue;
    while (stream->op_stalled_since_us != 0) {
      char text[4096];
      CHECK(sqlite3async_status(script_path(names[i]), text, sizeof text) > 0);
      CHECK(strstr(text, "\"state\":\"disk-full\"") != NULL);
      injection->resumed++;
      async_scheduler_wake(&stream->task, ASYNC_WAKE_NOW);
      CHECK(step_some(CALLS_MAX) < CALLS_MAX);
    }
    async_registry_unref(stream);
  }
}

/* With nobody told of anything: the disk was only slow. */
static void a_full_disk_is_waited_for_at_every_call(void) {
  static const Fault full[] = {
      {"xOpen, no space", ON_OPEN, SQLITE_CANTOPEN, ENOSPC, false},
      {"xOpen", ON_OPEN, SQLITE_CANTOPEN, ENOENT, false}, /* all that the unix VFS says */
      {"xOpen, no memory", ON_OPEN, SQLITE_NOMEM, 0, false},
      {"xWrite, full", ON_WRITE, SQLITE_FULL, 0, true},
      {"xWrite, no space", ON_WRITE, SQLITE_IOERR_WRITE, ENOSPC, true},
      {"xTruncate, no space", ON_TRUNCATE, SQLITE_IOERR_TRUNCATE, ENOSPC, false},
      {"xDelete, no space", ON_DELETE, SQLITE_IOERR_DELETE, ENOSPC, false},
  };
  static const char *const names[] = {"commit_in_mode_delete", "commit_in_mode_truncate",
                                      "spill_and_roll_back_to_a_savepoint"};
  Random random = random_new(1);
  int which = random_below(&random, 3);
  int resumed = 0;
  const Scenario *scenario = scenario_find(names[which]);
  scenario_prepare(scenario);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_DISK_FULL_RETRY_MS, WAIT_MS), SQLITE_OK);
  for (int i = 0; i < (int)(sizeof full / sizeof full[0]); i++) {
    /* Once the journal is there it is opened at once, which takes no space of a disk. */
    if (full[i].set == ON_OPEN && strcmp(scenario->name, "commit_in_mode_truncate") == 0) continue;
    bool meets = true;
    for (int n = full[i].set == ON_OPEN ? 1 : 0; meets; n++) { /* the database is opened at once */
      if (!scenario_chooses(3)) continue;
      Injection injection = {scenario, &full[i], n, 2, 0};
      Outcome outcome;
      meets = run(&injection, n % 2 == 0, make_space, &outcome) > 0;
      if (outcome.code_count > 0) SCENARIO_FAIL("somebody got %d", outcome.codes[0]);
      resumed += injection.resumed;
    }
  }
  CHECK(resumed > 0);
  printf("# %s: %d injections, %d waits for space\n", scenario->name, injections, resumed);
}

static bool is_state(const char *state) {
  char text[4096];
  char wanted[100];
  snprintf(wanted, sizeof wanted, "\"state\":\"%s\"", state);
  return sqlite3async_status(script_path("x.db"), text, sizeof text) > 0 &&
         strstr(text, wanted) != NULL;
}

static atomic_bool has_space;

/* When the disk is full and somebody has to wait for the queue. */
static void *make_space_at_last(void *unused) {
  WAIT_FOR(WAIT_MS, is_state("disk-full"));
  WAIT_FOR(WAIT_MS, status_number(script_path("x.db"), "fullWaits") > 0);
  CHECK_EQ(sqlite3async_flush(script_path("x.db"), 50), SQLITE_BUSY);
  CHECK(is_state("disk-full"));
  testvfs_reset();
  has_space = true;
  return unused;
}

static void a_full_disk_takes_commits_until_the_queue_is_full(void) {
  scenario_prepare(scenario_find("commit_in_mode_delete"));
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_DISK_FULL_RETRY_MS, WAIT_MS * 3), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_QUEUE_BYTES, 200000), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  sqlite3 *db = open_async(script_path("x.db"));
  testvfs_reset();
  testvfs_fail(ON_WRITE, SCENARIO_PATHS, 3, -1, SQLITE_FULL, 0);
  Thread thread = thread_start(make_space_at_last, NULL);
  int committed = 0;
  while (!has_space) {
    exec(db, "UPDATE meta SET k = k + 1"); /* one of them waits for long */
    committed++;
  }
  thread_join(thread);
  CHECK(committed > 10);
  CHECK_EQ(sqlite3async_flush(script_path("x.db"), WAIT_MS), SQLITE_OK);
  CHECK(is_state("running"));
  exec(db, "UPDATE meta SET k = k + 1");
  close_database(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
  sqlite3 *plain = open_plain(script_path("x.db"));
  CHECK_EQ(query_int(plain, "SELECT k FROM meta"), committed + 1);
  check_integrity(plain);
  close_database(plain);
}

int main(void) {
  return scenario_run_tests(every_call_fails,
                            (TestCase[]){TEST(a_full_disk_is_waited_for_at_every_call),
                                         TEST(a_full_disk_takes_commits_until_the_queue_is_full),
                                         {0}});
}
