/*
** A stress of everything at once: 8 threads with 16 connections on 4 databases, two with a
** rollback journal and two in WAL mode, most attached to each other.  Money moves between
** accounts, also of different databases, and its sum never changes.  Meanwhile the same
** threads flush, poll, checkpoint, release, close and open, and set parameters, the queue's
** bound among them; or, with no bound, they stop and start the writer.  (Both at once is
** another matter: a full queue without a writer is an error, and in WAL mode SQLite has
** committed on one database when the next one has such an error.)
**
** For the sanitizers, and for what nobody thought of.
*/
#include "database.h"

#include "registry.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define THREADS 8
#define DATABASES 4
#define ACCOUNTS 10
#define SUM (DATABASES * ACCOUNTS * 100)
#define STRESS_MS 2400
#define STRESS_MS_FULL 30000
#define CLOSE_MS 60000

static int64_t until_ms;
static bool stops; /* and starts the writer, instead of bounding the queue */
static atomic_int committed;
static atomic_int refused;
static atomic_int checked;

static const char *path_of(int number) {
  char name[20];
  snprintf(name, sizeof name, "d%d.db", number);
  return test_path(name);
}

static const char *const schemas[DATABASES] = {"main", "d1", "d2", "d3"};
static const char *const journal_modes[DATABASES] = {"DELETE", "WAL", "TRUNCATE", "WAL"};

/* One thread's two connections: all databases, and one. */
typedef struct Worker {
  int number;
  Random random;
  sqlite3 *all;
  sqlite3 *one;
  int database; /* of `one` */
} Worker;

/* ---- Connections ---- */

static void open_all(Worker *worker) {
  worker->all = open_async(path_of(0));
  sqlite3_busy_timeout(worker->all, 2000);
  for (int i = 1; i < DATABASES; i++) {
    exec(worker->all, "ATTACH '%s' AS %s", path_of(i), schemas[i]);
  }
  exec(worker->all, "PRAGMA cache_size = 5");
  static const char *const levels[] = {"OFF", "NORMAL", "FULL", "EXTRA"};
  const char *level = levels[random_below(&worker->random, 4)];
  for (int i = 0; i < DATABASES; i++) {
    exec(worker->all, "PRAGMA %s.synchronous = %s", schemas[i], level);
  }
}

static void open_one(Worker *worker) {
  worker->database = random_below(&worker->random, DATABASES);
  worker->one = open_async(path_of(worker->database));
  sqlite3_busy_timeout(worker->one, 2000);
}

static void reopen(Worker *worker) {
  if (random_one_in(&worker->random, 2)) {
    close_database(worker->all);
    open_all(worker);
  } else {
    close_database(worker->one);
    open_one(worker);
  }
}

/* ---- Transactions ---- */

/* What others, a full queue or a long WAL may say. */
static bool is_refusal(int rc) { return (rc & 0xff) == SQLITE_BUSY; }

static int run_sql(sqlite3 *db, char *sql) {
  int rc = exec_code(db, sql);
  sqlite3_free(sql);
  return rc;
}

static int add(Worker *worker, sqlite3 *db, const char *schema, int amount) {
  int account = 1 + random_below(&worker->random, ACCOUNTS);
  return run_sql(db, sqlite3_mprintf("UPDATE %s.account SET money = money + %d, note = "
                                     "randomblob(%d) WHERE a = %d",
                                     schema, amount, random_below(&worker->random, 3000), account));
}

/* Something that is taken back. */
static int try_and_undo(Worker *worker, sqlite3 *db, const char *schema) {
  int rc = exec_code(db, "SAVEPOINT inner_one");
  if (rc == SQLITE_OK) rc = add(worker, db, schema, 1000000);
  if (rc == SQLITE_OK) rc = exec_code(db, "ROLLBACK TO inner_one; RELEASE inner_one");
  return rc;
}

static void end(sqlite3 *db, int rc) {
  if (rc == SQLITE_OK) {
    committed++;
    return;
  }
  if (rc != SQLITE_ABORT && !is_refusal(rc)) FAIL("%s (%d)", sqlite3_errmsg(db), rc);
  refused++;
  if (!sqlite3_get_autocommit(db)) exec(db, "ROLLBACK");
}

static const char *begin_sql(Random *random) {
  return random_one_in(random, 3) ? "BEGIN" : "BEGIN IMMEDIATE";
}

static void move_money(Worker *worker, sqlite3 *db, int from, int to, bool attached) {
  Random *random = &worker->random;
  const char *source = attached ? schemas[from] : "main";
  const char *target = attached ? schemas[to] : "main";
  int amount = random_below(random, 40) - 20;
  int rc = exec_code(db, begin_sql(random));
  if (rc == SQLITE_OK) rc = add(worker, db, source, -amount);
  if (rc == SQLITE_OK && random_one_in(random, 4)) rc = try_and_undo(worker, db, source);
  if (rc == SQLITE_OK) rc = add(worker, db, target, amount);
  if (rc == SQLITE_OK && random_one_in(random, 8)) rc = SQLITE_ABORT;
  if (rc == SQLITE_OK) rc = exec_code(db, "COMMIT");
  end(db, rc);
}

