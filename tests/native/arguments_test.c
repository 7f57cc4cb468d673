/*
** The functions of sqlite3async.h, called as JavaScript may call them: with NULL, with
** numbers of any size and with names that are none.  None crashes; what is wrong gets a
** code and words.
*/
#include "database.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int numbers[] = {0, 1, -1, 2, 3, 63, 64, 65, 4096, 1 << 20, INT_MAX, INT_MIN};
static const sqlite3_int64 large[] = {0,        1,         -1,        1000,          INT_MAX,
                                      INT_MIN,  INT64_MAX, INT64_MIN, INT64_MAX / 2, INT64_MAX / 16,
                                      1LL << 53};
#define COUNT(list) ((int)(sizeof(list) / sizeof(list)[0]))

static char long_path[100000];

static const char *const paths[] = {NULL,
                                    "",
                                    "/",
                                    ".",
                                    "..",
                                    "none.db",
                                    "/no/such/folder/x.db",
                                    "\xff\xfe",
                                    "a\nb",
                                    "-mj012345970",
                                    "file:x.db?vfs=unix",
                                    long_path};

static void setup(void) {
  async_setup();
  memset(long_path, 'x', sizeof long_path - 1);
}

static void check_words(int rc) {
  char words[2000] = "";
  int length = sqlite3async_errmsg(words, sizeof words);
  if (rc != SQLITE_OK && length == 0) FAIL("no words for %d", rc);
  CHECK((size_t)length < sizeof words && strlen(words) == (size_t)length);
}

static void NULL_is_refused_where_something_is_wanted(void) {
  setup();
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  CHECK_EQ(sqlite3async_route(NULL), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_unroute(NULL), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_release(NULL, 0), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_exclude(NULL), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_exclude(""), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_databases(NULL, 100), 2);
  CHECK_EQ(sqlite3async_is_open(NULL), 0);
  CHECK_EQ(sqlite3async_route(""), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_unroute(""), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_get(SQLITEASYNC_DELAY, NULL), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_get(SQLITEASYNC_HALT, NULL), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_event(NULL, NULL, 0), 0);
  char buf[10];
  CHECK_EQ(sqlite3async_event(NULL, buf, sizeof buf), 0);
  CHECK_EQ(sqlite3async_errmsg(NULL, 100), sqlite3async_errmsg(buf, sizeof buf));
  CHECK_EQ(sqlite3async_status(NULL, NULL, 100), sqlite3async_status(NULL, NULL, 0));
  CHECK_EQ(sqlite3async_flush(NULL, 1000), SQLITE_OK); /* all */
  sqlite3 *db = open_async(test_path("a.db"));
  CHECK_EQ(sqlite3async_release("", 0), SQLITE_MISUSE); /* not the first that there is */
  CHECK_EQ(sqlite3async_stop(1000), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NOW), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  exec(db, "CREATE TABLE t(a)");
  int count = sqlite3async_flush_begin(NULL, NULL, 10);
  CHECK(count == 1 || count == -SQLITE_MISUSE); /* halted: no writer that could do it */
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER), SQLITE_OK);
  CHECK(sqlite3async_flush_begin(NULL, NULL, 10) >= 0);
  CHECK(sqlite3async_flush_begin(test_path("a.db"), NULL, INT_MAX) >= 0);
  close_database(db);
  CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
}

static void any_path_has_a_code_and_words(void) {
  setup();
  sqlite3_int64 pairs[4];
  char buf[4096];
  for (int i = 0; i < COUNT(paths); i++) {
    for (int k = 0; k < COUNT(numbers); k++) {
      int n = numbers[k];
      int room = n > COUNT(pairs) / 2 ? COUNT(pairs) / 2 : n;
      check_words(sqlite3async_flush(paths[i], n));
      check_words(sqlite3async_flush_begin(paths[i], pairs, room));
      if (n <= 1000) check_words(sqlite3async_release(paths[i], n));
      sqlite3async_status(paths[i], buf, n > COUNT(buf) ? COUNT(buf) : n);
      CHECK_EQ(sqlite3async_databases(buf, n > COUNT(buf) ? COUNT(buf) : n), 2);
    }
    check_words(sqlite3async_unroute(paths[i]));
    check_words(sqlite3async_route(paths[i]));
    check_words(sqlite3async_unroute(paths[i]));
    check_words(sqlite3async_is_open(paths[i]));
    if (i > 3) check_words(sqlite3async_exclude(paths[i])); /* not all there is */
    check_words(sqlite3async_prepare(paths[i], i % 2));
  }
}

