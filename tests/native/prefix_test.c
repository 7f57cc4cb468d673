/*
** What lies on disk is at every moment a prefix of the transactions: random
** histories are stepped, and after every few ops plain SQLite looks at a
** copy, as it would after a crash.
*/
#include "sync.h"
#include "checkpoint.h"
#include "database.h"
#include "testvfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TRANSACTIONS 6

typedef struct History {
  Random random;
  char folder[300];
  char path[400];
  sqlite3 *db;
  sqlite3 *other;                /* with WAL: makes checkpoints, */
  sqlite3 *reader;               /* and stands in their way */
  char *dumps[TRANSACTIONS + 1]; /* the content after each transaction */
  int committed;
  int not_ours; /* what the status counts besides: the change of the journal mode */
  int seen;     /* the latest transaction that was found on disk */
} History;

static sqlite3 *open_copy(const char *path) {
  sqlite3 *db = open_plain(path);
  exec(db, "PRAGMA synchronous = OFF");
  return db;
}

static void check_copy(void *arg) {
  History *history = arg;
  sqlite3 *copy = open_copy(history->path);
  check_integrity(copy);
  int k = (int)query_int(copy, "SELECT k FROM meta");
  CHECK(k >= history->seen && k <= history->committed);
  char *dump = dump_text(copy);
  if (strcmp(dump, history->dumps[k]) != 0) FAIL("transaction %d is there in part", k);
  sqlite3_free(dump);
  close_database(copy);
  history->seen = k;
}

static void look(History *history) {
  int applied = 0;
  if (history->db != NULL) applied = (int)status_number(history->path, "applied");
  with_copy(history->folder, check_copy, history);
  CHECK(history->seen >= applied - history->not_ours);
}

static void step_and_look(History *history, int steps_max) {
  int steps_each = history->other == NULL ? 5 : 1;
  for (int i = 0; i < steps_max; i++) {
    if (step_some(1 + random_below(&history->random, steps_each)) == 0) break;
    look(history);
  }
}

static void begin(History *history, const char *journal_mode, const char *level, int page_size) {
  snprintf(history->folder, sizeof history->folder, "%s", test_path("live"));
  CHECK(mkdir(history->folder, 0700) == 0);
  snprintf(history->path, sizeof history->path, "%s/x.db", history->folder);
  sqlite3 *plain = open_plain(history->path);
  exec(plain, "PRAGMA page_size = %d; PRAGMA auto_vacuum = %d", page_size,
       random_below(&history->random, 3));
  exec(plain, "CREATE TABLE meta(k); INSERT INTO meta VALUES (0)");
  exec(plain, "CREATE TABLE t(a INTEGER PRIMARY KEY, k, b); CREATE INDEX t_k ON t(k, b)");
  history->dumps[0] = dump_text(plain);
  close_database(plain);
  history->db = open_async(history->path);
  exec(history->db, "PRAGMA journal_mode = %s", journal_mode);
  exec(history->db, "PRAGMA synchronous = %s; PRAGMA cache_size = 8", level);
  history->not_ours = (int)status_number(history->path, "committed");
}

/* ---- With a WAL ---- */

static void begin_wal(History *history, const char *level) {
  history->other = open_async(history->path);
  history->reader = open_async(history->path);
  exec(history->other, "PRAGMA synchronous = %s; SELECT * FROM meta", level);
}

static void begin_or_end_reading(History *history) {
  bool reads = !sqlite3_get_autocommit(history->reader);
  exec(history->reader, reads ? "COMMIT" : "BEGIN; SELECT * FROM meta");
}

/* By another connection or as the checkpointer does it; whether all is copied is left to chance. */
static void checkpoint_somehow(History *history) {
  static const char *const modes[] = {"PASSIVE", "FULL", "RESTART", "TRUNCATE"};
  if (random_one_in(&history->random, 3)) begin_or_end_reading(history);
  int mode = random_below(&history->random, 5);
  if (mode < 4) exec(history->other, "PRAGMA wal_checkpoint(%s)", modes[mode]);
  if (mode == 4) async_checkpoint_step();
}

static void end_wal(History *history) {
  close_database(history->reader);
  close_database(history->other);
  history->reader = history->other = NULL;
}

