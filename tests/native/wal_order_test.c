/*
** WAL mode: which syncs reach the parent, and in which order with the writes.
** Everything is stepped; the parent's log says what came.
*/
#include "checkpoint.h"
#include "database.h"
#include "flush.h"
#include "registry.h"
#include "testlog.h"
#include "testvfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAL_HEADER "write x.db-wal 32 @0"

static const char *path;

/* A database in WAL mode, all of it applied. */
static sqlite3 *setup_empty(const char *level) {
  async_setup();
  path = test_path("x.db");
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = %s", level);
  step_all();
  testvfs_reset();
  return db;
}

/* One with a table, all of it applied and synced. */
static sqlite3 *setup(const char *level) {
  sqlite3 *db = setup_empty(level);
  exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  step_all();
  testvfs_reset();
  return db;
}

static void finish(sqlite3 *db) {
  close_database(db);
  step_all();
}

static void commit(sqlite3 *db, int times) {
  for (int i = 0; i < times; i++) exec(db, "INSERT INTO t(b) VALUES (zeroblob(300))");
}

/* As sqlite3async_flush(), stepped. */
static void flush(void) {
  AsyncStream *stream = async_registry_find(path);
  CHECK(stream != NULL);
  CHECK(async_flush_request(stream) >= 0);
  async_registry_unref(stream);
  step_all();
}

/* The names of the database and the WAL begin alike: "sync x.db" is both. */
static int syncs_of_database(const Log *log) {
  return count_lines(log, "sync x.db") - count_lines(log, "sync x.db-wal");
}

static int sync_of_database(const Log *log, int from) {
  int i = line_of(log, "sync x.db", from);
  while (line_is(log, i, "sync x.db-wal")) i = line_of(log, "sync x.db", i + 1);
  return i;
}

/* The header that is written at line i is synced before any frame comes. */
static void check_header_is_synced_at_once(const Log *log, int i) {
  CHECK(line_is(log, i, WAL_HEADER));
  CHECK(line_is(log, i + 1, "sync x.db-wal"));
}

/* ---- Tests ---- */

/* A WAL that has just been made has no old frames beneath. */
static void with_NORMAL_nothing_is_synced(void) {
  sqlite3 *db = setup_empty("NORMAL");
  exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  commit(db, 50);
  step_all();
  Log *log = log_now();
  CHECK_EQ(count_lines(log, "sync"), 0);
  log_free(log);
  finish(db);
}

static void with_FULL_commits_that_are_queued_together_share_a_sync(void) {
  sqlite3 *db = setup_empty("FULL");
  exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  commit(db, 50);
  step_all();
  Log *log = log_now();
  CHECK_EQ(count_lines(log, "sync x.db-wal"), 1);
  CHECK_EQ(syncs_of_database(log), 0);
  CHECK(line_is(log, log->count - 1, "sync x.db-wal"));
  CHECK_EQ(status_number(path, "durable"), status_number(path, "committed"));
  log_free(log);

  testvfs_reset();
  commit(db, 20);
  step_all();
  CHECK_EQ(testvfs_count(ON_SYNC, "x.db"), 1);
  CHECK_EQ(status_number(path, "durable"), status_number(path, "committed"));
  finish(db);
}

/* A commit that comes while its elders are applied may share their sync; it never goes without. */
static void with_FULL_no_commit_goes_without_a_sync(void) {
  sqlite3 *db = setup("FULL");
  Random random = random_new(0);
  for (int i = 0; i < 200; i++) {
    commit(db, random_below(&random, 3));
    step_some(random_below(&random, 4));
    if (!random_one_in(&random, 10)) continue;
    step_all();
    CHECK_EQ(status_number(path, "durable"), status_number(path, "committed"));
  }
  finish(db);
}

