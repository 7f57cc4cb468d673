/*
** The last close of a database leaves a file, as plain SQLite's: all applied and
** whole, unlocked, with no descriptor open; also while others close, while the
** writer or the checkpointer is at it, and with a disk that stays full.  Where
** nobody writes, a close returns at once.  And connections that are closed with
** statements not finalized.
*/
#include "database.h"
#include "other.h"
#include "registry.h"
#include "testvfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_MS 10000
#define ROWS 40

static char path[400];

static void setup(void) {
  async_setup();
  snprintf(path, sizeof path, "%s", test_path("x.db"));
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
}

static void create(sqlite3 *db, const char *mode, const char *synchronous) {
  exec(db, "PRAGMA journal_mode = %s; PRAGMA synchronous = %s", mode, synchronous);
  exec(db, "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b); CREATE INDEX IF NOT EXISTS i "
           "ON t(b)");
}

static void commit(sqlite3 *db, int times) {
  for (int i = 0; i < times; i++) exec(db, "INSERT INTO t(b) VALUES (zeroblob(300))");
}

static bool is_there(const char *name) { return access(test_path(name), F_OK) == 0; }

/* As `cp` makes it, journals left out. */
static void copy_file(const char *from, const char *to) {
  FILE *in = fopen(from, "rb");
  FILE *out = fopen(to, "wb");
  CHECK(in != NULL && out != NULL);
  char bytes[4096];
  size_t n;
  while ((n = fread(bytes, 1, sizeof bytes, in)) > 0) CHECK(fwrite(bytes, 1, n, out) == n);
  fclose(in);
  fclose(out);
}

static void check_rows(const char *file, int64_t rows) {
  sqlite3 *plain = open_plain(file);
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM t"), rows);
  check_integrity(plain);
  close_database(plain);
}

static int lock_alone(void *file) {
  sqlite3 *db = open_plain(file);
  sqlite3_busy_timeout(db, 0);
  int rc = exec_code(db, "BEGIN EXCLUSIVE; INSERT INTO t(b) VALUES (1); ROLLBACK");
  sqlite3_close(db);
  return rc & 0x7f;
}

/* What another process could see now. */
static void check_is_a_file(int64_t rows) {
  CHECK_EQ(testvfs_open_files(), 0);
  CHECK(!is_there("x.db-wal"));
  copy_file(path, test_path("copy.db"));
  check_rows(test_path("copy.db"), rows);
  CHECK_EQ(process_wait(process_start(lock_alone, path), WAIT_MS), SQLITE_OK);
}

/* ---- A file ---- */

static void the_last_close_leaves_a_file(void) {
  static const char *const modes[] = {"WAL", "DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF"};
  static const char *const levels[] = {"OFF", "NORMAL", "FULL", "EXTRA"};
  setup();
  for (int mode = 0; mode < 6; mode++) {
    for (int level = 0; level < 4; level++) {
      const char *names[] = {"plain.db", "plain.db-journal", "x.db", "x.db-journal"};
      for (int i = 0; i < 4; i++) unlink(test_path(names[i]));
      sqlite3 *plain = open_plain(test_path("plain.db"));
      create(plain, modes[mode], levels[level]);
      commit(plain, ROWS);
      close_database(plain);
      sqlite3 *db = open_async(path);
      create(db, modes[mode], levels[level]);
      commit(db, ROWS);
      close_database(db);
      CHECK_EQ(is_there("x.db-journal"), is_there("plain.db-journal"));
      check_is_a_file(ROWS);
    }
  }
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

static void what_SQLite_did_not_sync_is_synced_before_it_is_closed(void) {
  setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 0), SQLITE_OK);
  sqlite3 *db = open_async(path);
  create(db, "DELETE", "OFF");
  commit(db, ROWS);
  CHECK_EQ(testvfs_count(ON_SYNC, NULL), 0);
  close_database(db);
  char *log = testvfs_log();
  const char *sync = strstr(log, "sync x.db\n");
  const char *closed = strstr(log, "close x.db\n");
  CHECK(sync != NULL && closed != NULL && sync < closed);
  free(log);
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  CHECK_EQ(status_number(NULL, "durable"), status_number(NULL, "committed"));
}

typedef struct Closer {
  sqlite3 *db;
  int delay_ms;
  bool is_done;
} Closer;