static void move_between(Worker *worker) {
  int from = random_below(&worker->random, DATABASES);
  int to = from + random_below(&worker->random, DATABASES - from); /* lock in one order */
  move_money(worker, worker->all, from, to, true);
}

static void move_within(Worker *worker) { move_money(worker, worker->one, 0, 0, false); }

/* With a write lock on each, nobody else is in a transaction: the sum is what it was. */
static void check_sum(Worker *worker) {
  sqlite3 *db = worker->all;
  int rc = exec_code(db, "BEGIN IMMEDIATE");
  if (rc == SQLITE_OK) {
    CHECK_EQ(query_int(db, "SELECT (SELECT sum(money) FROM main.account) + (SELECT sum(money) "
                           "FROM d1.account) + (SELECT sum(money) FROM d2.account) + (SELECT "
                           "sum(money) FROM d3.account)"),
             SUM);
    checked++;
    rc = exec_code(db, "COMMIT");
  }
  end(db, rc);
}

static void read_one(Worker *worker) {
  int rc = exec_code(worker->one, "BEGIN; SELECT sum(money) FROM account; SELECT sum(money) FROM "
                                  "account; COMMIT");
  end(worker->one, rc);
}

/* ---- What else there is to call ---- */

static void checkpoint(Worker *worker) {
  int mode = random_below(&worker->random, 4); /* PASSIVE .. TRUNCATE */
  int rc = sqlite3_wal_checkpoint_v2(worker->one, NULL, mode, NULL, NULL);
  CHECK(rc == SQLITE_OK || is_refusal(rc) || rc == SQLITE_LOCKED);
}

/* A path, or all. */
static const char *some_path(Worker *worker) {
  int number = random_below(&worker->random, DATABASES + 1);
  return number == DATABASES ? NULL : path_of(number);
}

static void flush(Worker *worker) {
  static const int timeouts[] = {-1, 0, 5, 1000};
  int rc = sqlite3async_flush(some_path(worker), timeouts[random_below(&worker->random, 4)]);
  CHECK(rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_MISUSE);
}

static void flush_and_poll(Worker *worker) {
  sqlite3_int64 pairs[2 * DATABASES];
  int count = sqlite3async_flush_begin(some_path(worker), pairs, DATABASES);
  CHECK(count >= 0 || count == -SQLITE_MISUSE);
  if (count > DATABASES) count = DATABASES;
  for (int i = 0; i < count; i++) {
    sqlite3_int64 durable = 0;
    for (int polls = 0; polls < 20 && durable < pairs[2 * i + 1]; polls++) {
      durable = sqlite3async_durable(pairs[2 * i]);
      CHECK(durable >= 0);
      sleep_ms(1);
    }
  }
}

static void look(Worker *worker) {
  char text[4000];
  int n = sqlite3async_status(some_path(worker), text, sizeof text);
  CHECK(n > 0 || n == -SQLITE_NOTFOUND);
  sqlite3_int64 cursor = 0;
  CHECK_EQ(sqlite3async_event(&cursor, text, sizeof text), 0); /* nothing has failed */
}

static void set_parameter(Worker *worker) {
  static const struct {
    int op;
    int values[3];
  } parameters[] = {
      {SQLITEASYNC_ON_QUEUE_FULL, {SQLITEASYNC_FULL_BLOCK, SQLITEASYNC_FULL_BUSY, 0}},
      {SQLITEASYNC_MAX_DELAY_MS, {0, 1, 50}},
      {SQLITEASYNC_MAX_LOCK_HOLD_MS, {0, 20, 1000}},
      {SQLITEASYNC_CHECKPOINT_BYTES, {0, 20000, 1000000}},
      {SQLITEASYNC_CHECKPOINT_IDLE_MS, {0, 1, 100}},
      {SQLITEASYNC_MAX_WAL_BYTES, {0, 100000, 1000000}},
      {SQLITEASYNC_MAX_QUEUE_BYTES, {30000, 1000000, 0}},
  };
  int i = random_below(&worker->random, sizeof parameters / sizeof parameters[0]);
  int value = parameters[i].values[random_below(&worker->random, 3)];
  if (stops && parameters[i].op == SQLITEASYNC_MAX_QUEUE_BYTES) return;
  CHECK_EQ(sqlite3async_set(parameters[i].op, value), SQLITE_OK);
}