/* ff5be73dee: frames without the header they belong to can corrupt the database. */
static void check_restart(const char *level, const char *mode) {
  sqlite3 *db = setup(level);
  for (int round = 0; round < 3; round++) {
    commit(db, 20);
    exec(db, "PRAGMA wal_checkpoint(%s)", mode);
    if (round == 1) step_all();
    testvfs_reset();
    commit(db, 20);
    step_all();
    Log *log = log_now();
    int header = last_line_of(log, WAL_HEADER);
    CHECK(header >= 0);
    check_header_is_synced_at_once(log, header);
    CHECK(line_is(log, header + 2, "write x.db-wal "));
    log_free(log);
  }
  finish(db);
}

static void the_header_of_a_restarted_WAL_is_synced_before_any_frame(void) {
  check_restart("NORMAL", "PASSIVE");
}
static void and_so_it_is_with_FULL(void) { check_restart("FULL", "RESTART"); }
static void and_after_a_truncation(void) { check_restart("NORMAL", "TRUNCATE"); }

/* WAL sync, database writes, database sync, WAL header. */
static void check_order_of_checkpoint(const char *level) {
  sqlite3 *db = setup(level);
  commit(db, 100);
  exec(db, "PRAGMA wal_checkpoint(FULL)");
  commit(db, 3);
  step_all();
  Log *log = log_now();
  int first = line_of(log, "write x.db ", 0);
  int last = last_line_of(log, "write x.db ");
  int wal_sync_seq = line_of(log, "sync x.db-wal", 0);
  int database_sync = sync_of_database(log, 0);
  int header = line_of(log, WAL_HEADER, last); /* or the zeros over it */
  CHECK(first > 0 && last >= first);
  CHECK(wal_sync_seq >= 0 && wal_sync_seq < first);
  CHECK(line_of(log, "write x.db-wal", wal_sync_seq) > last); /* it was a sync of all frames */
  CHECK(database_sync > last && syncs_of_database(log) == 1);
  CHECK(header > database_sync);
  check_header_is_synced_at_once(log, header);
  log_free(log);
  finish(db);
}

static void a_checkpoint_keeps_its_order_with_NORMAL(void) { check_order_of_checkpoint("NORMAL"); }
static void a_checkpoint_keeps_its_order_with_FULL(void) { check_order_of_checkpoint("FULL"); }
static void a_checkpoint_that_waits_keeps_its_order(void) {
  play_writer(true);
  check_order_of_checkpoint("NORMAL");
  play_writer(false);
}

/* ---- Flush ---- */

static void check_flush_syncs(int of_wal, int of_database) {
  testvfs_reset();
  flush();
  Log *log = log_now();
  CHECK_EQ(count_lines(log, "sync x.db-wal"), of_wal);
  CHECK_EQ(syncs_of_database(log), of_database);
  CHECK_EQ(status_number(path, "durable"), status_number(path, "committed"));
  log_free(log);
}

static void a_flush_syncs_the_WAL_only(void) {
  sqlite3 *db = setup("NORMAL");
  flush();
  commit(db, 10);
  step_all();
  CHECK(status_number(path, "durable") < status_number(path, "committed"));
  check_flush_syncs(1, 0);
  check_flush_syncs(0, 0); /* there is nothing left to do */
  finish(db);
}

/* What it has copied is in the WAL as well. */
static void a_flush_after_a_checkpoint_in_part_syncs_the_WAL_only(void) {
  sqlite3 *db = setup("OFF"); /* the checkpoint does not sync the database */
  sqlite3 *reader = open_async(path);
  flush();
  commit(db, 20);
  exec(reader, "BEGIN; SELECT count(*) FROM t");
  commit(db, 20);
  exec(db, "PRAGMA wal_checkpoint(PASSIVE)");
  step_all();
  CHECK(testvfs_count(ON_WRITE, "x.db") > testvfs_count(ON_WRITE, "x.db-wal"));
  check_flush_syncs(1, 0);
  commit(db, 5);
  step_all();
  check_flush_syncs(1, 0);
  close_database(reader);
  finish(db);
}

