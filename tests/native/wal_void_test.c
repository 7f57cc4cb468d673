/*
** A WAL is voided before it starts anew (wal.h): when, and what becomes of it then.  Stepped, with
** this thread as the writer and the checkpointer; the parent's log says what came.
*/
#include "checkpoint.h"
#include "database.h"
#include "registry.h"
#include "testlog.h"
#include "testvfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAL_HEADER "write x.db-wal 32 @0"

static const char *path;

/* A database in WAL mode with a table, all of it applied and synced. */
static sqlite3 *setup(const char *level) {
  async_setup();
  path = test_path("x.db");
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = %s", level);
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

static sqlite3 *setup_written(const char *level) {
  sqlite3 *db = setup(level);
  play_writer(true);
  commit(db, 20);
  return db;
}

static void finish_written(sqlite3 *db, int64_t rows) {
  play_writer(false);
  CHECK_EQ(query_int(db, "SELECT count(*) FROM t"), rows);
  finish(db);
  sqlite3 *plain = open_plain(path);
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM t"), rows);
  check_integrity(plain);
  close_database(plain);
}

static void call_checkpointer(void) {
  AsyncStream *stream = async_registry_find(path);
  async_mutex_enter(&stream->mutex);
  async_wal_request_now(&stream->wal);
  async_mutex_leave(&stream->mutex);
  async_registry_unref(stream);
  async_checkpoint_step();
}

static int64_t rows_found;

static void count_rows(void *unused) {
  (void)unused;
  sqlite3 *plain = open_plain(path);
  rows_found = query_int(plain, "SELECT count(*) FROM t");
  check_integrity(plain);
  close_database(plain);
}

/* What plain SQLite finds, as after a crash of the process now. */
static int64_t plain_rows_of_copy(void) {
  with_copy(test_folder(), count_rows, NULL);
  return rows_found;
}

/* The frames of the first commit follow the header in one write; the old ones lie beneath. */
#define WAL_RESTART "write x.db-wal 4152 @0"

static void a_void_WAL_starts_anew_without_a_sync(void) {
  sqlite3 *db = setup_written("NORMAL");
  call_checkpointer();
  CHECK_EQ(wal_header(path), ASYNC_WAL_VOID);
  Log *log = log_now();
  int zeros = line_of(log, WAL_HEADER, 0);
  CHECK(zeros >= 0 && line_of(log, "sync x.db-wal", zeros) > zeros);
  log_free(log);
  testvfs_reset();
  commit(db, 1);
  step_all();
  CHECK_EQ(wal_header(path), ASYNC_WAL_VALID);
  log = log_now();
  CHECK(line_of(log, WAL_RESTART, 0) == 0);
  CHECK_EQ(count_lines(log, "sync"), 0);
  log_free(log);
  finish_written(db, 21);
}

static void with_FULL_it_is_synced_once_for_the_commit(void) {
  sqlite3 *db = setup_written("FULL");
  call_checkpointer();
  testvfs_reset();
  commit(db, 1);
  step_all();
  Log *log = log_now();
  CHECK(line_of(log, WAL_RESTART, 0) == 0);
  CHECK_EQ(count_lines(log, "sync x.db-wal"), 1);
  log_free(log);
  CHECK_EQ(status_number(path, "durable"), status_number(path, "committed"));
  finish_written(db, 21);
}

/* All has been copied: plain SQLite would start the WAL anew. */
static void one_that_is_not_void_is_appended_to(void) {
  sqlite3 *db = setup_written("NORMAL");
  sqlite3 *other = open_async(path);
  exec(other, "BEGIN IMMEDIATE");
  call_checkpointer();
  exec(other, "COMMIT");
  CHECK_EQ(wal_header(path), ASYNC_WAL_VALID);
  testvfs_reset();
  commit(db, 1);
  step_all();
  Log *log = log_now();
  CHECK_EQ(line_of(log, "write x.db-wal 4120 @", 0), 0);
  CHECK_EQ(line_of(log, WAL_RESTART, 0), -1);
  CHECK_EQ(count_lines(log, "sync"), 0);
  log_free(log);
  close_database(other);
  finish_written(db, 21);
}

/* Who has begun to read before that appends, for SQLite has no other way. */
static void what_is_appended_to_a_void_one_has_its_header_again(void) {
  sqlite3 *db = setup_written("NORMAL");
  sqlite3 *reader = open_async(path);
  commit(db, 1);
  exec(reader, "BEGIN; SELECT count(*) FROM t");
  call_checkpointer();
  CHECK_EQ(wal_header(path), ASYNC_WAL_VOID);
  step_all();
  CHECK_EQ(plain_rows_of_copy(), 21); /* the database has all */
  testvfs_reset();
  exec(reader, "INSERT INTO t(b) VALUES (zeroblob(300)); COMMIT");
  step_all();
  Log *log = log_now();
  CHECK(line_of(log, WAL_HEADER, 0) == 0);
  CHECK(line_of(log, "write x.db-wal 4120 @", 0) == 1);
  log_free(log);
  CHECK_EQ(wal_header(path), ASYNC_WAL_VALID);
  CHECK_EQ(plain_rows_of_copy(), 22);
  close_database(reader);
  finish_written(db, 22);
}

static void *call_checkpointer_in_thread(void *unused) {
  call_checkpointer();
  return unused;
}

/* Between the zeros and their sync. */
static void a_commit_that_comes_meanwhile_keeps_it_from_being_void(void) {
  sqlite3 *db = setup_written("NORMAL");
  sqlite3 *other = open_async(path);
  CHECK_EQ(query_int(other, "SELECT count(*) FROM t"), 20);
  exec(other, "BEGIN IMMEDIATE");
  call_checkpointer(); /* copies all */
  exec(other, "COMMIT");
  testvfs_hold(ON_SYNC, "x.db-wal");
  Thread thread = thread_start(call_checkpointer_in_thread, NULL);
  testvfs_wait_held();
  CHECK_EQ(wal_header(path), ASYNC_WAL_VOIDING);
  commit(other, 1);
  testvfs_release();
  thread_join(thread);
  CHECK_EQ(wal_header(path), ASYNC_WAL_VALID);
  step_all();
  CHECK_EQ(plain_rows_of_copy(), 21);
  close_database(other);
  finish_written(db, 21);
}

static void nothing_is_voided_that_the_database_has_not_on_disk(void) {
  sqlite3 *db = setup("NORMAL");
  play_writer(true);
  commit(db, 20);
  sqlite3 *reader = open_async(path);
  exec(reader, "BEGIN; SELECT count(*) FROM t");
  commit(db, 1); /* which the reader keeps from being copied */
  call_checkpointer();
  CHECK_EQ(wal_header(path), ASYNC_WAL_VALID);
  exec(reader, "COMMIT");
  close_database(reader);
  exec(db, "BEGIN IMMEDIATE; INSERT INTO t(b) VALUES (1)");
  call_checkpointer(); /* all is copied, and somebody is about to append */
  CHECK_EQ(wal_header(path), ASYNC_WAL_VALID);
  exec(db, "COMMIT");
  call_checkpointer();
  CHECK_EQ(wal_header(path), ASYNC_WAL_VOID);
  finish_written(db, 22);
}

/* ---- What must not be voided ---- */

/* All is copied, but another connection was about to write when the checkpoint ended. */
static sqlite3 *copy_all(sqlite3 *db) {
  sqlite3 *other = open_async(path);
  exec(db, "BEGIN IMMEDIATE");
  exec(other, "PRAGMA wal_checkpoint(PASSIVE)");
  exec(db, "COMMIT");
  CHECK_EQ(wal_header(path), ASYNC_WAL_VALID);
  return other;
}

static void *checkpoint_by_hand(void *db) {
  exec(db, "PRAGMA wal_checkpoint(PASSIVE)");
  return NULL;
}

/* A checkpoint with nothing to copy has found that, and reads the header that is to be voided. */
static Thread hold_before_void(sqlite3 *other) {
  testvfs_hold(ON_READ, "x.db-wal");
  Thread thread = thread_start(checkpoint_by_hand, other);
  testvfs_wait_held();
  return thread;
}

static void a_commit_that_comes_before_the_zeros_keeps_it(void) {
  sqlite3 *db = setup_written("NORMAL");
  sqlite3 *other = copy_all(db);
  Thread thread = hold_before_void(other);
  commit(db, 1);
  CHECK_EQ(sqlite3async_flush(path, -1), SQLITE_OK);
  testvfs_release();
  thread_join(thread);
  CHECK_EQ(wal_header(path), ASYNC_WAL_VALID);
  CHECK_EQ(plain_rows_of_copy(), 21);
  close_database(other);
  finish_written(db, 21);
}

/* Its frames may be there already, while nobody can see the commit. */
static void and_so_does_a_transaction_under_way(void) {
  sqlite3 *db = setup_written("NORMAL");
  sqlite3 *other = copy_all(db);
  Thread thread = hold_before_void(other);
  exec(db, "BEGIN IMMEDIATE");
  testvfs_release();
  thread_join(thread);
  CHECK_EQ(wal_header(path), ASYNC_WAL_VALID);
  exec(db, "COMMIT");
  exec(other, "PRAGMA wal_checkpoint(PASSIVE)");
  CHECK_EQ(wal_header(path), ASYNC_WAL_VOID);
  close_database(other);
  finish_written(db, 20);
}

/* Another connection has copied all, and synced nothing. */
static void a_database_that_is_not_synced_keeps_it(void) {
  sqlite3 *db = setup_written("NORMAL");
  sqlite3 *other = open_async(path);
  exec(other, "PRAGMA synchronous = OFF; PRAGMA wal_checkpoint(PASSIVE)");
  step_all();
  testvfs_reset();
  exec(db, "PRAGMA wal_checkpoint(PASSIVE)");
  CHECK_EQ(testvfs_count(ON_SYNC, "x.db$"), 0);
  CHECK_EQ(wal_header(path), ASYNC_WAL_VALID);
  close_database(other);
  finish_written(db, 20);
}

/* ---- Headers that are synced ---- */

/* With synchronous=OFF a checkpoint voids nothing, and the next transaction starts the WAL anew. */
static void who_starts_anew_one_that_is_not_void_waits_for_the_header(void) {
  sqlite3 *db = setup_written("NORMAL");
  sqlite3 *other = open_async(path);
  exec(other, "PRAGMA synchronous = OFF; PRAGMA wal_checkpoint(PASSIVE)");
  step_all();
  testvfs_reset();
  commit(db, 1); /* no step */
  Log *log = log_now();
  int header = line_of(log, WAL_HEADER, 0);
  CHECK(header >= 0 && line_is(log, header + 1, "sync x.db-wal"));
  log_free(log);
  close_database(other);
  finish_written(db, 21);
}

static int leave_frames(void *unused) {
  (void)unused;
  sqlite3 *plain = open_plain(path);
  exec(plain, "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
  exec(plain, "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b)");
  exec(plain, "INSERT INTO t(b) VALUES (zeroblob(300))");
  _exit(0);
}

/* Who has written that may not have synced it, when it started the WAL anew. */
static void who_commits_behind_a_header_that_was_found_waits_for_it(void) {
  async_setup();
  path = test_path("x.db");
  CHECK_EQ(process_wait(process_start(leave_frames, NULL), 10000), 0);
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA synchronous = FULL; SELECT * FROM t");
  play_writer(true);
  testvfs_reset();
  commit(db, 1);
  CHECK_EQ(testvfs_count(ON_SYNC, "x.db-wal"), 1);
  commit(db, 1);
  CHECK_EQ(testvfs_count(ON_SYNC, "x.db-wal"), 1);
  finish_written(db, 3);
}

/* It may be all that is left of what somebody wants back. */
static void one_that_was_found_without_a_whole_frame_stays_as_it_was_found(void) {
  async_setup();
  path = test_path("x.db");
  CHECK_EQ(process_wait(process_start(leave_frames, NULL), 10000), 0);
  FILE *wal = fopen(test_path("x.db-wal"), "r+");
  CHECK(wal != NULL && fseek(wal, ASYNC_WAL_HEADER_SIZE + 24 + 100, SEEK_SET) == 0);
  CHECK(fputc('x', wal) == 'x' && fclose(wal) == 0); /* in the first page */
  sqlite3 *db = open_async(path);
  testvfs_reset();
  CHECK_EQ(query_int(db, "SELECT count(*) FROM sqlite_schema"), 0);
  exec(db, "PRAGMA wal_checkpoint");
  step_all();
  CHECK_EQ(testvfs_count(ON_WRITE, "x.db-wal"), 0);
  finish(db);
}

/* While another process has the database it is that one's WAL. */
static void one_that_another_process_had_is_not_void_any_more(void) {
  sqlite3 *db = setup_written("NORMAL");
  call_checkpointer();
  CHECK_EQ(wal_header(path), ASYNC_WAL_VOID);
  CHECK_EQ(sqlite3async_release(path, 0), SQLITE_BUSY); /* its header is to be on disk first */
  step_all();
  CHECK_EQ(sqlite3async_release(path, 0), SQLITE_BUSY); /* and synced */
  step_all();
  CHECK_EQ(sqlite3async_release(path, 0), SQLITE_OK);
  CHECK_EQ(process_wait(process_start(leave_frames, NULL), 10000), 0);
  CHECK_EQ(query_int(db, "SELECT count(*) FROM t"), 21);
  CHECK_EQ(wal_header(path), ASYNC_WAL_VALID);
  commit(db, 1);
  step_all();
  CHECK_EQ(plain_rows_of_copy(), 22);
  finish_written(db, 22);
}

int main(void) {
  return run_tests(
      (TestCase[]){TEST(a_void_WAL_starts_anew_without_a_sync),
                   TEST(with_FULL_it_is_synced_once_for_the_commit),
                   TEST(one_that_is_not_void_is_appended_to),
                   TEST(what_is_appended_to_a_void_one_has_its_header_again),
                   TEST(a_commit_that_comes_meanwhile_keeps_it_from_being_void),
                   TEST(nothing_is_voided_that_the_database_has_not_on_disk),
                   TEST(a_commit_that_comes_before_the_zeros_keeps_it),
                   TEST(and_so_does_a_transaction_under_way),
                   TEST(a_database_that_is_not_synced_keeps_it),
                   TEST(who_starts_anew_one_that_is_not_void_waits_for_the_header),
                   TEST(who_commits_behind_a_header_that_was_found_waits_for_it),
                   TEST(one_that_was_found_without_a_whole_frame_stays_as_it_was_found),
                   TEST(one_that_another_process_had_is_not_void_any_more),
                   {0}});
}
