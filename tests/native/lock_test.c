/*
** Locks: SQLite's rules between our connections, and toward others the OS
** lock, which stays until what it protects is on disk.  A plain connection of
** this process stands for another process: the unix VFS keeps its own
** connections apart just the same.
*/
#include "database.h"
#include "testvfs.h"

#include <unistd.h>

static const char *path;

static void setup(void) {
  async_setup();
  path = test_path("x.db");
  sqlite3 *plain = open_plain(path);
  exec(plain, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  close_database(plain);
}

static void one_of_our_connections_writes_at_a_time(void) {
  setup();
  sqlite3 *one = open_async(path);
  sqlite3 *two = open_async(path);
  exec(one, "BEGIN IMMEDIATE; INSERT INTO t VALUES (2)");
  CHECK_EQ(exec_code(two, "BEGIN IMMEDIATE"), SQLITE_BUSY);
  CHECK_EQ(query_int(two, "SELECT count(*) FROM t"), 1); /* but it may read */
  exec(one, "COMMIT");
  exec(two, "BEGIN IMMEDIATE; COMMIT");
  CHECK_EQ(query_int(two, "SELECT count(*) FROM t"), 2);
  close_database(one);
  close_database(two);
  step_all();
}

static void a_commit_waits_for_readers_and_keeps_new_ones_out(void) {
  setup();
  sqlite3 *writer = open_async(path);
  sqlite3 *reader = open_async(path);
  sqlite3 *late = open_async(path);
  exec(reader, "BEGIN; SELECT * FROM t");
  exec(writer, "BEGIN; INSERT INTO t VALUES (2)");
  CHECK_EQ(exec_code(writer, "COMMIT"), SQLITE_BUSY);
  CHECK_EQ(exec_code(late, "SELECT * FROM t"), SQLITE_BUSY); /* it is PENDING */
  exec(reader, "COMMIT");
  exec(writer, "COMMIT");
  CHECK_EQ(query_int(late, "SELECT count(*) FROM t"), 2);
  close_database(writer);
  close_database(reader);
  close_database(late);
  step_all();
}

static void an_exclusive_transaction_keeps_all_others_out(void) {
  setup();
  sqlite3 *one = open_async(path);
  sqlite3 *two = open_async(path);
  exec(one, "BEGIN EXCLUSIVE");
  CHECK_EQ(exec_code(two, "SELECT * FROM t"), SQLITE_BUSY);
  exec(one, "ROLLBACK");
  CHECK_EQ(query_int(two, "SELECT count(*) FROM t"), 1);
  close_database(one);
  close_database(two);
  step_all();
}

/* SQLite then asks for EXCLUSIVE from SHARED, and goes on with the transaction if it is refused. */
static void a_refused_exclusive_mode_in_wal_keeps_nobody_out(void) {
  setup();
  sqlite3 *one = open_async(path);
  sqlite3 *two = open_async(path);
  exec(one, "PRAGMA journal_mode = WAL; SELECT * FROM t");
  exec(two, "SELECT * FROM t");
  exec(one, "PRAGMA locking_mode = EXCLUSIVE; BEGIN");
  CHECK_EQ(exec_code(one, "INSERT INTO t VALUES (2)"), SQLITE_BUSY);
  sqlite3 *late = open_async(path);
  CHECK_EQ(query_int(late, "SELECT count(*) FROM t"), 1);
  close_database(late);
  close_database(two);
  exec(one, "INSERT INTO t VALUES (2); COMMIT");
  close_database(one);
  step_all();
}

static void others_stay_out_until_a_commit_is_on_disk(void) {
  setup();
  sqlite3 *ours = open_async(path);
  sqlite3 *others = open_plain(path);
  exec(ours, "INSERT INTO t VALUES (2)");
  while (status_number(path, "queuedOps") > 0) {
    CHECK_EQ(exec_code(others, "SELECT * FROM t"), SQLITE_BUSY);
    CHECK_EQ(step_some(1), 1);
  }
  CHECK_EQ(query_int(others, "SELECT count(*) FROM t"), 2);
  exec(others, "INSERT INTO t VALUES (3)");
  CHECK_EQ(query_int(ours, "SELECT count(*) FROM t"), 3);
  close_database(ours);
  close_database(others);
  step_all();
}

static void the_lock_outlives_the_connection(void) {
  setup();
  sqlite3 *others = open_plain(path);
  sqlite3 *ours = open_async(path);
  exec(ours, "INSERT INTO t VALUES (2)");
  close_database(ours);
  CHECK_EQ(exec_code(others, "SELECT * FROM t"), SQLITE_BUSY);
  step_all();
  CHECK_EQ(query_int(others, "SELECT count(*) FROM t"), 2);
  close_database(others);
}

static void a_reader_keeps_a_shared_lock_only(void) {
  setup();
  sqlite3 *ours = open_async(path);
  sqlite3 *others = open_plain(path);
  exec(ours, "BEGIN; SELECT * FROM t");
  exec(others, "BEGIN IMMEDIATE; INSERT INTO t VALUES (2)");
  CHECK_EQ(exec_code(others, "COMMIT"), SQLITE_BUSY);
  exec(ours, "COMMIT");
  exec(others, "COMMIT");
  CHECK_EQ(query_int(ours, "SELECT count(*) FROM t"), 2);
  close_database(ours);
  close_database(others);
  step_all();
}

static void another_writer_makes_ours_busy(void) {
  setup();
  sqlite3 *ours = open_async(path);
  sqlite3 *others = open_plain(path);
  exec(others, "BEGIN IMMEDIATE");
  CHECK_EQ(exec_code(ours, "BEGIN IMMEDIATE"), SQLITE_BUSY);
  CHECK_EQ(query_int(ours, "SELECT count(*) FROM t"), 1);
  exec(others, "COMMIT");
  exec(ours, "BEGIN IMMEDIATE; INSERT INTO t VALUES (2); COMMIT");
  close_database(ours);
  close_database(others);
  step_all();
}

/* A reader of another process stops our commit at PENDING; afterwards nothing of it is left. */
static void a_commit_that_was_busy_leaves_no_lock_behind(void) {
  setup();
  sqlite3 *ours = open_async(path);
  sqlite3 *reader = open_async(path);
  sqlite3 *others = open_plain(path);
  exec(reader, "BEGIN; SELECT * FROM t");
  exec(others, "BEGIN; SELECT * FROM t");
  exec(ours, "BEGIN; INSERT INTO t VALUES (2)");
  CHECK_EQ(exec_code(ours, "COMMIT"), SQLITE_BUSY);
  exec(ours, "ROLLBACK");
  step_all();
  sqlite3 *late = open_plain(path);
  CHECK_EQ(query_int(late, "SELECT count(*) FROM t"), 1);
  close_database(late);
  exec(reader, "COMMIT");
  exec(others, "COMMIT");
  exec(others, "INSERT INTO t VALUES (3)");
  close_database(ours);
  close_database(reader);
  close_database(others);
  step_all();
}

static int read_as_a_process(void *unused) {
  (void)unused;
  sqlite3 *db = NULL;
  int flags = SQLITE_OPEN_READWRITE;
  if (sqlite3_open_v2(path, &db, flags, "unix") != SQLITE_OK) _exit(90);
  int rc = exec_code(db, "SELECT * FROM t");
  _exit(rc & 0x7f); /* no handlers: they are the parent's */
}

static int code_of_another_process(void) {
  return process_wait(process_start(read_as_a_process, NULL), 20000);
}

static void another_process_sees_the_same_locks(void) {
  setup();
  CHECK_EQ(code_of_another_process(), SQLITE_OK);
  sqlite3 *ours = open_async(path);
  exec(ours, "INSERT INTO t VALUES (2)");
  CHECK_EQ(code_of_another_process(), SQLITE_BUSY);
  step_all();
  CHECK_EQ(code_of_another_process(), SQLITE_OK);
  close_database(ours);
  step_all();
}

static void without_lock_files_no_lock_is_taken(void) {
  setup();
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_LOCKFILES, 0), SQLITE_OK);
  testvfs_reset();
  sqlite3 *ours = open_async(path);
  sqlite3 *two = open_async(path);
  exec(ours, "BEGIN IMMEDIATE; INSERT INTO t VALUES (2)");
  CHECK_EQ(exec_code(two, "BEGIN IMMEDIATE"), SQLITE_BUSY); /* ours keep their rules */
  exec(ours, "COMMIT");
  step_all();
  CHECK_EQ(query_int(two, "SELECT count(*) FROM t"), 2);
  CHECK_EQ(testvfs_count(ON_LOCK | ON_UNLOCK, NULL), 0);
  close_database(ours);
  close_database(two);
  step_all();
}

