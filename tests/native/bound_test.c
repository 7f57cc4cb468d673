/*
** The queue's bound: never passed by more than one op, and never a hang.
*/
#include "database.h"
#include "testvfs.h"

#include <string.h>

#define BOUND (256 * 1024)
#define ONE_OP 65536

static sqlite3 *setup(int policy) {
  async_setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_QUEUE_BYTES, BOUND), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_ON_QUEUE_FULL, policy), SQLITE_OK);
  sqlite3 *db = open_async(test_path("x.db"));
  exec(db, "PRAGMA synchronous = OFF; CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b)");
  step_all();
  return db;
}

static void check_peak(void) {
  int64_t peak = status_number(test_path("x.db"), "peakQueuedBytes");
  CHECK(peak > BOUND / 2);
  CHECK(peak <= BOUND + ONE_OP);
}

/* Transactions of many sizes, one of them several times the bound. */
static void fill(sqlite3 *db, int transactions) {
  Random random = random_new(0);
  sqlite3_busy_timeout(db, 30000);
  for (int i = 0; i < transactions; i++) {
    int size = i == transactions / 2 ? 3 * BOUND : random_below(&random, 30000);
    exec(db, "INSERT INTO t(b) VALUES (zeroblob(%d))", size);
  }
}

static void holds_when_callers(int policy) {
  sqlite3 *db = setup(policy);
  testvfs_delay(ON_WRITE, "x.db", 1);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  fill(db, 80);
  check_peak();
  testvfs_reset();
  CHECK_EQ(query_int(db, "SELECT count(*) FROM t"), 80);
  close_database(db);
  CHECK_EQ(sqlite3async_close(20000), SQLITE_OK);
  sqlite3 *plain = open_plain(test_path("x.db"));
  check_integrity(plain);
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM t"), 80);
  close_database(plain);
}

static void the_bound_holds_when_callers_wait(void) { holds_when_callers(SQLITEASYNC_FULL_BLOCK); }
static void the_bound_holds_when_callers_are_busy(void) {
  holds_when_callers(SQLITEASYNC_FULL_BUSY);
}

static void waits_are_counted(void) {
  sqlite3 *db = setup(SQLITEASYNC_FULL_BLOCK);
  testvfs_delay(ON_WRITE, "x.db", 2);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  fill(db, 20);
  CHECK(status_number(test_path("x.db"), "fullWaits") > 0);
  CHECK(status_number(test_path("x.db"), "fullWaitMs") > 0);
  testvfs_reset();
  close_database(db);
  CHECK_EQ(sqlite3async_close(20000), SQLITE_OK);
}

static void busy_comes_at_the_start_of_a_transaction_only(void) {
  sqlite3 *db = setup(SQLITEASYNC_FULL_BUSY);
  testvfs_delay(ON_WRITE, "x.db", 5);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  int busy = 0;
  int count = 0;
  for (int i = 0; i < 200; i++) {
    int rc = exec_code(db, "BEGIN IMMEDIATE");
    if (rc == SQLITE_OK) {
      exec(db, "INSERT INTO t(b) VALUES (zeroblob(20000)); COMMIT");
      count++;
    } else {
      CHECK_EQ(rc, SQLITE_BUSY);
      busy++;
    }
    CHECK_EQ(query_int(db, "SELECT count(*) FROM t"), count); /* reading goes on */
  }
  CHECK(busy > 0 && count > 5);
  testvfs_reset();
  sqlite3_busy_timeout(db, 20000);
  exec(db, "BEGIN IMMEDIATE; INSERT INTO t(b) VALUES (1); COMMIT");
  close_database(db);
  CHECK_EQ(sqlite3async_close(20000), SQLITE_OK);
}

static void a_full_queue_with_no_writer_is_an_error_at_once(void) {
  static const int policies[] = {SQLITEASYNC_FULL_BLOCK, SQLITEASYNC_FULL_BUSY};
  for (int i = 0; i < 2; i++) {
    sqlite3 *db = setup(policies[i]);
    exec(db, "DELETE FROM t");
    step_all();
    int64_t start_ms = now_ms();
    int rc = SQLITE_OK;
    int count = 0;
    for (; rc == SQLITE_OK && count < 100; count++) {
      rc = exec_code(db, "INSERT INTO t(b) VALUES (zeroblob(30000))");
    }
    CHECK(rc == SQLITE_BUSY || rc == SQLITE_FULL);
    /* In the middle of a transaction too. */
    step_all();
    CHECK_EQ(exec_code(db, "INSERT INTO t(b) VALUES (zeroblob(3000000))"), SQLITE_FULL);
    CHECK(now_ms() - start_ms < 5000);
    step_all();
    CHECK_EQ(query_int(db, "SELECT count(*) FROM t"), count - 1);
    exec(db, "INSERT INTO t(b) VALUES (1)"); /* and it is usable again */
    step_all();
    close_database(db);
    step_all();
    sqlite3 *plain = open_plain(test_path("x.db"));
    check_integrity(plain);
    close_database(plain);
  }
}

static void without_a_bound_the_queue_takes_everything(void) {
  async_setup();
  sqlite3_int64 bound = -1;
  CHECK_EQ(sqlite3async_get(SQLITEASYNC_MAX_QUEUE_BYTES, &bound), SQLITE_OK);
  CHECK_EQ(bound, 0);
  sqlite3 *db = open_async(test_path("x.db"));
  exec(db, "CREATE TABLE t(a); INSERT INTO t VALUES (zeroblob(70000000))");
  CHECK(status_number(test_path("x.db"), "queuedBytes") > 70000000);
  step_all();
  close_database(db);
  step_all();
}

static void one_database_that_is_full_leaves_others_alone(void) {
  sqlite3 *db = setup(SQLITEASYNC_FULL_BUSY);
  sqlite3 *other = open_async(test_path("y.db"));
  int rc = SQLITE_OK;
  for (int i = 0; i < 100 && rc == SQLITE_OK; i++) {
    rc = exec_code(db, "INSERT INTO t(b) VALUES (zeroblob(30000))");
  }
  CHECK(rc != SQLITE_OK);
  exec(other, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  close_database(db);
  close_database(other);
  step_all();
}

int main(void) {
  return run_tests((TestCase[]){TEST(the_bound_holds_when_callers_wait),
                                TEST(the_bound_holds_when_callers_are_busy),
                                TEST(waits_are_counted),
                                TEST(busy_comes_at_the_start_of_a_transaction_only),
                                TEST(a_full_queue_with_no_writer_is_an_error_at_once),
                                TEST(without_a_bound_the_queue_takes_everything),
                                TEST(one_database_that_is_full_leaves_others_alone),
                                {0}});
}
