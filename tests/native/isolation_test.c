/*
** What one database tells of another: nothing.  Status, PRAGMAs and messages that are
** about one name no other; bytes of one do not end up in the files of another; and what
** is told of odd names is well-formed text.
*/
#define _GNU_SOURCE 1

#include "folder.h"
#include "testvfs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_WRITE (SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)

/* An open database "secret.db" that has failed, with ops of its own queued before. */
static sqlite3 *failed_secret(void) {
  async_setup();
  sqlite3async_set(SQLITEASYNC_DRAIN_ON_EXIT, 0); /* or it would complain at the end */
  sqlite3 *secret = open_async(test_path("secret.db"));
  exec(secret, "CREATE TABLE t(a); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)");
  testvfs_fail(ON_WRITE, "secret.db$", 0, 1, SQLITE_IOERR_WRITE, 0);
  step_all();
  CHECK(testvfs_failures() > 0);
  return secret;
}

static void check_untold(const char *what, const char *text) {
  bool told = strstr(text, "secret") != NULL || strstr(text, "\"state\":\"failed\"") != NULL;
  if (told) FAIL("%s tells of another database: %s", what, text);
}

static void check_status(const char *path) {
  char text[4096];
  CHECK(sqlite3async_status(path, text, sizeof text) > 0);
  check_untold("the status", text);
}

/* The one value that a statement gives; "" if it gives no row. */
static char *value_of(sqlite3 *db, const char *sql) {
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  if (rc != SQLITE_OK) FAIL("%s: %s", sql, sqlite3_errmsg(db));
  bool row = sqlite3_step(statement) == SQLITE_ROW;
  char *value = sqlite3_mprintf("%s", row ? (const char *)sqlite3_column_text(statement, 0) : "");
  sqlite3_finalize(statement);
  return value;
}

static void check_message(const char *what) {
  char words[2000] = "";
  sqlite3async_errmsg(words, sizeof words);
  check_untold(what, words);
}

/* It has this in it, and nothing of another database; "": there is no row. */
static void check_answer(sqlite3 *db, const char *sql, const char *wanted) {
  char *text = value_of(db, sql);
  check_untold(sql, text);
  bool right = wanted[0] == '\0' ? text[0] == '\0' : strstr(text, wanted) != NULL;
  if (!right) FAIL("%s: not \"%s\" but \"%s\"", sql, wanted, text);
  sqlite3_free(text);
}

