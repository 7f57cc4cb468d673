/*
** Names: opening, closing and deleting files, and whether they exist.  See
** file.h.
**
** What SQLite asks about a name is answered from the queue as long as
** something is queued or open under it, otherwise from the disk.
*/
#include "doorbell.h"
#include "file.h"
#include "gate.h"
#include "moved.h"
#include "parent.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- The parent's handle ---- */

/* Open it in the file's room, at that path or as a file without one; *parent is the handle. */
static int call_open(AsyncFile *file, const char *path, int flags, sqlite3_file **parent,
                     int *open_flags) {
  sqlite3_vfs *vfs = file->stream->parent;
  memset(file->parent_room, 0, (size_t)vfs->szOsFile);
  int rc = vfs->xOpen(vfs, path, file->parent_room, flags, open_flags);
  if (rc == SQLITE_OK) {
    *parent = file->parent_room;
  } else if (file->parent_room->pMethods != NULL) {
    file->parent_room->pMethods->xClose(file->parent_room);
  }
  return rc;
}

/* Has opening a file for writing failed because it may not be written?  Not if it may be
** at another time: the disk is full, or memory is out. */
static bool is_refused(const AsyncFile *file, int rc) {
  int code = rc & 0xff;
  if (code != SQLITE_CANTOPEN && code != SQLITE_READONLY && code != SQLITE_PERM) return false;
  return async_parent_shortage(file->stream->parent) == ASYNC_OS_SHORTAGE_NONE;
}

/*
** For a file that nobody else knows yet.  The handle will serve others, too,
** who may want to write, so it is opened for that if it can be.
*/
static int open_parent(AsyncFile *file, int flags) {
  if (flags & SQLITE_OPEN_READONLY) {
    int both = (flags & ~SQLITE_OPEN_READONLY) | SQLITE_OPEN_READWRITE;
    int rc = call_open(file, file->path, both, &file->parent, &file->open_flags);
    if (rc == SQLITE_OK || !is_refused(file, rc)) return rc;
  }
  return call_open(file, file->path, flags, &file->parent, &file->open_flags);
}

/* What lies under a journal's name, just after that was opened by it.  No mutex is held. */
static AsyncOsFileState state_of_journal(const AsyncFile *file) {
  if (file->role != ASYNC_ROLE_JOURNAL) return (AsyncOsFileState){0};
  return async_os_file_state(file->path);
}

#define NAMELESS_FLAGS                                                                             \
  (SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXCLUSIVE |                            \
   SQLITE_OPEN_DELETEONCLOSE | SQLITE_OPEN_TEMP_JOURNAL)

int async_file_apply_open(AsyncFile *file, int flags, bool nameless) {
  /* By a thread that was killed before it could say so: see async_os_is_last_thread(). */
  if (file->parent != NULL) return SQLITE_OK;
  sqlite3_file *parent = NULL;
  int open_flags = 0;
  async_os_block_exit();
  int rc = call_open(file, nameless ? NULL : file->path, nameless ? NAMELESS_FLAGS : flags, &parent,
                     &open_flags);
  if (rc == SQLITE_OK) {
    AsyncOsFileState state = {0};
    if (!nameless) state = state_of_journal(file);
    async_mutex_enter(&file->stream->mutex);
    file->parent = parent;
    file->open_flags = open_flags;
    file->state = state;
    file->nameless = nameless;
    async_mutex_leave(&file->stream->mutex);
  }
  async_os_unblock_exit();
  return rc;
}

int async_file_why_not_created(const AsyncFile *file) {
  return async_os_is_absent(file->path) ? async_os_try_to_create(file->path) : -1;
}

/* A journal that has gone with its folder: nobody shall take it for hot there, or find it. */
static void end_moved_journal(const AsyncFile *file, sqlite3_file *parent) {
  if (parent == NULL || file->state.inode == 0) return;
  async_parent_truncate(file->stream, parent, 0);
  async_os_delete_open(file->state);
}

