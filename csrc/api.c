/*
** The floor of the public functions.  See api.h.
*/
#include "api.h"

#include "config.h"
#include "registry.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 1024

static AsyncMutex api_mutex;
static sqlite3_vfs *_Atomic parent_vfs; /* written under api_mutex */
static _Thread_local char message[MESSAGE_MAX];

void async_api_init(void) { async_mutex_init(&api_mutex, ASYNC_RANK_API); }

sqlite3_vfs *async_api_parent(void) { return parent_vfs; }

void async_api_set_parent(sqlite3_vfs *parent) {
  assert(async_mutex_is_held(&api_mutex));
  parent_vfs = parent;
}

void async_api_enter(void) { async_mutex_enter(&api_mutex); }

void async_api_leave(void) { async_mutex_leave(&api_mutex); }

/* ---- Messages ---- */

int async_api_error(int code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  return code;
}

int sqlite3async_errmsg(char *buf, int n) {
  if (buf != NULL && n > 0) snprintf(buf, (size_t)n, "%s", message);
  return (int)strlen(message);
}

int async_api_refuse_in_child(const char *operation) {
  if (!async_forked) return SQLITE_OK;
  return async_api_error(SQLITE_MISUSE,
                         "%s: this process was forked from the one whose "
                         "databases these are; it must open its own",
                         operation);
}

int async_api_ready(const char *operation) {
  if (async_forked) return async_api_refuse_in_child(operation);
  if (parent_vfs != NULL) return SQLITE_OK;
  return async_api_error(SQLITE_MISUSE, "%s: the VFS %s is not registered", operation,
                         SQLITEASYNC_VFSNAME);
}

int async_api_ready_for(const char *operation, const char *zPath) {
  int rc = async_api_ready(operation);
  if (rc != SQLITE_OK || (zPath != NULL && zPath[0] != '\0')) return rc;
  return async_api_error(SQLITE_MISUSE, "%s: a path is wanted", operation);
}

int sqlite3async_version(void) { return SQLITE3ASYNC_VERSION_NUMBER; }

/* ---- Paths ---- */

int async_api_full_path(const char *zPath, char **full) {
  sqlite3_vfs *vfs = parent_vfs;
  *full = NULL;
  if (vfs == NULL) return SQLITE_MISUSE; /* another thread has just closed all */
  size_t size = (size_t)vfs->mxPathname + 1;
  *full = calloc(1, size);
  if (*full == NULL) return SQLITE_NOMEM;
  int rc = vfs->xFullPathname(vfs, zPath, (int)size, *full);
  if ((rc & 0xff) == SQLITE_OK) return SQLITE_OK; /* SQLITE_OK_SYMLINK too */
  free(*full);
  *full = NULL;
  return rc;
}

/* Most give the path as SQLite has it; to look at each part of it on disk takes longer than
** all else. */
static AsyncStream *find_by_name(const char *zPath) {
  AsyncStream *stream = zPath[0] == '/' ? async_registry_find(zPath) : NULL;
  if (stream == NULL || !stream->is_link) return stream;
  async_registry_unref(stream);
  return NULL;
}

int async_api_find(const char *zPath, AsyncStream ***streams) {
  if (zPath == NULL || zPath[0] == '\0') {
    *streams = async_registry_all();
    return *streams == NULL ? SQLITE_NOMEM : SQLITE_OK;
  }
  *streams = calloc(2, sizeof(AsyncStream *));
  if (*streams == NULL) return SQLITE_NOMEM;
  (*streams)[0] = find_by_name(zPath);
  if ((*streams)[0] != NULL) return SQLITE_OK;
  char *full;
  int rc = async_api_full_path(zPath, &full);
  if (rc == SQLITE_OK) {
    (*streams)[0] = async_registry_find(full);
    free(full);
  } else {
    free(*streams);
    *streams = NULL;
  }
  return rc;
}
