/*
** Databases of the tests of the shared library.  See client.h.
*/
#include "client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *library;
const char *folder;

_Noreturn void fail(int line, const char *format, ...) {
  va_list args;
  va_start(args, format);
  printf("# line %d: ", line);
  vprintf(format, args);
  printf("\n");
  va_end(args);
  fflush(stdout);
  end_without_handlers(1);
}

void check_equal(int line, const char *what, int64_t got, int64_t wanted) {
  if (got == wanted) return;
  fail(line, "%s is %lld, not %lld", what, (long long)got, (long long)wanted);
}

const char *path_of(const char *name) {
  static char paths[16][600];
  static unsigned next;
  char *path = paths[next++ % 16];
#if defined(_WIN32)
  snprintf(path, sizeof paths[0], "%s\\%s", folder, name);
#else
  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
#endif
  return path;
}

sqlite3 *try_open(const char *path, const char *vfs, int *rc) {
  sqlite3 *db = NULL;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI;
  *rc = sqlite3_open_v2(path, &db, flags, vfs);
  sqlite3_extended_result_codes(db, 1);
  return db;
}

sqlite3 *open_database(const char *path, const char *vfs) {
  int rc;
  sqlite3 *db = try_open(path, vfs, &rc);
  if (rc != SQLITE_OK) fail(__LINE__, "open %s: %s", path, sqlite3_errmsg(db));
  sqlite3_busy_timeout(db, 20000);
  return db;
}

void exec(sqlite3 *db, const char *sql) {
  int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
  if (rc != SQLITE_OK) fail(__LINE__, "%s: %s (%d)", sql, sqlite3_errmsg(db), rc);
}

/* The first column of the first row; to be freed. */
static char *query(sqlite3 *db, const char *sql) {
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_step(statement);
  if (rc != SQLITE_ROW) fail(__LINE__, "%s: %s (%d)", sql, sqlite3_errmsg(db), rc);
  char *text = sqlite3_mprintf("%s", sqlite3_column_text(statement, 0));
  sqlite3_finalize(statement);
  return text;
}

int64_t query_number(sqlite3 *db, const char *sql) {
  char *text = query(db, sql);
  int64_t number = strtoll(text, NULL, 10);
  sqlite3_free(text);
  return number;
}

void query_is(sqlite3 *db, const char *sql, const char *wanted) {
  char *text = query(db, sql);
  if (strcmp(text, wanted) != 0) fail(__LINE__, "%s: \"%s\", not \"%s\"", sql, text, wanted);
  sqlite3_free(text);
}

int64_t status(sqlite3 *db, const char *name) {
  char *text = query(db, "PRAGMA async_status");
  char *key = sqlite3_mprintf("\"%s\":", name);
  const char *found = strstr(text, key);
  if (found == NULL) fail(__LINE__, "no %s in %s", key, text);
  int64_t number = strtoll(found + strlen(key), NULL, 10);
  sqlite3_free(key);
  sqlite3_free(text);
  return number;
}

void close_database(sqlite3 *db) { CHECK_EQ(sqlite3_close(db), SQLITE_OK); }

void load(void) {
  sqlite3 *db = open_database(":memory:", NULL);
  char *error = NULL;
  sqlite3_enable_load_extension(db, 1);
  if (sqlite3_load_extension(db, library, NULL, &error) != SQLITE_OK) {
    fail(__LINE__, "%s: %s", library, error);
  }
  close_database(db);
}

void insert(sqlite3 *db, int rows) {
  for (int i = 0; i < rows; i++) exec(db, "INSERT INTO t VALUES (hex(randomblob(50)))");
}

int64_t plain_rows(const char *path) {
  sqlite3 *db = open_database(path, NULL);
  query_is(db, "PRAGMA integrity_check", "ok");
  int64_t rows = query_number(db, "SELECT count(*) FROM t");
  close_database(db);
  return rows;
}

void wait_until_closed(void) {
  int (*close_all)(int);
  void *function = library_function(library, "sqlite3async_close");
  CHECK(function != NULL);
  memcpy(&close_all, &function, sizeof function);
  CHECK_EQ(close_all(20000), SQLITE_OK);
}
