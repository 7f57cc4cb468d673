/*
** Moving a database away.  See moving.h.
*/
#include "moving.h"

#include <stdio.h>
#include <unistd.h>

char moving_path[400];
char moving_renamed[400];

void moving_setup(void) {
  async_setup();
  snprintf(moving_path, sizeof moving_path, "%s", test_path("x.db"));
  snprintf(moving_renamed, sizeof moving_renamed, "%s", test_path("old.db"));
}

void moving_setup_with_writer(void) {
  moving_setup();
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
}

bool moving_has_file(const char *name) { return access(test_path(name), F_OK) == 0; }

void moving_flush(void) { CHECK_EQ(sqlite3async_flush(NULL, MOVING_WAIT_MS), SQLITE_OK); }

sqlite3 *moving_open_old(const char *mode) {
  sqlite3 *db = open_async(moving_path);
  exec(db, "PRAGMA journal_mode = %s; CREATE TABLE t(a); INSERT INTO t VALUES (1)", mode);
  moving_flush();
  return db;
}

void moving_move_away(void) {
  CHECK_EQ(rename(moving_path, moving_renamed), 0);
  if (!moving_has_file("x.db-wal")) return;
  CHECK_EQ(rename(test_path("x.db-wal"), test_path("old.db-wal")), 0);
}

void moving_put_new(const char *mode) {
  sqlite3 *plain = open_plain(test_path("new.db"));
  exec(plain,
       "PRAGMA journal_mode = %s; CREATE TABLE n(x); WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL "
       "SELECT i + 1 FROM c WHERE i < %d) INSERT INTO n SELECT hex(zeroblob(400)) FROM c",
       mode, MOVING_NEW_ROWS);
  close_database(plain);
  CHECK_EQ(rename(test_path("new.db"), moving_path), 0);
}

void moving_check_rows(const char *file, const char *table, int64_t rows) {
  sqlite3 *plain = open_plain(file);
  char sql[100];
  snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
  CHECK_EQ(query_int(plain, sql), rows);
  check_integrity(plain);
  close_database(plain);
}
