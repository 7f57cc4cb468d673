/*
** Processes that write to one database with a rollback journal.
**
** A crowd: four of them, on one database or on two in one transaction, through
** us with two threads each or by plain SQLite, move money, look whether any was
** made or lost, and are killed at any moment and started again.  None may ever
** see SQLITE_BUSY within its timeout, and what one of them knew to be safe must
** be there.
*/
#define _GNU_SOURCE 1

#include "database.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define PROCESSES 4
#define THREADS 2
#define SLOTS (PROCESSES * THREADS)
#define ACCOUNTS 10
#define MONEY 100
#define LIFE_MS 800 /* of a crowd; longer in a full run */
#define PROCESS_S 120
/*
** Nobody waits this long.  Ours hold a lock for maxLockHoldMs at most, four times
** that at first, and leave it free for a tenth then, in which one of the others
** that try every 100 ms gets it; plain SQLite holds it for a transaction.
*/
#define BUSY_MS 20000
/* Who has one database waits for so long for the second. */
#define SECOND_READ_MS 500

typedef struct Crowd {
  const char *journal_mode; /* NULL: each process has its own */
  bool attached;
  int ours; /* the first ones */
} Crowd;

typedef struct Member {
  const Crowd *crowd;
  int number;
  int life; /* how often it was started */
} Member;

typedef struct Writer {
  const Member *member;
  int slot;
} Writer;

/* In memory that all processes share, and that survives them. */
typedef struct Shared {
  atomic_bool stop;
  atomic_int safe[SLOTS]; /* of the transactions of a slot, so many survive SIGKILL */
  atomic_int longest_wait_ms;
  atomic_int circles; /* of processes that waited for each other */
} Shared;

static Shared *shared;

static bool is_ours(const Member *member) { return member->number < member->crowd->ours; }

static const char *journal_mode(const Member *member) {
  static const char *const modes[] = {"DELETE", "TRUNCATE", "PERSIST"};
  const char *mode = member->crowd->journal_mode;
  return mode != NULL ? mode : modes[member->number % 3];
}

static sqlite3 *join(const Member *member) {
  const char *path = test_path("x.db");
  sqlite3 *db = is_ours(member) ? open_async(path) : open_plain(path);
  sqlite3_busy_timeout(db, BUSY_MS);
  if (member->crowd->attached) exec(db, "ATTACH '%s' AS other", test_path("y.db"));
  exec(db, "PRAGMA main.journal_mode = %s; PRAGMA main.synchronous = NORMAL", journal_mode(member));
  if (!member->crowd->attached) return db;
  exec(db, "PRAGMA other.journal_mode = %s; PRAGMA other.synchronous = NORMAL",
       journal_mode(member));
  return db;
}

static void note_wait(int64_t ms) {
  int longest = shared->longest_wait_ms;
  while (ms > longest &&
         !atomic_compare_exchange_weak(&shared->longest_wait_ms, &longest, (int)ms)) {
  }
}

/* One transaction of a slot; how many it has made. */
static int move_money(sqlite3 *db, const Writer *writer, Random *random) {
  const char *to = writer->member->crowd->attached ? "other" : "main";
  int amount = random_below(random, 20);
  int64_t start_ms = now_ms();
  exec(db, "BEGIN IMMEDIATE");
  note_wait(now_ms() - start_ms);
  exec(db, "UPDATE main.account SET money = money - %d WHERE a = %d", amount,
       1 + random_below(random, ACCOUNTS));
  exec(db, "UPDATE %s.account SET money = money + %d WHERE a = %d", to, amount,
       1 + random_below(random, ACCOUNTS));
  exec(db, "UPDATE turns SET n = n + 1 WHERE slot = %d", writer->slot);
  char sql[100];
  snprintf(sql, sizeof sql, "SELECT n FROM turns WHERE slot = %d", writer->slot);
  int n = (int)query_int(db, sql);
  exec(db, "COMMIT");
  return n;
}

/*
** In one transaction.  Who reads two databases can stand in a circle with one of our
** processes that writes to them (README, "Limits"): it keeps the second one's lock for a
** transaction on its way to the disk, and waits for the reader of the first.  The reader
** gives up and begins again.
*/
static void count_money(sqlite3 *db, bool attached) {
  exec(db, "BEGIN");
  int64_t sum = query_int(db, "SELECT sum(money) FROM main.account");
  sqlite3_busy_timeout(db, SECOND_READ_MS);
  while (attached && exec_code(db, "SELECT * FROM other.account LIMIT 1") != SQLITE_OK) {
    CHECK_EQ(sqlite3_extended_errcode(db), SQLITE_BUSY);
    shared->circles++;
    exec(db, "ROLLBACK");
    sqlite3_busy_timeout(db, BUSY_MS);
    exec(db, "BEGIN");
    sum = query_int(db, "SELECT sum(money) FROM main.account");
    sqlite3_busy_timeout(db, SECOND_READ_MS);
  }
  if (attached) sum += query_int(db, "SELECT sum(money) FROM other.account");
  exec(db, "COMMIT");
  sqlite3_busy_timeout(db, BUSY_MS);
  CHECK_EQ(sum, ACCOUNTS * MONEY * (attached ? 2 : 1));
}