static void stop_and_start(Worker *worker) {
  if (!stops) return;
  int rc = sqlite3async_stop(random_below(&worker->random, 5));
  CHECK(rc == SQLITE_OK || rc == SQLITE_BUSY);
  if (random_one_in(&worker->random, 2)) sleep_ms(random_below(&worker->random, 5));
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
}

static void release(Worker *worker) {
  int rc = sqlite3async_release(path_of(random_below(&worker->random, DATABASES)),
                                random_below(&worker->random, 5));
  CHECK(rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_NOTFOUND || rc == SQLITE_MISUSE);
}

typedef struct Action {
  void (*run)(Worker *worker);
  int weight;
} Action;

static const Action actions[] = {
    {move_between, 40}, {move_within, 40},   {read_one, 20},      {check_sum, 6},
    {checkpoint, 5},    {flush, 10},         {flush_and_poll, 3}, {look, 8},
    {set_parameter, 5}, {stop_and_start, 1}, {release, 3},        {reopen, 4},
};
#define ACTIONS ((int)(sizeof actions / sizeof actions[0]))

static void act(Worker *worker) {
  int total = 0;
  for (int i = 0; i < ACTIONS; i++) total += actions[i].weight;
  int drawn = random_below(&worker->random, total);
  int i = 0;
  while (drawn >= actions[i].weight) drawn -= actions[i++].weight;
  actions[i].run(worker);
}

static void *work(void *arg) {
  Worker *worker = arg;
  open_all(worker);
  open_one(worker);
  while (now_ms() < until_ms) act(worker);
  close_database(worker->all);
  close_database(worker->one);
  return NULL;
}

/* ---- The end ---- */

/* Has this process a file of the test's folder open? */
static bool has_open_files(void) {
  DIR *descriptors = opendir("/proc/self/fd");
  if (descriptors == NULL) return false; /* the system does not tell */
  bool found = false;
  struct dirent *entry;
  while ((entry = readdir(descriptors)) != NULL) {
    char target[600];
    ssize_t n = readlinkat(dirfd(descriptors), entry->d_name, target, sizeof target - 1);
    if (n <= 0) continue;
    target[n] = '\0';
    if (strncmp(target, test_folder(), strlen(test_folder())) == 0) found = true;
  }
  closedir(descriptors);
  return found;
}

static void check_end(void) {
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  CHECK_EQ(sqlite3async_flush(NULL, CLOSE_MS), SQLITE_OK);
  CHECK_EQ(status_number(NULL, "queuedOps"), 0);
  CHECK_EQ(sqlite3async_close(CLOSE_MS), SQLITE_OK);
  AsyncStream **streams = async_registry_all();
  CHECK(streams != NULL && streams[0] == NULL);
  async_registry_unref_all(streams);
  CHECK(!has_open_files());
  int64_t sum = 0;
  for (int i = 0; i < DATABASES; i++) {
    sqlite3 *plain = open_plain(path_of(i));
    check_integrity(plain);
    sum += query_int(plain, "SELECT sum(money) FROM account");
    close_database(plain);
  }
  CHECK_EQ(sum, SUM);
}

static void stress(bool with_stops) {
  stops = with_stops;
  CHECK_EQ(sqlite3async_initialize("unix", 0), SQLITE_OK);
  for (int i = 0; i < DATABASES; i++) {
    sqlite3 *plain = open_plain(path_of(i));
    exec(plain, "PRAGMA journal_mode = %s", journal_modes[i]);
    exec(plain, "CREATE TABLE account(a INTEGER PRIMARY KEY, money, note)");
    exec(plain,
         "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT %d) "
         "INSERT INTO account SELECT i, 100, NULL FROM n",
         ACCOUNTS);
    close_database(plain);
  }
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  if (stops) CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_QUEUE_BYTES, 0), SQLITE_OK);
  until_ms = now_ms() + (test_scale() > 1 ? STRESS_MS_FULL : STRESS_MS);
  static Worker workers[THREADS];
  Thread threads[THREADS];
  for (int i = 0; i < THREADS; i++) {
    workers[i] = (Worker){.number = i, .random = random_new((uint64_t)i * 1000003)};
    threads[i] = thread_start(work, &workers[i]);
  }
  for (int i = 0; i < THREADS; i++) thread_join(threads[i]);
  printf("# %d transactions, %d refused, the sum of all looked at %d times\n", (int)committed,
         (int)refused, (int)checked);
  CHECK(committed > 20 && checked > 0); /* a busy machine may be slow */
  check_end();
}

static void many_threads_move_money_and_none_is_lost(void) { stress(false); }
static void nor_if_the_writer_is_stopped_and_started(void) { stress(true); }

int main(void) {
  return run_tests((TestCase[]){TEST(many_threads_move_money_and_none_is_lost),
                                TEST(nor_if_the_writer_is_stopped_and_started),
                                {0}});
}