static void change_something(History *history, int k) {
  sqlite3 *db = history->db;
  int key = random_below(&history->random, 400);
  switch (random_below(&history->random, 4)) {
  case 0:
    exec(db, "DELETE FROM t WHERE a BETWEEN %d AND %d", key, key + 150);
    break;
  case 1:
    exec(db, "UPDATE t SET k = %d, b = b || 'x' WHERE a BETWEEN %d AND %d", k, key, key + 20);
    break;
  default:
    exec(db,
         "WITH n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n LIMIT %d) INSERT OR REPLACE INTO t "
         "SELECT i, %d, printf('%%.*c', %d, 'b') FROM n",
         key, 1 + random_below(&history->random, 40), k, random_below(&history->random, 900));
    break;
  }
}

static void run_transaction(History *history, int k) {
  exec(history->db, "BEGIN");
  int changes = 1 + random_below(&history->random, 4);
  for (int i = 0; i < changes; i++) {
    change_something(history, k);
    if (random_one_in(&history->random, 6)) {
      exec(history->db, "SAVEPOINT s; DELETE FROM t WHERE a %% 3 = 0; ROLLBACK TO s; RELEASE s");
    }
  }
  if (random_one_in(&history->random, 5)) { /* one that comes to nothing */
    exec(history->db, "ROLLBACK; BEGIN");
  }
  exec(history->db, "UPDATE meta SET k = %d; COMMIT", k);
  history->committed = k;
  history->dumps[k] = dump_text(history->db);
}

static void run_history(const char *journal_mode, const char *level, int page_size,
                        uint64_t offset) {
  bool wal = strcmp(journal_mode, "WAL") == 0;
  History *history = calloc(1, sizeof *history);
  CHECK(history != NULL);
  history->random = random_new(offset);
  begin(history, journal_mode, level, page_size);
  if (wal) begin_wal(history, level);
  for (int k = 1; k <= TRANSACTIONS; k++) {
    run_transaction(history, k);
    if (wal && random_one_in(&history->random, 2)) checkpoint_somehow(history);
    step_and_look(history, random_below(&history->random, 20));
    if (wal && random_one_in(&history->random, 3)) checkpoint_somehow(history);
  }
  step_and_look(history, INT32_MAX);
  look(history);
  CHECK_EQ(history->seen, TRANSACTIONS);
  if (wal) end_wal(history);
  close_database(history->db);
  history->db = NULL;
  step_and_look(history, wal ? INT32_MAX : 0); /* the last checkpoint, and the WAL's end */
  step_all();
  for (int k = 0; k <= TRANSACTIONS; k++) sqlite3_free(history->dumps[k]);
  CHECK_EQ(remove(history->path), 0);
  char journal[420];
  snprintf(journal, sizeof journal, "%s-journal", history->path);
  remove(journal);
  CHECK_EQ(remove(history->folder), 0);
  free(history);
}

static void run_histories(const char *journal_mode, const char *const levels[]) {
  async_setup();
  static const int page_sizes[] = {512, 4096, 65536};
  /* With a WAL there is a look after every op, so each level gets one size only. */
  bool wal = strcmp(journal_mode, "WAL") == 0;
  Random random = random_new(77);
  uint64_t offset = 0;
  for (int round = 0; round < test_scale(); round++) {
    for (int level = 0; level < 3; level++) {
      int only = random_below(&random, 3);
      for (int size = 0; size < 3; size++) {
        if (wal && size != only) continue;
        run_history(journal_mode, levels[level], page_sizes[size], offset++);
      }
    }
  }
}

static const char *const levels_with_journal[] = {"NORMAL", "FULL", "EXTRA"};
/* Without syncs a WAL is as safe as with them, as long as the system lives. */
static const char *const levels_with_wal[] = {"NORMAL", "FULL", "OFF"};

static void in_mode_DELETE(void) { run_histories("DELETE", levels_with_journal); }
static void in_mode_TRUNCATE(void) { run_histories("TRUNCATE", levels_with_journal); }
static void in_mode_PERSIST(void) { run_histories("PERSIST", levels_with_journal); }

static void in_mode_WAL(void) { run_histories("WAL", levels_with_wal); }

static void in_mode_WAL_with_checkpoints_that_wait(void) {
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 10000), SQLITE_OK);
  play_writer(true);
  run_histories("WAL", levels_with_wal);
  play_writer(false);
}

/* ---- The order in which things reach the parent ---- */

