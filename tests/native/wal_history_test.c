/*
** Random histories of several connections on one WAL database, statement by
** statement through plain SQLite and through us: the same rows and the same
** codes, whether the queue is stalled, stepped or applied by a running writer,
** and with the checkpointer at work.
*/
#include "database.h"
#include "testvfs.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CONNECTIONS 4

typedef enum Mode { STALLED, STEPPED, RUNNING, CHECKPOINTED } Mode;

typedef struct Pair {
  Mode mode;
  Random random;
  sqlite3 *plain[CONNECTIONS];
  sqlite3 *async[CONNECTIONS];
  int statement;
  bool diverged; /* see may_diverge() */
} Pair;

/*
** Where all of the WAL is copied, a transaction that reads the database alone does
** not keep another from starting the WAL anew; if that one then rolls back, having
** spilled its cache, the first has an old snapshot all the same.  That is so in plain
** SQLite, too, but here the checkpointer has copied what there is not copied.
*/
static bool may_diverge(const Pair *pair, const char *plain, const char *async) {
  return pair->mode == CHECKPOINTED && strstr(plain, "= 0") != NULL &&
         strcmp(strstr(async, "= "), "= 517") == 0; /* SQLITE_BUSY_SNAPSHOT */
}

/* Run SQL on both and compare, all or only the code and what the connection says of itself. */
static void both(Pair *pair, int i, const char *sql, bool rows_too) {
  pair->statement++;
  char *plain = query_text(pair->plain[i], sql);
  char *async = query_text(pair->async[i], sql);
  bool same = strcmp(plain, async) == 0;
  if (!rows_too) same = strcmp(strstr(plain, "= "), strstr(async, "= ")) == 0;
  bool in_transaction = sqlite3_get_autocommit(pair->plain[i]) == 0;
  same = same && in_transaction == (sqlite3_get_autocommit(pair->async[i]) == 0);
  if (!same && may_diverge(pair, plain, async)) pair->diverged = true;
  if (!same && !pair->diverged) {
    FAIL("statement %d on %d: %s\n# plain: %s (%s)\n# async: %s (%s)", pair->statement, i, sql,
         plain, sqlite3_errmsg(pair->plain[i]), async, sqlite3_errmsg(pair->async[i]));
  }
  sqlite3_free(plain);
  sqlite3_free(async);
  if (pair->mode == STEPPED) step_some(random_below(&pair->random, 6));
}

__attribute__((format(printf, 3, 4))) static void both_f(Pair *pair, int i, const char *format,
                                                         ...) {
  va_list args;
  va_start(args, format);
  char *sql = sqlite3_vmprintf(format, args);
  va_end(args);
  both(pair, i, sql, true);
  sqlite3_free(sql);
}

static void open_one(Pair *pair, int i) {
  pair->plain[i] = open_plain(test_path("plain.db"));
  pair->async[i] = open_async(test_path("async.db"));
  both_f(pair, i, "PRAGMA cache_size = %d", 5 + random_below(&pair->random, 30));
  both_f(pair, i, "PRAGMA wal_autocheckpoint = %d", random_one_in(&pair->random, 2) ? 0 : 20);
  static const char *const levels[] = {"OFF", "NORMAL", "FULL"};
  both_f(pair, i, "PRAGMA synchronous = %s", levels[random_below(&pair->random, 3)]);
}

static void close_one(Pair *pair, int i) {
  both(pair, i, "ROLLBACK", true); /* or an error, if there is none */
  close_database(pair->plain[i]);
  close_database(pair->async[i]);
}

static void write_something(Pair *pair, int i) {
  int key = random_below(&pair->random, 500);
  switch (random_below(&pair->random, 5)) {
  case 0:
    both_f(pair, i, "UPDATE t SET b = b || 'x', c = c + 1 WHERE a BETWEEN %d AND %d", key,
           key + random_below(&pair->random, 30));
    break;
  case 1:
    both_f(pair, i, "DELETE FROM t WHERE a BETWEEN %d AND %d", key,
           key + random_below(&pair->random, 60));
    break;
  default:
    both_f(pair, i,
           "WITH n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n LIMIT %d) INSERT OR REPLACE "
           "INTO t SELECT i, printf('%%.*c', %d, 'b'), i * 3 FROM n",
           key, 1 + random_below(&pair->random, random_one_in(&pair->random, 10) ? 100 : 5),
           random_below(&pair->random, random_one_in(&pair->random, 8) ? 5000 : 300));
    break;
  }
}

static void read_something(Pair *pair, int i) {
  int key = random_below(&pair->random, 500);
  both_f(pair, i, "SELECT * FROM t WHERE a BETWEEN %d AND %d", key, key + 20);
  both_f(pair, i, "SELECT count(*), sum(c), total(length(b)) FROM t WHERE c > %d", key);
}

