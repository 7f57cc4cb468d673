/*
** A WAL database and other processes: they are kept out while it is open here,
** and get in when it is released; what they did there is then seen here.
*/
#include "database.h"
#include "flush.h"
#include "other.h"
#include "lock.h"
#include "registry.h"
#include "testvfs.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_MS 10000

static const char *path;

/* ---- Ours ---- */

static Other setup(void) {
  path = test_path("x.db");
  Other other = other_start(path);
  async_setup();
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  return other;
}

static sqlite3 *open_wal(void) {
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b)");
  return db;
}

static void commit(sqlite3 *db, int times) {
  for (int i = 0; i < times; i++) exec(db, "INSERT INTO t(b) VALUES (zeroblob(300))");
}

static int64_t count(sqlite3 *db) { return query_int(db, "SELECT count(*) FROM t"); }

static void release(void) { CHECK_EQ(sqlite3async_release(path, WAIT_MS), SQLITE_OK); }

static void finish(const Other *other) {
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
  CHECK_TEXT(tell(other, "open"), "");
  CHECK_TEXT(tell(other, "PRAGMA integrity_check"), "3:ok\n= 0");
  CHECK_TEXT(tell(other, "close"), "0");
  other_end(other);
}

/* ---- Keeping others out ---- */

static void others_are_busy_while_it_is_open_here(void) {
  Other other = setup();
  sqlite3 *db = open_wal();
  commit(db, 10);
  tell(&other, "open");
  int64_t start_ms = now_ms();
  CHECK_TEXT(tell(&other, "SELECT count(*) FROM t"), "= 5");
  CHECK(now_ms() - start_ms < 2000);
  tell(&other, "PRAGMA busy_timeout = 200");
  start_ms = now_ms();
  CHECK_TEXT(tell(&other, "SELECT count(*) FROM t"), "= 5");
  CHECK(now_ms() - start_ms >= 150 && now_ms() - start_ms < 3000);
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK);
  CHECK_TEXT(tell(&other, "SELECT count(*) FROM t"), "= 5"); /* also when all is on disk */
  close_database(db);
  tell(&other, "PRAGMA busy_timeout = 10000");
  CHECK_TEXT(tell(&other, "SELECT count(*) FROM t"), "1:10\n= 0");
  tell(&other, "close");
  finish(&other);
}

static void others_get_in_only_after_the_last_op(void) {
  path = test_path("x.db");
  Other other = other_start(path);
  async_setup();
  sqlite3 *db = open_wal();
  commit(db, 10);
  step_some(4);
  close_database(db);
  tell(&other, "open");
  while (step_some(1) > 0 && status_number(NULL, "queuedOps") > 0) {
    CHECK_TEXT(tell(&other, "SELECT count(*) FROM t"), "= 5");
  }
  step_all();
  CHECK_TEXT(tell(&other, "SELECT count(*) FROM t"), "1:10\n= 0");
  tell(&other, "close");
  other_end(&other);
}

