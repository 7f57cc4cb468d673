/*
** The WAL of a database that was moved while it is open here, beside a new database at its path:
** neither an old connection nor the checkpointer meets a file of the new one, nor does a connection
** that comes back after sqlite3async_release().
*/
#include "moving.h"
#include "other.h"
#include "registry.h"
#include "testvfs.h"

#include <stdio.h>
#include <unistd.h>

/* ---- Old connections ---- */

/* It has not read yet, so it finds only now that it is in WAL mode. */
static void an_old_connection_is_not_led_into_the_WAL_of_the_new_one(void) {
  moving_setup_with_writer();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 0), SQLITE_OK); /* which reads it */
  close_database(moving_open_old("WAL"));
  sqlite3 *old = open_async(moving_path);
  CHECK_EQ(rename(moving_path, moving_renamed), 0);
  moving_put_new("WAL");
  sqlite3 *db = open_async(moving_path);
  exec(db, "UPDATE n SET x = 'y'"); /* each page of it */
  moving_flush();
  CHECK(moving_has_file("x.db-wal"));
  testvfs_reset();
  CHECK_EQ(query_int(old, "SELECT count(*) FROM t"), 1);
  exec_code(old, "INSERT INTO t VALUES (2)");
  moving_flush();
  CHECK_EQ(testvfs_count(ON_READ | ON_WRITE, "x.db-wal"), 0);
  CHECK_EQ(query_int(db, "SELECT count(*) FROM n WHERE x = 'y'"), MOVING_NEW_ROWS);
  exec(db, "INSERT INTO n VALUES (2)");
  CHECK_EQ(sqlite3_close(old), SQLITE_OK);
  exec(db, "INSERT INTO n VALUES (3)");
  close_database(db);
  moving_check_rows(moving_path, "n", MOVING_NEW_ROWS + 2);
}

/* It was never in WAL mode: plain SQLite would write to the WAL of the new one now. */
static void an_old_connection_stays_out_of_WAL_mode(void) {
  moving_setup_with_writer();
  sqlite3 *old = moving_open_old("DELETE");
  CHECK_EQ(rename(moving_path, moving_renamed), 0);
  moving_put_new("WAL");
  sqlite3 *db = open_async(moving_path);
  exec(db, "INSERT INTO n VALUES (1)");
  moving_flush();
  CHECK(moving_has_file("x.db-wal"));
  CHECK_EQ(exec_code(old, "INSERT INTO t VALUES (2)"), SQLITE_READONLY_DBMOVED);
  CHECK_EQ(query_int(old, "SELECT count(*) FROM t"), 1);
  close_database(old);
  close_database(db);
  moving_check_rows(moving_path, "n", MOVING_NEW_ROWS + 1);
  moving_check_rows(moving_renamed, "t", 1);
}

/* ---- A database that was released ---- */

static void a_released_database_that_was_moved_is_refused(void) {
  Other other = other_start(test_path("x.db"));
  moving_setup_with_writer();
  for (int is_replaced = 0; is_replaced < 2; is_replaced++) {
    unlink(moving_renamed);
    unlink(test_path("old.db-wal"));
    sqlite3 *old = moving_open_old("WAL");
    CHECK_EQ(sqlite3async_release(moving_path, MOVING_WAIT_MS), SQLITE_OK);
    moving_move_away();
    unlink(test_path("x.db-shm"));
    if (is_replaced) moving_put_new("WAL");
    if (is_replaced) tell(&other, "open");
    if (is_replaced) tell(&other, "INSERT INTO n VALUES (1); INSERT INTO n VALUES (2)");
    for (int i = 0; i < 3; i++) {
      CHECK_EQ(exec_code(old, "INSERT INTO t VALUES (2)"), SQLITE_READONLY_DBMOVED);
      CHECK_EQ(exec_code(old, "SELECT * FROM t"), SQLITE_READONLY_DBMOVED);
    }
    moving_flush();
    CHECK_EQ(moving_has_file("x.db-wal"), is_replaced);
    CHECK_EQ(sqlite3_close(old), SQLITE_OK);
    CHECK_EQ(moving_has_file("x.db-wal"), is_replaced);
    if (!is_replaced) continue;
    CHECK_TEXT(tell(&other, "INSERT INTO n VALUES (3); SELECT count(*) FROM n"), "1:63\n= 0");
    tell(&other, "close");
    moving_check_rows(moving_path, "n", MOVING_NEW_ROWS + 3);
  }
  moving_check_rows(moving_renamed, "t", 1);
  other_end(&other);
}

