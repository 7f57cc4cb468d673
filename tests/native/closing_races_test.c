/*
** The last close, and a close by force, while others are at the database: threads that commit,
** somebody who opens it again, the checkpointer, a forked child, a disk that is full.  Each close
** ends, and loses no commit that returned.
*/
#include "database.h"
#include "other.h"
#include "registry.h"
#include "testvfs.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_MS 10000
/* What has to be at once, on a machine that is busy. */
#define SOON_MS 4000

static char path[400];

static void setup(void) {
  async_setup();
  snprintf(path, sizeof path, "%s", test_path("x.db"));
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
}

/* One row, all of it on disk. */
static sqlite3 *open_table(const char *mode) {
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA journal_mode = %s; CREATE TABLE t(a); INSERT INTO t VALUES (1)", mode);
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  return db;
}

static void insert(sqlite3 *db, int times) {
  for (int i = 0; i < times; i++) exec(db, "INSERT INTO t VALUES (zeroblob(2000))");
}

static int64_t count_rows(void) {
  sqlite3 *plain = open_plain(path);
  int64_t rows = query_int(plain, "SELECT count(*) FROM t");
  check_integrity(plain);
  close_database(plain);
  return rows;
}

static void check_rows(int64_t rows) { CHECK_EQ(count_rows(), rows); }

/* A call on a thread of its own. */
typedef struct Call {
  sqlite3 *db;
  int timeout_ms;
  atomic_bool is_done;
  int result;
  int64_t took_ms;
} Call;

static void *close_by_force(void *arg) {
  Call *call = arg;
  call->result = sqlite3async_close_by_force(call->timeout_ms);
  call->is_done = true;
  return NULL;
}

static void *close_one(void *arg) {
  Call *call = arg;
  int64_t start_ms = now_ms();
  call->result = sqlite3_close_v2(call->db);
  call->took_ms = now_ms() - start_ms;
  call->is_done = true;
  return NULL;
}

/* ---- By force ---- */

/* The flush of the close is held at a sync, and a commit comes meanwhile. */
static Thread begin_close_by_force(Call *call, sqlite3 *db) {
  exec(db, "PRAGMA synchronous = OFF");
  insert(db, 1);
  testvfs_hold(ON_SYNC, "x.db");
  Thread thread = thread_start(close_by_force, call);
  testvfs_wait_held();
  testvfs_delay(ON_WRITE, NULL, 10); /* they are applied beside the sync */
  insert(db, 10);
  return thread;
}

/* Of what was written to it last. */
static bool ends_with_sync(const char *name) {
  char write[40];
  char sync[40];
  snprintf(write, sizeof write, "write %s ", name);
  snprintf(sync, sizeof sync, "sync %s\n", name);
  char *log = testvfs_log();
  char *last = NULL;
  for (char *at = log; (at = strstr(at, write)) != NULL; at++) last = at;
  bool ends = last != NULL && strstr(last, sync) != NULL;
  free(log);
  return ends;
}

static void a_close_by_force_loses_no_commit_that_comes_meanwhile(void) {
  static const char *const modes[] = {"DELETE", "WAL"};
  for (int mode = 0; mode < 2; mode++) {
    setup();
    unlink(path);
    sqlite3 *db = open_table(modes[mode]);
    Call call = {.timeout_ms = WAIT_MS};
    Thread thread = begin_close_by_force(&call, db);
    testvfs_release();
    thread_join(thread);
    CHECK(ends_with_sync(mode == 0 ? "x.db" : "x.db-wal"));
    testvfs_reset();
    CHECK_EQ(call.result, SQLITE_OK);
    CHECK_EQ(exec_code(db, "INSERT INTO t VALUES (1)"), SQLITE_IOERR_CLOSE);
    sqlite3_close(db);
    check_rows(12);
  }
}

static bool is_cut_off(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  bool cut_off = stream->cut_off;
  async_mutex_leave(&stream->mutex);
  return cut_off;
}

