/*
** The scenarios.  See scenario.h.
*/
#include "scenario.h"

#include "sync.h"
#include "checkpoint.h"
#include "database.h"
#include "libfault.h"
#include "registry.h"
#include "script.h"
#include "testvfs.h"

#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READWRITE (SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)

static const char *live(void) { return test_path(SCENARIO_FOLDER); }

/* ---- Rollback journals ---- */

static void commit_in_mode(const char *mode) {
  if (!script_open(READWRITE)) return;
  char sql[100];
  snprintf(sql, sizeof sql, "PRAGMA journal_mode = %s; PRAGMA cache_size = 8", mode);
  script_sql(sql);
  script_transaction(1);
  script_flush();
  script_transaction(2);
}

static void commit_in_mode_delete(void) { commit_in_mode("DELETE"); }
static void commit_in_mode_truncate(void) { commit_in_mode("TRUNCATE"); }
static void commit_in_mode_persist(void) { commit_in_mode("PERSIST"); }

static void spill_and_roll_back_to_a_savepoint(void) {
  if (!script_open(READWRITE)) return;
  script_sql("PRAGMA cache_size = 4");
  script_commit("UPDATE @.t SET b = b || 'one'; SAVEPOINT s;"
                "UPDATE @.t SET b = substr(b, 2) || 'two'; DELETE FROM @.t WHERE a > 5;"
                "ROLLBACK TO s; UPDATE @.meta SET k = 1000; RELEASE s;");
  script_sql("BEGIN; UPDATE t SET b = 'none'; ROLLBACK");
  script_transaction(3);
}

static void compact_by_VACUUM(void) {
  if (!script_open(READWRITE)) return;
  script_commit("DELETE FROM @.t WHERE a % 2 = 0;");
  script_sql("VACUUM");
  script_transaction(1);
}

static void open_only_to_read(void) {
  if (!script_open(SQLITE_OPEN_READONLY)) return;
  script_read();
  script_sql("SELECT max(a) FROM t");
}

static void be_routed(void) {
  script_note(sqlite3async_route(script_path("x.db")));
  if (script_open_routed()) {
    script_transaction(1);
    script_transaction(1);
    script_flush();
    script_close();
  }
  script_settle(); /* a database that could not be opened is closed, too */
  int rc = sqlite3async_unroute(script_path("x.db"));
  if (rc == SQLITE_OK || rc == SQLITE_NOTFOUND) return; /* it could not be routed */
  script_note(rc);
  libfault_suspend(true);
  sqlite3async_unroute(script_path("x.db"));
  libfault_suspend(false);
}

/* ---- Closed again and again ---- */

static void close_and_open_again(const char *sql) {
  for (int i = 0; i < 3 && script_goes_on(); i++) {
    if (!script_open(READWRITE)) return;
    script_sql(sql);
    script_transaction(1);
    if (i == 1) script_flush();
    script_transaction(1);
    script_close();
  }
}

static void close_in_mode_delete(void) { close_and_open_again("PRAGMA synchronous = NORMAL"); }
static void close_in_mode_truncate(void) { close_and_open_again("PRAGMA journal_mode = TRUNCATE"); }
static void close_in_mode_persist(void) { close_and_open_again("PRAGMA journal_mode = PERSIST"); }
static void close_in_mode_wal(void) { close_and_open_again("PRAGMA synchronous = NORMAL"); }
static void close_without_syncs(void) { close_and_open_again("PRAGMA synchronous = OFF"); }
static void close_two_at_once(void) { close_and_open_again("SELECT count(*) FROM y.t"); }

static void close_with_a_statement_left(void) {
  if (!script_open(READWRITE)) return;
  script_transaction(2);
  sqlite3_stmt *statement = script_close_but_statement();
  if (script_goes_on() && script_open(READWRITE)) script_transaction(1);
  script_note(sqlite3_finalize(statement));
  script_close();
}

static void leave_a_kept_journal(void) {
  sqlite3 *db = open_plain(script_path("x.db"));
  exec(db, "PRAGMA journal_mode = PERSIST; UPDATE meta SET k = 5; UPDATE t SET b = b || 'kept'");
  close_database(db);
  CHECK(access(script_path("x.db-journal"), F_OK) == 0);
}

/* ---- WAL ---- */

static void make_wal(void) {
  sqlite3 *db = open_plain(script_path("x.db"));
  exec(db, "PRAGMA journal_mode = WAL");
  close_database(db);
}

