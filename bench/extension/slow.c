/*
** A slow disk: a run-time extension that registers the VFS "slow", which is the
** default one, but sleeps in each sync and each write of a database, journal or WAL.
**
**     SELECT slow_disk(SYNC_US, WRITE_US)   from now on; microseconds
**     SELECT slow_disk_calls('sync')        how many there were; or 'write'
**
** which every connection has that is opened after it was loaded.
**
** The methods of a file are those of the default VFS but for the two: a copy of its
** table, with which its own files go on.  So nothing has to be passed through.
** A deletion that syncs the folder sleeps as a sync does.
*/
#include "sqlite3ext.h"
SQLITE_EXTENSION_INIT1

#include <stdatomic.h>
#include <string.h>
#include <time.h>

/* The unix VFS has about ten tables. */
#define TABLES_MAX 16

typedef struct Table {
  sqlite3_io_methods ours; /* first: what a file of ours points at */
  const sqlite3_io_methods *theirs;
} Table;

static Table tables[TABLES_MAX]; /* added to under SQLite's main mutex */
static int table_count;
static sqlite3_vfs slow_vfs;
static sqlite3_vfs *real_vfs;

static _Atomic int64_t sync_us;
static _Atomic int64_t write_us;
static _Atomic int64_t syncs;
static _Atomic int64_t writes;

static void sleep_us(int64_t us) {
  struct timespec left = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
  while (us > 0 && nanosleep(&left, &left) != 0) continue;
}

static int slow_write(sqlite3_file *file, const void *data, int n, sqlite3_int64 offset) {
  writes++;
  sleep_us(write_us);
  return ((const Table *)(const void *)file->pMethods)->theirs->xWrite(file, data, n, offset);
}

static int slow_sync(sqlite3_file *file, int flags) {
  syncs++;
  sleep_us(sync_us);
  return ((const Table *)(const void *)file->pMethods)->theirs->xSync(file, flags);
}

/* The table for files that have this one; NULL if there are too many. */
static const sqlite3_io_methods *slowed(const sqlite3_io_methods *theirs) {
  const sqlite3_io_methods *found = NULL;
  sqlite3_mutex *mutex = sqlite3_mutex_alloc(SQLITE_MUTEX_STATIC_MAIN);
  sqlite3_mutex_enter(mutex);
  for (int i = 0; i < table_count && found == NULL; i++) {
    if (tables[i].theirs == theirs) found = &tables[i].ours;
  }
  if (found == NULL && table_count < TABLES_MAX) {
    Table *table = &tables[table_count++];
    table->theirs = theirs;
    table->ours = *theirs;
    table->ours.xWrite = slow_write;
    table->ours.xSync = slow_sync;
    found = &table->ours;
  }
  sqlite3_mutex_leave(mutex);
  return found;
}

static int slow_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out) {
  (void)vfs;
  int rc = real_vfs->xOpen(real_vfs, name, file, flags, out);
  int kept = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL;
  if (rc != SQLITE_OK || !(flags & kept)) return rc;
  const sqlite3_io_methods *methods = slowed(file->pMethods);
  if (methods != NULL) {
    file->pMethods = methods;
    return SQLITE_OK;
  }
  file->pMethods->xClose(file);
  file->pMethods = NULL;
  return SQLITE_CANTOPEN;
}

static int slow_delete(sqlite3_vfs *vfs, const char *name, int sync_folder) {
  (void)vfs;
  if (sync_folder) {
    syncs++;
    sleep_us(sync_us);
  }
  return real_vfs->xDelete(real_vfs, name, sync_folder);
}

static void slow_disk(sqlite3_context *context, int n, sqlite3_value **values) {
  (void)n;
  sync_us = sqlite3_value_int64(values[0]);
  write_us = sqlite3_value_int64(values[1]);
  sqlite3_result_null(context);
}

static void slow_disk_calls(sqlite3_context *context, int n, sqlite3_value **values) {
  (void)n;
  const char *what = (const char *)sqlite3_value_text(values[0]);
  if (what != NULL && strcmp(what, "sync") == 0) {
    sqlite3_result_int64(context, syncs);
  } else if (what != NULL && strcmp(what, "write") == 0) {
    sqlite3_result_int64(context, writes);
  } else {
    sqlite3_result_error(context, "slow_disk_calls: 'sync' or 'write' is wanted", -1);
  }
}

/* For each connection that is opened. */
static int add_functions(sqlite3 *db, char **message, const sqlite3_api_routines *api) {
  (void)message;
  (void)api;
  int flags = SQLITE_UTF8 | SQLITE_DIRECTONLY;
  int rc = sqlite3_create_function(db, "slow_disk", 2, flags, NULL, slow_disk, NULL, NULL);
  if (rc != SQLITE_OK) return rc;
  return sqlite3_create_function(db, "slow_disk_calls", 1, flags, NULL, slow_disk_calls, NULL, NULL);
}

#if defined(_WIN32)
__declspec(dllexport)
#endif
int sqlite3_slow_init(sqlite3 *db, char **message, const sqlite3_api_routines *api);

int sqlite3_slow_init(sqlite3 *db, char **message, const sqlite3_api_routines *api) {
  SQLITE_EXTENSION_INIT2(api)
  if (real_vfs == NULL) {
    real_vfs = sqlite3_vfs_find(NULL);
    slow_vfs = *real_vfs;
    slow_vfs.zName = "slow";
    slow_vfs.pNext = NULL;
    slow_vfs.xOpen = slow_open;
    slow_vfs.xDelete = slow_delete;
    sqlite3_vfs_register(&slow_vfs, 0);
    sqlite3_auto_extension((void (*)(void))add_functions);
  }
  int rc = add_functions(db, message, api);
  return rc == SQLITE_OK ? SQLITE_OK_LOAD_PERMANENTLY : rc;
}