static void *close_later(void *arg) {
  Closer *closer = arg;
  sleep_ms(closer->delay_ms);
  commit(closer->db, 5);
  close_database(closer->db);
  closer->is_done = true;
  return NULL;
}

static void the_last_of_several_threads_leaves_a_file(void) {
  setup();
  Random random = random_new(1);
  for (int round = 0; round < 15 * test_scale(); round++) {
    unlink(path);
    Closer closers[4];
    Thread threads[4];
    for (int i = 0; i < 4; i++) {
      closers[i] = (Closer){.db = open_async(path), .delay_ms = random_below(&random, 4)};
      sqlite3_busy_timeout(closers[i].db, WAIT_MS);
      if (i == 0) create(closers[0].db, round % 2 == 0 ? "WAL" : "DELETE", "NORMAL");
    }
    for (int i = 0; i < 4; i++) threads[i] = thread_start(close_later, &closers[i]);
    for (int i = 0; i < 4; i++) thread_join(threads[i]);
    check_is_a_file(20);
  }
}

static void attached_databases_become_files_too(void) {
  setup();
  for (int round = 0; round < 10; round++) {
    sqlite3 *db = open_async(path);
    exec(db, "ATTACH '%s' AS y", test_path("y.db"));
    exec(db, "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b)");
    exec(db, "CREATE TABLE IF NOT EXISTS y.t(a INTEGER PRIMARY KEY, b)");
    for (int i = 0; i < 5; i++) {
      exec(db, "BEGIN; INSERT INTO main.t(b) VALUES (1); INSERT INTO y.t(b) VALUES (1); COMMIT");
    }
    close_database(db);
    CHECK_EQ(testvfs_open_files(), 0);
    check_rows(path, (round + 1) * 5);
    check_rows(test_path("y.db"), (round + 1) * 5);
  }
}

/* ---- While somebody is at it ---- */

/* testvfs_release() lets the writer go on. */
static Thread close_while_the_writer_is_held(Closer *closer) {
  setup();
  closer->db = open_async(path);
  create(closer->db, "DELETE", "NORMAL");
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  testvfs_hold(ON_WRITE, "x.db-journal");
  exec(closer->db, "INSERT INTO t(b) VALUES (1)");
  testvfs_wait_held();
  return thread_start(close_later, closer);
}

static void a_close_waits_for_the_writer(void) {
  Closer closer = {0};
  Thread thread = close_while_the_writer_is_held(&closer);
  sleep_ms(150);
  CHECK(!closer.is_done && testvfs_open_files() > 0);
  testvfs_release();
  thread_join(thread);
  check_is_a_file(6);
}

/* A connection that makes no checkpoint when it is closed does not ask it to leave. */
static void a_close_waits_for_the_checkpointer(void) {
  setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 1), SQLITE_OK);
  sqlite3 *db = open_async(path);
  create(db, "WAL", "NORMAL");
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK); /* from here on only that syncs it */
  sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
  testvfs_hold(ON_SYNC, "x.db$");
  commit(db, ROWS);
  testvfs_wait_held();
  Closer closer = {.db = db};
  Thread thread = thread_start(close_later, &closer);
  sleep_ms(150);
  CHECK(!closer.is_done);
  testvfs_release();
  thread_join(thread);
  CHECK_EQ(testvfs_open_files(), 0);
  check_rows(path, ROWS + 5); /* with its WAL, which stays */
}

static void a_close_takes_no_pauses(void) {
  setup();
  sqlite3 *db = open_async(path);
  create(db, "DELETE", "NORMAL");
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_DELAY, 8000), SQLITE_OK);
  commit(db, 10);
  sleep_ms(20); /* the writer is in its first pause */
  int64_t start_ms = now_ms();
  close_database(db);
  CHECK(now_ms() - start_ms < 5000);
  check_is_a_file(10);
}

static void a_database_that_is_opened_again_is_not_waited_for(void) {
  Closer closer = {0};
  Thread thread = close_while_the_writer_is_held(&closer);
  sleep_ms(50);
  sqlite3 *other = open_async(path);
  thread_join(thread); /* hangs if it waits for all to be applied */
  testvfs_release();
  CHECK_EQ(query_int(other, "SELECT count(*) FROM t"), 6);
  close_database(other);
  check_is_a_file(6);
}