static void commit_in_mode_wal(void) {
  if (!script_open(READWRITE)) return;
  script_sql("PRAGMA synchronous = NORMAL");
  script_transaction(1);
  script_flush();
  script_sql("PRAGMA synchronous = FULL");
  script_transaction(2);
  script_transaction(1);
}

/* The checkpointer is called, and is this thread. */
static void checkpoint(void) {
  AsyncStream *stream = async_registry_find(script_path("x.db"));
  if (stream == NULL) return;
  async_mutex_enter(&stream->mutex);
  async_wal_request_now(&stream->wal);
  stream->wal.retry_us = 0;
  async_mutex_leave(&stream->mutex);
  async_registry_unref(stream);
  async_checkpoint_step();
  script_settle_if_eager();
}

static void checkpoint_and_restart(void) {
  if (!script_open(READWRITE)) return;
  script_sql("PRAGMA synchronous = NORMAL");
  script_transaction(2);
  script_flush();
  script_transaction(1);
  checkpoint();
  script_transaction(1); /* starts the WAL anew */
  script_flush();
  checkpoint();
  script_transaction(1);
}

static void checkpoint_without_a_writer(void) { checkpoint_and_restart(); }
static void checkpoint_beside_the_writer(void) { checkpoint_and_restart(); }

static void checkpoint_by_hand(void) {
  if (!script_open(READWRITE)) return;
  script_transaction(2);
  script_sql("PRAGMA wal_checkpoint(TRUNCATE)");
  script_transaction(1);
  script_sql("PRAGMA wal_checkpoint(PASSIVE)");
  script_transaction(1);
}

static void leave_a_wal(void) {
  sqlite3 *db = open_plain(script_path("x.db"));
  exec(db, "PRAGMA journal_mode = WAL; UPDATE meta SET k = 5; UPDATE t SET b = b || 'wal'");
  copy_folder(live(), test_path("template"));
  close_database(db);
}

static void find_a_wal(void) {
  if (!script_open(READWRITE)) return;
  script_read();
  script_transaction(1);
  script_flush();
  script_transaction(1);
}

static void change_the_journal_mode(void) {
  if (!script_open(READWRITE)) return;
  script_transaction(1);
  script_sql("PRAGMA journal_mode = WAL");
  script_transaction(1);
  script_sql("PRAGMA journal_mode = DELETE");
  script_transaction(1);
}

/* Another process, but that this one plays it, has the database meanwhile. */
static void release_and_take_back(void) {
  if (!script_open(READWRITE)) return;
  script_transaction(1);
  script_flush();
  int rc = sqlite3async_release(script_path("x.db"), 0);
  script_note(rc);
  if (rc == SQLITE_OK) {
    libfault_suspend(true);
    sqlite3 *plain = open_plain(script_path("x.db"));
    query_int(plain, "SELECT count(*) FROM t");
    close_database(plain); /* which deletes the WAL */
    libfault_suspend(false);
  }
  script_read();
  script_transaction(1);
  script_flush();
  script_transaction(1);
}

/* ---- What a crash left ---- */

static void leave_a_hot_journal(void) {
  sqlite3 *db = open_plain(script_path("x.db"));
  exec(db, "PRAGMA cache_size = 3; BEGIN; UPDATE t SET b = b || 'never'; UPDATE meta SET k = 99");
  exec(db, "UPDATE t SET b = b || 'ever'");
  copy_folder(live(), test_path("template"));
  struct stat file;
  CHECK(stat(test_path("template/x.db-journal"), &file) == 0 && file.st_size > 1000);
  exec(db, "ROLLBACK");
  close_database(db);
}

static void find_a_hot_journal(void) {
  if (!script_open(READWRITE)) return;
  script_read();
  script_transaction(1);
  script_flush();
  script_transaction(1);
}

/* ---- Two databases ---- */

static void commit_to_two(void) {
  if (!script_open(READWRITE)) return;
  script_transaction(1);
  script_flush();
  script_transaction(1);
}

static bool has_super_journal(void) {
  bool found = false;
  DIR *dir = opendir(live());
  CHECK(dir != NULL);
  struct dirent *entry;
  while ((entry = readdir(dir)) != NULL) found = found || strstr(entry->d_name, "-mj") != NULL;
  closedir(dir);
  return found;
}

static void copy_if_super_journal(void *unused) {
  (void)unused;
  if (has_super_journal()) copy_folder(live(), test_path("template"));
}