static void *write_on(void *arg) {
  const Writer *writer = arg;
  const Member *member = writer->member;
  Random random = random_new((uint64_t)writer->slot * 1000003 + (uint64_t)member->life * 17);
  sqlite3 *db = join(member);
  while (!shared->stop) {
    if (random_one_in(&random, 4)) count_money(db, member->crowd->attached);
    int n = move_money(db, writer, &random);
    bool safe = !is_ours(member);
    if (!safe && random_one_in(&random, 10)) {
      CHECK_EQ(sqlite3async_flush(NULL, BUSY_MS), SQLITE_OK);
      safe = true;
    }
    if (safe) shared->safe[writer->slot] = n;
    sleep_ms(random_below(&random, 4));
  }
  close_database(db);
  return NULL;
}

static int live(void *arg) {
  const Member *member = arg;
  alarm(PROCESS_S);
  if (is_ours(member)) {
    CHECK_EQ(sqlite3async_initialize("unix", 0), SQLITE_OK);
    CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  }
  int count = is_ours(member) ? THREADS : 1;
  Thread threads[THREADS];
  Writer writers[THREADS];
  for (int i = 0; i < count; i++) {
    writers[i] = (Writer){member, member->number * THREADS + i};
    threads[i] = thread_start(write_on, &writers[i]);
  }
  for (int i = 0; i < count; i++) thread_join(threads[i]);
  if (is_ours(member)) CHECK_EQ(sqlite3async_close(BUSY_MS), SQLITE_OK);
  return 0;
}

static void make_database(const char *name) {
  sqlite3 *plain = open_plain(test_path(name));
  exec(plain, "CREATE TABLE account(a INTEGER PRIMARY KEY, money)");
  exec(plain,
       "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT %d) "
       "INSERT INTO account SELECT i, %d FROM n",
       ACCOUNTS, MONEY);
  exec(plain, "CREATE TABLE turns(slot INTEGER PRIMARY KEY, n)");
  for (int i = 0; i < SLOTS; i++) exec(plain, "INSERT INTO turns VALUES (%d, 0)", i);
  close_database(plain);
}

/* Whatever a process knew to be safe is there; `only`: of that process. */
static void check_databases(const Crowd *crowd, const Member *only) {
  int safe[SLOTS];
  for (int i = 0; i < SLOTS; i++) safe[i] = shared->safe[i]; /* before looking */
  sqlite3 *plain = open_plain(test_path("x.db"));
  sqlite3_busy_timeout(plain, BUSY_MS);
  if (crowd->attached) exec(plain, "ATTACH '%s' AS other", test_path("y.db"));
  count_money(plain, crowd->attached);
  for (int i = 0; i < SLOTS; i++) {
    if (only != NULL && i / THREADS != only->number) continue;
    char sql[100];
    snprintf(sql, sizeof sql, "SELECT n FROM turns WHERE slot = %d", i);
    int64_t n = query_int(plain, sql);
    if (n < safe[i]) FAIL("slot %d has %lld turns of %d", i, (long long)n, safe[i]);
  }
  if (only == NULL) check_integrity(plain);
  close_database(plain);
}

static void kill_and_restart(Member *member, int *pid) {
  kill(*pid, SIGKILL);
  CHECK_EQ(process_wait(*pid, 10000), -SIGKILL);
  check_databases(member->crowd, member);
  member->life++;
  *pid = process_start(live, member);
}

static int slot_without_a_turn(const Crowd *crowd) {
  for (int i = 0; i < SLOTS; i++) {
    bool used = i < crowd->ours * THREADS || i % THREADS == 0;
    if (used && shared->safe[i] == 0) return i;
  }
  return -1;
}

