/*
** SQL through plain SQLite and through us, side by side: the input is a sequence of
** statements on a few connections, between which the writer makes some steps.  Every
** row and every code must be the same, and in the end each byte of the databases.
**
** What differs by intent is not asked for: what mmap_size says, and how much a
** checkpoint by hand has copied once the checkpointer, or another process, could have
** been there.
*/
#include "fuzz.h"

#include "checkpoint.h"
#include "database.h"
#include "registry.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const FuzzTarget fuzz_target = {"sql", 220};

#define CONNECTIONS 3
#define STATEMENTS_MAX 120

typedef struct Pair {
  sqlite3 *plain;
  sqlite3 *async;
} Pair;

static Pair pairs[CONNECTIONS];
/* The checkpointer has copied what plain SQLite has not; or the wal-index was made anew, and
** nobody knows any more what was copied. */
static bool checkpointed;
static bool diverged;    /* and a connection sees that, see may_diverge() */
static bool has_journal; /* no connection has asked for journal_mode=OFF */

/* The folders' names have the same length, since they may get into a database. */
static const char *folder_of(bool async) { return test_path(async ? "async" : "plain"); }

/* ---- Running a statement ---- */

/* The text with the side's folder in place of each "@"; to be freed by sqlite3_free(). */
static char *with_folder(const char *text, bool async) {
  sqlite3_str *out = sqlite3_str_new(NULL);
  for (; *text != '\0'; text++) {
    if (*text == '@') {
      sqlite3_str_appendall(out, folder_of(async));
    } else {
      sqlite3_str_appendchar(out, 1, *text);
    }
  }
  return sqlite3_str_finish(out);
}

static char *run_on(sqlite3 *db, const char *text, bool async) {
  char *sql = with_folder(text, async);
  /* The same numbers for both, in salts and the like. */
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, 77, NULL);
  char *result = query_text(db, sql);
  sqlite3_free(sql);
  return result;
}

/*
** Where all of the WAL is copied, a transaction that reads the database alone does
** not keep another from starting the WAL anew.  So it may find that its snapshot is
** old, which in plain SQLite it is not, for nobody has copied anything there.
*/
static bool may_diverge(const char *plain, const char *async) {
  return checkpointed && strstr(plain, "= 0") != NULL &&
         strcmp(strstr(async, "= "), "= 517") == 0; /* SQLITE_BUSY_SNAPSHOT */
}

static void both(int i, const char *sql, bool rows_too) {
  Pair *pair = &pairs[i];
  char *plain = run_on(pair->plain, sql, false);
  char *async = run_on(pair->async, sql, true);
  bool same = strcmp(plain, async) == 0;
  if (!rows_too) same = strcmp(strstr(plain, "= "), strstr(async, "= ")) == 0;
  bool in_transaction = sqlite3_get_autocommit(pair->plain) == 0;
  same = same && in_transaction == (sqlite3_get_autocommit(pair->async) == 0);
  fuzz_tell("%d: %s %s", i, sql, strrchr(plain, '='));
  if (!same && may_diverge(plain, async)) diverged = true;
  if (!same && !diverged) {
    FAIL("connection %d: %s\n# plain: %s (%s)\n# async: %s (%s)", i, sql, plain,
         sqlite3_errmsg(pair->plain), async, sqlite3_errmsg(pair->async));
  }
  sqlite3_free(plain);
  sqlite3_free(async);
}

__attribute__((format(printf, 2, 3))) static void both_f(int i, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *sql = sqlite3_vmprintf(format, args);
  va_end(args);
  both(i, sql, true);
  sqlite3_free(sql);
}

static const char *choose(FuzzInput *input, const char *const *words) {
  int count = 0;
  while (words[count] != NULL) count++;
  return words[fuzz_below(input, count)];
}

/* ---- Connections ---- */

static sqlite3 *open_one(bool async) {
  char *path = with_folder("@/x.db", async);
  sqlite3 *db = async ? open_async(path) : open_plain(path);
  sqlite3_free(path);
  return db;
}

static void open_pair(FuzzInput *input, int i) {
  static const int sizes[] = {5, 10, 50, 500};
  static const int autocheckpoints[] = {0, 4, 30};
  static const char *const levels[] = {"OFF", "NORMAL", "FULL", "EXTRA", NULL};
  pairs[i] = (Pair){.plain = open_one(false), .async = open_one(true)};
  int settings = fuzz_byte(input);
  both_f(i, "PRAGMA cache_size = %d", sizes[settings % 4]);
  both_f(i, "PRAGMA synchronous = %s", levels[settings / 4 % 4]);
  /* Whether by default or not: ours has none by default. */
  both_f(i, "PRAGMA wal_autocheckpoint = %d", autocheckpoints[settings / 16 % 3]);
}

