/*
** The methods of open files.  See methods.h.
**
** In the child of a fork there is no writer, and another thread may have held
** any of our mutexes: there every method that does something fails at once,
** and every one that ends something does nothing.
*/
#include "methods.h"

#include "autocheckpoint.h"
#include "checkpoint.h"
#include "client.h"
#include "closing.h"
#include "config.h"
#include "filecontrol.h"
#include "flush.h"
#include "level.h"
#include "lock.h"
#include "moved.h"
#include "registry.h"
#include "super.h"

/* What still holds when writes are queued.  Not among them: atomic writes,
** safe append, sequential, immutable, which promise something of the disk. */
#define CHARACTERISTICS_KEPT                                                                       \
  (SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN | SQLITE_IOCAP_POWERSAFE_OVERWRITE | IOCAP_SUBPAGE_READ)
/* SQLITE_IOCAP_SUBPAGE_READ, of 3.48: parts of a page may be read. */
#define IOCAP_SUBPAGE_READ 0x00008000

static AsyncHandle *handle_of(sqlite3_file *base) { return (AsyncHandle *)base; }

static bool has_exclusive(const AsyncHandle *handle, int lock) {
  return (handle->shm.exclusive & (1u << lock)) != 0;
}

/* A transaction of the connection that writes to the WAL has ended. */
static void end_wal_write(AsyncHandle *handle) {
  if (handle->shm.is_checkpointer || !has_exclusive(handle, ASYNC_WAL_WRITE)) return;
  atomic_store_explicit(&handle->stream->wal_writer_active, false, memory_order_release);
  int level = async_client_level(handle);
  handle->commit = (AsyncCommit){level, async_stream_wal_write_ended(handle->stream, level)};
}

/* SQLite tells of a commit right after that; here it has not, so nobody waits for it. */
static void forget_commit(AsyncHandle *handle) {
  AsyncCommit commit = handle->commit;
  handle->commit = (AsyncCommit){0};
  if (commit.seq != 0) async_level_give_up(handle->stream, commit);
}

static void unmap(AsyncHandle *handle) {
  end_wal_write(handle);
  forget_commit(handle);
  if (has_exclusive(handle, ASYNC_WAL_CHECKPOINT)) async_checkpoint_forget();
  async_walindex_unmap(&handle->stream->walindex, &handle->shm);
}

static int handle_close(sqlite3_file *base) {
  AsyncHandle *handle = handle_of(base);
  handle->base.pMethods = NULL;
  if (async_forked) return SQLITE_OK;
  unmap(handle);
  async_lock_release(handle->stream, &handle->lock, SQLITE_LOCK_NONE);
  AsyncStream *stream = handle->stream;
  bool is_connection = async_handle_is_connection(handle);
  /* A transaction that could be neither applied nor rolled back has left a hot journal for whoever
  ** opens the database next: but not for one that was put in its place. */
  if (is_connection) async_moved_look_now(stream);
  bool is_last = false;
  async_client_forget(handle);
  async_file_close(handle->file);
  async_super_forget_all(stream);
  if (is_connection) { /* only now: whoever is the last must find the files of all others closed */
    async_mutex_enter(&stream->mutex);
    if (handle->is_ending && !handle->knew_error) stream->error_told = false;
    is_last = async_closing_note_close(stream, &handle->names, handle->is_abandoned);
    async_mutex_leave(&stream->mutex);
  }
  if (is_last) {
    async_closing_end(stream);
  } else if (is_connection) {
    async_closing_await_applied(stream);
  }
  async_registry_unref(stream);
  return SQLITE_OK;
}

static int handle_read(sqlite3_file *base, void *buf, int n, sqlite3_int64 offset) {
  if (async_forked) return SQLITE_IOERR_READ;
  return async_file_read(handle_of(base)->file, buf, n, offset);
}