/* ---- Where it cannot wait ---- */

static void without_a_writer_a_close_counts_as_queued(void) {
  async_setup();
  snprintf(path, sizeof path, "%s", test_path("x.db"));
  sqlite3 *db = open_async(path);
  create(db, "DELETE", "NORMAL");
  step_all();
  close_database(db); /* with nothing queued */
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_LOCKFILES, 0), SQLITE_MISUSE);
  step_all();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_LOCKFILES, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_LOCKFILES, 1), SQLITE_OK);
  db = open_async(path);
  commit(db, 5);
  int64_t start_ms = now_ms();
  close_database(db);
  CHECK(now_ms() - start_ms < 2000 && testvfs_open_files() > 0);
  step_all();
  check_is_a_file(5);
}

static void while_halted_or_stopped_a_close_returns_at_once(void) {
  setup();
  for (int stopped = 0; stopped < 2; stopped++) {
    sqlite3 *db = open_async(path);
    create(db, "WAL", "NORMAL");
    if (stopped) {
      CHECK_EQ(sqlite3async_stop(WAIT_MS), SQLITE_OK);
    } else {
      CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NOW), SQLITE_OK);
    }
    commit(db, 5);
    int64_t start_ms = now_ms();
    close_database(db);
    CHECK(now_ms() - start_ms < 2000);
    CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER), SQLITE_OK);
    CHECK_EQ(sqlite3async_start(), SQLITE_OK);
    CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
    WAIT_FOR(WAIT_MS, testvfs_open_files() == 0);
    check_is_a_file((stopped + 1) * 5);
  }
}

static int close_on_a_full_disk(void *unused) {
  (void)unused;
  setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_EXIT_DRAIN_MS, 300), SQLITE_OK);
  sqlite3 *db = open_async(path);
  create(db, "DELETE", "NORMAL");
  commit(db, 5);
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  sqlite3_int64 cursor = 0;
  CHECK_EQ(sqlite3async_event(&cursor, NULL, 0), 0);
  testvfs_fail(ON_WRITE, "x.db", 0, -1, SQLITE_FULL, 0);
  commit(db, 5);
  CHECK(freopen(test_path("stderr"), "w", stderr) != NULL);
  int64_t start_ms = now_ms();
  close_database(db);
  CHECK(now_ms() - start_ms >= 250 && now_ms() - start_ms < 5000);
  CHECK_EQ(testvfs_open_files(), 0);
  char text[2000];
  CHECK(sqlite3async_event(&cursor, text, sizeof text) > 0);
  CHECK(strstr(text, "diskfull") != NULL);
  CHECK(sqlite3async_event(&cursor, text, sizeof text) > 0);
  CHECK(strstr(text, "\"type\":\"error\",\"code\":13") != NULL);
  return 0;
}

/* It ends, is told once, and what is there is sound. */
static void a_close_gives_up_a_disk_that_stays_full(void) {
  CHECK_EQ(process_wait(process_start(close_on_a_full_disk, NULL), WAIT_MS), 0);
  snprintf(path, sizeof path, "%s", test_path("x.db"));
  char *told = file_text(test_path("stderr"));
  const char *line = strstr(told, "sqlite3async: close: 5 committed transactions of ");
  if (line == NULL) FAIL("%s", told);
  CHECK(strstr(line + 1, "sqlite3async:") == NULL);
  free(told);
  check_rows(path, 5);
}

/* ---- Statements that are not finalized ---- */

typedef struct Zombie {
  sqlite3 *db;
  sqlite3_stmt *statement;
} Zombie;

static Zombie make_zombie(const char *mode, bool in_the_middle) {
  Zombie zombie = {.db = open_async(path)};
  create(zombie.db, mode, "NORMAL");
  commit(zombie.db, ROWS);
  const char *sql = "SELECT a FROM t";
  CHECK_EQ(sqlite3_prepare_v2(zombie.db, sql, -1, &zombie.statement, NULL), SQLITE_OK);
  if (in_the_middle) CHECK_EQ(sqlite3_step(zombie.statement), SQLITE_ROW);
  CHECK_EQ(sqlite3_close_v2(zombie.db), SQLITE_OK);
  return zombie;
}

