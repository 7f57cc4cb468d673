/*
** Databases in tests.  See database.h.
*/
#include "database.h"

#include "checkpoint.h"
#include "registry.h"
#include "testvfs.h"
#include "writer.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEPS_MAX 10000000

void async_setup(void) {
  testvfs_register();
  CHECK_EQ(sqlite3async_initialize(TESTVFS_NAME, 0), SQLITE_OK);
}

static sqlite3 *open_through(const char *path, const char *vfs) {
  sqlite3 *db = NULL;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI;
  int rc = sqlite3_open_v2(path, &db, flags, vfs);
  if (rc != SQLITE_OK) FAIL("open %s through %s: %s", path, vfs, sqlite3_errmsg(db));
  sqlite3_extended_result_codes(db, 1);
  return db;
}

sqlite3 *open_async(const char *path) { return open_through(path, SQLITEASYNC_VFSNAME); }

sqlite3 *open_plain(const char *path) { return open_through(path, "unix"); }

void close_database(sqlite3 *db) { CHECK_EQ(sqlite3_close(db), SQLITE_OK); }

void exec_at(const char *file, int line, sqlite3 *db, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *sql = sqlite3_vmprintf(format, args);
  va_end(args);
  int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
  if (rc != SQLITE_OK) test_fail(file, line, "%s: %s (%d)", sql, sqlite3_errmsg(db), rc);
  sqlite3_free(sql);
}

int exec_code(sqlite3 *db, const char *sql) { return sqlite3_exec(db, sql, NULL, NULL, NULL); }

int64_t query_int_at(const char *file, int line, sqlite3 *db, const char *sql) {
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_step(statement);
  if (rc != SQLITE_ROW) test_fail(file, line, "%s: %s (%d)", sql, sqlite3_errmsg(db), rc);
  int64_t result = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  return result;
}

static void append_row(sqlite3_str *text, sqlite3_stmt *statement) {
  for (int i = 0; i < sqlite3_column_count(statement); i++) {
    int type = sqlite3_column_type(statement, i);
    const void *value = sqlite3_column_blob(statement, i);
    int n = sqlite3_column_bytes(statement, i);
    sqlite3_str_appendf(text, "%s%d:", i == 0 ? "" : "|", type);
    /* Long values by their hash: enough to compare. */
    if (n <= 40) {
      sqlite3_str_append(text, value, n);
      continue;
    }
    uint32_t hash = 2166136261u;
    for (int k = 0; k < n; k++) hash = (hash ^ ((const unsigned char *)value)[k]) * 16777619u;
    sqlite3_str_appendf(text, "[%d bytes, %08x]", n, hash);
  }
  sqlite3_str_appendchar(text, 1, '\n');
}

char *query_text(sqlite3 *db, const char *sql) {
  sqlite3_str *text = sqlite3_str_new(NULL);
  int rc = SQLITE_OK;
  while (rc == SQLITE_OK && *sql != '\0') {
    sqlite3_stmt *statement = NULL;
    rc = sqlite3_prepare_v2(db, sql, -1, &statement, &sql);
    if (rc != SQLITE_OK || statement == NULL) break;
    while (sqlite3_step(statement) == SQLITE_ROW) append_row(text, statement);
    rc = sqlite3_finalize(statement);
  }
  sqlite3_str_appendf(text, "= %d", rc);
  return sqlite3_str_finish(text);
}

char *dump_text(sqlite3 *db) {
  sqlite3_str *text = sqlite3_str_new(NULL);
  char *schema = query_text(db, "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2");
  sqlite3_str_appendall(text, schema);
  sqlite3_free(schema);
  sqlite3_stmt *tables = NULL;
  const char *sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1";
  CHECK_EQ(sqlite3_prepare_v2(db, sql, -1, &tables, NULL), SQLITE_OK);
  while (sqlite3_step(tables) == SQLITE_ROW) {
    const char *name = (const char *)sqlite3_column_text(tables, 0);
    char *all = sqlite3_mprintf("SELECT * FROM \"%w\" ORDER BY rowid", name);
    char *rows = query_text(db, all);
    sqlite3_str_appendf(text, "\n-- %s\n%s", name, rows);
    sqlite3_free(rows);
    sqlite3_free(all);
  }
  sqlite3_finalize(tables);
  return sqlite3_str_finish(text);
}

void check_integrity_at(const char *file, int line, sqlite3 *db) {
  char *found = query_text(db, "PRAGMA integrity_check");
  if (strcmp(found, "3:ok\n= 0") != 0) test_fail(file, line, "integrity_check: %s", found);
  sqlite3_free(found);
}

/* ---- Stepping ---- */

int step_some(int steps) {
  int done = 0;
  while (done < steps && async_writer_step(1)) done++;
  return done;
}

void step_all(void) { CHECK(step_some(STEPS_MAX) < STEPS_MAX); }

int wal_header(const char *path) {
  AsyncStream *stream = async_registry_find(path);
  async_mutex_enter(&stream->mutex);
  int header = stream->wal.header;
  async_mutex_leave(&stream->mutex);
  async_registry_unref(stream);
  return header;
}

void play_writer(bool on) {
  async_mutex_enter(&async_scheduler.mutex);
  async_scheduler_note_looping(ASYNC_LANE_WRITE, on ? 1 : -1);
  async_mutex_leave(&async_scheduler.mutex);
  async_checkpoint_note_thread(on);
}

int64_t status_number(const char *path, const char *name) {
  char text[4096];
  int length = sqlite3async_status(path, text, sizeof text);
  if (length < 0) FAIL("status of %s: %d", path == NULL ? "all" : path, length);
  char key[100];
  snprintf(key, sizeof key, "\"%s\":", name);
  const char *found = strstr(text, key);
  if (found == NULL) FAIL("there is no %s in %s", name, text);
  return strtoll(found + strlen(key), NULL, 10);
}

/* ---- Copies ---- */

static void copy_file(const char *from, const char *to) {
  FILE *in = fopen(from, "rb");
  FILE *out = fopen(to, "wb");
  CHECK(in != NULL && out != NULL);
  static char buf[65536];
  size_t n;
  while ((n = fread(buf, 1, sizeof buf, in)) > 0) CHECK(fwrite(buf, 1, n, out) == n);
  fclose(in);
  CHECK(fclose(out) == 0);
}

/* For each name in the folder. */
static void each_file(const char *folder, void (*visit)(const char *from, const char *to),
                      const char *to_folder) {
  DIR *dir = opendir(folder);
  CHECK(dir != NULL);
  struct dirent *entry;
  while ((entry = readdir(dir)) != NULL) {
    if (entry->d_name[0] == '.') continue;
    char from[700];
    char to[700];
    snprintf(from, sizeof from, "%s/%s", folder, entry->d_name);
    snprintf(to, sizeof to, "%s/%s", to_folder, entry->d_name);
    visit(from, to);
  }
  closedir(dir);
}

static void remove_file(const char *path, const char *unused) {
  (void)unused;
  CHECK(unlink(path) == 0);
}

void copy_folder(const char *from, const char *to) {
  if (mkdir(to, 0700) != 0) each_file(to, remove_file, "");
  each_file(from, copy_file, to);
}

void with_copy(const char *folder, void (*check)(void *arg), void *arg) {
  char aside[600];
  snprintf(aside, sizeof aside, "%s-aside", folder);
  CHECK(rename(folder, aside) == 0);
  copy_folder(aside, folder);
  check(arg);
  each_file(folder, remove_file, "");
  CHECK(rmdir(folder) == 0);
  CHECK(rename(aside, folder) == 0);
}