static void close_pair(int i) {
  if (pairs[i].plain == NULL) return;
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, 78, NULL);
  close_database(pairs[i].plain);
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, 78, NULL);
  close_database(pairs[i].async);
  pairs[i] = (Pair){0};
}

/* ---- Statements ---- */

/* With journal_mode=OFF a rollback may leave anything, also in plain SQLite. */
static void roll_back(int i, const char *sql) {
  if (has_journal) both(i, sql, true);
}

static void change_rows(FuzzInput *input, int i) {
  static const char *const tables[] = {"t", "t", "u", "other.o", NULL};
  const char *table = choose(input, tables);
  int kind = fuzz_below(input, 8);
  int key = fuzz_byte(input) * 4;
  int count = 1 + fuzz_below(input, 256) % (kind == 0 ? 200 : 12);
  int size = fuzz_byte(input) * (kind == 1 ? 60 : 2);
  switch (kind) {
  case 4:
    both_f(i, "UPDATE %s SET b = zeroblob(%d) WHERE a BETWEEN %d AND %d", table, size, key,
           key + count);
    break;
  case 5:
    both_f(i, "UPDATE OR IGNORE %s SET a = a + %d, b = b || 'x' WHERE a > %d", table, size, key);
    break;
  case 6:
    both_f(i, "DELETE FROM %s WHERE a BETWEEN %d AND %d", table, key, key + count * 5);
    break;
  case 7:
    both_f(i, "DELETE FROM %s", table);
    break;
  default:
    both_f(i,
           "WITH n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n LIMIT %d) INSERT OR REPLACE "
           "INTO %s(a, b) SELECT i, printf('%%.*c', %d + i %% 7, 'b' || i) FROM n",
           key, count, table, size);
    break;
  }
}

static void read_rows(FuzzInput *input, int i) {
  int key = fuzz_byte(input) * 4;
  switch (fuzz_below(input, 5)) {
  case 0:
    both_f(i, "SELECT * FROM t WHERE a BETWEEN %d AND %d", key, key + 20);
    break;
  case 1:
    both_f(i, "SELECT count(*), min(b), max(length(b)) FROM t WHERE b > 'b%d'", key);
    break;
  case 2:
    both(i, "SELECT count(*), total(length(b)) FROM other.o", true);
    break;
  case 3:
    both(i, "SELECT count(*), sum(a), total(length(b)) FROM u", true);
    break;
  default:
    both(i, "PRAGMA integrity_check", true);
    break;
  }
}

static void control_transaction(FuzzInput *input, int i) {
  static const char *const words[] = {
      "BEGIN",       "BEGIN",       "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "COMMIT", "COMMIT",
      "SAVEPOINT s", "SAVEPOINT r", "RELEASE s",       "RELEASE r",       NULL};
  static const char *const back[] = {"ROLLBACK", "ROLLBACK TO s", "ROLLBACK TO r", NULL};
  int kind = fuzz_below(input, 13);
  if (kind < 10) {
    both(i, words[kind], true);
  } else {
    roll_back(i, back[kind - 10]);
  }
}

static void change_schema(FuzzInput *input, int i) {
  static const char *const words[] = {"CREATE INDEX IF NOT EXISTS t_b ON t(b)",
                                      "DROP INDEX IF EXISTS t_b",
                                      "CREATE TABLE IF NOT EXISTS e AS SELECT * FROM t LIMIT 20",
                                      "DROP TABLE IF EXISTS e",
                                      "CREATE TABLE IF NOT EXISTS other.e(a UNIQUE, b)",
                                      "DROP TABLE IF EXISTS other.e",
                                      "REINDEX",
                                      "ALTER TABLE t ADD COLUMN d DEFAULT 5",
                                      "CREATE TEMP TABLE IF NOT EXISTS s AS SELECT * FROM t",
                                      "INSERT INTO s SELECT * FROM s",
                                      "ANALYZE",
                                      NULL};
  both(i, choose(input, words), true);
}

static void set_journal_mode(FuzzInput *input, int i) {
  static const char *const modes[] = {"DELETE", "TRUNCATE", "PERSIST", "WAL",
                                      "WAL",    "MEMORY",   "OFF",     NULL};
  const char *mode = choose(input, modes);
  if (strcmp(mode, "OFF") == 0) has_journal = false;
  both_f(i, "PRAGMA %s.journal_mode = %s", fuzz_below(input, 3) == 0 ? "other" : "main", mode);
}