/* Each value that is taken is the one read back, and the VFS works with it. */
static void any_number_is_taken_or_refused(void) {
  setup();
  sqlite3 *db = open_async(test_path("a.db"));
  exec(db, "PRAGMA journal_mode = WAL; CREATE TABLE t(a)");
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_DRAIN_ON_SIGNALS, 0), SQLITE_OK);
  for (int op = -1; op < 40; op++) {
    sqlite3_int64 before = 0;
    bool known = sqlite3async_get(op, &before) == SQLITE_OK;
    if (op == SQLITEASYNC_DELAY) continue; /* it does what it says */
    for (int i = 0; i < COUNT(large); i++) {
      int rc = sqlite3async_set(op, large[i]);
      sqlite3_int64 now = -1;
      CHECK_EQ(sqlite3async_get(op, &now), known ? SQLITE_OK : SQLITE_ERROR);
      if (!known) CHECK_EQ(rc, SQLITE_ERROR);
      if (rc != SQLITE_OK) check_words(rc);
      if (known && rc == SQLITE_OK) CHECK_EQ(now, large[i]);
      if (known && rc == SQLITE_OK && op != SQLITEASYNC_HALT && op != SQLITEASYNC_MAX_WAL_BYTES &&
          op != SQLITEASYNC_MAX_QUEUE_BYTES) {
        exec(db, "INSERT INTO t VALUES (1)");
        step_all();
      }
    }
    if (known) sqlite3async_set(op, before);
  }
  /* The largest of all at once, with the threads that work by them. */
  if (sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, INT64_MAX / 2) != SQLITE_OK) {
    CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, INT64_MAX / 16), SQLITE_OK);
  }
  sqlite3async_set(SQLITEASYNC_MAX_WAL_BYTES, INT64_MAX / 2);
  sqlite3async_set(SQLITEASYNC_MAX_QUEUE_BYTES, INT64_MAX / 2);
  sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, INT_MAX);
  sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 1);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  exec(db, "INSERT INTO t VALUES (1)");
  WAIT_FOR(10000, status_number(NULL, "checkpoints") > 0);
  CHECK_EQ(sqlite3async_flush(NULL, INT_MAX), SQLITE_OK);
  close_database(db);
  CHECK_EQ(sqlite3async_stop(-1), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_close(INT_MIN), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_close(INT_MAX), SQLITE_OK);
}

static void any_cursor_and_id_is_answered(void) {
  setup();
  char buf[4096];
  for (int i = 0; i < COUNT(large); i++) {
    sqlite3_int64 cursor = large[i];
    for (int k = 0; k < COUNT(numbers); k++) {
      CHECK_EQ(sqlite3async_event(&cursor, buf, numbers[k] > COUNT(buf) ? COUNT(buf) : numbers[k]),
               0);
    }
    CHECK_EQ(sqlite3async_durable(large[i]), INT64_MAX);
    int length = sqlite3async_errmsg(buf, (int)(large[i] & 0xfff));
    CHECK(length >= 0);
  }
  CHECK_EQ(sqlite3async_errmsg(buf, -1), sqlite3async_errmsg(buf, 0));
}

/* Before the VFS is registered, and after it is not any more, nothing is done. */
static void nothing_works_without_the_VFS_and_nothing_crashes(void) {
  memset(long_path, 'x', sizeof long_path - 1);
  for (int round = 0; round < 2; round++) {
    char buf[4096];
    sqlite3_int64 pairs[2];
    for (int i = 0; i < COUNT(paths); i++) {
      CHECK_EQ(sqlite3async_flush(paths[i], 0), SQLITE_MISUSE);
      CHECK_EQ(sqlite3async_flush_begin(paths[i], pairs, 1), -SQLITE_MISUSE);
      CHECK_EQ(sqlite3async_release(paths[i], 0), SQLITE_MISUSE);
      CHECK_EQ(sqlite3async_route(paths[i]), SQLITE_MISUSE);
      CHECK_EQ(sqlite3async_unroute(paths[i]), SQLITE_MISUSE);
      CHECK_EQ(sqlite3async_exclude(paths[i]), SQLITE_MISUSE);
      CHECK_EQ(sqlite3async_is_open(paths[i]), -SQLITE_MISUSE);
      CHECK_EQ(sqlite3async_databases(buf, sizeof buf), -SQLITE_MISUSE);
      CHECK_EQ(sqlite3async_status(paths[i], buf, sizeof buf), -SQLITE_MISUSE);
    }
    CHECK_EQ(sqlite3async_start(), SQLITE_MISUSE);
    CHECK_EQ(sqlite3async_stop(0), SQLITE_MISUSE);
    CHECK_EQ(sqlite3async_drain(), SQLITE_MISUSE);
    CHECK_EQ(sqlite3async_close(0), SQLITE_MISUSE);
    CHECK_EQ(sqlite3async_initialize("no such VFS", 0), SQLITE_ERROR);
    sqlite3async_shutdown();
    if (round == 0) {
      async_setup();
      CHECK_EQ(sqlite3async_start(), SQLITE_OK);
      CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
    }
  }
}

int main(void) {
  return run_tests((TestCase[]){TEST(NULL_is_refused_where_something_is_wanted),
                                TEST(any_path_has_a_code_and_words),
                                TEST(any_number_is_taken_or_refused),
                                TEST(any_cursor_and_id_is_answered),
                                TEST(nothing_works_without_the_VFS_and_nothing_crashes),
                                {0}});
}