int async_file_apply_delete(AsyncFile *file, int sync_directory, bool nameless) {
  AsyncStream *stream = file->stream;
  async_os_block_exit();
  async_mutex_enter(&stream->mutex);
  /* Unless ops on it follow, of a connection that works on a moved database, or it
  ** is being synced. */
  bool last = file->handles == 0 && file->pending == 1 && file->in_use == 0;
  sqlite3_file *closing = last ? file->parent : NULL;
  if (closing != NULL) {
    file->parent = NULL;
    async_file_synced(file, file->changes); /* what is in it does not matter any more */
  }
  async_mutex_leave(&stream->mutex);
  if (nameless) end_moved_journal(file, closing != NULL ? closing : file->parent);
  if (closing != NULL) closing->pMethods->xClose(closing);
  sqlite3_vfs *vfs = stream->parent;
  int rc = nameless ? SQLITE_OK : vfs->xDelete(vfs, file->path, sync_directory);
  async_os_unblock_exit();
  return rc == SQLITE_IOERR_DELETE_NOENT ? SQLITE_OK : rc;
}

/* A READONLY handle on a file that we could write is READONLY still. */
static int out_flags_of(const AsyncFile *file, int flags) {
  int out = file->open_flags;
  if (flags & SQLITE_OPEN_READONLY) {
    out = (out & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
  }
  return out;
}

/* ---- The database ---- */

/* Open the file, which nobody has open here.  Under the lock table's mutex. */
static int open_database_anew(AsyncStream *stream, const char *path, int flags) {
  AsyncFile *file = async_file_new(stream, path);
  if (file == NULL) return SQLITE_NOMEM;
  int rc = open_parent(file, flags);
  if (rc != SQLITE_OK) {
    async_file_free(file);
    return rc;
  }
  /* No reads past the queue. */
  sqlite3_int64 no_map = 0;
  file->parent->pMethods->xFileControl(file->parent, SQLITE_FCNTL_MMAP_SIZE, &no_map);
  /* The unix VFS finds this out when it is first asked, with no lock; later it only looks. */
  file->parent->pMethods->xDeviceCharacteristics(file->parent);
  sqlite3_int64 size = 0;
  file->parent->pMethods->xFileSize(file->parent, &size);
  bool is_new = size == 0; /* or may be, if that has failed */
  AsyncOsFileState state = async_os_file_state(path);

  async_mutex_enter(&stream->mutex);
  file->handles = 1;
  stream->database_state = state;
  async_file_link(file);
  if (is_new && (file->open_flags & SQLITE_OPEN_READWRITE)) stream->directory_dirty = true;
  async_mutex_leave(&stream->mutex);
  return SQLITE_OK;
}

/* Under the lock table's mutex. */
static int open_database_locked(AsyncStream *stream, const char *path, int flags) {
  async_mutex_enter(&stream->mutex);
  int rc = async_moved_look(stream) ? SQLITE_READONLY_DBMOVED : SQLITE_OK;
  if (rc == SQLITE_OK) rc = async_stream_report_error(stream);
  AsyncFile *file = stream->files.database;
  if (rc == SQLITE_OK && file != NULL) file->handles++;
  async_mutex_leave(&stream->mutex);
  return rc != SQLITE_OK || file != NULL ? rc : open_database_anew(stream, path, flags);
}

int async_file_open_database(AsyncStream *stream, const char *path, int flags, AsyncFile **file,
                             int *out_flags) {
  async_mutex_enter(&stream->lock.mutex);
  int rc = open_database_locked(stream, path, flags);
  if (rc == SQLITE_OK) {
    async_mutex_enter(&stream->mutex);
    stream->handles++;
    *file = stream->files.database;
    *out_flags = out_flags_of(*file, flags);
    async_mutex_leave(&stream->mutex);
  }
  async_mutex_leave(&stream->lock.mutex);
  async_file_collect(stream);
  return rc;
}

/* ---- Journals ---- */

/* Is there a folder for journals beside the database, that may be written to? */
static bool directory_is_writable(AsyncStream *stream) {
  char *folder = async_path_copy(stream->path, false);
  if (folder == NULL) return false;
  char *slash = strrchr(folder, '/');
  char *backslash = strrchr(folder, '\\');
  if (slash == NULL || (backslash != NULL && backslash > slash)) slash = backslash;
  int writable = 0;
  if (slash != NULL) {
    slash[slash == folder] = '\0';
    sqlite3_vfs *vfs = stream->parent;
    if (vfs->xAccess(vfs, folder, SQLITE_ACCESS_READWRITE, &writable) != SQLITE_OK) writable = 0;
  }
  async_path_free(folder);
  return writable != 0;
}

/*
** Nothing is known of the name: look at the disk.  *defer: the file is not
** there and can be made, so the writer shall open it.
*/
static int probe_journal(AsyncStream *stream, AsyncFile *file, int flags, bool *defer) {
  sqlite3_vfs *vfs = stream->parent;
  int there = 1;
  int rc = SQLITE_OK;
  if (flags & SQLITE_OPEN_CREATE) {
    rc = vfs->xAccess(vfs, file->path, SQLITE_ACCESS_EXISTS, &there);
    if (rc != SQLITE_OK) return rc;
  }
  /* If it cannot be made, the parent shall say why, and at once.  So, too, if what
  ** does not exist to SQLite, an empty file or a link that leads nowhere, is there. */
  *defer = !there && async_os_is_absent(file->path) && directory_is_writable(stream);
  if (*defer) return SQLITE_OK;
  rc = open_parent(file, flags);
  if (rc == SQLITE_OK) file->state = state_of_journal(file);
  return rc;
}

/* Under the mutex: let SQLite have the file, if it exists as flags want it. */
static int open_known_journal(AsyncFile *file, int flags) {
  if (!file->exists) return flags & SQLITE_OPEN_CREATE ? SQLITE_OK : SQLITE_CANTOPEN;
  if ((flags & SQLITE_OPEN_CREATE) && (flags & SQLITE_OPEN_EXCLUSIVE)) return SQLITE_CANTOPEN;
  file->handles++;
  file->stream->handles++;
  return SQLITE_OK;
}

/*
** Under the mutex: the WAL was found on disk, and who wrote it may not have synced
** it.  So the first sync that SQLite asks for is one, and what it is for waits.
*/
static void suspect_wal(AsyncFile *file) {
  async_file_make_dirty(file);
  file->maybe_unsynced = true;
  file->stream->wal.header = ASYNC_WAL_VALID;
  file->stream->wal.header_unsynced = true;
}

/* Did this stream leave the journal as it is, so that it knows whether it is synced? */
static bool was_left_so(const AsyncFile *file) {
  const AsyncOsFileState *now = &file->state;
  const AsyncOsFileState *left = &file->stream->left_journal;
  return left->written_ns != 0 && now->written_ns == left->written_ns && now->size == left->size &&
         now->inode == left->inode && now->device == left->device;
}

/*
** Under the mutex: a journal was found on disk.  A process may have died between the zeros over
** its header, or its truncation, and their sync.  If the records of a new transaction then got to
** disk and those did not, the old header would roll back to a mixture of both.  So it is synced
** before it is written to; but not one that this stream has not synced itself, since SQLite did
** not ask for it (synchronous=OFF).
*/
static void suspect_journal(AsyncFile *file) {
  file->sync_first = !file->dirty && !was_left_so(file);
}

/* Under the mutex: a new file, opened already or to be opened by the writer. */
static int admit_journal(AsyncFile *file, int flags, bool defer) {
  AsyncStream *stream = file->stream;
  int rc = async_stream_report_error(stream);
  if (rc != SQLITE_OK) return rc;
  if (defer) {
    AsyncOp *op = async_stream_push(stream, ASYNC_OP_CREATE, file, 0);
    if (op == NULL) return SQLITE_NOMEM;
    op->flags = flags;
    file->pending = 1;
    file->open_flags = flags;
    file->size_known = true;
  }
  file->handles = 1;
  stream->handles++;
  async_file_link(file);
  if (!defer) async_file_inherit_unsynced(file);
  if (defer && file->role == ASYNC_ROLE_WAL) async_wal_is_new(&stream->wal);
  if (!defer && file->role == ASYNC_ROLE_WAL) suspect_wal(file);
  if (!defer && file->role == ASYNC_ROLE_JOURNAL) suspect_journal(file);
  return SQLITE_OK;
}

/* Under the mutex, which it leaves meanwhile: one of this name that was closed is being synced.  It
** is the same file on disk, which two threads must not sync at once (sync.h). */
static void await_sync_of_closed(AsyncStream *stream, const char *path) {
  AsyncFile *closed;
  while ((closed = async_file_find_unsynced(stream, path)) != NULL && closed->syncing) {
    async_stream_await_sync(stream);
  }
}

/* Under the lock table's mutex, since several connections may open a WAL at once. */
static int open_journal(AsyncStream *stream, const char *path, int flags, AsyncFile **file,
                        int *out_flags) {
  async_mutex_enter(&stream->mutex);
  int rc = async_stream_report_error(stream);
  AsyncFile *known = rc == SQLITE_OK ? async_file_find(stream, path) : NULL;
  if (known != NULL) rc = open_known_journal(known, flags);
  /* What lies under the name of a database that has moved is another one's. */
  bool absent = stream->moved || (known != NULL && !known->exists);
  if (rc == SQLITE_OK && known == NULL && absent && !(flags & SQLITE_OPEN_CREATE)) {
    rc = SQLITE_CANTOPEN;
  }
  bool done = rc != SQLITE_OK || (known != NULL && known->exists);
  if (done && rc == SQLITE_OK) {
    *file = known;
    *out_flags = out_flags_of(known, flags);
  }
  async_mutex_leave(&stream->mutex);
  if (done) return rc;

  AsyncFile *fresh = async_file_new(stream, path);
  if (fresh == NULL) return SQLITE_NOMEM;
  bool defer = absent;
  if (!defer) rc = probe_journal(stream, fresh, flags, &defer);

  async_mutex_enter(&stream->mutex);
  await_sync_of_closed(stream, path); /* it may have begun just now */
  if (rc == SQLITE_OK) rc = admit_journal(fresh, flags, defer);
  if (rc == SQLITE_OK) {
    *file = fresh;
    *out_flags = out_flags_of(fresh, flags);
  }
  async_stream_leave_and_wake(stream);
  if (rc != SQLITE_OK) async_file_free(fresh);
  return rc;
}

int async_file_open_journal(AsyncStream *stream, const char *path, int flags, AsyncFile **file,
                            int *out_flags) {
  /* First without the lock table's mutex, for others need that meanwhile. */
  async_mutex_enter(&stream->mutex);
  await_sync_of_closed(stream, path);
  async_mutex_leave(&stream->mutex);
  async_mutex_enter(&stream->lock.mutex);
  int rc = open_journal(stream, path, flags, file, out_flags);
  async_mutex_leave(&stream->lock.mutex);
  return rc;
}

int async_file_reopen_wal(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  if (async_moved_look(stream)) {
    /* The WAL under the name is another one's, and what has become of its own nobody knows. */
    async_mutex_leave(&stream->mutex);
    return SQLITE_READONLY_DBMOVED;
  }
  AsyncFile *file = stream->files.wal;
  bool busy = file != NULL && (file->pending > 0 || file->in_use > 0);
  sqlite3_file *old = NULL;
  if (file != NULL && !busy) {
    old = file->parent; /* or NULL, if this failed before */
    file->parent = NULL;
    file->in_use++;
  }
  async_mutex_leave(&stream->mutex);
  if (file == NULL || busy) return busy ? SQLITE_BUSY : SQLITE_OK;

  if (old != NULL) old->pMethods->xClose(old);
  sqlite3_file *parent = NULL;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL;
  int open_flags = 0;
  int rc = call_open(file, file->path, flags, &parent, &open_flags);
  async_mutex_enter(&stream->mutex);
  file->in_use--;
  file->size_known = false;
  file->parent = parent;
  suspect_wal(file);
  async_wal_forget(&stream->wal);
  stream->wal.request = ASYNC_CHECKPOINT_WHEN_IDLE; /* what the other has left is to be copied */
  stream->wal.written_us = async_os_now_us();
  stream->directory_dirty = true; /* it may have been made just now */
  async_mutex_leave(&stream->mutex);
  async_doorbell_ring();
  return rc;
}

/* ---- Closing, deleting, existence ---- */

void async_file_close(AsyncFile *file) {
  AsyncStream *stream = file->stream;
  async_mutex_enter(&stream->mutex);
  assert(file->handles > 0 && stream->handles > 0);
  file->handles--;
  stream->handles--;
  async_file_let_go(file);
  async_mutex_leave(&stream->mutex);
  async_file_collect(stream);
}

int async_file_push_delete(AsyncStream *stream, const char *path, int sync_directory,
                           struct AsyncBarrier *barrier) {
  AsyncFile *fresh = NULL;
  int rc = async_stream_error_untold(stream); /* see error_of() in file.c */
  AsyncFile *file = async_file_find(stream, path);
  /* Its handle is to be closed first: Windows deletes nothing that is open. */
  if (file == NULL) file = async_file_find_unsynced(stream, path);
  if (rc == SQLITE_OK && file == NULL) {
    file = fresh = async_file_new(stream, path);
    if (fresh == NULL) rc = SQLITE_IOERR_NOMEM;
  }
  if (rc == SQLITE_OK && !file->exists) rc = SQLITE_IOERR_DELETE_NOENT;
  AsyncOp *op = NULL;
  if (rc == SQLITE_OK) {
    op = async_stream_push(stream, ASYNC_OP_DELETE, file, 0);
    if (op == NULL) rc = SQLITE_IOERR_NOMEM;
  }
  if (op != NULL) {
    op->flags = sync_directory;
    op->barrier = barrier;
    file->pending++;
    file->exists = false;
    if (file->role == ASYNC_ROLE_WAL) async_wal_forget(&stream->wal);
    if (fresh != NULL) async_file_link(fresh);
  }
  if (rc != SQLITE_OK && fresh != NULL) async_file_free(fresh);
  return rc;
}

int async_file_delete_behind(AsyncStream *stream, const char *path, int sync_directory,
                             struct AsyncBarrier *barrier) {
  async_mutex_enter(&stream->mutex);
  async_gate_wait(&stream->mutex);
  int rc = async_file_push_delete(stream, path, sync_directory, barrier);
  async_stream_leave_and_wake(stream);
  return rc;
}

int async_file_delete(AsyncStream *stream, const char *path, int sync_directory) {
  return async_file_delete_behind(stream, path, sync_directory, NULL);
}

bool async_file_knows(AsyncStream *stream, const char *path, int *exists) {
  async_mutex_enter(&stream->mutex);
  AsyncFile *file = async_file_find(stream, path);
  /* With nothing pending the disk knows as well, and others may have changed it; but what lies
  ** under the name of a database that has moved is another one's. */
  bool queued = file != NULL && file->pending > 0;
  bool known = stream->error.code == SQLITE_OK && (queued || stream->moved);
  /* Like the unix VFS: an empty file does not exist. */
  if (known) *exists = file != NULL && file->exists && file->size > 0;
  async_mutex_leave(&stream->mutex);
  return known;
}
