/*
** Background errors: the n-th change fails, for every n.  The database takes
** no more, others go on, what is on disk is a prefix of the transactions, and
** once all connections are closed it can be opened again.
*/
#include "database.h"
#include "flush.h"
#include "registry.h"
#include "testvfs.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRANSACTIONS 4

static const char *path;
static const char *other_path;

static void setup(int retry_ms) {
  async_setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_DISK_FULL_RETRY_MS, retry_ms), SQLITE_OK);
  path = test_path("x.db");
  other_path = test_path("other.db");
  sqlite3 *plain = open_plain(path);
  exec(plain, "PRAGMA page_size = 1024; CREATE TABLE meta(k); INSERT INTO meta VALUES (0)");
  exec(plain, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  close_database(plain);
  plain = open_plain(other_path);
  exec(plain, "CREATE TABLE t(a)");
  close_database(plain);
}

/* One transaction more; k is in it twice. */
static int add_transaction(sqlite3 *db) {
  return exec_code(db, "BEGIN; UPDATE meta SET k = k + 1;"
                       "INSERT INTO t SELECT (SELECT k FROM meta), zeroblob(3000);"
                       "UPDATE t SET b = zeroblob(2500) WHERE a % 2 = 0; COMMIT");
}

static int number_on_disk(void) {
  sqlite3 *plain = open_plain(path);
  check_integrity(plain);
  int k = (int)query_int(plain, "SELECT k FROM meta");
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM t"), k);
  close_database(plain);
  return k;
}

static void check_is_stuck(sqlite3 *db, int code) {
  CHECK_EQ(exec_code(db, "SELECT * FROM t"), code);
  CHECK_EQ(exec_code(db, "UPDATE meta SET k = 99"), code);
  sqlite3 *second = NULL; /* nor does a new connection get anywhere */
  int flags = SQLITE_OPEN_READWRITE;
  int rc = sqlite3_open_v2(path, &second, flags, SQLITEASYNC_VFSNAME);
  CHECK(rc != SQLITE_OK || exec_code(second, "SELECT * FROM t") != SQLITE_OK);
  sqlite3_close(second);
  AsyncStream *stream = async_registry_find(path);
  CHECK(stream != NULL);
  CHECK_EQ(stream->queue.bytes, 0);
  CHECK_EQ(async_flush_request(stream), -code);
  CHECK_EQ(sqlite3async_durable(stream->id), -code);
  int64_t id = stream->id;
  async_registry_unref(stream);
  CHECK_EQ(sqlite3async_durable(id), -code);
}

/* False if the n-th change does not come. */
static bool try_failure(const char *mode, int n, int code) {
  int before = number_on_disk();
  sqlite3 *db = open_async(path);
  sqlite3 *other = open_async(other_path);
  exec(db, "PRAGMA journal_mode = %s; PRAGMA cache_size = 6", mode);
  step_all();
  testvfs_reset();
  testvfs_fail(ON_CHANGE, "/x.db", n, 1, code, 0);
  for (int i = 0; i < TRANSACTIONS; i++) {
    CHECK_EQ(add_transaction(db), SQLITE_OK); /* it is in the background */
    exec(other, "INSERT INTO t VALUES (1)");
  }
  step_all();
  bool failed = testvfs_failures() > 0;
  if (failed) check_is_stuck(db, code);
  exec(other, "INSERT INTO t VALUES (2)");
  step_all();
  sqlite3_close(db);
  close_database(other);
  step_all();
  testvfs_reset();
  int now = number_on_disk();
  CHECK(now >= before && now <= before + TRANSACTIONS);
  CHECK(failed || now == before + TRANSACTIONS);

  db = open_async(path);
  CHECK_EQ(add_transaction(db), SQLITE_OK);
  close_database(db);
  step_all();
  CHECK_EQ(number_on_disk(), now + 1);
  return failed;
}

static void every_change_fails(int code) {
  static const char *const modes[] = {"DELETE", "TRUNCATE", "PERSIST"};
  setup(0);
  for (int i = 0; i < 3; i++) {
    int n = 0;
    while (try_failure(modes[i], n, code)) n++;
    CHECK(n > 4 * TRANSACTIONS);
  }
}

static void an_io_error_at_any_change_leaves_a_prefix(void) {
  every_change_fails(SQLITE_IOERR_WRITE);
}
static void a_full_disk_that_is_not_waited_for_leaves_a_prefix(void) {
  every_change_fails(SQLITE_FULL);
}

/* ---- Full disks ---- */

