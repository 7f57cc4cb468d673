/*
** A flush beside the ops (sync.h): what is applied while files and folder are being synced waits
** for the next one, and whatever must come behind a sync waits for its end.
*/
#include "sync.h"
#include "database.h"
#include "registry.h"
#include "testvfs.h"
#include "writer.h"

#include <stdlib.h>
#include <string.h>

#define WAIT_MS 10000
#define FOR_A_WHILE_MS 60
#define WAL "x.db-wal"
#define WAL_SYNC "sync x.db-wal\n"

static const char *path;

/* A database with a table, all of it durable, and writers that sync for nobody who does not ask. */
static sqlite3 *setup(const char *before, const char *mode, const char *level) {
  async_setup();
  path = test_path("x.db");
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  sqlite3 *db = open_async(path);
  exec(db, "%s; PRAGMA journal_mode = %s; PRAGMA synchronous = %s", before, mode, level);
  exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK);
  testvfs_reset();
  return db;
}

static void finish(sqlite3 *db, int64_t rows) {
  testvfs_reset();
  close_database(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
  sqlite3 *plain = open_plain(path);
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM t"), rows);
  check_integrity(plain);
  close_database(plain);
}

static void commit(sqlite3 *db, int times) {
  for (int i = 0; i < times; i++) exec(db, "INSERT INTO t(b) VALUES (zeroblob(200))");
}

static bool is_all_applied(void) {
  return status_number(path, "applied") == status_number(path, "committed");
}

static bool is_all_durable(void) {
  return status_number(path, "durable") == status_number(path, "committed");
}

static void begin_flush(void) {
  sqlite3_int64 ticket[2];
  CHECK_EQ(sqlite3async_flush_begin(path, ticket, 1), 1);
}

static int count_in_log(const char *words) {
  char *log = testvfs_log();
  int count = 0;
  for (const char *at = log; (at = strstr(at, words)) != NULL; at++) count++;
  free(log);
  return count;
}

/* ---- What a flush is about ---- */

/* The writer is in the middle of a run, and has much to do behind what is asked for. */
static void a_flush_does_not_wait_for_what_is_queued_behind_it(void) {
  sqlite3 *db = setup("", "WAL", "NORMAL");
  exec(db, "PRAGMA cache_size = -20000"); /* all of a transaction comes at once */
  testvfs_delay(ON_WRITE, WAL, 60);
  commit(db, 1);
  sleep_ms(5);
  begin_flush();
  int64_t wanted = status_number(path, "committed");
  exec(db, "INSERT INTO t(b) VALUES (zeroblob(3000000))");     /* 50 writes */
  WAIT_FOR(WAIT_MS, status_number(path, "durable") >= wanted); /* and asks for no more */
  char *log = testvfs_log();
  char *sync = strstr(log, WAL_SYNC);
  CHECK(sync != NULL);
  *sync = '\0';
  int writes = 0;
  for (const char *at = log; (at = strstr(at, "write x.db-wal")) != NULL; at++) writes++;
  CHECK(writes < 30);
  free(log);
  finish(db, 2);
}

static void what_is_applied_during_a_flush_waits_for_the_next(void) {
  sqlite3 *db = setup("", "WAL", "NORMAL");
  commit(db, 3);
  testvfs_hold(ON_SYNC, WAL);
  begin_flush();
  testvfs_wait_held();
  commit(db, 2);
  WAIT_FOR(WAIT_MS, is_all_applied());
  int64_t before = status_number(path, "committed") - 2;
  testvfs_release();
  WAIT_FOR(WAIT_MS, status_number(path, "durable") == before);
  sleep_ms(FOR_A_WHILE_MS);
  CHECK_EQ(status_number(path, "durable"), before);
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK);
  CHECK(is_all_durable());
  CHECK_EQ(count_in_log(WAL_SYNC), 2);
  finish(db, 5);
}

static void *checkpoint(void *db) {
  exec(db, "PRAGMA wal_checkpoint(PASSIVE)");
  return NULL;
}

static void make_database_dirty(void) {
  AsyncStream *stream = async_registry_find(path);
  async_mutex_enter(&stream->mutex);
  async_file_make_dirty(stream->files.database);
  async_mutex_leave(&stream->mutex);
  async_registry_unref(stream);
}

/* A checkpoint's sync of the WAL has begun before the commits that a flush is about; and that is
** not all that there is to be synced. */
static void a_flush_waits_for_another_threads_sync_and_makes_its_own(void) {
  sqlite3 *db = setup("", "WAL", "NORMAL");
  sqlite3 *other = open_async(path);
  commit(db, 3);
  make_database_dirty();
  testvfs_hold(ON_SYNC, WAL);
  Thread thread = thread_start(checkpoint, other);
  testvfs_wait_held();
  commit(db, 2);
  WAIT_FOR(WAIT_MS, is_all_applied());
  CHECK_EQ(sqlite3async_flush(path, FOR_A_WHILE_MS), SQLITE_BUSY);
  CHECK_EQ(count_in_log(WAL_SYNC), 0);
  testvfs_release();
  WAIT_FOR(WAIT_MS, is_all_durable()); /* nobody asks any more */
  CHECK(count_in_log(WAL_SYNC) >= 2);
  thread_join(thread);
  close_database(other);
  finish(db, 5);
}

