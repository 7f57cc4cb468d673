/*
** Random SQL through plain SQLite and through us, side by side: every result
** must be the same, and in the end what lies on disk.  The queue is stalled,
** stepped at random, or applied by a running writer meanwhile.
*/
#include "database.h"
#include "testvfs.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum Mode { STALLED, STEPPED, RUNNING } Mode;

typedef struct Pair {
  Mode mode;
  Random random;
  sqlite3 *plain;
  sqlite3 *async;
  bool exclusive; /* locking mode */
  int statement;
} Pair;

static const char *const journal_modes[] = {"DELETE", "TRUNCATE", "PERSIST",
                                            "MEMORY", "OFF",      "WAL"};
static const char *const sync_levels[] = {"OFF", "NORMAL", "FULL", "EXTRA"};
static const int page_sizes[] = {512, 1024, 4096, 16384, 65536};

/* Run SQL on both and compare. */
static void both(Pair *pair, const char *sql) {
  pair->statement++;
  char *plain = query_text(pair->plain, sql);
  char *async = query_text(pair->async, sql);
  if (strcmp(plain, async) != 0) {
    FAIL("statement %d: %s\n# plain: %s (%s)\n# async: %s (%s)", pair->statement, sql, plain,
         sqlite3_errmsg(pair->plain), async, sqlite3_errmsg(pair->async));
  }
  sqlite3_free(plain);
  sqlite3_free(async);
  if (pair->mode == STEPPED) step_some(random_below(&pair->random, 6));
}

__attribute__((format(printf, 2, 3))) static void both_f(Pair *pair, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *sql = sqlite3_vmprintf(format, args);
  va_end(args);
  both(pair, sql);
  sqlite3_free(sql);
}

static void attach(Pair *pair) {
  exec(pair->plain, "ATTACH '%s' AS other", test_path("plain-other.db"));
  exec(pair->async, "ATTACH '%s' AS other", test_path("async-other.db"));
}

static void open_pair(Pair *pair) {
  pair->plain = open_plain(test_path("plain.db"));
  pair->async = open_async(test_path("async.db"));
  pair->exclusive = false;
  int page_size = page_sizes[random_below(&pair->random, 5)];
  int auto_vacuum = random_below(&pair->random, 3);
  both_f(pair, "PRAGMA page_size = %d", page_size);
  both_f(pair, "PRAGMA auto_vacuum = %d", auto_vacuum);
  both_f(pair, "PRAGMA cache_size = %d", 5 + random_below(&pair->random, 30));
  both(pair, "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b, c)");
  both(pair, "CREATE INDEX IF NOT EXISTS t_b ON t(b)");
  both(pair, "CREATE TEMP TABLE s(x, y)");
  attach(pair);
  both(pair, "CREATE TABLE IF NOT EXISTS other.o(a INTEGER PRIMARY KEY, b)");
}

static void close_pair(Pair *pair) {
  if (!sqlite3_get_autocommit(pair->plain)) both(pair, "COMMIT");
  close_database(pair->plain);
  close_database(pair->async);
}

static void insert_some(Pair *pair) {
  int key = random_below(&pair->random, 3000);
  int count = 1 + random_below(&pair->random, random_one_in(&pair->random, 10) ? 120 : 4);
  int size = random_below(&pair->random, random_one_in(&pair->random, 8) ? 9000 : 200);
  static const char *const targets[] = {"main.t(a, b, c)", "other.o(a, b)"};
  bool other = random_one_in(&pair->random, 4);
  both_f(pair,
         "WITH n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n LIMIT %d) INSERT OR REPLACE INTO "
         "%s SELECT i, %s(printf('%%.*c', %d + i %% 7, 'a' || i))%s FROM n",
         key, count, targets[other], other ? "upper" : "lower", size, other ? "" : ", i * 7");
}

static void change_schema(Pair *pair) {
  int n = random_below(&pair->random, 3);
  switch (random_below(&pair->random, 5)) {
  case 0:
    both_f(pair, "CREATE TABLE IF NOT EXISTS extra%d AS SELECT * FROM t LIMIT 50", n);
    break;
  case 1:
    both_f(pair, "DROP TABLE IF EXISTS extra%d", n);
    break;
  case 2:
    both_f(pair, "CREATE INDEX IF NOT EXISTS t_c%d ON t(c, b)", n);
    break;
  case 3:
    both_f(pair, "DROP INDEX IF EXISTS t_c%d", n);
    break;
  default:
    both(pair, "REINDEX t_b");
    break;
  }
}

static void change_settings(Pair *pair) {
  const char *schema = random_one_in(&pair->random, 3) ? "other" : "main";
  switch (random_below(&pair->random, 5)) {
  case 0: {
    const char *mode = journal_modes[random_below(&pair->random, 6)];
    both_f(pair, "PRAGMA %s.journal_mode = %s", schema, mode);
    break;
  }
  case 1:
    both_f(pair, "PRAGMA %s.synchronous = %s", schema, sync_levels[random_below(&pair->random, 4)]);
    break;
  case 2:
    both_f(pair, "PRAGMA %s.incremental_vacuum(3)", schema);
    break;
  case 3:
    both(pair, "PRAGMA main.page_count; PRAGMA main.freelist_count; PRAGMA main.journal_mode");
    break;
  default:
    if (!sqlite3_get_autocommit(pair->plain)) break;
    pair->exclusive = random_one_in(&pair->random, 3);
    both_f(pair, "PRAGMA locking_mode = %s; SELECT count(*) FROM t; SELECT count(*) FROM other.o",
           pair->exclusive ? "EXCLUSIVE" : "NORMAL");
    break;
  }
}