static void expect_event(sqlite3_int64 *cursor, const char *type) {
  char text[2000];
  char wanted[100];
  CHECK(sqlite3async_event(cursor, text, sizeof text) > 0);
  sqlite3_snprintf(sizeof wanted, wanted, "\"type\":\"%s\"", type);
  if (strstr(text, wanted) == NULL) FAIL("%s is not of type %s", text, type);
}

static void a_full_disk_is_waited_for_then_writing_resumes(void) {
  setup(20000);
  sqlite3_int64 cursor = 0;
  char text[2000];
  CHECK_EQ(sqlite3async_event(&cursor, NULL, 0), 0);
  sqlite3 *db = open_async(path);
  testvfs_reset();
  testvfs_fail(ON_WRITE, "/x.db", 1, 1, SQLITE_FULL, 0);
  testvfs_fail(ON_WRITE, "/x.db", 0, 1, SQLITE_IOERR_WRITE, ENOSPC);
  CHECK_EQ(add_transaction(db), SQLITE_OK);
  step_all();
  CHECK_EQ(testvfs_failures(), 1);
  CHECK(sqlite3async_status(path, text, sizeof text) > 0);
  CHECK(strstr(text, "\"state\":\"disk-full\"") != NULL);
  CHECK_EQ(add_transaction(db), SQLITE_OK); /* commits go on meanwhile */
  expect_event(&cursor, "diskfull");
  CHECK_EQ(sqlite3async_event(&cursor, text, sizeof text), 0);

  int64_t start_ms = now_ms();
  while (status_number(path, "queuedOps") > 0) {
    CHECK(now_ms() - start_ms < 5000);
    if (step_some(1) == 0) sleep_ms(10);
  }
  CHECK_EQ(testvfs_failures(), 2);
  expect_event(&cursor, "resume");
  close_database(db);
  step_all();
  CHECK_EQ(number_on_disk(), 2);
}

/* What is held is tried for so long, and fails then. */
static void check_gives_up_after(sqlite3 *db, int ms, int code) {
  int64_t start_ms = now_ms();
  while (exec_code(db, "SELECT * FROM t") == SQLITE_OK) {
    CHECK(now_ms() - start_ms < 5000);
    if (step_some(1) == 0) sleep_ms(10);
  }
  CHECK(now_ms() - start_ms >= ms);
  check_is_stuck(db, code);
}

static void a_disk_that_stays_full_is_an_error_in_the_end(void) {
  setup(250);
  sqlite3_int64 cursor = 0;
  CHECK_EQ(sqlite3async_event(&cursor, NULL, 0), 0);
  sqlite3 *db = open_async(path);
  testvfs_reset();
  testvfs_fail(ON_WRITE, "/x.db", 1, -1, SQLITE_FULL, 0);
  CHECK_EQ(add_transaction(db), SQLITE_OK);
  check_gives_up_after(db, 240, SQLITE_FULL);
  expect_event(&cursor, "diskfull");
  expect_event(&cursor, "error");
  sqlite3_close(db);
  step_all();
  CHECK_EQ(number_on_disk(), 0);
}

/* A flush falls due while the deletion of an unsynced journal is held. */
static void a_flush_during_a_held_deletion_syncs_what_is_there(void) {
  setup(20000);
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA synchronous = OFF");
  testvfs_reset();
  testvfs_fail(ON_DELETE, "-journal", 0, 1, SQLITE_FULL, 0);
  CHECK_EQ(add_transaction(db), SQLITE_OK);
  step_all();
  CHECK_EQ(testvfs_failures(), 1);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 1), SQLITE_OK);
  sleep_ms(5);
  int64_t start_ms = now_ms();
  while (status_number(path, "durable") < 1) {
    CHECK(now_ms() - start_ms < 5000);
    if (step_some(1) == 0) sleep_ms(10);
  }
  close_database(db);
  step_all();
  CHECK_EQ(number_on_disk(), 1);
}

/* ---- Descriptors, and what else is used up for a while ---- */

static char *status_text(void) {
  static char text[4000];
  CHECK(sqlite3async_status(path, text, sizeof text) > 0);
  return text;
}

static void await_durable(int wanted) {
  int64_t start_ms = now_ms();
  while (status_number(path, "durable") < wanted) {
    CHECK(now_ms() - start_ms < 5000);
    if (step_some(1) == 0) sleep_ms(10);
  }
}

/* No descriptor is free for a while; what was allowed before is the result. */
static struct rlimit take_descriptors(void) {
  struct rlimit before;
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  struct rlimit none = before;
  none.rlim_cur = 3;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  return before;
}

