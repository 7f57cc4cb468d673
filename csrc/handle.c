/*
** The methods of open files.  See handle.h.
**
** In the child of a fork there is no writer, and another thread may have held
** any of our mutexes: there every method that does something fails at once,
** and every one that ends something does nothing.
*/
#include "handle.h"

#include "config.h"
#include "registry.h"
#include "super.h"

/* What still holds when writes are queued.  Not among them: atomic writes,
** safe append, sequential, immutable, which promise something of the disk. */
#define CHARACTERISTICS_KEPT                                                                       \
  (SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN | SQLITE_IOCAP_POWERSAFE_OVERWRITE | IOCAP_SUBPAGE_READ)
/* SQLITE_IOCAP_SUBPAGE_READ, of 3.48: parts of a page may be read. */
#define IOCAP_SUBPAGE_READ 0x00008000

static AsyncHandle *handle_of(sqlite3_file *base) { return (AsyncHandle *)base; }

static int handle_close(sqlite3_file *base) {
  AsyncHandle *handle = handle_of(base);
  handle->base.pMethods = NULL;
  if (async_forked) return SQLITE_OK;
  async_lock_release(handle->stream, &handle->lock, SQLITE_LOCK_NONE);
  AsyncStream *stream = handle->stream;
  async_file_close(handle->file);
  async_super_forget_all(stream);
  async_registry_release(stream);
  return SQLITE_OK;
}

static int handle_read(sqlite3_file *base, void *buf, int n, sqlite3_int64 offset) {
  if (async_forked) return SQLITE_IOERR_READ;
  return async_file_read(handle_of(base)->file, buf, n, offset);
}

static int handle_write(sqlite3_file *base, const void *data, int n, sqlite3_int64 offset) {
  if (async_forked) return SQLITE_IOERR_WRITE;
  AsyncFile *file = handle_of(base)->file;
  int rc = SQLITE_OK;
  if (file->role == ASYNC_ROLE_SUPER_JOURNAL) rc = async_super_note_names(file, data, n);
  return rc != SQLITE_OK ? rc : async_file_write(file, data, n, offset);
}

static int handle_truncate(sqlite3_file *base, sqlite3_int64 size) {
  if (async_forked) return SQLITE_IOERR_TRUNCATE;
  return async_file_truncate(handle_of(base)->file, size);
}

static int handle_sync(sqlite3_file *base, int flags) {
  if (async_forked) return SQLITE_IOERR_FSYNC;
  AsyncFile *file = handle_of(base)->file;
  int rc = async_file_sync(file, flags);
  if (rc != SQLITE_OK || file->role != ASYNC_ROLE_SUPER_JOURNAL) return rc;
  return async_super_fence_sync(file);
}

static int handle_file_size(sqlite3_file *base, sqlite3_int64 *size) {
  if (async_forked) return SQLITE_IOERR_FSTAT;
  int64_t now = 0;
  int rc = async_file_size(handle_of(base)->file, &now);
  *size = now;
  return rc;
}

/* May a transaction that writes begin?  See "the bounded queue" in docs/design.md. */
static int check_room(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  bool full = async_stream_is_full(stream);
  async_mutex_leave(&stream->mutex);
  if (!full) return SQLITE_OK;
  if (!async_scheduler_has_runner()) return SQLITE_FULL; /* waiting would not help */
  return async_config.on_queue_full == SQLITEASYNC_FULL_BUSY ? SQLITE_BUSY : SQLITE_OK;
}

static int handle_lock(sqlite3_file *base, int level) {
  if (async_forked) return SQLITE_IOERR_LOCK;
  AsyncHandle *handle = handle_of(base);
  AsyncStream *stream = handle->stream;
  async_mutex_enter(&stream->mutex);
  int rc = async_stream_error(stream);
  async_mutex_leave(&stream->mutex);
  if (rc == SQLITE_OK && level == SQLITE_LOCK_RESERVED && handle->lock.level < level) {
    rc = check_room(stream);
  }
  if (rc != SQLITE_OK) return rc;
  return async_lock_acquire(stream, &handle->lock, level);
}

static int handle_unlock(sqlite3_file *base, int level) {
  if (async_forked) return SQLITE_OK;
  AsyncHandle *handle = handle_of(base);
  return async_lock_release(handle->stream, &handle->lock, level);
}

static int handle_check_reserved_lock(sqlite3_file *base, int *reserved) {
  if (async_forked) return SQLITE_IOERR_CHECKRESERVEDLOCK;
  return async_lock_check_reserved(handle_of(base)->stream, reserved);
}

/* A journal may not be open yet; SQLite asks these of the database only. */
static sqlite3_file *database_parent(sqlite3_file *base) {
  AsyncFile *file = handle_of(base)->file;
  return file->role == ASYNC_ROLE_DATABASE ? file->parent : NULL;
}

static int handle_sector_size(sqlite3_file *base) {
  sqlite3_file *parent = database_parent(base);
  if (parent == NULL || parent->pMethods->xSectorSize == NULL) return 4096;
  return parent->pMethods->xSectorSize(parent);
}

static int handle_device_characteristics(sqlite3_file *base) {
  sqlite3_file *parent = database_parent(base);
  if (parent == NULL) return 0;
  int kept = parent->pMethods->xDeviceCharacteristics(parent) & CHARACTERISTICS_KEPT;
  if (handle_of(base)->powersafe_overwrite) return kept | SQLITE_IOCAP_POWERSAFE_OVERWRITE;
  return kept & ~SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* Version 1: no shared memory, so no WAL but in exclusive locking mode, and
** no memory mapping, which would read past the queue. */
static const sqlite3_io_methods handle_methods = {
    .iVersion = 1,
    .xClose = handle_close,
    .xRead = handle_read,
    .xWrite = handle_write,
    .xTruncate = handle_truncate,
    .xSync = handle_sync,
    .xFileSize = handle_file_size,
    .xLock = handle_lock,
    .xUnlock = handle_unlock,
    .xCheckReservedLock = handle_check_reserved_lock,
    .xFileControl = async_handle_file_control,
    .xSectorSize = handle_sector_size,
    .xDeviceCharacteristics = handle_device_characteristics,
};

void async_handle_init(AsyncHandle *handle, AsyncStream *stream, AsyncFile *file) {
  *handle = (AsyncHandle){.stream = stream, .file = file};
  handle->base.pMethods = &handle_methods;
  sqlite3_file *parent = database_parent(&handle->base);
  if (parent != NULL) {
    int characteristics = parent->pMethods->xDeviceCharacteristics(parent);
    handle->powersafe_overwrite = (characteristics & SQLITE_IOCAP_POWERSAFE_OVERWRITE) != 0;
  }
}
