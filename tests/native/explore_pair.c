/*
** Histories of two connections.  See explore_pair.h.
*/
#include "explore_pair.h"

#include "stepper.h"

const char *pair_path;
const char *pair_other_path;
sqlite3 *pair_first;
sqlite3 *pair_second;

static void make(const char *journal_mode) {
  pair_path = explore_path("x.db");
  make_table(pair_path, journal_mode);
}

void pair_make(void) { make("DELETE"); }
void pair_make_wal(void) { make("WAL"); }

void pair_make_two(void) {
  pair_make();
  pair_other_path = explore_path("y.db");
  make_table(pair_other_path, "DELETE");
}

void pair_open(void) {
  explore_setup();
  pair_first = open_patient(pair_path);
  pair_second = open_patient(pair_path);
}

void pair_close(void) {
  step_branch(false);
  sqlite3_close(pair_first);
  sqlite3_close(pair_second);
}

void pair_finish(int rows) {
  pair_close();
  explore_close_all();
  CHECK_EQ(number_after_power_cut(pair_path, NULL, PAIR_COUNT), rows);
}

void pair_run(void (*one)(void *), void (*other)(void *)) {
  step_branch(true);
  ExploreThread *a = explore_thread("one", one, pair_first);
  ExploreThread *b = explore_thread("other", other, pair_second);
  explore_join(a);
  explore_join(b);
}

static int number_of(const sqlite3 *db) { return db == pair_first ? 1 : 2; }

void pair_insert(sqlite3 *db) { exec(db, "INSERT INTO t VALUES (%d)", number_of(db)); }

void pair_look(sqlite3 *db, int rows) {
  const char *sql = number_of(db) == 1 ? PAIR_COUNT " WHERE a = 1" : PAIR_COUNT " WHERE a = 2";
  CHECK_EQ(number_after_power_cut(pair_path, NULL, sql), rows);
}

void pair_flush_and_look(sqlite3 *db, int timeout_ms, int rows) {
  CHECK_EQ(sqlite3async_flush(pair_path, timeout_ms), SQLITE_OK);
  pair_look(db, rows);
}

void pair_look_at_marks(void) {
  int64_t durable = status_number(pair_path, "durable");
  CHECK(number_after_power_cut(pair_path, NULL, PAIR_COUNT) >= durable);
  int64_t applied = status_number(pair_path, "applied");
  CHECK(number_after_crash(pair_path, NULL, PAIR_COUNT) >= applied);
}

void pair_insert_and_help(void *db) {
  pair_insert(db);
  pair_flush_and_look(db, -1, 1);
  pair_insert(db);
  pair_flush_and_look(db, 1000, 2);
}

void pair_insert_and_wait(void *db) {
  pair_insert(db);
  pair_insert(db);
  pair_flush_and_look(db, 1000, 2);
}