/*
** The parent's handle can write where SQLite's is read-only (name.c), so it is for us to refuse
** what the parent would: otherwise the last close of a read-only connection would checkpoint.
*/
static int write_database(AsyncHandle *handle, const void *data, int n, int64_t offset) {
  AsyncFile *file = handle->file;
  if (handle->lock.read_only) return SQLITE_IOERR_WRITE;
  if (offset == 0) async_lock_note_header(file->stream, data, n);
  if (async_checkpoint_is_at(file->stream)) return async_checkpoint_write(file, data, n, offset);
  return async_file_write(file, data, n, offset);
}

static int handle_write(sqlite3_file *base, const void *data, int n, sqlite3_int64 offset) {
  if (async_forked) return SQLITE_IOERR_WRITE;
  AsyncFile *file = handle_of(base)->file;
  int rc = SQLITE_OK;
  switch (file->role) {
  case ASYNC_ROLE_DATABASE:
    return write_database(handle_of(base), data, n, offset);
  case ASYNC_ROLE_SUPER_JOURNAL:
    rc = async_super_note_names(file, data, n);
    break;
  case ASYNC_ROLE_JOURNAL:
  case ASYNC_ROLE_WAL:
    break;
  }
  return rc != SQLITE_OK ? rc : async_file_write(file, data, n, offset);
}

static int handle_truncate(sqlite3_file *base, sqlite3_int64 size) {
  if (async_forked || handle_of(base)->lock.read_only) return SQLITE_IOERR_TRUNCATE;
  return async_file_truncate(handle_of(base)->file, size);
}

static int handle_sync(sqlite3_file *base, int flags) {
  if (async_forked) return SQLITE_IOERR_FSYNC;
  AsyncFile *file = handle_of(base)->file;
  if (async_checkpoint_is_at(file->stream)) return async_checkpoint_sync(file, flags);
  int64_t await;
  int rc = async_file_sync(file, flags, &await);
  if (rc == SQLITE_OK && await > 0) rc = async_flush_await_applied(file->stream, await, NULL);
  if (rc == SQLITE_INTERRUPT) rc = SQLITE_OK; /* it is in order, whenever that will be */
  if (rc != SQLITE_OK || file->role != ASYNC_ROLE_SUPER_JOURNAL) return rc;
  return async_super_barrier_sync(file);
}

static int handle_file_size(sqlite3_file *base, sqlite3_int64 *size) {
  if (async_forked) return SQLITE_IOERR_FSTAT;
  int64_t now = 0;
  int rc = async_file_size(handle_of(base)->file, &now);
  *size = now;
  return rc;
}

/* A transaction that writes would begin, and the queue is full: SQLITE_OK if it
** may, and is to wait later.  See "the bounded queue" in docs/design.md. */
static int refusal_when_full(AsyncHandle *handle) {
  bool helps = async_client_level(handle) != SQLITEASYNC_COMMIT_QUEUED;
  if (helps && async_level_make_room(handle->stream)) return SQLITE_OK;
  if (!async_scheduler_has_runner()) return SQLITE_FULL; /* waiting would not help */
  return async_config.on_queue_full == SQLITEASYNC_FULL_BUSY ? SQLITE_BUSY : SQLITE_OK;
}