static void lock_files_change_only_when_nothing_is_open_or_queued(void) {
  setup();
  int value = -1;
  sqlite3 *ours = open_async(path);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_LOCKFILES, 0), SQLITE_MISUSE);
  exec(ours, "INSERT INTO t VALUES (2)");
  close_database(ours);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_LOCKFILES, 0), SQLITE_MISUSE);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_GET_LOCKFILES, &value), SQLITE_OK);
  CHECK_EQ(value, 1);
  step_all();
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_LOCKFILES, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_control(SQLITEASYNC_GET_LOCKFILES, &value), SQLITE_OK);
  CHECK_EQ(value, 0);
}

static void *commit_without_pause(void *stop) {
  sqlite3 *db = open_async(path);
  sqlite3_busy_timeout(db, 20000);
  int64_t n = 0;
  while (!*(_Atomic bool *)stop) {
    exec(db, "INSERT INTO t VALUES (%lld)", (long long)n++);
  }
  close_database(db);
  return NULL;
}

/* The lock is free for 20 ms at a time, which SQLite's own handler would miss. */
static int look_often(void *unused, int count) {
  (void)unused;
  sleep_ms(2);
  return count < 10000; /* on a busy machine it may miss many moments */
}

static void a_steady_writer_makes_way_in_time(void) {
  setup();
  static _Atomic bool stop;
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_LOCK_HOLD_MS, 200), SQLITE_OK);
  testvfs_delay(ON_SYNC, "x.db", 2);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  Thread thread = thread_start(commit_without_pause, (void *)&stop);
  sqlite3 *others = open_plain(path);
  for (int i = 0; i < 3; i++) {
    /* Until the lock is held without a gap ... */
    sqlite3_busy_timeout(others, 0);
    while (exec_code(others, "SELECT * FROM t LIMIT 1") == SQLITE_OK) sleep_ms(5);
    /* ... there is a turn for others all the same. */
    sqlite3_busy_handler(others, look_often, NULL);
    exec(others, "INSERT INTO t VALUES (-1)");
  }
  stop = true;
  thread_join(thread);
  close_database(others);
  CHECK_EQ(sqlite3async_close(20000), SQLITE_OK);
}

int main(void) {
  return run_tests((TestCase[]){TEST(one_of_our_connections_writes_at_a_time),
                                TEST(a_commit_waits_for_readers_and_keeps_new_ones_out),
                                TEST(an_exclusive_transaction_keeps_all_others_out),
                                TEST(a_refused_exclusive_mode_in_wal_keeps_nobody_out),
                                TEST(others_stay_out_until_a_commit_is_on_disk),
                                TEST(the_lock_outlives_the_connection),
                                TEST(a_reader_keeps_a_shared_lock_only),
                                TEST(another_writer_makes_ours_busy),
                                TEST(a_commit_that_was_busy_leaves_no_lock_behind),
                                TEST(another_process_sees_the_same_locks),
                                TEST(without_lock_files_no_lock_is_taken),
                                TEST(lock_files_change_only_when_nothing_is_open_or_queued),
                                TEST(a_steady_writer_makes_way_in_time),
                                {0}});
}