/* Of a log: a line for each run of writes to a file, and the other changes. */
static char *shorten(const char *log) {
  sqlite3_str *text = sqlite3_str_new(NULL);
  char last[200] = "";
  while (*log != '\0') {
    const char *end = strchr(log, '\n');
    char line[200];
    snprintf(line, sizeof line, "%.*s", (int)(end - log), log);
    log = end + 1;
    if (strncmp(line, "open ", 5) == 0 || strncmp(line, "close ", 6) == 0) continue;
    if (strncmp(line, "write  ", 7) == 0) continue; /* a temporary file, which has no name */
    if (strncmp(line, "write ", 6) == 0) {
      *strchr(line + 6, ' ') = '\0'; /* writes may have been merged */
      if (strcmp(line, last) == 0) continue;
    }
    snprintf(last, sizeof last, "%s", line);
    sqlite3_str_appendf(text, "%s\n", line);
  }
  return sqlite3_str_finish(text);
}

static char *log_of(sqlite3 *db, const char *mode, const char *level) {
  exec(db, "PRAGMA page_size = 1024; PRAGMA cache_size = 6");
  exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  step_all();
  exec(db, "PRAGMA journal_mode = %s; PRAGMA synchronous = %s", mode, level);
  step_all();
  testvfs_reset();
  for (int i = 0; i < 4; i++) {
    exec(db, "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 40) INSERT OR REPLACE "
             "INTO t SELECT i * 3, zeroblob(400) FROM n");
    exec(db,
         "BEGIN; DELETE FROM t WHERE a > 50; SAVEPOINT s; DELETE FROM t; ROLLBACK TO s; COMMIT");
    exec(db, "BEGIN; UPDATE t SET b = zeroblob(500); ROLLBACK");
  }
  exec(db, "VACUUM");
  step_all();
  char *log = testvfs_log();
  char *text = shorten(log);
  free(log);
  return text;
}

/* We sync the end of the journal before the database shrinks; SQLite with FULL only. */
static char *with_sync_before_shrinking(char *log) {
  static const char ends[] = "truncate x.db-journal 0\n";
  static const char ends_and_shrinks[] = "truncate x.db-journal 0\ntruncate x.db ";
  const char *found = strstr(log, ends_and_shrinks);
  if (found == NULL) return log;
  int n = (int)(found - log) + (int)strlen(ends);
  char *text = sqlite3_mprintf("%.*ssync x.db-journal\n%s", n, log, log + n);
  sqlite3_free(log);
  return text;
}

static void ops_reach_the_parent_in_the_order_SQLite_made_them(void) {
  async_setup();
  static const char *const modes[] = {"DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF"};
  static const char *const levels[] = {"OFF", "NORMAL", "FULL", "EXTRA"};
  for (int i = 0; i < 20; i++) {
    if (strcmp(modes[i / 4], "OFF") == 0) continue; /* it cannot roll back */
    sqlite3 *plain = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    CHECK_EQ(sqlite3_open_v2(test_path("x.db"), &plain, flags, TESTVFS_NAME), SQLITE_OK);
    char *wanted = log_of(plain, modes[i / 4], levels[i % 4]);
    if (i % 4 > 0) wanted = with_sync_before_shrinking(wanted);
    close_database(plain);
    remove(test_path("x.db"));
    remove(test_path("x.db-journal"));
    sqlite3 *async = open_async(test_path("x.db"));
    char *got = log_of(async, modes[i / 4], levels[i % 4]);
    close_database(async);
    step_all();
    remove(test_path("x.db"));
    remove(test_path("x.db-journal"));
    CHECK(strstr(wanted, "x.db") != NULL);
    if (strcmp(wanted, got) != 0) {
      FAIL("%s %s\n-- plain:\n%.900s\n-- async:\n%.900s", modes[i / 4], levels[i % 4], wanted, got);
    }
    sqlite3_free(wanted);
    sqlite3_free(got);
  }
}

int main(void) {
  return run_tests((TestCase[]){TEST(in_mode_DELETE),
                                TEST(in_mode_TRUNCATE),
                                TEST(in_mode_PERSIST),
                                TEST(in_mode_WAL),
                                TEST(in_mode_WAL_with_checkpoints_that_wait),
                                TEST(ops_reach_the_parent_in_the_order_SQLite_made_them),
                                {0}});
}