/* Else it would never end, beside a thread that commits on and on. */
static void a_close_by_force_takes_no_more_commits(void) {
  setup();
  sqlite3 *db = open_table("DELETE");
  AsyncStream *stream = async_registry_find(path);
  Call call = {.timeout_ms = WAIT_MS};
  Thread thread = begin_close_by_force(&call, db);
  testvfs_release();
  WAIT_FOR(WAIT_MS, is_cut_off(stream));
  CHECK_EQ(exec_code(db, "INSERT INTO t VALUES (1)"), SQLITE_IOERR_CLOSE);
  CHECK(!call.is_done);
  thread_join(thread);
  testvfs_reset();
  CHECK_EQ(call.result, SQLITE_OK);
  async_registry_unref(stream);
  sqlite3_close(db);
  check_rows(12);
}

static void a_close_by_force_that_is_late_leaves_all_as_it_was(void) {
  setup();
  sqlite3 *db = open_table("DELETE");
  Call call = {.timeout_ms = 300};
  Thread thread = begin_close_by_force(&call, db);
  testvfs_release();
  testvfs_hold(ON_WRITE, "x.db$");
  testvfs_wait_held();
  thread_join(thread);
  CHECK_EQ(call.result, SQLITE_BUSY);
  testvfs_release();
  insert(db, 1);
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  CHECK_EQ(sqlite3async_close_by_force(WAIT_MS), SQLITE_OK);
  sqlite3_close(db);
  check_rows(13);
}

typedef struct Committer {
  sqlite3 *db;
  int committed;
} Committer;

static void *commit_until_refused(void *arg) {
  Committer *committer = arg;
  while (exec_code(committer->db, "INSERT INTO t VALUES (1)") == SQLITE_OK) committer->committed++;
  return NULL;
}

static void a_close_by_force_beside_a_thread_that_commits_loses_nothing(void) {
  Random random = random_new(1);
  for (int round = 0; round < 10 * test_scale(); round++) {
    setup();
    CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_LOCK_HOLD_MS, 20), SQLITE_OK); /* queue runs dry */
    unlink(path);
    Committer committer = {.db = open_table(round % 2 == 0 ? "DELETE" : "WAL")};
    Thread thread = thread_start(commit_until_refused, &committer);
    sleep_ms(random_below(&random, 20));
    CHECK_EQ(sqlite3async_close_by_force(WAIT_MS), SQLITE_OK);
    thread_join(thread);
    sqlite3_close(committer.db);
    /* The last one may be there though its COMMIT failed, as after any error of the disk. */
    int64_t committed = count_rows() - 1;
    CHECK(committed == committer.committed || committed == committer.committed + 1);
  }
}

static void a_close_by_force_ends_while_halted_or_stopped(void) {
  for (int stopped = 0; stopped < 2; stopped++) {
    for (int queued = 0; queued < 2; queued++) {
      setup();
      unlink(path);
      sqlite3 *db = open_table("DELETE");
      if (stopped) {
        CHECK_EQ(sqlite3async_stop(WAIT_MS), SQLITE_OK);
      } else {
        CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NOW), SQLITE_OK);
      }
      if (queued) insert(db, 1);
      bool refused = queued && !stopped; /* one that is halted stays so, and nothing gets lost */
      int64_t start_ms = now_ms();
      CHECK_EQ(sqlite3async_close_by_force(200), refused ? SQLITE_BUSY : SQLITE_OK);
      CHECK(now_ms() - start_ms < SOON_MS);
      CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER), SQLITE_OK);
      if (refused) CHECK_EQ(sqlite3async_close_by_force(WAIT_MS), SQLITE_OK);
      CHECK_EQ(exec_code(db, "INSERT INTO t VALUES (1)"), SQLITE_IOERR_CLOSE);
      sqlite3_close(db);
      check_rows(1 + queued);
    }
  }
}