/* What comes of writing to it, with no busy timeout. */
static int write_by(const Other *other) {
  tell(other, "open");
  tell(other, "PRAGMA busy_timeout = 0");
  const char *reply = strstr(tell(other, "INSERT INTO t(b) VALUES (1)"), "= ");
  CHECK(reply != NULL);
  int code = atoi(reply + 2);
  tell(other, "close");
  return code;
}

static void a_zombie_is_in_nobodys_way(void) {
  static const char *const modes[] = {"WAL", "DELETE", "TRUNCATE", "PERSIST"};
  Other other = other_start(test_path("x.db"));
  setup();
  for (int i = 0; i < 4; i++) {
    unlink(path);
    unlink(test_path("x.db-journal"));
    Zombie zombie = make_zombie(modes[i], false);
    CHECK_EQ(write_by(&other), SQLITE_OK);
    CHECK_EQ(sqlite3async_close(100), SQLITE_LOCKED);
    char text[500];
    CHECK(sqlite3async_errmsg(text, sizeof text) > 0 && strstr(text, "x.db") != NULL);
    CHECK_EQ(sqlite3_finalize(zombie.statement), SQLITE_OK);
    check_is_a_file(ROWS + 1);
  }
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
  other_end(&other);
}

static void a_statement_in_the_middle_of_its_rows_keeps_its_lock(void) {
  Other other = other_start(test_path("x.db"));
  setup();
  Zombie zombie = make_zombie("DELETE", true);
  CHECK_EQ(write_by(&other), SQLITE_BUSY);
  CHECK_EQ(sqlite3_finalize(zombie.statement), SQLITE_OK);
  CHECK_EQ(write_by(&other), SQLITE_OK);
  other_end(&other);
}

/* ---- By force ---- */

static void close_by_force_cuts_off_what_is_open(void) {
  Other other = other_start(test_path("x.db"));
  for (int mode = 0; mode < 2; mode++) {
    setup();
    unlink(path);
    sqlite3 *db = open_async(path);
    create(db, mode == 0 ? "WAL" : "DELETE", "NORMAL");
    commit(db, ROWS);
    exec(db, "BEGIN; SELECT * FROM t");
    CHECK_EQ(sqlite3async_close(100), SQLITE_BUSY);
    sqlite3_int64 cursor = 0;
    CHECK_EQ(sqlite3async_event(&cursor, NULL, 0), 0);
    CHECK_EQ(sqlite3async_close_by_force(WAIT_MS), SQLITE_OK);
    char text[500];
    CHECK_EQ(sqlite3async_event(&cursor, text, sizeof text), 0);
    CHECK_EQ(write_by(&other), SQLITE_OK);
    CHECK_EQ(exec_code(db, "INSERT INTO t(b) VALUES (1)"), SQLITE_IOERR_CLOSE);
    CHECK_EQ(sqlite3async_initialize(TESTVFS_NAME, 0), SQLITE_OK);
    CHECK_EQ(sqlite3async_start(), SQLITE_OK);
    sqlite3 *again = open_async(path);
    CHECK_EQ(query_int(again, "SELECT count(*) FROM t"), ROWS + 1);
    commit(again, 1);
    sqlite3_close(db);
    CHECK_EQ(query_int(again, "SELECT count(*) FROM t"), ROWS + 2);
    close_database(again);
    check_is_a_file(ROWS + 2);
    CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
  }
  other_end(&other);
}

int main(void) {
  return run_tests((TestCase[]){TEST(the_last_close_leaves_a_file),
                                TEST(what_SQLite_did_not_sync_is_synced_before_it_is_closed),
                                TEST(the_last_of_several_threads_leaves_a_file),
                                TEST(attached_databases_become_files_too),
                                TEST(a_close_waits_for_the_writer),
                                TEST(a_close_waits_for_the_checkpointer),
                                TEST(a_close_takes_no_pauses),
                                TEST(a_database_that_is_opened_again_is_not_waited_for),
                                TEST(without_a_writer_a_close_counts_as_queued),
                                TEST(while_halted_or_stopped_a_close_returns_at_once),
                                TEST(a_close_gives_up_a_disk_that_stays_full),
                                TEST(a_zombie_is_in_nobodys_way),
                                TEST(a_statement_in_the_middle_of_its_rows_keeps_its_lock),
                                TEST(close_by_force_cuts_off_what_is_open),
                                {0}});
}