static void set_something(FuzzInput *input, int i) {
  static const char *const words[] = {
      "PRAGMA main.synchronous = OFF",
      "PRAGMA main.synchronous = NORMAL",
      "PRAGMA synchronous = FULL",
      "PRAGMA synchronous = EXTRA",
      "PRAGMA other.synchronous = NORMAL",
      "PRAGMA locking_mode = EXCLUSIVE",
      "PRAGMA main.locking_mode = NORMAL",
      "PRAGMA cache_size = 5",
      "PRAGMA cache_size = 100",
      "PRAGMA cache_spill = OFF",
      "PRAGMA main.journal_size_limit = 3000",
      "PRAGMA journal_size_limit = 0",
      "PRAGMA secure_delete = ON",
      "PRAGMA user_version = 7",
      "PRAGMA user_version; PRAGMA page_count; PRAGMA freelist_count; PRAGMA journal_mode",
      "PRAGMA data_version",
      "PRAGMA wal_autocheckpoint = 3",
      "PRAGMA page_size = 1024",
      "PRAGMA auto_vacuum = FULL",
      "PRAGMA max_page_count = 60",
      "PRAGMA max_page_count = 100000",
      "PRAGMA temp_store = MEMORY",
      NULL};
  const char *sql = choose(input, words);
  /* It moves as well when the wal-index was made anew. */
  both(i, sql, !checkpointed || strstr(sql, "data_version") == NULL);
}

static void checkpoint_by_hand(FuzzInput *input, int i) {
  static const char *const modes[] = {"PASSIVE", "FULL", "RESTART", "TRUNCATE", NULL};
  char *sql = sqlite3_mprintf("PRAGMA wal_checkpoint(%s)", choose(input, modes));
  both(i, sql, !checkpointed);
  sqlite3_free(sql);
}

static void vacuum(FuzzInput *input, int i) {
  static const char *const words[] = {"VACUUM",
                                      "VACUUM other",
                                      "PRAGMA incremental_vacuum(3)",
                                      "PRAGMA incremental_vacuum",
                                      "VACUUM INTO '@/into.db'",
                                      NULL};
  const char *sql = choose(input, words);
  both(i, sql, true);
  if (strstr(sql, "INTO") == NULL) return;
  /* To be made again; ours is there when it was written. */
  for (int side = 0; side < 2; side++) {
    char *path = with_folder("@/into.db", side == 1);
    if (side == 1) step_all();
    unlink(path);
    sqlite3_free(path);
  }
}

static void attach(FuzzInput *input, int i) {
  if (fuzz_below(input, 4) == 0) {
    both(i, "DETACH other", true);
    return;
  }
  both(i, "ATTACH '@/y.db' AS other", true);
  both(i, "CREATE TABLE IF NOT EXISTS other.o(a INTEGER PRIMARY KEY, b)", true);
}

/* ---- What only ours has ---- */

static bool in_transaction(void) {
  bool any = false;
  for (int i = 0; i < CONNECTIONS; i++) {
    if (pairs[i].async == NULL) continue;
    any = any || sqlite3_txn_state(pairs[i].async, NULL) != SQLITE_TXN_NONE;
  }
  return any;
}

/* Only with nobody in a transaction, for whom it would wait. */
static void let_the_checkpointer_come(void) {
  char *path = with_folder("@/x.db", true);
  AsyncStream *stream = in_transaction() ? NULL : async_registry_find(path);
  sqlite3_free(path);
  if (stream == NULL) return;
  async_mutex_enter(&stream->mutex);
  async_wal_request_now(&stream->wal);
  stream->wal.retry_us = 0;
  async_mutex_leave(&stream->mutex);
  async_checkpoint_step();
  async_registry_unref(stream);
  checkpointed = true;
}

/* What only ours knows; there is nothing to compare. */
static void ask_ours(FuzzInput *input) {
  static const char *const words[] = {"PRAGMA async_status", "PRAGMA async_flush = 0", NULL};
  const char *sql = choose(input, words);
  if (pairs[0].async != NULL) sqlite3_free(query_text(pairs[0].async, sql));
}

/* Whether it comes to that is the clock's to say, if a transaction is open: so only with none. */
static void let_others_in(void) {
  if (in_transaction()) return;
  char *path = with_folder("@/x.db", true);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  int rc = sqlite3async_release(path, 30);
  CHECK(rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_NOTFOUND);
  checkpointed = true;
  CHECK_EQ(sqlite3async_stop(10000), SQLITE_OK);
  sqlite3_free(path);
}

static void write_behind(FuzzInput *input) {
  int kind = fuzz_below(input, 16);
  switch (kind) {
  case 0:
    step_all();
    break;
  case 1:
    let_the_checkpointer_come();
    break;
  case 2:
    if (fuzz_below(input, 4) == 0) let_others_in(); /* it starts threads */
    break;
  case 3: {
    sqlite3_int64 of_streams[20];
    int rc = sqlite3async_flush_begin(NULL, of_streams, 10);
    CHECK(rc >= 0 || rc == -SQLITE_MISUSE); /* nobody is at it now, but the request stands */
    break;
  }
  case 4:
  case 5:
  case 6:
    fuzz_step_during_io(1 + fuzz_below(input, 20), 1 + fuzz_below(input, 5));
    break;
  case 15:
    ask_ours(input);
    break;
  default:
    step_some(kind - 6);
    break;
  }
}