/* The moment before the super-journal is deleted. */
static void leave_a_super_journal(void) {
  sqlite3 *db = NULL;
  CHECK_EQ(sqlite3_open_v2(script_path("x.db"), &db, READWRITE, TESTVFS_NAME), SQLITE_OK);
  exec(db, "ATTACH '%s' AS y", script_path("y.db"));
  testvfs_on_change(copy_if_super_journal, NULL);
  exec(db, "BEGIN; UPDATE main.meta SET k = 7; UPDATE y.meta SET k = 7;"
           "DELETE FROM main.t; DELETE FROM y.t; COMMIT");
  testvfs_reset();
  close_database(db);
}

static void find_a_super_journal(void) {
  if (!script_open(READWRITE)) return;
  script_sql("SELECT count(*) FROM main.t; SELECT count(*) FROM y.t");
  script_transaction(1);
}

/* ---- All ---- */

#define SCENARIO(f) .name = #f, .script = f

const Scenario scenarios[] = {
    {SCENARIO(commit_in_mode_delete)},
    {SCENARIO(commit_in_mode_truncate)},
    {SCENARIO(commit_in_mode_persist)},
    {SCENARIO(spill_and_roll_back_to_a_savepoint)},
    {SCENARIO(compact_by_VACUUM)},
    {SCENARIO(open_only_to_read)},
    {SCENARIO(be_routed)},
    {SCENARIO(close_in_mode_delete), .has_thread = true, .leaves_files = true},
    {SCENARIO(close_in_mode_truncate), .has_thread = true, .leaves_files = true},
    {SCENARIO(close_in_mode_persist), .prepare = leave_a_kept_journal, .has_thread = true,
     .leaves_files = true},
    {SCENARIO(close_in_mode_wal), .prepare = make_wal, .has_thread = true, .leaves_files = true},
    {SCENARIO(close_without_syncs), .has_thread = true, .leaves_files = true},
    {SCENARIO(close_two_at_once), .two = true, .has_thread = true, .leaves_files = true},
    {SCENARIO(close_with_a_statement_left), .has_thread = true, .leaves_files = true},
    {SCENARIO(commit_in_mode_wal), .prepare = make_wal},
    {SCENARIO(checkpoint_without_a_writer), .prepare = make_wal},
    {SCENARIO(checkpoint_beside_the_writer), .prepare = make_wal, .has_thread = true},
    {SCENARIO(checkpoint_by_hand), .prepare = make_wal},
    {SCENARIO(find_a_wal), .prepare = leave_a_wal},
    {SCENARIO(change_the_journal_mode)},
    {SCENARIO(release_and_take_back), .prepare = make_wal},
    {SCENARIO(find_a_hot_journal), .prepare = leave_a_hot_journal},
    {SCENARIO(commit_to_two), .two = true},
    {SCENARIO(find_a_super_journal), .prepare = leave_a_super_journal, .two = true},
    {0},
};

const Scenario *scenario_find(const char *name) {
  for (const Scenario *each = scenarios; each->name != NULL; each++) {
    if (strcmp(each->name, name) == 0) return each;
  }
  return NULL;
}

#define TESTS_MAX 64

int scenario_run_tests(void (*run)(void), const TestCase *more) {
  TestCase tests[TESTS_MAX + 1] = {0};
  int count = 0;
  for (const Scenario *each = scenarios; each->name != NULL && count < TESTS_MAX; each++) {
    tests[count++] = (TestCase){each->name, run};
  }
  for (; more->name != NULL && count < TESTS_MAX; more++) tests[count++] = *more;
  return run_tests(tests);
}

bool scenario_chooses(int one_in) {
  static Random random;
  if (random.state == 0) random = random_new(strlen(test_name()));
  if (test_scale() > 1) one_in = test_is_sanitized() ? one_in / 2 : 1;
  return one_in <= 1 || random_one_in(&random, one_in);
}

int scenario_thins(const Scenario *scenario) { return scenario->leaves_files ? 8 : 1; }

/* ---- Words for a failure ---- */

static char words[300];

static void on_abort(int signal_number) {
  ssize_t written = write(STDOUT_FILENO, words, strlen(words));
  (void)written;
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void scenario_note(const char *format, ...) {
  char text[250];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  snprintf(words, sizeof words, "# while: %s\n", text);
  static const int signals[] = {SIGABRT, SIGSEGV, SIGALRM};
  for (int i = 0; i < 3; i++) signal(signals[i], on_abort);
}

void scenario_tell(void) { printf("%s", words); }