/* With journal_mode OFF a rollback may leave anything, also in plain SQLite. */
static bool can_roll_back(Pair *pair) {
  char *modes = query_text(pair->plain, "PRAGMA main.journal_mode; PRAGMA other.journal_mode");
  bool can = strstr(modes, "off") == NULL;
  sqlite3_free(modes);
  return can;
}

static void run_transaction(Pair *pair) {
  switch (random_below(&pair->random, 8)) {
  case 0:
  case 1:
    both(pair, random_one_in(&pair->random, 3) ? "BEGIN IMMEDIATE" : "BEGIN");
    break;
  case 2:
  case 3:
    both(pair, "COMMIT");
    break;
  case 4:
    if (can_roll_back(pair)) both(pair, "ROLLBACK");
    break;
  case 5:
    both_f(pair, "SAVEPOINT p%d", random_below(&pair->random, 3));
    break;
  case 6:
    if (!can_roll_back(pair)) break;
    both_f(pair, "ROLLBACK TO p%d", random_below(&pair->random, 3));
    break;
  default:
    both_f(pair, "RELEASE p%d", random_below(&pair->random, 3));
    break;
  }
}

static void query(Pair *pair) {
  int key = random_below(&pair->random, 3000);
  both_f(pair, "SELECT * FROM t WHERE a BETWEEN %d AND %d", key, key + 40);
  both_f(pair, "SELECT count(*), sum(c), min(b), max(length(b)) FROM t WHERE b > 'a%d'", key);
  both(pair, "SELECT count(*), total(length(b)) FROM other.o");
}

static void run_one(Pair *pair) {
  int kind = random_below(&pair->random, 100);
  int key = random_below(&pair->random, 3000);
  if (kind < 30) {
    insert_some(pair);
  } else if (kind < 42) {
    both_f(pair, "UPDATE t SET b = b || c, c = c + 1 WHERE a BETWEEN %d AND %d", key, key + 20);
  } else if (kind < 50) {
    both_f(pair, "DELETE FROM t WHERE a BETWEEN %d AND %d", key, key + 200);
  } else if (kind < 53) {
    both_f(pair, "DELETE FROM other.o WHERE a > %d", key);
  } else if (kind < 57) {
    both_f(pair, "INSERT INTO s SELECT a, b FROM t ORDER BY c LIMIT %d", key / 30);
  } else if (kind < 70) {
    query(pair);
  } else if (kind < 85) {
    run_transaction(pair);
  } else if (kind < 91) {
    change_settings(pair);
  } else if (kind < 95) {
    change_schema(pair);
  } else if (kind < 97) {
    both(pair, random_one_in(&pair->random, 2) ? "VACUUM" : "VACUUM other");
  } else if (kind < 98) {
    close_pair(pair);
    open_pair(pair);
  } else {
    both(pair, "SELECT count(*), total(y) FROM s; DELETE FROM s");
  }
}

/* What plain SQLite finds on disk must be the same in both. */
static void compare_disk(const char *plain_path, const char *async_path) {
  sqlite3 *plain = open_plain(plain_path);
  sqlite3 *async = open_plain(async_path);
  check_integrity(async);
  char *wanted = dump_text(plain);
  char *got = dump_text(async);
  if (strcmp(wanted, got) != 0) FAIL("%s differs from %s", async_path, plain_path);
  sqlite3_free(wanted);
  sqlite3_free(got);
  close_database(plain);
  close_database(async);
}

static void drain(Mode mode) {
  if (mode != RUNNING) step_all();
  if (mode == RUNNING) CHECK_EQ(sqlite3async_flush(NULL, 60000), SQLITE_OK);
  CHECK_EQ(status_number(NULL, "queuedOps"), 0);
}

static void run_history(Mode mode, uint64_t offset, int statements) {
  Pair pair = {.mode = mode, .random = random_new(offset)};
  open_pair(&pair);
  for (int i = 0; i < statements; i++) run_one(&pair);
  close_pair(&pair);
  drain(mode);
  compare_disk(test_path("plain.db"), test_path("async.db"));
  compare_disk(test_path("plain-other.db"), test_path("async-other.db"));
  static const char *const names[] = {"plain.db", "async.db", "plain-other.db", "async-other.db"};
  for (int i = 0; i < 4; i++) {
    remove(test_path(names[i]));
    char journal[100];
    snprintf(journal, sizeof journal, "%s-journal", names[i]);
    remove(test_path(journal));
  }
}

static void run_histories(Mode mode, uint64_t offset) {
  async_setup();
  if (mode == RUNNING) {
    CHECK_EQ(sqlite3async_start(), SQLITE_OK);
    CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_LOCK_HOLD_MS, 0), SQLITE_OK);
  }
  for (int i = 0; i < 8 * test_scale(); i++) run_history(mode, offset + (uint64_t)i * 7919, 400);
  if (mode == RUNNING) CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
}

static void with_a_stalled_queue(void) { run_histories(STALLED, 1000000); }
static void with_a_stepped_queue(void) { run_histories(STEPPED, 2000000); }
static void with_a_running_writer(void) { run_histories(RUNNING, 3000000); }

static void a_running_writer_and_a_small_queue(void) {
  async_setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_QUEUE_BYTES, 100000), SQLITE_OK);
  run_histories(RUNNING, 4000000);
}

int main(void) {
  return run_tests((TestCase[]){TEST(with_a_stalled_queue),
                                TEST(with_a_stepped_queue),
                                TEST(with_a_running_writer),
                                TEST(a_running_writer_and_a_small_queue),
                                {0}});
}