static void set_directory_dirty(void) {
  AsyncStream *stream = async_registry_find(path);
  async_mutex_enter(&stream->mutex);
  stream->directory_dirty = true;
  async_mutex_leave(&stream->mutex);
  async_registry_unref(stream);
}

/* With the journal mode TRUNCATE each transaction syncs all that it has written. */
static void what_is_applied_while_the_folder_is_synced_is_not_durable(void) {
  sqlite3 *db = setup("", "TRUNCATE", "FULL");
  set_directory_dirty(); /* as if the journal had been made anew */
  testvfs_hold(ON_SYNC_DIRECTORY, NULL);
  commit(db, 1);
  begin_flush();
  testvfs_wait_held();
  int64_t durable = status_number(path, "durable");
  commit(db, 3);
  WAIT_FOR(WAIT_MS, is_all_applied());
  sleep_ms(FOR_A_WHILE_MS);
  CHECK_EQ(status_number(path, "durable"), durable);
  testvfs_release();
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK);
  CHECK(is_all_durable());
  finish(db, 4);
}

/* A flush of ops only, the commit of which was noted when it had begun. */
static void the_sync_of_a_checkpoint_does_not_pass_for_the_folders(void) {
  sqlite3 *db = setup("", "WAL", "NORMAL");
  commit(db, 1);
  set_directory_dirty();
  testvfs_hold(ON_SYNC_DIRECTORY, NULL);
  begin_flush();
  testvfs_wait_held();
  AsyncStream *stream = async_registry_find(path);
  async_mutex_enter(&stream->mutex);
  stream->syncing_since_us = 0;
  stream->files.database->backfilled = true;
  AsyncFile *database = stream->files.database;
  async_mutex_leave(&stream->mutex);
  CHECK_EQ(async_sync_beside(stream, database), SQLITE_OK);
  CHECK(!is_all_durable());
  testvfs_release();
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK);
  async_registry_unref(stream);
  finish(db, 1);
}

/* ---- What waits for one ---- */

/* Its journal is deleted, and the folder is being synced for that: ops are looked at again when
** more of them come. */
static void a_database_shrinks_when_the_folder_has_been_synced(void) {
  sqlite3 *db = setup("PRAGMA auto_vacuum = FULL", "DELETE", "FULL");
  exec(db, "INSERT INTO t(b) VALUES (zeroblob(50000))");
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK);
  testvfs_reset();
  testvfs_hold(ON_SYNC_DIRECTORY, NULL);
  exec(db, "DELETE FROM t");
  testvfs_wait_held();
  AsyncStream *stream = async_registry_find(path);
  for (int i = 0; i < 3; i++) {
    async_scheduler_wake(&stream->task, ASYNC_WAKE_NOW);
    sleep_ms(FOR_A_WHILE_MS / 3);
  }
  async_registry_unref(stream);
  CHECK_EQ(testvfs_count(ON_TRUNCATE, "x.db$"), 0);
  testvfs_release();
  WAIT_FOR(WAIT_MS, testvfs_count(ON_TRUNCATE, "x.db$") == 1);
  finish(db, 0);
}

/* That is what a journal found on disk waits for; nobody else syncs that, but it is to be so. */
static void who_runs_the_ops_leaves_a_file_to_the_thread_that_syncs_it(void) {
  sqlite3 *db = setup("", "WAL", "NORMAL");
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NOW), SQLITE_OK);
  AsyncStream *stream = async_registry_find(path);
  async_mutex_enter(&stream->mutex);
  AsyncFile *database = stream->files.database;
  database->syncing = true;
  CHECK_EQ(async_sync_now(stream, database), SQLITE_BUSY);
  CHECK(stream->ops_wait_for_sync);
  database->syncing = false;
  CHECK_EQ(async_sync_now(stream, database), SQLITE_OK);
  CHECK(!stream->ops_wait_for_sync);
  async_mutex_leave(&stream->mutex);
  CHECK_EQ(testvfs_count(ON_SYNC, "x.db$"), 1);
  async_registry_unref(stream);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER), SQLITE_OK);
  finish(db, 0);
}

/* ---- One that fails ---- */