static void give_descriptors(struct rlimit before) {
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* By the real unix VFS. */
static void a_journal_is_made_when_there_are_descriptors_again(void) {
  setup(20000);
  sqlite3_int64 cursor = 0;
  CHECK_EQ(sqlite3async_event(&cursor, NULL, 0), 0);
  sqlite3 *db = open_async(path);
  CHECK_EQ(add_transaction(db), SQLITE_OK); /* its journal is still to be opened */
  CHECK_EQ(add_transaction(db), SQLITE_OK);
  struct rlimit before = take_descriptors();
  step_all();
  give_descriptors(before);
  CHECK(strstr(status_text(), "\"state\":\"disk-full\"") != NULL);
  char text[2000];
  CHECK(sqlite3async_event(&cursor, text, sizeof text) > 0);
  CHECK(strstr(text, "\"type\":\"diskfull\",\"code\":14,\"operation\":\"create\"") != NULL);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 1), SQLITE_OK);
  await_durable(2);
  expect_event(&cursor, "resume");
  CHECK(strstr(status_text(), "\"state\":\"disk-full\"") == NULL);
  close_database(db);
  step_all();
  CHECK_EQ(number_on_disk(), 2);
}

static void a_folder_is_synced_when_there_are_descriptors_again(void) {
  setup(20000);
  sqlite3_int64 cursor = 0;
  CHECK_EQ(sqlite3async_event(&cursor, NULL, 0), 0);
  sqlite3 *db = open_async(path);
  CHECK_EQ(add_transaction(db), SQLITE_OK);
  step_all();
  AsyncStream *stream = async_registry_find(path);
  struct rlimit before = take_descriptors();
  int64_t ticket = async_flush_request(stream);
  CHECK(ticket > 0);
  step_all();
  give_descriptors(before);
  CHECK_EQ(status_number(path, "durable"), 0);
  CHECK(strstr(status_text(), "\"state\":\"disk-full\"") != NULL);
  expect_event(&cursor, "diskfull");
  await_durable(1);
  CHECK_EQ(sqlite3async_durable(stream->id), ticket);
  expect_event(&cursor, "resume");
  CHECK(strstr(status_text(), "\"state\":\"disk-full\"") == NULL);
  async_registry_unref(stream);
  close_database(db);
  step_all();
  CHECK_EQ(number_on_disk(), 1);
}

static void a_journal_that_cannot_be_made_for_long_is_an_error(void) {
  setup(250);
  sqlite3 *db = open_async(path);
  testvfs_reset();
  testvfs_fail(ON_OPEN, "-journal", 0, -1, SQLITE_CANTOPEN, ENOENT);
  CHECK_EQ(add_transaction(db), SQLITE_OK);
  check_gives_up_after(db, 240, SQLITE_CANTOPEN);
  sqlite3_close(db);
  step_all();
  CHECK_EQ(number_on_disk(), 0);
}

/* Something was put there meanwhile: that does not go away by waiting. */
static void a_journal_that_can_never_be_made_is_an_error_at_once(void) {
  setup(20000);
  sqlite3 *db = open_async(path);
  CHECK_EQ(add_transaction(db), SQLITE_OK);
  CHECK_EQ(mkdir(test_path("x.db-journal"), 0700), 0);
  step_all();
  check_is_stuck(db, SQLITE_CANTOPEN);
  sqlite3_close(db);
  step_all();
  CHECK_EQ(rmdir(test_path("x.db-journal")), 0);
  CHECK_EQ(number_on_disk(), 0);
}

static void those_who_wait_are_told(void) {
  setup(0);
  sqlite3 *db = open_async(path);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  testvfs_reset();
  testvfs_fail(ON_SYNC, "/x.db", 2, 1, SQLITE_IOERR_FSYNC, 0);
  testvfs_hold(ON_OPEN, "-journal"); /* the commit shall be over when it fails */
  CHECK_EQ(add_transaction(db), SQLITE_OK);
  testvfs_wait_held();
  testvfs_release();
  CHECK_EQ(sqlite3async_flush(path, 20000), SQLITE_IOERR_FSYNC);
  CHECK_EQ(sqlite3async_flush(NULL, 20000), SQLITE_IOERR_FSYNC);
  CHECK_EQ(exec_code(db, "PRAGMA async_flush"), SQLITE_IOERR_FSYNC);
  sqlite3_close(db);
  CHECK_EQ(sqlite3async_flush(path, 20000), SQLITE_OK); /* it is over */
  CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
  CHECK_EQ(number_on_disk(), 0);
}