/* Its database was released before, and belongs to others now. */
static void what_was_cut_off_takes_no_lock_again(void) {
  Other other = other_start(test_path("x.db"));
  setup();
  sqlite3 *db = open_table("WAL");
  CHECK_EQ(sqlite3async_release(path, WAIT_MS), SQLITE_OK);
  CHECK_EQ(sqlite3async_close_by_force(WAIT_MS), SQLITE_OK);
  const char *const calls[] = {"PRAGMA wal_checkpoint(TRUNCATE)", "SELECT * FROM t",
                               "INSERT INTO t VALUES (1)", "PRAGMA journal_mode = DELETE"};
  tell(&other, "open");
  for (int i = 0; i < 4; i++) {
    exec_code(db, calls[i]);
    CHECK_TEXT(tell(&other, "INSERT INTO t VALUES (2)"), "= 0");
  }
  sqlite3_close(db);
  tell(&other, "close");
  check_rows(5);
  other_end(&other);
}

/* ---- Opened again ---- */

static sqlite3 *busy_db;

/* What others queue, only those can write who wait for it. */
static void hold_the_only_writer(void) {
  async_setup();
  snprintf(path, sizeof path, "%s", test_path("x.db"));
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_WRITERS, 1), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  busy_db = open_async(test_path("busy.db"));
  exec(busy_db, "CREATE TABLE t(a)");
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  testvfs_hold(ON_WRITE, "busy.db");
  exec(busy_db, "INSERT INTO t VALUES (1)");
  testvfs_wait_held();
}

static atomic_bool stop_commits;
static int commits;

static void *open_again_and_commit(void *unused) {
  (void)unused;
  sqlite3 *db = open_async(path);
  sqlite3_busy_timeout(db, WAIT_MS);
  while (!stop_commits) {
    insert(db, 1);
    commits++;
  }
  close_database(db);
  return NULL;
}

static void a_closer_does_not_write_for_who_opens_the_database_again(void) {
  hold_the_only_writer();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_LOCK_HOLD_MS, 0), SQLITE_OK);
  sqlite3 *plain = open_plain(path);
  exec(plain, "CREATE TABLE t(a)");
  close_database(plain);
  Call call = {.db = open_async(path)};
  insert(call.db, 20);
  testvfs_delay(ON_WRITE, "x.db", 2);
  Thread closer = thread_start(close_one, &call);
  Thread other = thread_start(open_again_and_commit, NULL);
  for (int i = 0; i < SOON_MS && !call.is_done; i++) sleep_ms(1);
  bool returned = call.is_done;
  stop_commits = true;
  testvfs_reset();
  CHECK(returned);
  thread_join(closer);
  thread_join(other);
  close_database(busy_db);
  check_rows(20 + commits);
}

/* ---- A disk that is full ---- */

static void a_close_gives_up_a_barrier_behind_a_full_disk(void) {
  setup();
  CHECK(freopen(test_path("stderr"), "w", stderr) != NULL);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_EXIT_DRAIN_MS, 300), SQLITE_OK);
  sqlite3 *db = open_table("DELETE");
  exec(db, "ATTACH '%s' AS y", test_path("y.db"));
  exec(db, "CREATE TABLE y.t(a)");
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  testvfs_fail(ON_WRITE, "y.db", 0, -1, SQLITE_FULL, 0);
  exec(db, "BEGIN; INSERT INTO main.t VALUES (1); INSERT INTO y.t VALUES (1); COMMIT");
  int64_t start_ms = now_ms();
  close_database(db);
  CHECK(now_ms() - start_ms >= 250 && now_ms() - start_ms < SOON_MS);
  testvfs_reset();
  check_rows(1);
  char *text = file_text(test_path("stderr"));
  CHECK(strstr(text, "x.db were not written") != NULL);
  CHECK(strstr(text, "y.db were not written") != NULL);
  free(text);
}