/* ---- The checkpointer ---- */

/* What is committed beyond maxWalBytes need not wait for a checkpoint, which cannot be. */
static void the_checkpointer_of_a_moved_database_opens_nothing_at_its_path(void) {
  moving_setup_with_writer();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 100000), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_WAL_BYTES, 1000000), SQLITE_OK);
  sqlite3 *old = moving_open_old("WAL");
  moving_move_away();
  moving_put_new("WAL");
  testvfs_reset();
  int64_t start_ms = now_ms();
  for (int i = 0; i < 1000; i++) exec(old, "INSERT INTO t VALUES (zeroblob(3000))");
  CHECK(now_ms() - start_ms < MOVING_WAIT_MS);
  moving_flush();
  CHECK(testvfs_count(ON_CONTROL, "x.db$") > 0); /* somebody has looked whether it has moved */
  CHECK_EQ(testvfs_count(ON_OPEN, "x.db"), 0);
  CHECK(!moving_has_file("x.db-wal"));
  CHECK_EQ(query_int(old, "SELECT count(*) FROM t"), 1001);
  CHECK_EQ(sqlite3_close(old), SQLITE_OK);
  moving_check_rows(moving_path, "n", MOVING_NEW_ROWS);
}

static int64_t attempts_of(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  int64_t attempts = stream->wal.ended;
  async_mutex_leave(&stream->mutex);
  return attempts;
}

static int64_t checkpoints_of(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  int64_t checkpoints = stream->stats.checkpoints;
  async_mutex_leave(&stream->mutex);
  return checkpoints;
}

/* It was there when the checkpointer looked, and is moved before that opens it. */
static void the_checkpointer_makes_no_checkpoint_of_the_new_one(void) {
  moving_setup_with_writer();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 1), SQLITE_OK);
  sqlite3 *old = moving_open_old("WAL");
  AsyncStream *stream = async_registry_find(moving_path);
  CHECK(stream != NULL);
  sleep_ms(100);
  testvfs_reset();
  exec(old, "INSERT INTO t VALUES (2)");
  async_mutex_enter(&stream->lock.mutex);
  WAIT_FOR(MOVING_WAIT_MS, testvfs_count(ON_CONTROL, "x.db$") > 0);
  sleep_ms(100); /* it waits for the mutex */
  moving_move_away();
  moving_put_new("WAL");
  int64_t checkpoints = checkpoints_of(stream);
  int64_t attempts = attempts_of(stream);
  async_mutex_leave(&stream->lock.mutex);
  WAIT_FOR(MOVING_WAIT_MS, attempts_of(stream) > attempts);
  CHECK_EQ(checkpoints_of(stream), checkpoints);
  async_registry_unref(stream);
  CHECK_EQ(sqlite3_close(old), SQLITE_OK);
  moving_check_rows(moving_path, "n", MOVING_NEW_ROWS);
}

int main(void) {
  return run_tests(
      (TestCase[]){TEST(an_old_connection_is_not_led_into_the_WAL_of_the_new_one),
                   TEST(an_old_connection_stays_out_of_WAL_mode),
                   TEST(a_released_database_that_was_moved_is_refused),
                   TEST(the_checkpointer_of_a_moved_database_opens_nothing_at_its_path),
                   TEST(the_checkpointer_makes_no_checkpoint_of_the_new_one),
                   {0}});
}