/* ---- The program ---- */

static void run_op(FuzzInput *input) {
  int op = fuzz_byte(input);
  fuzz_tell("op %d", op % 32);
  int i = op / 32 % (CONNECTIONS + 1) % CONNECTIONS; /* most on the first */
  int kind = op % 32;
  if (kind >= 28) {
    write_behind(input);
    return;
  }
  if (pairs[i].plain == NULL) open_pair(input, i);
  if (kind < 8) {
    change_rows(input, i);
  } else if (kind < 11) {
    read_rows(input, i);
  } else if (kind < 17) {
    control_transaction(input, i);
  } else if (kind < 18) {
    change_schema(input, i);
  } else if (kind < 20) {
    set_journal_mode(input, i);
  } else if (kind < 22) {
    set_something(input, i);
  } else if (kind < 24) {
    checkpoint_by_hand(input, i);
  } else if (kind < 25) {
    vacuum(input, i);
  } else if (kind < 27) {
    attach(input, i);
  } else {
    close_pair(i);
  }
}

static void start(FuzzInput *input) {
  static const int page_sizes[] = {512, 1024, 4096, 65536};
  int settings = fuzz_byte(input);
  checkpointed = diverged = false;
  has_journal = true;
  fuzz_empty_folder(folder_of(false));
  fuzz_empty_folder(folder_of(true));
  open_pair(input, 0);
  both_f(0, "PRAGMA page_size = %d", page_sizes[settings % 4]);
  both_f(0, "PRAGMA auto_vacuum = %d", settings / 4 % 3);
  both(0, settings / 16 % 2 ? "PRAGMA journal_mode = WAL" : "PRAGMA journal_mode", true);
  both(0,
       "CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE TABLE u(a PRIMARY KEY, b) WITHOUT ROWID",
       true);
  both(0, "CREATE INDEX t_b ON t(b)", true);
}

static char *read_file(const char *text, bool async, long *size) {
  char *path = with_folder(text, async);
  FILE *file = fopen(path, "rb");
  sqlite3_free(path);
  *size = -1;
  if (file == NULL) return NULL;
  CHECK(fseek(file, 0, SEEK_END) == 0);
  *size = ftell(file);
  rewind(file);
  char *bytes = malloc((size_t)*size + 1);
  CHECK(bytes != NULL && fread(bytes, 1, (size_t)*size, file) == (size_t)*size);
  fclose(file);
  return bytes;
}

static void compare_bytes(const char *name) {
  long plain_size;
  long async_size;
  char *plain = read_file(name, false, &plain_size);
  char *async = read_file(name, true, &async_size);
  CHECK_EQ(async_size, plain_size);
  long at = 0;
  while (at < plain_size && plain[at] == async[at]) at++;
  if (at < plain_size) {
    FAIL("byte %ld of %ld of %s is %d, not %d", at, plain_size, name, async[at], plain[at]);
  }
  free(plain);
  free(async);
}

static char *dump(const char *name, bool async) {
  char *path = with_folder(name, async);
  sqlite3 *db = open_plain(path);
  /* A statement that fails without a journal damages it, in plain SQLite too. */
  char *soundness = query_text(db, "PRAGMA integrity_check");
  char *rows = dump_text(db);
  close_database(db);
  sqlite3_free(path);
  return sqlite3_mprintf("%z\n%z", soundness, rows);
}

static void compare_rows(const char *name) {
  char *plain = dump(name, false);
  char *async = dump(name, true);
  CHECK_TEXT(async, plain);
  sqlite3_free(plain);
  sqlite3_free(async);
}

/* When connections have dropped what they knew at other moments, the change counter is not the
** same, nor is what lies in pages that are free. */
static void compare_disk(void) {
  static const char *const names[] = {"@/x.db",         "@/y.db",     "@/x.db-journal",
                                      "@/y.db-journal", "@/x.db-wal", "@/y.db-wal"};
  for (int i = 0; i < 6; i++) {
    if (i < 2 && checkpointed) {
      compare_rows(names[i]);
    } else {
      compare_bytes(names[i]);
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  FuzzInput input = {data, size < FUZZ_INPUT_MAX ? size : FUZZ_INPUT_MAX};
  fuzz_setup();
  start(&input);
  for (int n = 0; n < STATEMENTS_MAX && input.left > 0 && !diverged; n++) run_op(&input);
  for (int i = 0; i < CONNECTIONS; i++) close_pair(i);
  fuzz_drain();
  if (!diverged) compare_disk();
  return 0;
}