static void gather(const Crowd *crowd) {
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED);
  make_database("x.db");
  make_database("y.db");
  Member members[PROCESSES];
  int pids[PROCESSES];
  for (int i = 0; i < PROCESSES; i++) {
    members[i] = (Member){crowd, i, 0};
    pids[i] = process_start(live, &members[i]);
  }
  Random random = random_new(crowd->attached);
  int kills = 0;
  int64_t end_ms = now_ms() + LIFE_MS * test_scale();
  while (now_ms() < end_ms) {
    sleep_ms(20 + random_below(&random, 150));
    int chosen = random_below(&random, PROCESSES);
    kill_and_restart(&members[chosen], &pids[chosen]);
    kills++;
  }
  WAIT_FOR(BUSY_MS, slot_without_a_turn(crowd) < 0);
  shared->stop = true;
  for (int i = 0; i < PROCESSES; i++) CHECK_EQ(process_wait(pids[i], PROCESS_S * 1000), 0);
  check_databases(crowd, NULL);
  int turns = 0;
  for (int i = 0; i < SLOTS; i++) turns += shared->safe[i];
  printf("# %d kills, %d turns, longest wait %d ms, %d circles\n", kills, turns,
         shared->longest_wait_ms, shared->circles);
}

static void four_of_ours_in_DELETE_mode(void) { gather(&(Crowd){"DELETE", false, 4}); }
static void two_of_ours_and_two_plain_ones_in_TRUNCATE_mode(void) {
  gather(&(Crowd){"TRUNCATE", false, 2});
}
static void two_of_ours_and_two_plain_ones_in_PERSIST_mode(void) {
  gather(&(Crowd){"PERSIST", false, 2});
}
static void processes_of_all_journal_modes_on_two_databases(void) {
  gather(&(Crowd){NULL, true, 2});
}

/* ---- Starvation ---- */

#define HOLD_MS 300
#define TURNS 4

/* With a writer that is never done, so that the lock is not free by itself. */
static int never_rest(void *unused) {
  (void)unused;
  alarm(PROCESS_S);
  CHECK_EQ(sqlite3async_initialize("unix", 0), SQLITE_OK);
  sqlite3async_set(SQLITEASYNC_MAX_LOCK_HOLD_MS, HOLD_MS);
  sqlite3async_set(SQLITEASYNC_MAX_QUEUE_BYTES, 65536);
  sqlite3async_set(SQLITEASYNC_DELAY, 1);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  sqlite3 *db = open_async(test_path("x.db"));
  sqlite3_busy_timeout(db, BUSY_MS);
  exec(db, "PRAGMA synchronous = OFF");
  while (!shared->stop) {
    exec(db, "UPDATE turns SET n = n + 1 WHERE slot = 0");
    shared->safe[0]++;
  }
  close_database(db);
  return 0;
}

/* SQLite's own tries come every 100 ms: it may miss some of the moments. */
static int try_again(void *until_ms, int tries) {
  (void)tries;
  sleep_ms(5);
  return now_ms() < *(int64_t *)until_ms;
}

/* The other one waits for four times maxLockHoldMs at first and then for one, and for what
** is queued by then; for more on a busy machine. */
static void a_process_that_never_rests_lets_another_in(void) {
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED);
  make_database("x.db");
  int pid = process_start(never_rest, NULL);
  WAIT_FOR(20000, shared->safe[0] >= 10);
  sqlite3 *plain = open_plain(test_path("x.db"));
  int64_t start_ms = now_ms();
  int before = shared->safe[0];
  for (int i = 0; i < TURNS; i++) {
    int64_t until_ms = now_ms() + 4 * HOLD_MS + 6000;
    sqlite3_busy_handler(plain, try_again, &until_ms);
    exec(plain, "UPDATE turns SET n = n + 1 WHERE slot = 1");
  }
  sqlite3_busy_timeout(plain, BUSY_MS);
  printf("# %d turns in %lld ms, the other one made %d\n", TURNS, (long long)(now_ms() - start_ms),
         shared->safe[0] - before);
  CHECK(shared->safe[0] > before);
  shared->stop = true;
  CHECK_EQ(process_wait(pid, PROCESS_S * 1000), 0);
  check_integrity(plain);
  CHECK_EQ(query_int(plain, "SELECT n FROM turns WHERE slot = 0"), shared->safe[0]);
  CHECK_EQ(query_int(plain, "SELECT n FROM turns WHERE slot = 1"), TURNS);
  close_database(plain);
}

int main(void) {
  return run_tests((TestCase[]){TEST(four_of_ours_in_DELETE_mode),
                                TEST(two_of_ours_and_two_plain_ones_in_TRUNCATE_mode),
                                TEST(two_of_ours_and_two_plain_ones_in_PERSIST_mode),
                                TEST(processes_of_all_journal_modes_on_two_databases),
                                TEST(a_process_that_never_rests_lets_another_in),
                                {0}});
}