static void we_are_busy_while_another_has_it_open(void) {
  Other other = setup();
  tell(&other, "open");
  tell(&other, "PRAGMA journal_mode = WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  sqlite3 *db = open_async(path);
  int64_t start_ms = now_ms();
  CHECK_EQ(exec_code(db, "SELECT * FROM t"), SQLITE_BUSY);
  CHECK_EQ(exec_code(db, "INSERT INTO t(b) VALUES (1)"), SQLITE_BUSY);
  CHECK_EQ(exec_code(db, "PRAGMA journal_mode"), SQLITE_BUSY);
  CHECK(now_ms() - start_ms < 2000);
  tell(&other, "INSERT INTO t(b) VALUES (1)"); /* nothing of ours is in its way */
  tell(&other, "BEGIN; SELECT * FROM t");
  CHECK_EQ(exec_code(db, "SELECT * FROM t"), SQLITE_BUSY);
  tell(&other, "COMMIT");
  tell(&other, "close");
  commit(db, 1);
  CHECK_EQ(count(db), 2);
  close_database(db);
  finish(&other);
}

/* A file that cannot be written cannot be locked: as a user who may not. */
static int read_as_nobody(void *unused) {
  (void)unused;
  if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return 99;
  async_setup();
  sqlite3 *db = NULL;
  int flags = SQLITE_OPEN_READONLY;
  CHECK_EQ(sqlite3_open_v2(path, &db, flags, SQLITEASYNC_VFSNAME), SQLITE_OK);
  sqlite3_extended_result_codes(db, 1);
  int code = exec_code(db, "SELECT * FROM t");
  sqlite3_close(db);
  return code == SQLITE_READONLY_CANTLOCK ? 0 : 1;
}

static void a_file_that_cannot_be_locked_is_no_WAL_database_for_us(void) {
  path = test_path("x.db");
  sqlite3 *plain = open_plain(path);
  exec(plain, "PRAGMA journal_mode = WAL; CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  close_database(plain);
  CHECK(chmod(path, 0444) == 0 && chmod(test_folder(), 0755) == 0);
  CHECK_EQ(process_wait(process_start(read_as_nobody, NULL), WAIT_MS), 0);
}

/* ---- Release ---- */

static void another_process_finds_everything_and_we_find_what_it_did(void) {
  Other other = setup();
  sqlite3 *db = open_wal();
  commit(db, 10);
  release();
  tell(&other, "open");
  CHECK_TEXT(tell(&other, "SELECT count(*) FROM t"), "1:10\n= 0");
  CHECK_TEXT(tell(&other, "INSERT INTO t(b) VALUES (1)"), "= 0");
  CHECK_EQ(exec_code(db, "SELECT * FROM t") & 0xff, SQLITE_BUSY); /* it is in */
  CHECK_TEXT(tell(&other, "PRAGMA wal_checkpoint(TRUNCATE)"), "1:0|1:0|1:0\n= 0");
  CHECK_TEXT(tell(&other, "INSERT INTO t(b) VALUES (2)"), "= 0");
  CHECK_TEXT(tell(&other, "close"), "0"); /* which deletes the WAL */
  CHECK(access(test_path("x.db-wal"), F_OK) != 0);
  CHECK_EQ(count(db), 12);
  commit(db, 5);
  tell(&other, "open");
  CHECK_TEXT(tell(&other, "SELECT count(*) FROM t"), "= 5");
  release();
  CHECK_TEXT(tell(&other, "SELECT count(*) FROM t"), "1:17\n= 0");
  CHECK_TEXT(tell(&other, "close"), "0");
  commit(db, 1);
  CHECK_EQ(count(db), 18);
  close_database(db);
  finish(&other);
}

/* Caches of pages are to be believed only if nobody has changed them. */
static void no_connection_believes_its_cache_afterwards(void) {
  Other other = setup();
  sqlite3 *dbs[3];
  for (int i = 0; i < 3; i++) dbs[i] = open_wal();
  int64_t rows = 1;
  commit(dbs[0], 1);
  for (int round = 0; round < 12; round++) {
    if (round % 2 == 0) exec(dbs[round % 3], "PRAGMA wal_checkpoint(TRUNCATE)");
    for (int i = 0; i < 3; i++) CHECK_EQ(count(dbs[i]), rows); /* all have it in their caches */
    release();
    tell(&other, "open");
    CHECK_TEXT(tell(&other, "INSERT INTO t(b) VALUES (7); UPDATE t SET b = 8"), "= 0");
    rows++;
    if (round % 3 == 1) tell(&other, "PRAGMA wal_checkpoint(TRUNCATE)");
    if (round % 4 == 3) tell(&other, "CREATE TABLE IF NOT EXISTS new AS SELECT * FROM t");
    CHECK_TEXT(tell(&other, "close"), "0");
    for (int i = 0; i < 3; i++) {
      sqlite3 *db = dbs[(round + i) % 3];
      CHECK_EQ(count(db), rows);
      CHECK_EQ(query_int(db, "SELECT sum(b) FROM t"), rows * 8);
      if (round % 5 == 4 && i == 1) exec(db, "UPDATE t SET b = 8 WHERE a = 1");
    }
  }
  for (int i = 0; i < 3; i++) close_database(dbs[i]);
  finish(&other);
}

/* Any two indexes of an empty WAL look the same. */
static void with_an_empty_WAL_neither(void) {
  Other other = setup();
  sqlite3 *db = open_wal();
  commit(db, 5);
  close_database(db);
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  sqlite3 *one = open_async(path);
  sqlite3 *two = open_async(path);
  for (int round = 0; round < 5; round++) {
    CHECK_EQ(count(one), 5 + round);
    CHECK_EQ(count(two), 5 + round);
    release();
    tell(&other, "open");
    CHECK_TEXT(tell(&other, "INSERT INTO t(b) VALUES (7)"), "= 0");
    CHECK_TEXT(tell(&other, "close"), "0");
    CHECK_EQ(count(round % 2 == 0 ? one : two), 6 + round);
    CHECK_EQ(count(round % 2 == 0 ? two : one), 6 + round);
  }
  close_database(one);
  close_database(two);
  finish(&other);
}

static void a_WAL_that_a_killed_process_left_is_recovered(void) {
  Other other = setup();
  sqlite3 *db = open_wal();
  commit(db, 10);
  Other spare = other;
  release();
  tell(&spare, "open");
  CHECK_TEXT(tell(&spare, "INSERT INTO t(b) VALUES (7); INSERT INTO t(b) VALUES (8)"), "= 0");
  kill(spare.pid, SIGKILL);
  CHECK_EQ(process_wait(spare.pid, WAIT_MS), -SIGKILL);
  CHECK_EQ(count(db), 12);
  commit(db, 1);
  close_database(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
  sqlite3 *plain = open_plain(path);
  CHECK_EQ(count(plain), 13);
  check_integrity(plain);
  close_database(plain);
}

static void *end_transaction(void *db) {
  sleep_ms(100);
  exec(db, "COMMIT");
  return NULL;
}

static void a_transaction_is_waited_for(void) {
  Other other = setup();
  sqlite3 *db = open_wal();
  static const char *const begins[] = {"BEGIN; SELECT * FROM t", "BEGIN IMMEDIATE"};
  for (int i = 0; i < 2; i++) {
    exec(db, "%s", begins[i]);
    int64_t start_ms = now_ms();
    CHECK_EQ(sqlite3async_release(path, 50), SQLITE_BUSY);
    CHECK(now_ms() - start_ms >= 45 && now_ms() - start_ms < 3000);
    CHECK_EQ(count(db), i); /* nothing has changed */
    Thread thread = thread_start(end_transaction, db);
    release();
    thread_join(thread);
    commit(db, 1);
  }
  close_database(db);
  finish(&other);
}

/* A commit that comes between release's flush and its end is on disk, not yet synced. */
static void what_is_applied_is_made_durable_first(void) {
  async_setup();
  path = test_path("x.db");
  sqlite3 *db = open_wal();
  exec(db, "PRAGMA synchronous = NORMAL");
  step_all();
  commit(db, 1);
  step_all();
  AsyncStream *stream = async_registry_find(path);
  CHECK_EQ(async_lock_hand_over(stream), SQLITE_BUSY);
  CHECK(async_flush_request(stream) > 0);
  step_all();
  CHECK_EQ(async_lock_hand_over(stream), SQLITE_OK);
  async_registry_unref(stream);
  close_database(db);
  step_all();
}

static void a_database_that_is_not_open_is_not_found(void) {
  Other other = setup();
  CHECK_EQ(sqlite3async_release(test_path("none.db"), 100), SQLITE_NOTFOUND);
  sqlite3 *db = open_wal();
  commit(db, 1);
  CHECK_EQ(sqlite3async_stop(WAIT_MS), SQLITE_OK);
  commit(db, 1);
  CHECK_EQ(sqlite3async_release(path, 100), SQLITE_MISUSE); /* nobody would write it */
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  release();
  release(); /* again: it is free already */
  close_database(db);
  finish(&other);
}

/* Then its connections cannot know how to go on. */
static void a_journal_mode_that_another_process_changed_is_an_error(void) {
  Other other = setup();
  sqlite3 *db = open_wal();
  commit(db, 3);
  release();
  tell(&other, "open");
  CHECK_TEXT(tell(&other, "PRAGMA journal_mode = DELETE"), "3:delete\n= 0");
  CHECK_TEXT(tell(&other, "close"), "0");
  CHECK_EQ(exec_code(db, "INSERT INTO t(b) VALUES (1)") & 0xff, SQLITE_CANTOPEN);
  CHECK_EQ(exec_code(db, "SELECT * FROM t") & 0xff, SQLITE_CANTOPEN);
  close_database(db);
  db = open_async(path);
  CHECK_EQ(count(db), 3);
  commit(db, 1);
  close_database(db);
  finish(&other);
}

static void in_other_journal_modes_it_lets_others_in_too(void) {
  Other other = setup();
  sqlite3 *db = open_async(path);
  exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  tell(&other, "open");
  for (int i = 0; i < 20; i++) {
    commit(db, 2);
    release();
    CHECK_TEXT(tell(&other, "INSERT INTO t(b) VALUES (1)"), "= 0");
    CHECK_EQ(count(db), (i + 1) * 3);
  }
  tell(&other, "close");
  close_database(db);
  finish(&other);
}

/* With the checkpointer at work all the while. */
static void to_and_fro(void) {
  Other other = setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 50000), SQLITE_OK);
  Random random = random_new(0);
  sqlite3 *dbs[2] = {open_wal(), open_wal()};
  int64_t rows = 0;
  for (int round = 0; round < 60 * test_scale(); round++) {
    int n = random_below(&random, 40);
    commit(dbs[round % 2], n);
    rows += n;
    if (random_one_in(&random, 3)) CHECK_EQ(count(dbs[random_below(&random, 2)]), rows);
    if (random_one_in(&random, 4)) sleep_ms(random_below(&random, 3));
    release();
    tell(&other, "open");
    int inserts = random_below(&random, 4);
    for (int i = 0; i < inserts; i++) {
      CHECK_TEXT(tell(&other, "INSERT INTO t(b) VALUES (zeroblob(500))"), "= 0");
    }
    rows += inserts;
    char wanted[40];
    snprintf(wanted, sizeof wanted, "1:%lld\n= 0", (long long)rows);
    CHECK_TEXT(tell(&other, "SELECT count(*) FROM t"), wanted);
    if (random_one_in(&random, 3)) tell(&other, "PRAGMA wal_checkpoint");
    CHECK_TEXT(tell(&other, "close"), "0");
  }
  for (int i = 0; i < 2; i++) CHECK_EQ(count(dbs[i]), rows);
  for (int i = 0; i < 2; i++) close_database(dbs[i]);
  finish(&other);
}

int main(void) {
  return run_tests((TestCase[]){TEST(others_are_busy_while_it_is_open_here),
                                TEST(others_get_in_only_after_the_last_op),
                                TEST(we_are_busy_while_another_has_it_open),
                                TEST(a_file_that_cannot_be_locked_is_no_WAL_database_for_us),
                                TEST(another_process_finds_everything_and_we_find_what_it_did),
                                TEST(no_connection_believes_its_cache_afterwards),
                                TEST(with_an_empty_WAL_neither),
                                TEST(a_WAL_that_a_killed_process_left_is_recovered),
                                TEST(a_transaction_is_waited_for),
                                TEST(what_is_applied_is_made_durable_first),
                                TEST(a_database_that_is_not_open_is_not_found),
                                TEST(a_journal_mode_that_another_process_changed_is_an_error),
                                TEST(in_other_journal_modes_it_lets_others_in_too),
                                TEST(to_and_fro),
                                {0}});
}