/* Beside an op that leaves nothing else to be synced. */
static void what_a_sync_that_failed_was_about_is_never_durable(void) {
  sqlite3 *db = setup("", "TRUNCATE", "FULL");
  commit(db, 1);
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_OK);
  testvfs_hold(ON_SYNC, "x.db$");
  commit(db, 1);
  testvfs_wait_held(); /* an op; the journal was synced, and is open */
  AsyncStream *stream = async_registry_find(path);
  async_mutex_enter(&stream->mutex);
  int64_t durable = stream->durable.seq;
  AsyncFile *journal = stream->files.newest;
  while (journal->role != ASYNC_ROLE_JOURNAL || journal->parent == NULL) journal = journal->older;
  CHECK(!journal->dirty);
  async_file_make_dirty(journal); /* as if it had been written to since */
  async_mutex_leave(&stream->mutex);
  testvfs_fail(ON_SYNC, "x.db-journal", 0, 1, SQLITE_IOERR_FSYNC, 0);
  CHECK_EQ(async_sync_beside(stream, journal), SQLITE_IOERR_FSYNC);
  testvfs_release();
  CHECK_EQ(sqlite3async_flush(path, WAIT_MS), SQLITE_IOERR_FSYNC);
  async_mutex_enter(&stream->mutex);
  CHECK_EQ(stream->durable.seq, durable);
  async_mutex_leave(&stream->mutex);
  async_registry_unref(stream);
  sqlite3_close(db);
  CHECK_EQ(sqlite3async_close(WAIT_MS), SQLITE_OK);
}

/* ---- Who holds up whom ---- */

static void *sync_wal(void *stream) {
  AsyncFile *wal = ((AsyncStream *)stream)->files.wal;
  CHECK_EQ(async_sync_beside(stream, wal), SQLITE_OK);
  return stream;
}

static int64_t runs(void) {
  async_mutex_enter(&async_scheduler.mutex);
  int64_t ended = async_scheduler.ended;
  async_mutex_leave(&async_scheduler.mutex);
  return ended;
}

/* As ops do that are tried again by whoever waits for them. */
static void ask_for_a_flush_first(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  async_sync_flush_first(stream);
  async_mutex_leave(&stream->mutex);
  sleep_ms(5);
}

static void a_flush_that_waits_for_a_sync_is_not_tried_over_and_over(void) {
  sqlite3 *db = setup("", "WAL", "NORMAL");
  commit(db, 1);
  WAIT_FOR(WAIT_MS, is_all_applied());
  AsyncStream *stream = async_registry_find(path);
  testvfs_hold(ON_SYNC, WAL);
  Thread thread = thread_start(sync_wal, stream);
  testvfs_wait_held();
  ask_for_a_flush_first(stream);
  sleep_ms(FOR_A_WHILE_MS);
  int64_t before = runs();
  for (int i = 0; i < 10; i++) ask_for_a_flush_first(stream);
  CHECK_EQ(runs(), before);
  testvfs_release();
  thread_join(thread);
  WAIT_FOR(WAIT_MS, runs() > before); /* it goes on by itself */
  WAIT_FOR(WAIT_MS, is_all_durable());
  async_registry_unref(stream);
  finish(db, 1);
}

/* A sync of one database holds up no op of any, its own neither. */
static void ops_are_applied_during_a_flush(void) {
  sqlite3 *db = setup("", "WAL", "FULL");
  commit(db, 1);
  testvfs_hold(ON_SYNC, WAL);
  begin_flush();
  testvfs_wait_held();
  for (int i = 0; i < 20; i++) {
    int64_t start_ms = now_ms();
    commit(db, 5);
    WAIT_FOR(WAIT_MS, is_all_applied());
    CHECK(now_ms() - start_ms < 2000);
  }
  CHECK_EQ(count_in_log(WAL_SYNC), 0);
  testvfs_release();
  finish(db, 101);
}

static bool has_syncer(void) {
  async_mutex_enter(&async_scheduler.mutex);
  bool has = async_scheduler_has_syncer();
  async_mutex_leave(&async_scheduler.mutex);
  return has;
}

/* Not only from when it has come to its loop, for the first flush of a process to hold up no op. */
static void a_syncer_has_its_work_from_its_start_on(void) {
  async_setup();
  for (int i = 0; i < 30; i++) {
    CHECK_EQ(sqlite3async_start(), SQLITE_OK);
    async_writer_ensure_threads(1);
    CHECK(has_syncer());
    async_writer_stop();
    CHECK(!has_syncer());
  }
}

int main(void) {
  return run_tests((TestCase[]){TEST(a_flush_does_not_wait_for_what_is_queued_behind_it),
                                TEST(what_is_applied_during_a_flush_waits_for_the_next),
                                TEST(a_flush_waits_for_another_threads_sync_and_makes_its_own),
                                TEST(what_is_applied_while_the_folder_is_synced_is_not_durable),
                                TEST(the_sync_of_a_checkpoint_does_not_pass_for_the_folders),
                                TEST(a_database_shrinks_when_the_folder_has_been_synced),
                                TEST(who_runs_the_ops_leaves_a_file_to_the_thread_that_syncs_it),
                                TEST(what_a_sync_that_failed_was_about_is_never_durable),
                                TEST(a_flush_that_waits_for_a_sync_is_not_tried_over_and_over),
                                TEST(ops_are_applied_during_a_flush),
                                TEST(a_syncer_has_its_work_from_its_start_on),
                                {0}});
}
