/*
** Four processes write to one database, through us or through plain SQLite:
** each gets its turns, and the sum of what they move stays what it is.
*/
#include "database.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define PROCESSES 4
#define ACCOUNTS 10
#define MOVES 500
#define TIME_MS 60000

typedef struct Worker {
  bool is_ours;
  int number;
  bool never_rests;
} Worker;

static void move_money(sqlite3 *db, Random *random) {
  int amount = random_below(random, 20);
  exec(db, "BEGIN IMMEDIATE; UPDATE account SET money = money - %d WHERE a = %d", amount,
       1 + random_below(random, ACCOUNTS));
  exec(db, "UPDATE account SET money = money + %d WHERE a = %d; COMMIT", amount,
       1 + random_below(random, ACCOUNTS));
}

/* It fails if a turn does not come within the busy timeout. */
static int work(void *arg) {
  Worker *worker = arg;
  alarm(TIME_MS / 1000);
  Random random = random_new((uint64_t)worker->number * 1000003);
  if (worker->is_ours) {
    CHECK_EQ(sqlite3async_initialize("unix", 0), SQLITE_OK);
    CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  }
  sqlite3 *db = worker->is_ours ? open_async(test_path("x.db")) : open_plain(test_path("x.db"));
  sqlite3_busy_timeout(db, 15000);
  for (int i = 0; i < MOVES; i++) {
    move_money(db, &random);
    exec(db, "UPDATE turns SET n = n + 1 WHERE worker = %d", worker->number);
    if (!worker->never_rests) sleep_ms(random_below(&random, 3));
  }
  close_database(db);
  if (worker->is_ours) CHECK_EQ(sqlite3async_close(20000), SQLITE_OK);
  return 0;
}

static void make_database(void) {
  sqlite3 *plain = open_plain(test_path("x.db"));
  exec(plain, "CREATE TABLE account(a INTEGER PRIMARY KEY, money)");
  exec(plain,
       "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT %d) "
       "INSERT INTO account SELECT i, 100 FROM n",
       ACCOUNTS);
  exec(plain, "CREATE TABLE turns(worker, n)");
  for (int i = 0; i < PROCESSES; i++) exec(plain, "INSERT INTO turns VALUES (%d, 0)", i);
  close_database(plain);
}

static void four_processes(int ours, bool never_rest) {
  make_database();
  static Worker workers[PROCESSES];
  int pids[PROCESSES];
  int64_t start_ms = now_ms();
  for (int i = 0; i < PROCESSES; i++) {
    workers[i] = (Worker){.is_ours = i < ours, .number = i, .never_rests = never_rest};
    pids[i] = process_start(work, &workers[i]);
  }
  for (int i = 0; i < PROCESSES; i++) CHECK_EQ(process_wait(pids[i], TIME_MS), 0);
  printf("# %lld ms\n", (long long)(now_ms() - start_ms));
  sqlite3 *plain = open_plain(test_path("x.db"));
  check_integrity(plain);
  CHECK_EQ(query_int(plain, "SELECT sum(money) FROM account"), ACCOUNTS * 100);
  CHECK_EQ(query_int(plain, "SELECT min(n) FROM turns"), MOVES);
  CHECK_EQ(query_int(plain, "SELECT max(n) FROM turns"), MOVES);
  close_database(plain);
}

static void two_of_ours_and_two_of_plain_SQLite(void) { four_processes(2, false); }
static void four_of_ours(void) { four_processes(4, false); }
static void four_of_ours_that_never_rest(void) { four_processes(4, true); }

/* Killed at any moment, it leaves a database that others can use. */
static int write_until_killed(void *unused) {
  (void)unused;
  CHECK_EQ(sqlite3async_initialize("unix", 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  sqlite3 *db = open_async(test_path("x.db"));
  sqlite3_busy_timeout(db, 15000);
  Random random = random_new((uint64_t)getpid());
  for (;;) move_money(db, &random);
  return 0;
}

static void a_process_that_is_killed_leaves_whole_transactions(void) {
  make_database();
  Random random = random_new(0);
  for (int i = 0; i < 20 * test_scale(); i++) {
    int pid = process_start(write_until_killed, NULL);
    sleep_ms(10 + random_below(&random, 60));
    kill(pid, SIGKILL);
    CHECK_EQ(process_wait(pid, 10000), -SIGKILL);
    sqlite3 *plain = open_plain(test_path("x.db"));
    check_integrity(plain);
    CHECK_EQ(query_int(plain, "SELECT sum(money) FROM account"), ACCOUNTS * 100);
    close_database(plain);
  }
}

int main(void) {
  return run_tests((TestCase[]){TEST(two_of_ours_and_two_of_plain_SQLite),
                                TEST(four_of_ours),
                                TEST(four_of_ours_that_never_rest),
                                TEST(a_process_that_is_killed_leaves_whole_transactions),
                                {0}});
}