/* ---- Statements that are not finalized ---- */

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql) {
  sqlite3_stmt *statement = NULL;
  CHECK_EQ(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
  return statement;
}

static void a_zombie_gives_its_lock_back_when_the_checkpointer_has_gone(void) {
  Other other = other_start(test_path("x.db"));
  setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 1), SQLITE_OK);
  Call call = {.db = open_table("WAL")};
  testvfs_hold(ON_WRITE, "x.db$"); /* by the checkpointer */
  insert(call.db, 40);
  testvfs_wait_held();
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  sqlite3_stmt *statement = prepare(call.db, "SELECT * FROM t");
  Thread thread = thread_start(close_one, &call);
  sleep_ms(150);
  CHECK(!call.is_done);
  testvfs_release();
  thread_join(thread);
  CHECK_EQ(call.result, SQLITE_OK);
  tell(&other, "open");
  CHECK_TEXT(tell(&other, "INSERT INTO t VALUES (2)"), "= 0");
  tell(&other, "close");
  sqlite3_finalize(statement);
  check_rows(42);
  other_end(&other);
}

/* The time that a close may wait for the disk was over long before the disk was full. */
static void a_shortage_after_the_close_of_a_zombie_is_waited_for(void) {
  setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_EXIT_DRAIN_MS, 300), SQLITE_OK);
  sqlite3 *db = open_table("DELETE");
  sqlite3_stmt *statement = prepare(db, "INSERT INTO t VALUES (2)");
  CHECK_EQ(sqlite3_close_v2(db), SQLITE_OK);
  sleep_ms(400);
  testvfs_fail(ON_WRITE, "x.db", 0, 1, SQLITE_FULL, 0);
  CHECK_EQ(sqlite3_step(statement), SQLITE_DONE);
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  CHECK_EQ(testvfs_failures(), 1);
  CHECK_EQ(sqlite3_finalize(statement), SQLITE_OK);
  check_rows(2);
}

static sqlite3 *parents_db;

static int close_in_child(void *unused) {
  (void)unused;
  sqlite3_close_v2(parents_db);
  return 0;
}

static void a_forked_child_closes_a_zombie_and_writes_nothing(void) {
  hold_the_only_writer();
  sqlite3 *plain = open_plain(path);
  exec(plain, "CREATE TABLE t(a)");
  close_database(plain);
  parents_db = open_async(path);
  insert(parents_db, 5);
  sqlite3_stmt *statement = prepare(parents_db, "SELECT * FROM t");
  struct stat before;
  struct stat after;
  CHECK_EQ(stat(path, &before), 0);
  CHECK_EQ(process_wait(process_start(close_in_child, NULL), SOON_MS), 0);
  CHECK_EQ(stat(path, &after), 0);
  CHECK_EQ(after.st_size, before.st_size);
  testvfs_release();
  CHECK_EQ(sqlite3_finalize(statement), SQLITE_OK);
  close_database(parents_db);
  check_rows(5);
}

int main(void) {
  return run_tests((TestCase[]){TEST(a_close_by_force_loses_no_commit_that_comes_meanwhile),
                                TEST(a_close_by_force_takes_no_more_commits),
                                TEST(a_close_by_force_that_is_late_leaves_all_as_it_was),
                                TEST(a_close_by_force_beside_a_thread_that_commits_loses_nothing),
                                TEST(a_close_by_force_ends_while_halted_or_stopped),
                                TEST(what_was_cut_off_takes_no_lock_again),
                                TEST(a_closer_does_not_write_for_who_opens_the_database_again),
                                TEST(a_close_gives_up_a_barrier_behind_a_full_disk),
                                TEST(a_zombie_gives_its_lock_back_when_the_checkpointer_has_gone),
                                TEST(a_shortage_after_the_close_of_a_zombie_is_waited_for),
                                TEST(a_forked_child_closes_a_zombie_and_writes_nothing),
                                {0}});
}
