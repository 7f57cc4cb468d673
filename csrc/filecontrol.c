/*
** File control: what SQLite and applications ask of an open file besides
** reading and writing, and the module's PRAGMAs.
**
**     PRAGMA async_flush[=TIMEOUT_MS]   wait until all commits are durable; the
**                                       number of durable ones, or an error
**     PRAGMA async_status               the status as one row of JSON
**     PRAGMA async_commit[=LEVEL]       the level of the connection's commits (level.h); set it
**     PRAGMA async_closing              the program closes the connection next; see client.h
**
** All act when the statement is prepared, as SQLite does it with all PRAGMAs
** of a VFS: prepare them anew each time.
*/
#include "filecontrol.h"

#include "autocheckpoint.h"
#include "client.h"
#include "config.h"
#include "flush.h"
#include "level.h"
#include "moved.h"
#include "status.h"
#include "super.h"

#include <stdlib.h>
#include <string.h>

/* Room for what may have come since its length was asked for. */
#define STATUS_SPARE 200

static int pragma_flush(AsyncStream *stream, const char *value, char **result) {
  int timeout_ms = -1;
  if (value != NULL) {
    char *end;
    long number = strtol(value, &end, 10);
    if (end == value || *end != '\0' || number < 0 || number > 0x7fffffff) {
      *result = sqlite3_mprintf("async_flush=%s: the timeout is to be in ms, 0 or more", value);
      return SQLITE_ERROR;
    }
    timeout_ms = (int)number;
  }
  int rc = async_flush_stream(stream, timeout_ms);
  if (rc == SQLITE_BUSY) {
    *result = sqlite3_mprintf("async_flush: not durable within %d ms; it goes on", timeout_ms);
  } else if (rc == SQLITE_MISUSE) {
    *result = sqlite3_mprintf("async_flush: no writer is running, so it would never end");
  } else if (rc != SQLITE_OK) {
    *result = sqlite3_mprintf("async_flush: the database failed: %s", sqlite3_errstr(rc));
  } else {
    async_mutex_enter(&stream->mutex);
    int64_t durable = stream->durable.transactions;
    async_mutex_leave(&stream->mutex);
    *result = sqlite3_mprintf("%lld", (long long)durable);
  }
  return rc == SQLITE_MISUSE ? SQLITE_ERROR : rc;
}

static int pragma_commit(AsyncHandle *handle, const char *value, char **result) {
  if (value != NULL) {
    int level = async_level_of_name(value);
    if (level < 0) {
      *result =
          sqlite3_mprintf("async_commit=%s: the level is to be queued, applied or durable", value);
      return SQLITE_ERROR;
    }
    async_client_set_level(handle, level);
  }
  *result = sqlite3_mprintf("%s", async_level_name(async_client_level(handle)));
  return SQLITE_OK;
}

static int pragma_status(AsyncHandle *handle, char **result) {
  AsyncStream *stream = handle->stream;
  int level = async_client_level(handle);
  int length = async_status_of_stream(stream, level, NULL, 0);
  int room;
  /* It may grow meanwhile; not for ever, since all that is in it has a bound. */
  do {
    sqlite3_free(*result);
    room = length + STATUS_SPARE;
    *result = sqlite3_malloc(room);
    if (*result == NULL) return SQLITE_NOMEM;
    length = async_status_of_stream(stream, level, *result, (size_t)room);
  } while (length >= room);
  return SQLITE_OK;
}

static int forward(AsyncHandle *handle, int op, void *arg) {
  AsyncFile *file = handle->file;
  async_mutex_enter(&file->stream->mutex);
  sqlite3_file *parent = file->parent;
  async_mutex_leave(&file->stream->mutex);
  return parent == NULL ? SQLITE_NOTFOUND : parent->pMethods->xFileControl(parent, op, arg);
}

static int control_pragma(AsyncHandle *handle, char **args) {
  async_autocheckpoint_note_pragma(handle, args[1], args[2]);
  if (sqlite3_stricmp(args[1], "async_flush") == 0) {
    return pragma_flush(handle->stream, args[2], &args[0]);
  }
  if (sqlite3_stricmp(args[1], "async_status") == 0) {
    return pragma_status(handle, &args[0]);
  }
  if (sqlite3_stricmp(args[1], "async_commit") == 0) {
    return pragma_commit(handle, args[2], &args[0]);
  }
  if (sqlite3_stricmp(args[1], "async_closing") == 0) {
    async_client_abandon(handle);
    return SQLITE_OK;
  }
  return forward(handle, SQLITE_FCNTL_PRAGMA, args); /* the parent may have some, too */
}