/* But then the frames are written over. */
static void a_flush_after_a_restart_without_syncs_syncs_the_database_too(void) {
  sqlite3 *db = setup("OFF");
  flush();
  commit(db, 20);
  exec(db, "PRAGMA wal_checkpoint(FULL)");
  commit(db, 1);
  step_all();
  check_flush_syncs(1, 1);
  commit(db, 1);
  step_all();
  check_flush_syncs(1, 0);
  commit(db, 20);
  exec(db, "PRAGMA wal_checkpoint(TRUNCATE)");
  step_all();
  check_flush_syncs(1, 1);
  finish(db);
}

static void a_commit_is_durable_no_sooner_than_the_WAL_that_has_it(void) {
  sqlite3 *db = setup("NORMAL");
  commit(db, 10);
  exec(db, "PRAGMA wal_checkpoint(PASSIVE)");
  commit(db, 10); /* starts the WAL anew: its header's sync comes before the frames */
  step_all();
  CHECK_EQ(status_number(path, "applied"), status_number(path, "committed"));
  CHECK(status_number(path, "durable") <= status_number(path, "committed") - 10);
  check_flush_syncs(1, 0);
  finish(db);
}

static int leave_frames(void *arg) {
  (void)arg;
  sqlite3 *plain = open_plain(path);
  exec(plain, "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE t(a); "
              "INSERT INTO t VALUES (1)");
  _exit(0);
}

/* Who wrote it may not have synced it. */
static void a_WAL_that_was_found_is_synced_before_it_is_copied(void) {
  async_setup();
  path = test_path("x.db");
  CHECK_EQ(process_wait(process_start(leave_frames, NULL), 10000), 0);
  sqlite3 *db = open_async(path);
  testvfs_reset();
  exec(db, "PRAGMA wal_checkpoint");
  step_all();
  Log *log = log_now();
  int sync = line_of(log, "sync x.db-wal", 0);
  CHECK(sync >= 0 && sync < line_of(log, "write x.db ", 0));
  log_free(log);
  finish(db);
}

static void neighbouring_frames_reach_the_parent_in_one_write(void) {
  sqlite3 *db = setup("NORMAL");
  commit(db, 300);
  step_all();
  Log *log = log_now();
  int largest = 0;
  for (int i = 0; i < log->count; i++) {
    int n = 0;
    if (sscanf(log->lines[i], "write x.db-wal %d", &n) != 1) continue;
    CHECK(n <= 65536);
    if (n > largest) largest = n;
  }
  CHECK(largest > 60000);
  /* 300 commits, a page and a frame's head each, at least. */
  CHECK(count_lines(log, "write x.db-wal") < 300 * 2 * 4120 / 60000 + 5);
  log_free(log);
  finish(db);
}

int main(void) {
  return run_tests((TestCase[]){TEST(with_NORMAL_nothing_is_synced),
                                TEST(with_FULL_commits_that_are_queued_together_share_a_sync),
                                TEST(with_FULL_no_commit_goes_without_a_sync),
                                TEST(the_header_of_a_restarted_WAL_is_synced_before_any_frame),
                                TEST(and_so_it_is_with_FULL),
                                TEST(and_after_a_truncation),
                                TEST(a_checkpoint_keeps_its_order_with_NORMAL),
                                TEST(a_checkpoint_keeps_its_order_with_FULL),
                                TEST(a_checkpoint_that_waits_keeps_its_order),
                                TEST(a_flush_syncs_the_WAL_only),
                                TEST(a_flush_after_a_checkpoint_in_part_syncs_the_WAL_only),
                                TEST(a_flush_after_a_restart_without_syncs_syncs_the_database_too),
                                TEST(a_commit_is_durable_no_sooner_than_the_WAL_that_has_it),
                                TEST(a_WAL_that_was_found_is_synced_before_it_is_copied),
                                TEST(neighbouring_frames_reach_the_parent_in_one_write),
                                {0}});
}
