/*
** What the histories of the explorer share.  See explore.h.
*/
#include "explore.h"

#include "memdisk.h"
#include "registry.h"
#include "stepper.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct ExploreThread {
  const char *name;
  void (*run)(void *);
  void *arg;
  pthread_t handle;
};

static void *thread_main(void *arg) {
  ExploreThread *thread = arg;
  step_name(thread->name);
  thread->run(thread->arg);
  return NULL;
}

ExploreThread *explore_thread(const char *name, void (*run)(void *), void *arg) {
  ExploreThread *thread = calloc(1, sizeof *thread);
  CHECK(thread != NULL);
  *thread = (ExploreThread){.name = name, .run = run, .arg = arg};
  CHECK_EQ(step_thread_create(&thread->handle, NULL, thread_main, thread), 0);
  return thread;
}

void explore_join(ExploreThread *thread) {
  CHECK_EQ(step_thread_join(thread->handle, NULL), 0);
  free(thread);
}

/* The folder is real, for the core opens it to sync it. */
const char *explore_path(const char *name) { return test_path(name); }

sqlite3 *open_foreign(const char *path) {
  sqlite3 *db = NULL;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  int rc = sqlite3_open_v2(path, &db, flags, MEMDISK_NAME);
  if (rc != SQLITE_OK) FAIL("open %s on the disk in memory: %s", path, sqlite3_errmsg(db));
  sqlite3_extended_result_codes(db, 1);
  return db;
}

void make_table(const char *path, const char *journal_mode) {
  sqlite3 *db = open_foreign(path);
  exec(db, "PRAGMA locking_mode = EXCLUSIVE"); /* there is no shared memory */
  exec(db, "PRAGMA journal_mode = %s", journal_mode);
  exec(db, "CREATE TABLE t(a)");
  close_database(db);
  memdisk_sync_all();
}

void explore_setup(void) {
  CHECK_EQ(sqlite3async_initialize(MEMDISK_NAME, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_POLL_US, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
}

sqlite3 *open_patient(const char *path) {
  sqlite3 *db = open_async(path);
  sqlite3_busy_timeout(db, 1000);
  return db;
}

static int64_t number_on(MemDisk *disk, const char *path, const char *other, const char *sql) {
  step_aside();
  memdisk_use(disk);
  sqlite3 *db = open_foreign(path);
  exec(db, "PRAGMA locking_mode = EXCLUSIVE");
  if (other != NULL) exec(db, "ATTACH '%s' AS other", other);
  check_integrity(db);
  int64_t number = query_int(db, sql);
  close_database(db);
  memdisk_use(NULL);
  memdisk_free(disk);
  step_back();
  return number;
}

int64_t number_after_power_cut(const char *path, const char *other, const char *sql) {
  return number_on(memdisk_after_power_cut(), path, other, sql);
}

int64_t number_after_crash(const char *path, const char *other, const char *sql) {
  return number_on(memdisk_after_crash(), path, other, sql);
}

int explore_close_all_code(void) {
  int rc = sqlite3async_close(1000);
  AsyncStream **streams = async_registry_all();
  CHECK(streams != NULL && streams[0] == NULL);
  async_registry_unref_all(streams);
  CHECK(!async_registry_wake_if_queued());
  return rc;
}

void explore_close_all(void) { CHECK_EQ(explore_close_all_code(), SQLITE_OK); }