static void control_transaction(Pair *pair, int i) {
  static const char *const words[] = {
      "BEGIN",  "BEGIN",    "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "COMMIT",   "COMMIT",
      "COMMIT", "ROLLBACK", "SAVEPOINT s",     "ROLLBACK TO s",   "RELEASE s"};
  both(pair, i, words[random_below(&pair->random, 11)], true);
}

/* How far a checkpoint gets is not the same when another one goes on beside it. */
static void checkpoint(Pair *pair, int i) {
  static const char *const modes[] = {"PASSIVE", "FULL", "RESTART", "TRUNCATE"};
  char sql[60];
  snprintf(sql, sizeof sql, "PRAGMA wal_checkpoint(%s)", modes[random_below(&pair->random, 4)]);
  both(pair, i, sql, pair->mode != CHECKPOINTED);
}

static void change_something(Pair *pair, int i) {
  switch (random_below(&pair->random, 6)) {
  case 0:
    both_f(pair, i, "CREATE INDEX IF NOT EXISTS t_c%d ON t(c)", random_below(&pair->random, 2));
    break;
  case 1:
    both_f(pair, i, "DROP INDEX IF EXISTS t_c%d", random_below(&pair->random, 2));
    break;
  case 2:
    both(pair, i, "VACUUM", true);
    break;
  case 3:
    both(pair, i, "PRAGMA journal_mode = DELETE", true);
    both(pair, i, "PRAGMA journal_mode = WAL", true);
    break;
  case 4:
    both_f(pair, i, "PRAGMA journal_size_limit = %d", random_below(&pair->random, 60000));
    break;
  default:
    close_one(pair, i);
    open_one(pair, i);
    break;
  }
}

static void run_one(Pair *pair) {
  int i = random_below(&pair->random, CONNECTIONS);
  int kind = random_below(&pair->random, 100);
  if (kind < 35) {
    write_something(pair, i);
  } else if (kind < 55) {
    read_something(pair, i);
  } else if (kind < 87) {
    control_transaction(pair, i);
  } else if (kind < 95) {
    checkpoint(pair, i);
  } else {
    change_something(pair, i);
  }
}

static void compare_disk(void) {
  sqlite3 *plain = open_plain(test_path("plain.db"));
  sqlite3 *async = open_plain(test_path("async.db"));
  check_integrity(async);
  char *wanted = dump_text(plain);
  char *got = dump_text(async);
  if (strcmp(wanted, got) != 0) FAIL("what is on disk differs");
  sqlite3_free(wanted);
  sqlite3_free(got);
  close_database(plain);
  close_database(async);
}

static void remove_databases(void) {
  static const char *const names[] = {"plain.db", "async.db", "plain.db-wal", "async.db-wal"};
  for (int i = 0; i < 4; i++) remove(test_path(names[i]));
}

static void run_history(Mode mode, uint64_t offset, int statements) {
  Pair pair = {.mode = mode, .random = random_new(offset)};
  static const int page_sizes[] = {512, 1024, 4096, 65536};
  for (int i = 0; i < CONNECTIONS; i++) {
    open_one(&pair, i);
    if (i > 0) continue;
    both_f(&pair, 0, "PRAGMA page_size = %d", page_sizes[random_below(&pair.random, 4)]);
    both_f(&pair, 0, "PRAGMA auto_vacuum = %d", random_below(&pair.random, 3));
    both(&pair, 0, "PRAGMA journal_mode = WAL", true);
    both(&pair, 0, "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c)", true);
  }
  for (int i = 0; i < statements && !pair.diverged; i++) run_one(&pair);
  for (int i = 0; i < CONNECTIONS; i++) close_one(&pair, i);
  if (mode == STALLED || mode == STEPPED) step_all();
  if (mode == RUNNING || mode == CHECKPOINTED) {
    CHECK_EQ(sqlite3async_flush(NULL, 60000), SQLITE_OK);
  }
  CHECK_EQ(status_number(NULL, "queuedOps"), 0);
  if (!pair.diverged) compare_disk();
  remove_databases();
}

static void run_histories(Mode mode, uint64_t offset) {
  async_setup();
  bool has_thread = mode == RUNNING || mode == CHECKPOINTED;
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_LOCK_HOLD_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, mode == CHECKPOINTED ? 20000 : 0),
           SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, mode == CHECKPOINTED ? 1 : 0),
           SQLITE_OK);
  if (has_thread) CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  for (int i = 0; i < 6 * test_scale(); i++) run_history(mode, offset + (uint64_t)i * 7919, 500);
  if (has_thread) CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
}

static void with_a_stalled_queue(void) { run_histories(STALLED, 1000000); }
static void with_a_stepped_queue(void) { run_histories(STEPPED, 2000000); }
static void with_a_running_writer(void) { run_histories(RUNNING, 3000000); }
static void with_a_checkpointer_at_work(void) { run_histories(CHECKPOINTED, 4000000); }

int main(void) {
  return run_tests((TestCase[]){TEST(with_a_stalled_queue),
                                TEST(with_a_stepped_queue),
                                TEST(with_a_running_writer),
                                TEST(with_a_checkpointer_at_work),
                                {0}});
}