static void status_and_pragmas_tell_of_one_database_only(void) {
  sqlite3 *secret = failed_secret();
  sqlite3 *db = open_async(test_path("a.db"));
  exec(db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  check_status(test_path("a.db"));
  CHECK_EQ(status_number(test_path("a.db"), "committed"), 2);
  check_answer(db, "PRAGMA async_status", "\"committed\":2,");
  CHECK_EQ(exec_code(db, "PRAGMA async_flush"), SQLITE_ERROR); /* no writer */
  check_untold("the message of the PRAGMA", sqlite3_errmsg(db));
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  CHECK_EQ(sqlite3async_flush(test_path("a.db"), 10000), SQLITE_OK);
  check_answer(db, "PRAGMA async_flush", "2");
  check_answer(db, "PRAGMA async_status", "\"error\":null");
  CHECK_EQ(sqlite3async_stop(10000), SQLITE_OK);
  exec(db, "INSERT INTO t VALUES (2)");
  CHECK_EQ(sqlite3async_flush(test_path("a.db"), 0), SQLITE_BUSY);
  check_message("the message of flush()");
  CHECK_EQ(sqlite3async_release(test_path("a.db"), 0), SQLITE_BUSY);
  check_message("the message of release()");
  /* All together is another question. */
  char text[4096];
  CHECK(sqlite3async_status(NULL, text, sizeof text) > 0);
  CHECK(strstr(text, "secret.db") != NULL);
  sqlite3_close(secret);
  /* Nor is the failure of one that was closed told to who asks for another. */
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  CHECK_EQ(sqlite3async_flush(test_path("a.db"), 10000), SQLITE_OK);
  close_database(db);
}

static void a_PRAGMA_is_about_the_schema_it_names(void) {
  sqlite3 *secret = failed_secret();
  sqlite3 *db = open_async(test_path("a.db"));
  exec(db, "CREATE TABLE t(a); ATTACH 'file:%s?vfs=unix' AS plain", test_path("plain.db"));
  exec(db, "ATTACH ':memory:' AS memory; CREATE TABLE plain.t(a); CREATE TEMP TABLE x(a)");
  exec(db, "ATTACH '%s' AS other", test_path("other.db"));
  exec(db, "CREATE TABLE other.t(a); INSERT INTO other.t VALUES (1)");
  CHECK_EQ(status_number(test_path("other.db"), "committed"), 2);
  check_answer(db, "PRAGMA other.async_status", "\"committed\":2,");
  check_answer(db, "PRAGMA main.async_status", "\"committed\":1,");
  check_answer(db, "PRAGMA async_status", "\"committed\":1,");
  /* Those that are not ours know no such PRAGMA; and it is no table. */
  check_answer(db, "PRAGMA plain.async_status", "");
  check_answer(db, "PRAGMA memory.async_status", "");
  check_answer(db, "PRAGMA temp.async_status", "");
  CHECK_EQ(exec_code(db, "SELECT * FROM pragma_async_status"), SQLITE_ERROR);
  sqlite3_close(secret);
  close_database(db);
  step_all();
}

static int deny_async(void *unused, int action, const char *name, const char *value,
                      const char *schema, const char *trigger) {
  (void)unused, (void)value, (void)schema, (void)trigger;
  bool ours = action == SQLITE_PRAGMA && name != NULL && strncmp(name, "async_", 6) == 0;
  return ours ? SQLITE_DENY : SQLITE_OK;
}

static void an_authorizer_keeps_the_PRAGMAs_from_untrusted_SQL(void) {
  async_setup();
  sqlite3 *db = open_async(test_path("a.db"));
  exec(db, "CREATE TABLE t(a)");
  CHECK_EQ(sqlite3_set_authorizer(db, deny_async, NULL), SQLITE_OK);
  CHECK_EQ(exec_code(db, "PRAGMA async_status"), SQLITE_AUTH);
  CHECK_EQ(exec_code(db, "PRAGMA async_flush"), SQLITE_AUTH); /* with no writer: an error else */
  CHECK_EQ(exec_code(db, "PRAGMA main.async_flush = 5"), SQLITE_AUTH);
  exec(db, "INSERT INTO t VALUES (1)");
  close_database(db);
  step_all();
}

/* ---- Bytes ---- */

#define SECRET 0xa5
#define FILE_SIZE 300000

static sqlite3_file *open_raw(const char *path) {
  sqlite3_vfs *vfs = sqlite3_vfs_find(SQLITEASYNC_VFSNAME);
  sqlite3_file *file = calloc(1, (size_t)vfs->szOsFile);
  int flags = READ_WRITE | SQLITE_OPEN_MAIN_DB;
  const char *name = sqlite3_create_filename(path, "", "", 0, NULL);
  CHECK_EQ(vfs->xOpen(vfs, name, file, flags, NULL), SQLITE_OK);
  sqlite3_free_filename((char *)(uintptr_t)name);
  return file;
}

static void close_raw(sqlite3_file *file) {
  file->pMethods->xClose(file);
  free(file);
}

static void check_no_secret(const unsigned char *bytes, size_t n, const char *where) {
  const unsigned char *found = memchr(bytes, SECRET, n);
  if (found != NULL) FAIL("a byte of another database at %d of %s", (int)(found - bytes), where);
}

/* Fill the memory that queues share with one database's bytes. */
static void queue_secrets(void) {
  static unsigned char secret[65536];
  memset(secret, SECRET, sizeof secret);
  sqlite3_file *file = open_raw(test_path("secret.db"));
  for (int i = 0; i < 40; i++) {
    CHECK_EQ(file->pMethods->xWrite(file, secret, sizeof secret, i * 65536L), SQLITE_OK);
  }
  step_all();
  close_raw(file);
  step_all();
}

static void change(sqlite3_file *file, Random *random) {
  static unsigned char bytes[70000];
  memset(bytes, 'b', sizeof bytes);
  int64_t offset = random_below(random, FILE_SIZE);
  sqlite3_int64 hint = offset + 50000;
  switch (random_below(random, 6)) {
  case 0:
    CHECK_EQ(file->pMethods->xTruncate(file, offset), SQLITE_OK);
    break;
  case 1:
    file->pMethods->xFileControl(file, SQLITE_FCNTL_SIZE_HINT, &hint);
    break;
  default:
    CHECK_EQ(file->pMethods->xWrite(file, bytes, 1 + random_below(random, 69999), offset),
             SQLITE_OK);
  }
}

static void bytes_of_one_database_never_reach_another(void) {
  async_setup();
  static unsigned char bytes[FILE_SIZE + 200000];
  for (int round = 0; round < 20 * test_scale(); round++) {
    Random random = random_new((uint64_t)round);
    queue_secrets();
    sqlite3_file *file = open_raw(test_path("b.db"));
    int chunk = 65536;
    if (random_one_in(&random, 2)) {
      file->pMethods->xFileControl(file, SQLITE_FCNTL_CHUNK_SIZE, &chunk);
    }
    for (int i = 0; i < 60; i++) {
      change(file, &random);
      if (random_one_in(&random, 4)) step_some(1 + random_below(&random, 4));
      int n = 1 + random_below(&random, 100000);
      memset(bytes, SECRET, (size_t)n); /* what is not there is to read as zeros */
      int rc = file->pMethods->xRead(file, bytes, n, random_below(&random, FILE_SIZE));
      CHECK(rc == SQLITE_OK || rc == SQLITE_IOERR_SHORT_READ);
      check_no_secret(bytes, (size_t)n, "what was read");
    }
    step_all();
    close_raw(file);
    step_all();
    FILE *disk = fopen(test_path("b.db"), "rb");
    size_t n = fread(bytes, 1, sizeof bytes, disk);
    fclose(disk);
    CHECK(n < sizeof bytes);
    check_no_secret(bytes, n, "b.db");
  }
}

/* ---- Text ---- */

#define ODD_NAME                                                                                   \
  "q\"\\\n\x01\x1b]0;x\x07\x7f\xff\xe4\xc0\xaf\xed\xa0\x80\xf5\x80\xc2\x9b"                        \
  "31m\xc3\xa4\xf0\x9f\x90\x98.db"
/* As JSON: what is no UTF-8 is replaced, a byte at a time; the rest is there. */
#define ODD_JSON                                                                                   \
  "q\\\"\\\\\\u000a\\u0001\\u001b]0;"                                                              \
  "x\\u0007\\u007f\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"                                \
  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\u009b"                            \
  "31m\xc3\xa4\xf0\x9f\x90\x98.db"

static void check_json(const char *text) {
  if (strstr(text, ODD_JSON) == NULL) FAIL("the name is not in %s", text);
  sqlite3 *db = NULL;
  CHECK_EQ(sqlite3_open(":memory:", &db), SQLITE_OK);
  char *sql = sqlite3_mprintf("SELECT json_valid(%Q)", text);
  CHECK_EQ(query_int(db, sql), 1);
  sqlite3_free(sql);
  close_database(db);
}

static void names_in_JSON_are_escaped_and_UTF_8(void) {
  async_setup();
  const char *path = test_path(ODD_NAME);
  sqlite3 *db = open_async(path);
  sqlite3_int64 cursor;
  sqlite3async_event(&cursor, NULL, 0);
  testvfs_fail(ON_WRITE, NULL, 0, 1, SQLITE_IOERR_WRITE, 0);
  exec(db, "CREATE TABLE t(a)");
  step_all();
  char text[8192];
  CHECK(sqlite3async_status(path, text, sizeof text) > 0);
  check_json(text);
  CHECK(sqlite3async_event(&cursor, text, sizeof text) > 0);
  check_json(text);
  char *pragma = value_of(db, "PRAGMA async_status");
  check_json(pragma);
  sqlite3_free(pragma);
  /* Cut short anywhere, it is still ended. */
  int whole = sqlite3async_status(path, NULL, 0);
  for (int n = 0; n <= whole + 1; n++) {
    memset(text, '#', sizeof text);
    CHECK_EQ(sqlite3async_status(path, text, n), whole);
    CHECK(text[n] == '#' && (n == 0 || memchr(text, '\0', (size_t)n) != NULL));
  }
  sqlite3_close(db);
  step_all();
}

static int lose_a_commit(void *unused) {
  (void)unused;
  int fd = open(test_path("stderr"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
  async_setup();
  sqlite3 *db = open_async(test_path(ODD_NAME));
  exec(db, "CREATE TABLE t(a)");
  testvfs_fail(ON_WRITE, NULL, 0, 1, SQLITE_IOERR_WRITE, 0);
  close_database(db);
  return 0;
}

static void a_name_on_stderr_controls_no_terminal(void) {
  CHECK_EQ(process_wait(process_start(lose_a_commit, NULL), 30000), 0);
  char *text = file_text(test_path("stderr"));
  CHECK(strstr(text, "were not written") != NULL && strstr(text, "31m\xc3\xa4") != NULL);
  size_t n = strlen(text);
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)text[i];
    bool control = (c < 0x20 && i + 1 < n) || c == 0x7f || c == 0xff;
    bool second = c == 0xc2 && (unsigned char)text[i + 1] < 0xa0; /* 0x80 .. 0x9f in UTF-8 */
    if (control || second) FAIL("byte %02x of %s", c, text);
  }
  free(text);
}

int main(void) {
  return run_tests((TestCase[]){TEST(status_and_pragmas_tell_of_one_database_only),
                                TEST(a_PRAGMA_is_about_the_schema_it_names),
                                TEST(an_authorizer_keeps_the_PRAGMAs_from_untrusted_SQL),
                                TEST(bytes_of_one_database_never_reach_another),
                                TEST(names_in_JSON_are_escaped_and_UTF_8),
                                TEST(a_name_on_stderr_controls_no_terminal),
                                {0}});
}