/* A flag that each connection has for itself: < 0 asks, 0 and 1 set. */
static int control_flag(bool *flag, int *value) {
  if (*value >= 0) *flag = *value != 0;
  *value = *flag;
  return SQLITE_OK;
}

static int control_vfs_name(AsyncHandle *handle, char **name) {
  char *parents = NULL;
  if (forward(handle, SQLITE_FCNTL_VFSNAME, &parents) != SQLITE_OK || parents == NULL) {
    parents = sqlite3_mprintf("%s", handle->stream->parent->zName);
  }
  *name = sqlite3_mprintf("%s/%z", SQLITEASYNC_VFSNAME, parents);
  return SQLITE_OK;
}

static int control_chunk_size(AsyncHandle *handle, void *arg) {
  handle->has_chunks = true;
  return forward(handle, SQLITE_FCNTL_CHUNK_SIZE, arg);
}

static int control_sync(AsyncHandle *handle, const char *super) {
  if (super == NULL || super[0] == '\0') return SQLITE_OK;
  return async_super_sync_child(handle->stream, super, async_client_level(handle));
}

/* With the shared wal-index in use, the end of the WRITE lock tells it better; with
** EXCLUSIVE there is no other writer, and SQLite no longer takes that lock.  The result is the
** commit's. */
static int control_committed(AsyncHandle *handle) {
  bool shared = handle->shm.mapped && handle->lock.level < SQLITE_LOCK_EXCLUSIVE;
  AsyncCommit commit = handle->commit;
  handle->commit = (AsyncCommit){0};
  if (!shared) {
    commit.level = async_client_level(handle);
    commit.seq = async_stream_committed(handle->stream, commit.level);
  }
  async_autocheckpoint_note_commit(handle);
  return async_level_await(handle->stream, commit);
}

int async_filecontrol(sqlite3_file *base, int op, void *arg) {
  AsyncHandle *handle = (AsyncHandle *)base;
  if (async_forked) return SQLITE_NOTFOUND;
  switch (op) {
  case SQLITE_FCNTL_LOCKSTATE:
    *(int *)arg = handle->lock.level;
    return SQLITE_OK;
  case SQLITE_FCNTL_PERSIST_WAL:
    return control_flag(&handle->persist_wal, arg);
  case SQLITE_FCNTL_POWERSAFE_OVERWRITE:
    return control_flag(&handle->powersafe_overwrite, arg);
  case SQLITE_FCNTL_VFSNAME:
    return control_vfs_name(handle, arg);
  case SQLITE_FCNTL_MMAP_SIZE:
    *(sqlite3_int64 *)arg = 0;
    return SQLITE_OK;
  case SQLITE_FCNTL_CHUNK_SIZE:
    return control_chunk_size(handle, arg);
  case SQLITE_FCNTL_SIZE_HINT:
    if (!handle->has_chunks) return SQLITE_OK;
    return async_file_size_hint(handle->file, *(sqlite3_int64 *)arg);
  case SQLITE_FCNTL_SYNC:
    return control_sync(handle, arg);
  case SQLITE_FCNTL_COMMIT_PHASETWO:
    return control_committed(handle);
  case SQLITE_FCNTL_PDB:
    handle->db = arg;
    async_client_note(handle);
    return SQLITE_OK;
  case SQLITE_FCNTL_PRAGMA:
    return control_pragma(handle, arg);
  case ASYNC_FCNTL_STREAM:
    *(const AsyncStream **)arg = handle->stream;
    return SQLITE_OK;
  case SQLITE_FCNTL_HAS_MOVED:
    return async_moved_ask(handle->stream, arg);

  /* What these promise or do, we cannot while writes are queued; or it is for
  ** one connection, and the parent's handle serves all. */
  case SQLITE_FCNTL_BEGIN_ATOMIC_WRITE:
  case SQLITE_FCNTL_COMMIT_ATOMIC_WRITE:
  case SQLITE_FCNTL_ROLLBACK_ATOMIC_WRITE:
  case SQLITE_FCNTL_LOCK_TIMEOUT:
  case SQLITE_FCNTL_BUSYHANDLER:
  case SQLITE_FCNTL_WIN32_SET_HANDLE:
  case SQLITE_FCNTL_SET_LOCKPROXYFILE:
  case SQLITE_FCNTL_GET_LOCKPROXYFILE:
    return SQLITE_NOTFOUND;

  /* LAST_ERRNO, TEMPFILENAME and the like change nothing; and what
  ** else an application asks is between it and the parent. */
  default:
    return forward(handle, op, arg);
  }
}