/* What it was about may be gone already, whatever the next one says. */
static void a_sync_is_not_tried_again_for_a_full_disk_either(void) {
  setup(60000);
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA synchronous = FULL");
  testvfs_fail(ON_SYNC, "/x.db", 0, 1, SQLITE_FULL, ENOSPC);
  CHECK_EQ(add_transaction(db), SQLITE_OK);
  step_all();
  CHECK_EQ(testvfs_failures(), 1);
  CHECK_EQ(sqlite3async_flush(path, 1000), SQLITE_FULL);
  CHECK_EQ(testvfs_count(ON_SYNC, "/x.db"), 0);
  sqlite3_close(db);
  step_all();
  CHECK_EQ(number_on_disk(), 0);
}

/* Whatever still refers to it for a moment, as a thread that asks for the status does. */
static void a_failure_that_was_told_is_of_the_past_once_all_is_closed(void) {
  setup(0);
  sqlite3 *db = open_async(path);
  testvfs_fail(ON_CHANGE, "/x.db", 0, 1, SQLITE_IOERR, 0);
  CHECK_EQ(add_transaction(db), SQLITE_OK);
  step_all();
  AsyncStream *stream = async_registry_find(path);
  CHECK(sqlite3async_flush(NULL, 1000) != SQLITE_OK);
  CHECK(sqlite3async_flush(NULL, 1000) != SQLITE_OK); /* it is open, and told each time */
  sqlite3_close(db);
  step_all();
  testvfs_reset();
  CHECK_EQ(sqlite3async_flush(NULL, 1000), SQLITE_OK);
  db = open_async(path);
  CHECK_EQ(add_transaction(db), SQLITE_OK);
  AsyncStream *anew = async_registry_find(path);
  CHECK(anew != stream);
  CHECK(async_flush_request(anew) > 0);
  CHECK_EQ(async_flush_request(stream), 0);
  async_registry_unref(anew);
  async_registry_unref(stream);
  close_database(db);
  step_all();
}

/* SQLite gives nobody the code that its last checkpoint gets. */
static void what_only_the_last_close_has_met_is_told(void) {
  setup(0);
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA journal_mode = WAL");
  CHECK_EQ(add_transaction(db), SQLITE_OK);
  step_all();
  testvfs_fail(ON_WRITE, "x.db-wal", 0, -1, SQLITE_IOERR_WRITE, 0);
  CHECK_EQ(add_transaction(db), SQLITE_OK);
  step_all();
  CHECK_EQ(sqlite3_close(db), SQLITE_OK);
  step_all();
  testvfs_reset();
  CHECK_EQ(sqlite3async_flush(path, 1000), SQLITE_IOERR_WRITE);
  CHECK_EQ(number_on_disk(), 1);
}

static void a_sync_that_failed_is_not_made_again_by_who_waited_for_it(void) {
  setup(0);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 100), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  sqlite3 *db = open_async(path);
  testvfs_hold(ON_SYNC, "x.db$"); /* the writer's */
  testvfs_fail(ON_SYNC, "x.db$", 0, 1, SQLITE_IOERR_FSYNC, 0);
  exec(db, "PRAGMA synchronous = OFF; UPDATE meta SET k = 1; PRAGMA synchronous = NORMAL;"
           "UPDATE meta SET k = 2");
  testvfs_wait_held();
  sleep_ms(300);                         /* maxDelayMs is over: a flush waits for the file */
  testvfs_delay(ON_CONTROL, "x.db", 50); /* "has it moved?", before the stream fails */
  testvfs_release();
  WAIT_FOR(10000, exec_code(db, "SELECT * FROM t") == SQLITE_IOERR_FSYNC);
  CHECK_EQ(testvfs_count(ON_SYNC, "x.db$"), 0);
  CHECK_EQ(status_number(path, "durable"), 0);
  sqlite3_close(db);
}

int main(void) {
  return run_tests((TestCase[]){TEST(an_io_error_at_any_change_leaves_a_prefix),
                                TEST(a_full_disk_that_is_not_waited_for_leaves_a_prefix),
                                TEST(a_full_disk_is_waited_for_then_writing_resumes),
                                TEST(a_disk_that_stays_full_is_an_error_in_the_end),
                                TEST(a_flush_during_a_held_deletion_syncs_what_is_there),
                                TEST(a_journal_is_made_when_there_are_descriptors_again),
                                TEST(a_folder_is_synced_when_there_are_descriptors_again),
                                TEST(a_journal_that_cannot_be_made_for_long_is_an_error),
                                TEST(a_journal_that_can_never_be_made_is_an_error_at_once),
                                TEST(a_sync_that_failed_is_not_made_again_by_who_waited_for_it),
                                TEST(those_who_wait_are_told),
                                TEST(a_sync_is_not_tried_again_for_a_full_disk_either),
                                TEST(what_only_the_last_close_has_met_is_told),
                                TEST(a_failure_that_was_told_is_of_the_past_once_all_is_closed),
                                {0}});
}
