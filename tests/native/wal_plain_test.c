/*
** WAL mode beside plain SQLite: what it leaves behind we recover as it does,
** and checkpoints by hand give its result rows.
*/
#include "database.h"
#include "testvfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Files ---- */

/* Copy the first n bytes, or all (n < 0).  How many there were. */
static int64_t copy_start(const char *from, const char *to, int64_t n) {
  FILE *in = fopen(from, "rb");
  FILE *out = fopen(to, "wb");
  CHECK(in != NULL && out != NULL);
  int64_t done = 0;
  for (int c; done != n && (c = fgetc(in)) != EOF; done++) fputc(c, out);
  fclose(in);
  CHECK(fclose(out) == 0);
  return done;
}

static const char *wal_of(const char *name) {
  char wal[100];
  snprintf(wal, sizeof wal, "%s-wal", name);
  return test_path(wal);
}

/* As after a crash: the database and the first n bytes of its WAL. */
static void copy_crashed(const char *from, const char *to, int64_t n) {
  copy_start(test_path(from), test_path(to), -1);
  copy_start(wal_of(from), wal_of(to), n);
}

static sqlite3 *make_plain(const char *name) {
  sqlite3 *plain = open_plain(test_path(name));
  exec(plain, "PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0");
  exec(plain, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE INDEX t_b ON t(b)");
  for (int i = 0; i < 40; i++) {
    exec(plain, "INSERT INTO t(b) VALUES (printf('%%.*c', %d, 'x')); DELETE FROM t WHERE a = %d",
         i * 20, i * 3);
    if (i == 20) exec(plain, "PRAGMA wal_checkpoint(PASSIVE)");
    if (i == 30) exec(plain, "PRAGMA wal_checkpoint(RESTART)");
  }
  return plain;
}

/* ---- Recovery ---- */

static void a_WAL_that_plain_SQLite_left_is_recovered(void) {
  async_setup();
  sqlite3 *plain = make_plain("plain.db");
  copy_crashed("plain.db", "x.db", -1);
  char *wanted = dump_text(plain);
  sqlite3 *db = open_async(test_path("x.db"));
  char *got = dump_text(db);
  CHECK_TEXT(got, wanted);
  check_integrity(db);
  exec(db, "INSERT INTO t(b) VALUES ('more')"); /* it goes on from there */
  exec(plain, "INSERT INTO t(b) VALUES ('more')");
  sqlite3_free(wanted);
  sqlite3_free(got);
  step_all();
  copy_crashed("x.db", "crashed.db", -1);
  close_database(db);
  step_all();
  sqlite3 *crashed = open_plain(test_path("crashed.db"));
  wanted = dump_text(plain);
  got = dump_text(crashed);
  CHECK_TEXT(got, wanted);
  sqlite3_free(wanted);
  sqlite3_free(got);
  close_database(crashed);
  close_database(plain);
}

static void a_WAL_that_was_cut_anywhere_gives_what_it_gives_plain_SQLite(void) {
  async_setup();
  sqlite3 *plain = make_plain("plain.db");
  int64_t size = copy_start(wal_of("plain.db"), test_path("unused"), -1);
  Random random = random_new(0);
  for (int i = 0; i < 40 * test_scale(); i++) {
    int64_t n = i < 3 ? i * 16 : random_below(&random, (int)size);
    copy_crashed("plain.db", "x.db", n);
    copy_crashed("plain.db", "y.db", n);
    sqlite3 *one = open_async(test_path("x.db"));
    sqlite3 *other = open_plain(test_path("y.db"));
    exec(one, "UPDATE t SET b = b || 'y' WHERE a %% 5 = 1");
    exec(other, "UPDATE t SET b = b || 'y' WHERE a %% 5 = 1");
    char *got = dump_text(one);
    char *wanted = dump_text(other);
    if (strcmp(got, wanted) != 0) FAIL("cut at %lld: they differ", (long long)n);
    check_integrity(one);
    sqlite3_free(wanted);
    sqlite3_free(got);
    close_database(one);
    close_database(other);
    step_all();
  }
  close_database(plain);
}

static void a_WAL_without_a_database_in_WAL_mode(void) {
  async_setup();
  sqlite3 *plain = open_plain(test_path("x.db"));
  exec(plain, "PRAGMA journal_mode = WAL; CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  copy_crashed("x.db", "y.db", -1);
  close_database(plain);
  /* An empty database beside a WAL that has everything. */
  fclose(fopen(test_path("z.db"), "wb"));
  copy_start(wal_of("y.db"), wal_of("z.db"), -1);
  fclose(fopen(test_path("zz.db"), "wb"));
  copy_start(wal_of("y.db"), wal_of("zz.db"), -1);
  sqlite3 *one = open_async(test_path("z.db"));
  sqlite3 *other = open_plain(test_path("zz.db"));
  char *got = query_text(one, "SELECT * FROM t");
  char *wanted = query_text(other, "SELECT * FROM t");
  CHECK_TEXT(got, wanted);
  sqlite3_free(wanted);
  sqlite3_free(got);
  close_database(one);
  close_database(other);
  step_all();
}

/* ---- Checkpoints by hand ---- */

typedef struct Both {
  sqlite3 *db;
  sqlite3 *reader;
} Both;

static Both open_both(const char *name, sqlite3 *(*open)(const char *)) {
  Both both = {.db = open(test_path(name))};
  exec(both.db, "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL");
  exec(both.db, "PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  both.reader = open(test_path(name));
  exec(both.reader, "SELECT * FROM t");
  return both;
}

static char *run_checkpoints(Both both, Random *random) {
  sqlite3_str *text = sqlite3_str_new(NULL);
  static const char *const modes[] = {"PASSIVE", "FULL", "RESTART", "TRUNCATE"};
  for (int i = 0; i < 120; i++) {
    int action = random_below(random, 6);
    char *rows = NULL;
    bool reads = !sqlite3_get_autocommit(both.reader);
    switch (action) {
    case 0:
      rows = query_text(both.reader, reads ? "COMMIT" : "BEGIN; SELECT count(*) FROM t");
      break;
    case 1:
    case 2:
      exec(both.db, "INSERT INTO t(b) VALUES (zeroblob(%d))", random_below(random, 9000));
      break;
    case 3:
      rows = query_text(both.db, "SELECT count(*), total(length(b)) FROM t");
      break;
    default: {
      char *sql = sqlite3_mprintf("PRAGMA wal_checkpoint(%s)", modes[random_below(random, 4)]);
      rows = query_text(random_one_in(random, 4) ? both.reader : both.db, sql);
      sqlite3_str_appendf(text, "%s: ", sql);
      sqlite3_free(sql);
      break;
    }
    }
    sqlite3_str_appendf(text, "%d: %s\n", i, rows == NULL ? "" : rows);
    sqlite3_free(rows);
    step_some(random_below(random, 4) - 1);
  }
  return sqlite3_str_finish(text);
}

static void checkpoints_by_hand_give_the_rows_of_plain_SQLite(void) {
  async_setup();
  for (int round = 0; round < 20 * test_scale(); round++) {
    Both plain = open_both("plain.db", open_plain);
    Both async = open_both("x.db", open_async);
    Random one = random_new((uint64_t)round);
    Random other = random_new((uint64_t)round);
    char *wanted = run_checkpoints(plain, &one);
    char *got = run_checkpoints(async, &other);
    CHECK_TEXT(got, wanted);
    sqlite3_free(wanted);
    sqlite3_free(got);
    close_database(plain.db);
    close_database(plain.reader);
    close_database(async.db);
    close_database(async.reader);
    step_all();
    remove(test_path("plain.db"));
    remove(test_path("x.db"));
  }
}

int main(void) {
  return run_tests((TestCase[]){TEST(a_WAL_that_plain_SQLite_left_is_recovered),
                                TEST(a_WAL_that_was_cut_anywhere_gives_what_it_gives_plain_SQLite),
                                TEST(a_WAL_without_a_database_in_WAL_mode),
                                TEST(checkpoints_by_hand_give_the_rows_of_plain_SQLite),
                                {0}});
}
