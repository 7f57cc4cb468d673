/*
** Interleavings over a parent that moves a position before it reads or writes: nobody reads or
** writes at another one's place.
**
** One deviation from the default gets between the two, so each history of a reader and a
** writer comes in both orders: the first one is at its reads or writes when the other comes.
*/
#include "explore_pair.h"

#include "memdisk.h"
#include "stepper.h"

#define PROMPT_US 0 /* nobody waits for the clock */
#define ROWS 4      /* one on each page */
#define PAGE_SIZE 1024

/* Bytes of another place would be wrong rows, if not a corrupt database. */
#define RIGHT_ROWS "SELECT count(*) FROM t WHERE text = printf('%0900d', n)"

static void insert(sqlite3 *db, int n) { exec(db, "INSERT INTO t VALUES (%d, '%0900d')", n, n); }

static void make(void) {
  memdisk_has_positions();
  pair_path = explore_path("x.db");
  sqlite3 *db = open_foreign(pair_path);
  exec(db, "PRAGMA page_size = %d; CREATE TABLE t(n INTEGER PRIMARY KEY, text TEXT)", PAGE_SIZE);
  for (int n = 1; n < ROWS; n++) insert(db, n);
  close_database(db);
  memdisk_sync_all();
}

/* The database becomes larger, and its parent is told so ahead, for the connection has asked
** for chunks.  That comes first: there is no journal that would be written before. */
static void insert_last(void) {
  exec(pair_first, "PRAGMA journal_mode = MEMORY");
  int chunk_size = PAGE_SIZE;
  sqlite3_file_control(pair_first, "main", SQLITE_FCNTL_CHUNK_SIZE, &chunk_size);
  insert(pair_first, ROWS);
}

static void apply_all(void *db) {
  (void)db;
  sqlite3async_run();
}

/* Not by the one that has inserted, which has the pages in its cache. */
static void read_all(void *db) {
  (void)db;
  CHECK_EQ(query_int(pair_second, RIGHT_ROWS), ROWS);
}

static void read_all_but_last(void *db) { CHECK_EQ(query_int(db, RIGHT_ROWS), ROWS - 1); }

/* ---- Two that read ---- */

static void run_readers(void) {
  pair_open();
  pair_run(read_all_but_last, read_all_but_last);
  pair_finish(ROWS - 1);
}

/* ---- One that reads while a transaction is applied ---- */

static void run_with_queued(void (*one)(void *), void (*other)(void *)) {
  pair_open();
  CHECK_EQ(sqlite3async_stop(1000), SQLITE_OK);
  insert_last();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_IDLE), SQLITE_OK);
  pair_run(one, other);
  CHECK_EQ(number_after_crash(pair_path, NULL, RIGHT_ROWS), ROWS);
  step_branch(false);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  pair_finish(ROWS);
}

static void run_apply_first(void) { run_with_queued(apply_all, read_all); }
static void run_read_first(void) { run_with_queued(read_all, apply_all); }

/* ---- Exploring them ---- */

static void explore_it(const char *name, void (*run)(void)) {
  explore(&(History){
      .name = name, .prepare = make, .run = run, .time_max_us = PROMPT_US, .schedules = 240});
}

static void two_read(void) { explore_it("position_readers", run_readers); }

static void one_reads_while_another_applies(void) {
  explore_it("position_apply_first", run_apply_first);
}

static void one_applies_while_another_reads(void) {
  explore_it("position_read_first", run_read_first);
}

int main(void) {
  return run_tests((TestCase[]){TEST(two_read),
                                TEST(one_reads_while_another_applies),
                                TEST(one_applies_while_another_reads),
                                {0}});
}
