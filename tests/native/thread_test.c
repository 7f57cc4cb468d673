/*
** Many threads on a few databases with a running writer: money moves between
** accounts of one database and of two, and its sum never changes.
*/
#include "database.h"

#include <stdio.h>
#include <string.h>

#define THREADS 5
#define DATABASES 3
#define ACCOUNTS 20
#define SUM (DATABASES * ACCOUNTS * 100)

static _Atomic int committed;

static const char *path_of(int number) {
  char name[20];
  snprintf(name, sizeof name, "d%d.db", number);
  return test_path(name);
}

static void make_databases(void) {
  async_setup();
  for (int i = 0; i < DATABASES; i++) {
    sqlite3 *plain = open_plain(path_of(i));
    exec(plain, "CREATE TABLE account(a INTEGER PRIMARY KEY, money)");
    exec(plain,
         "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT %d) "
         "INSERT INTO account SELECT i, 100 FROM n",
         ACCOUNTS);
    close_database(plain);
  }
}

/* All databases in one connection: d0 .. d2. */
static sqlite3 *open_all(void) {
  sqlite3 *db = open_async(path_of(0));
  sqlite3_busy_timeout(db, 60000);
  exec(db, "PRAGMA cache_size = 5");
  for (int i = 1; i < DATABASES; i++) exec(db, "ATTACH '%s' AS d%d", path_of(i), i);
  return db;
}

static const char *schema_of(int number) {
  static const char *const names[DATABASES] = {"main", "d1", "d2"};
  return names[number];
}

static int run_sql(sqlite3 *db, char *sql) {
  int rc = exec_code(db, sql);
  sqlite3_free(sql);
  return rc;
}

static void move_money(sqlite3 *db, Random *random) {
  int from = random_below(random, DATABASES);
  int to = random_one_in(random, 2) ? from : random_below(random, DATABASES);
  if (from > to) { /* lock in one order */
    int swap = from;
    from = to;
    to = swap;
  }
  int amount = random_below(random, 40) - 20;
  int rc = exec_code(db, "BEGIN");
  if (rc == SQLITE_OK) {
    rc = run_sql(db, sqlite3_mprintf("UPDATE %s.account SET money = money - %d WHERE a = %d",
                                     schema_of(from), amount, 1 + random_below(random, ACCOUNTS)));
  }
  if (rc == SQLITE_OK) {
    rc = run_sql(db, sqlite3_mprintf("UPDATE %s.account SET money = money + %d WHERE a = %d",
                                     schema_of(to), amount, 1 + random_below(random, ACCOUNTS)));
  }
  if (rc == SQLITE_OK && random_one_in(random, 8)) rc = SQLITE_ABORT;
  if (rc == SQLITE_OK) rc = exec_code(db, "COMMIT");
  if (rc == SQLITE_OK) {
    committed++;
    return;
  }
  /* Readers and writers may have stood in each other's way. */
  if (rc != SQLITE_ABORT && (rc & 0xff) != SQLITE_BUSY) FAIL("%s", sqlite3_errmsg(db));
  exec(db, "ROLLBACK");
}

/* Reads all databases; each is locked in turn, so only that it works counts. */
static void read_sums(sqlite3 *db) {
  int rc = exec_code(db, "SELECT sum(money) FROM main.account UNION ALL SELECT sum(money) FROM "
                         "d1.account UNION ALL SELECT sum(money) FROM d2.account");
  if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY) FAIL("%s", sqlite3_errmsg(db));
}

typedef struct Work {
  int number;
  int rounds;
} Work;

static void *work(void *arg) {
  Work *mine = arg;
  Random random = random_new((uint64_t)mine->number * 1000003);
  sqlite3 *db = open_all();
  for (int i = 0; i < mine->rounds; i++) {
    move_money(db, &random);
    if (random_one_in(&random, 10)) read_sums(db);
    if (random_one_in(&random, 25)) CHECK_EQ(sqlite3async_flush(NULL, 60000), SQLITE_OK);
    if (random_one_in(&random, 60)) {
      close_database(db);
      db = open_all();
    }
    if (random_one_in(&random, 20)) status_number(NULL, "queuedOps");
  }
  close_database(db);
  return NULL;
}

static int64_t sum_on_disk(void) {
  int64_t sum = 0;
  for (int i = 0; i < DATABASES; i++) {
    sqlite3 *plain = open_plain(path_of(i));
    check_integrity(plain);
    sum += query_int(plain, "SELECT sum(money) FROM account");
    close_database(plain);
  }
  return sum;
}

static void work_together(int rounds) {
  Thread threads[THREADS];
  Work works[THREADS];
  for (int i = 0; i < THREADS; i++) {
    works[i] = (Work){i, rounds};
    threads[i] = thread_start(work, &works[i]);
  }
  for (int i = 0; i < THREADS; i++) thread_join(threads[i]);
  CHECK_EQ(sqlite3async_close(60000), SQLITE_OK);
  CHECK(committed > rounds);
  CHECK_EQ(sum_on_disk(), SUM);
}

static void money_is_neither_made_nor_lost(void) {
  make_databases();
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  work_together(120 * test_scale());
}

static void nor_with_a_short_queue_and_no_bound_on_locks(void) {
  make_databases();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_QUEUE_BYTES, 50000), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_LOCK_HOLD_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 5), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  work_together(120 * test_scale());
}

static void *start_and_stop(void *arg) {
  _Atomic bool *stop = arg;
  while (!*stop) {
    sqlite3async_stop(0);
    sleep_ms(1);
    CHECK_EQ(sqlite3async_start(), SQLITE_OK);
    sleep_ms(3);
  }
  return NULL;
}

static void *insert_rows(void *arg) {
  sqlite3 *db = open_async(path_of(*(int *)arg));
  sqlite3_busy_timeout(db, 60000);
  for (int i = 0; i < 300; i++) exec(db, "INSERT INTO account(money) VALUES (0)");
  close_database(db);
  return NULL;
}

static void the_writer_may_be_stopped_and_started_meanwhile(void) {
  make_databases();
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_QUEUE_BYTES, 0), SQLITE_OK);
  static _Atomic bool stop;
  static int numbers[DATABASES] = {0, 1, 2};
  Thread threads[DATABASES];
  Thread toggler = thread_start(start_and_stop, (void *)&stop);
  for (int i = 0; i < DATABASES; i++) threads[i] = thread_start(insert_rows, &numbers[i]);
  for (int i = 0; i < DATABASES; i++) thread_join(threads[i]);
  stop = true;
  thread_join(toggler);
  CHECK_EQ(sqlite3async_close(60000), SQLITE_OK);
  CHECK_EQ(sum_on_disk(), SUM);
  for (int i = 0; i < DATABASES; i++) {
    sqlite3 *plain = open_plain(path_of(i));
    CHECK_EQ(query_int(plain, "SELECT count(*) FROM account"), ACCOUNTS + 300);
    close_database(plain);
  }
}

int main(void) {
  return run_tests((TestCase[]){TEST(money_is_neither_made_nor_lost),
                                TEST(nor_with_a_short_queue_and_no_bound_on_locks),
                                TEST(the_writer_may_be_stopped_and_started_meanwhile),
                                {0}});
}