static int handle_lock(sqlite3_file *base, int level) {
  if (async_forked) return SQLITE_IOERR_LOCK;
  AsyncHandle *handle = handle_of(base);
  AsyncStream *stream = handle->stream;
  async_mutex_enter(&stream->mutex);
  int rc = async_stream_report_error(stream);
  bool full = async_stream_is_full(stream);
  async_mutex_leave(&stream->mutex);
  bool writes = level == SQLITE_LOCK_RESERVED && handle->lock.level < level;
  if (rc == SQLITE_OK && writes && full) rc = refusal_when_full(handle);
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

/* ---- Shared memory ---- */

static int handle_shm_map(sqlite3_file *base, int region, int size, int extend,
                          void volatile **address) {
  *address = NULL;
  if (async_forked) return SQLITE_IOERR_SHMMAP;
  AsyncHandle *handle = handle_of(base);
  if (!handle->shm.mapped) {
    int rc = async_lock_own(handle->stream);
    /* SQLITE_BUSY itself SQLite takes for a matter of moments, and tries for 10 s. */
    if (rc == SQLITE_BUSY) return SQLITE_BUSY_RECOVERY;
    if (rc != SQLITE_OK) return rc;
    async_autocheckpoint_adopt(handle);
  }
  return async_walindex_map(&handle->stream->walindex, &handle->shm, region, size, extend != 0,
                            address);
}

/* Does the request begin to write, in a transaction?  SQLite takes the WRITE lock
** also to recover the index and to checkpoint, without reading. */
static bool begins_write(const AsyncHandle *handle, int first, int flags) {
  return first == ASYNC_WAL_WRITE && flags == (SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE) &&
         handle->shm.shared != 0;
}

/* A transaction begins, and the stream is under_pressure: is it still, and by what? */
static int look_closer(AsyncStream *stream, bool *full) {
  async_mutex_enter(&stream->mutex);
  int rc = async_stream_report_error(stream);
  *full = async_stream_is_full(stream);
  stream->under_pressure = rc != SQLITE_OK || *full || async_wal_is_full(&stream->wal);
  async_mutex_leave(&stream->mutex);
  return rc;
}

/* See "the bounded queue" and "checkpoints" in docs/design.md. */
static int check_bounds(AsyncHandle *handle, int first, int flags) {
  AsyncStream *stream = handle->stream;
  /* Who has the WRITE lock is in the middle of a transaction, and the checkpointer waits for it. */
  bool reads = async_walindex_begins_read(&handle->shm, first, flags) &&
               !has_exclusive(handle, ASYNC_WAL_WRITE);
  bool writes = begins_write(handle, first, flags);
  if (!stream->under_pressure || !(reads || writes) || handle->shm.is_checkpointer)
    return SQLITE_OK;
  bool full;
  int rc = look_closer(stream, &full);
  if (rc != SQLITE_OK) return rc;
  if (reads) {
    bool waits = async_config.on_queue_full == SQLITEASYNC_FULL_BLOCK;
    bool copied = waits && async_checkpoint_is_over_limit(stream) && async_checkpoint_await(stream);
    /* SQLITE_BUSY makes SQLite choose its read lock anew, now that it needs no frame. */
    return copied && first > ASYNC_WAL_READ_0 ? SQLITE_BUSY : SQLITE_OK;
  }
  if (full) rc = refusal_when_full(handle);
  /* One that reads nothing from the WAL will start it anew. */
  bool starts_anew =
      (handle->shm.shared & (1u << ASYNC_WAL_READ_0)) != 0 && async_checkpoint_may_restart(stream);
  if (rc == SQLITE_OK && !starts_anew && async_checkpoint_is_over_limit(stream)) rc = SQLITE_BUSY;
  return rc;
}

/* Is a transaction about to start the WAL anew?  SQLite takes the locks of all who read from it,
** which otherwise only a checkpoint does; refused, it appends. */
static bool restarts(const AsyncHandle *handle, int first, int n, int flags) {
  bool checkpoints = has_exclusive(handle, ASYNC_WAL_CHECKPOINT);
  return (flags & SQLITE_SHM_EXCLUSIVE) && first == ASYNC_WAL_READ_0 + 1 &&
         n == SQLITE_SHM_NLOCK - first && !checkpoints;
}

static int lock_index(AsyncHandle *handle, int first, int n, int flags) {
  AsyncWalIndex *index = &handle->stream->walindex;
  int rc = async_walindex_lock(index, &handle->shm, first, n, flags);
  if (rc != SQLITE_LOCKED) return rc;
  /* Another process was given the database. */
  rc = async_lock_own(handle->stream);
  if (rc == SQLITE_OK) rc = async_walindex_lock(index, &handle->shm, first, n, flags);
  return rc == SQLITE_LOCKED ? SQLITE_BUSY : rc; /* given to another one again */
}

static int handle_shm_lock(sqlite3_file *base, int first, int n, int flags) {
  if (async_forked) return flags & SQLITE_SHM_UNLOCK ? SQLITE_OK : SQLITE_IOERR_SHMLOCK;
  AsyncHandle *handle = handle_of(base);
  if (!handle->shm.mapped)
    return SQLITE_IOERR_SHMLOCK; /* as the unix VFS: nobody would unlock it */
  if (flags & SQLITE_SHM_UNLOCK) {
    if (first == ASYNC_WAL_WRITE) {
      end_wal_write(handle);
      async_checkpoint_ends_writing(handle->stream);
    } else {
      forget_commit(handle);
    }
    if (first == ASYNC_WAL_CHECKPOINT) async_checkpoint_ends(handle->stream);
    return async_walindex_lock(&handle->stream->walindex, &handle->shm, first, n, flags);
  }
  int rc = check_bounds(handle, first, flags);
  if (rc == SQLITE_OK && restarts(handle, first, n, flags)) {
    rc = async_checkpoint_may_restart(handle->stream) ? SQLITE_OK : SQLITE_BUSY;
  }
  if (rc == SQLITE_OK) rc = lock_index(handle, first, n, flags);
  bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
  if (rc == SQLITE_OK && first == ASYNC_WAL_CHECKPOINT && n == 1 && exclusive) {
    async_checkpoint_begins(handle->stream);
  }
  bool writes = rc == SQLITE_OK && first == ASYNC_WAL_WRITE && !handle->shm.is_checkpointer;
  if (writes) atomic_store_explicit(&handle->stream->wal_writer_active, true, memory_order_relaxed);
  return rc;
}

static void handle_shm_barrier(sqlite3_file *base) {
  (void)base;
  async_walindex_barrier();
}

/* There is no file to delete. */
static int handle_shm_unmap(sqlite3_file *base, int delete_file) {
  (void)delete_file;
  if (async_forked) return SQLITE_OK;
  unmap(handle_of(base));
  return SQLITE_OK;
}

/* Version 2: no memory mapping, which would read past the queue. */
static const sqlite3_io_methods handle_methods = {
    .iVersion = 2,
    .xClose = handle_close,
    .xRead = handle_read,
    .xWrite = handle_write,
    .xTruncate = handle_truncate,
    .xSync = handle_sync,
    .xFileSize = handle_file_size,
    .xLock = handle_lock,
    .xUnlock = handle_unlock,
    .xCheckReservedLock = handle_check_reserved_lock,
    .xFileControl = async_filecontrol,
    .xSectorSize = handle_sector_size,
    .xDeviceCharacteristics = handle_device_characteristics,
    .xShmMap = handle_shm_map,
    .xShmLock = handle_shm_lock,
    .xShmBarrier = handle_shm_barrier,
    .xShmUnmap = handle_shm_unmap,
};

void async_methods_open(AsyncHandle *handle, AsyncStream *stream, AsyncFile *file, int flags,
                        const char *name) {
  bool is_checkpointer = async_checkpoint_is_this_thread();
  *handle = (AsyncHandle){.stream = stream, .file = file, .level = ASYNC_LEVEL_UNSET};
  handle->lock.read_only = file->role == ASYNC_ROLE_DATABASE && (flags & SQLITE_OPEN_READONLY);
  handle->lock.is_checkpointer = handle->shm.is_checkpointer = is_checkpointer;
  handle->persist_wal = is_checkpointer; /* it is for others to end */
  handle->base.pMethods = &handle_methods;
  if (async_handle_is_connection(handle)) {
    if (name != NULL) {
      handle->names.journal = sqlite3_filename_journal(name);
      handle->names.wal = sqlite3_filename_wal(name);
    }
    async_mutex_enter(&stream->mutex);
    async_closing_note_open(stream, &handle->names);
    async_mutex_leave(&stream->mutex);
  }
  sqlite3_file *parent = database_parent(&handle->base);
  if (parent != NULL) {
    int characteristics = parent->pMethods->xDeviceCharacteristics(parent);
    handle->powersafe_overwrite = (characteristics & SQLITE_IOCAP_POWERSAFE_OVERWRITE) != 0;
  }
}
