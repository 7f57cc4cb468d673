/*
** Names and their files: opening, closing, deleting, existence.  The other
** half of file.h's functions is in file.c and retire.c.
**
** What SQLite asks about a name is answered from the queue as long as
** something is queued or open under it, otherwise from the disk.
*/
#include "file.h"

#include "super.h"
#include "writer.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_SLICE_US 5000

/* ---- What a name says ---- */

static bool ends_with(const char *path, size_t length, const char *suffix) {
  size_t n = strlen(suffix);
  return length > n && memcmp(path + length - n, suffix, n) == 0;
}

/* "-mj" and nine hexadecimal digits, the last three of them "9XX": see
** vdbeCommit() in SQLite's vdbeaux.c. */
#define SUPER_SUFFIX_LENGTH 12

static bool is_super_journal(const char *path, size_t length) {
  if (length <= SUPER_SUFFIX_LENGTH) return false;
  const char *suffix = path + length - SUPER_SUFFIX_LENGTH;
  if (memcmp(suffix, "-mj", 3) != 0 || suffix[9] != '9') return false;
  for (int i = 3; i < SUPER_SUFFIX_LENGTH; i++) {
    if (!isxdigit((unsigned char)suffix[i])) return false;
  }
  return true;
}

size_t async_file_owner_length(const char *path) {
  size_t length = strlen(path);
  if (ends_with(path, length, "-journal")) return length - strlen("-journal");
  if (ends_with(path, length, "-wal")) return length - strlen("-wal");
  if (is_super_journal(path, length)) return length - SUPER_SUFFIX_LENGTH;
  return 0;
}

static AsyncRole role_of(const AsyncStream *stream, const char *path) {
  const char *suffix = path + strlen(stream->path);
  assert(strncmp(path, stream->path, strlen(stream->path)) == 0);
  if (*suffix == '\0') return ASYNC_ROLE_DATABASE;
  if (strcmp(suffix, "-journal") == 0) return ASYNC_ROLE_JOURNAL;
  if (strcmp(suffix, "-wal") == 0) return ASYNC_ROLE_WAL;
  return ASYNC_ROLE_SUPER_JOURNAL;
}

/*
** A copy that outlives SQLite's: parents keep the pointer and look for URI
** parameters before and behind the name, in the form of
** sqlite3_create_filename(): four zero bytes, the name, pairs of keys and
** values, an empty key.
*/
static char *copy_name(const char *path, bool with_parameters) {
  size_t size = strlen(path) + 1;
  if (with_parameters) {
    while (path[size] != '\0') {
      size += strlen(path + size) + 1;
      size += strlen(path + size) + 1;
    }
  }
  char *block = calloc(1, 4 + size + 4);
  if (block == NULL) return NULL;
  memcpy(block + 4, path, size);
  return block + 4;
}

static void free_name(char *name) {
  if (name != NULL) free(name - 4);
}

/* ---- The files of a stream ---- */

/* Where AsyncFiles keeps the current meaning of this role's name, or NULL. */
static AsyncFile **slot_of(AsyncStream *stream, AsyncRole role) {
  switch (role) {
  case ASYNC_ROLE_DATABASE:
    return &stream->files.database;
  case ASYNC_ROLE_JOURNAL:
    return &stream->files.journal;
  case ASYNC_ROLE_WAL:
    return &stream->files.wal;
  case ASYNC_ROLE_SUPER_JOURNAL:
    break;
  }
  return NULL;
}

AsyncFile *async_file_find(AsyncStream *stream, const char *path) {
  AsyncFile **slot = slot_of(stream, role_of(stream, path));
  AsyncFile *file;
  if (slot != NULL) {
    file = *slot;
  } else {
    /* Super-journals: few, and new ones stay in front only briefly. */
    file = stream->files.newest;
    while (file != NULL &&
           (file->role != ASYNC_ROLE_SUPER_JOURNAL || strcmp(file->path, path) != 0)) {
      file = file->older;
    }
  }
  /* One that only waits to be synced says nothing about its name any more. */
  if (file != NULL && file->handles == 0 && file->pending == 0) return NULL;
  if (file != NULL && file->gone) return NULL;
  return file;
}

static AsyncFile *file_new(AsyncStream *stream, const char *path) {
  AsyncFile *file = calloc(1, sizeof *file);
  if (file == NULL) return NULL;
  file->stream = stream;
  file->role = role_of(stream, path);
  file->path = copy_name(path, file->role == ASYNC_ROLE_DATABASE);
  file->parent_room = calloc(1, (size_t)stream->parent->szOsFile);
  if (file->path == NULL || file->parent_room == NULL) {
    free_name(file->path);
    free(file->parent_room);
    free(file);
    return NULL;
  }
  return file;
}

static void file_free(AsyncFile *file) {
  if (file->parent != NULL) file->parent->pMethods->xClose(file->parent);
  async_super_free(file->super);
  free(file->parent_room);
  free_name(file->path);
  free(file);
}

/* From now on the name means this file. */
static void link_file(AsyncFile *file) {
  AsyncStream *stream = file->stream;
  file->older = stream->files.newest;
  if (file->older != NULL) file->older->newer = file;
  stream->files.newest = file;
  AsyncFile **slot = slot_of(stream, file->role);
  if (slot != NULL) *slot = file;
}

static void unlink_file(AsyncFile *file) {
  AsyncStream *stream = file->stream;
  if (file->newer == NULL) {
    stream->files.newest = file->older;
  } else {
    file->newer->older = file->older;
  }
  if (file->older != NULL) file->older->newer = file->newer;
  AsyncFile **slot = slot_of(stream, file->role);
  if (slot != NULL && *slot == file) *slot = NULL;
  if (file->dirty && !file->gone) stream->files.dirty--;
}

/* Under the mutex: if nobody needs the file any more, it becomes garbage. */
void async_file_let_go(AsyncFile *file) {
  AsyncStream *stream = file->stream;
  if (file->handles > 0 || file->pending > 0 || file->in_use > 0) return;
  bool unsynced = file->dirty && !file->gone && stream->error.code == SQLITE_OK;
  if (unsynced) return;
  unlink_file(file);
  async_overlay_free(&file->overlay);
  file->older = stream->files.garbage;
  stream->files.garbage = file;
}

void async_file_collect(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  AsyncFile *garbage = stream->files.garbage;
  stream->files.garbage = NULL;
  async_mutex_leave(&stream->mutex);
  while (garbage != NULL) {
    AsyncFile *file = garbage;
    garbage = file->older;
    file_free(file);
  }
}

void async_file_forget_all(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  while (stream->files.newest != NULL) {
    AsyncFile *file = stream->files.newest;
    assert(file->handles == 0 && file->pending == 0);
    unlink_file(file);
    async_overlay_free(&file->overlay);
    file->older = stream->files.garbage;
    stream->files.garbage = file;
  }
  async_mutex_leave(&stream->mutex);
  async_file_collect(stream);
}

void async_file_forget_sizes(AsyncStream *stream) {
  for (AsyncFile *file = stream->files.newest; file != NULL; file = file->older) {
    if (file->pending == 0 && file->parent != NULL) file->size_known = false;
  }
}

/* ---- Opening ---- */

/* Open the parent's handle now, in place.  The file is not linked, or the
** lock table's mutex keeps others away. */
static int open_parent(AsyncFile *file, int flags) {
  sqlite3_vfs *vfs = file->stream->parent;
  sqlite3_file *parent = file->parent_room;
  memset(parent, 0, (size_t)vfs->szOsFile);
  int rc = vfs->xOpen(vfs, file->path, parent, flags, &file->open_flags);
  if (rc != SQLITE_OK) {
    if (parent->pMethods != NULL) parent->pMethods->xClose(parent);
    return rc;
  }
  file->parent = parent;
  return SQLITE_OK;
}

int async_file_apply_open(AsyncFile *file, int flags) {
  /* As above, but others look at `parent`: it appears under the mutex. */
  sqlite3_vfs *vfs = file->stream->parent;
  sqlite3_file *parent = file->parent_room;
  memset(parent, 0, (size_t)vfs->szOsFile);
  int open_flags = 0;
  int rc = vfs->xOpen(vfs, file->path, parent, flags, &open_flags);
  if (rc != SQLITE_OK) {
    if (parent->pMethods != NULL) parent->pMethods->xClose(parent);
    return rc;
  }
  async_mutex_enter(&file->stream->mutex);
  file->parent = parent;
  file->open_flags = open_flags;
  async_mutex_leave(&file->stream->mutex);
  return SQLITE_OK;
}

int async_file_apply_delete(AsyncFile *file, int sync_directory) {
  AsyncStream *stream = file->stream;
  async_mutex_enter(&stream->mutex);
  sqlite3_file *closing = file->handles == 0 ? file->parent : NULL;
  if (closing != NULL) {
    file->parent = NULL;
    async_file_synced(file); /* what is in it does not matter any more */
  }
  async_mutex_leave(&stream->mutex);
  if (closing != NULL) closing->pMethods->xClose(closing);
  int rc = stream->parent->xDelete(stream->parent, file->path, sync_directory);
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

/*
** All handles are closed, but the writer is not done with the old file, and
** meanwhile somebody put another one in its place: let the writer finish.
** Under the mutex.
*/
static int outlive_moved_database(AsyncStream *stream) {
  AsyncFile *file = stream->files.database;
  while (stream->queue.head != NULL && stream->error.code == SQLITE_OK) {
    if (!async_writer_is_running()) return SQLITE_BUSY;
    async_stream_wait(stream, &stream->durable_moved, DRAIN_SLICE_US);
  }
  if (stream->error.code != SQLITE_OK) return stream->error.code;
  if (file != stream->files.database) return SQLITE_OK;
  /* The old handle's lock goes with it. */
  async_mutex_leave(&stream->mutex);
  async_lock_settle_held(stream);
  async_mutex_enter(&stream->mutex);
  if (file == stream->files.database) stream->files.database = NULL;
  return SQLITE_OK;
}

/* Under the mutex, which it leaves meanwhile: is the file still where it was opened? */
static bool has_moved(AsyncFile *file) {
  int moved = 0;
  file->in_use++;
  async_mutex_leave(&file->stream->mutex);
  int rc = file->parent->pMethods->xFileControl(file->parent, SQLITE_FCNTL_HAS_MOVED, &moved);
  async_mutex_enter(&file->stream->mutex);
  file->in_use--;
  return rc == SQLITE_OK && moved != 0;
}

/* Under the lock table's mutex: find or open the database's file. */
static int open_database_locked(AsyncStream *stream, const char *path, int flags) {
  async_mutex_enter(&stream->mutex);
  int rc = stream->error.code;
  AsyncFile *file = stream->files.database;
  if (rc == SQLITE_OK && file != NULL && stream->handles == 0 && has_moved(file)) {
    rc = outlive_moved_database(stream);
    file = stream->files.database;
  }
  if (file != NULL) file->handles++;
  async_mutex_leave(&stream->mutex);
  if (rc != SQLITE_OK || file != NULL) return rc;

  file = file_new(stream, path);
  if (file == NULL) return SQLITE_NOMEM;
  file->exists = true;
  /* One handle serves all connections, so it is opened for writing if it can be. */
  int parent_flags = flags;
  if (flags & SQLITE_OPEN_READONLY) {
    parent_flags = (flags & ~SQLITE_OPEN_READONLY) | SQLITE_OPEN_READWRITE;
  }
  rc = open_parent(file, parent_flags);
  if (rc != SQLITE_OK) {
    file_free(file);
    return rc;
  }
  /* No reads past the queue. */
  sqlite3_int64 no_map = 0;
  file->parent->pMethods->xFileControl(file->parent, SQLITE_FCNTL_MMAP_SIZE, &no_map);
  sqlite3_int64 size = 0;
  bool is_new = file->parent->pMethods->xFileSize(file->parent, &size) == SQLITE_OK && size == 0;

  async_mutex_enter(&stream->mutex);
  file->handles = 1;
  link_file(file);
  if (is_new && (file->open_flags & SQLITE_OPEN_READWRITE)) stream->directory_dirty = true;
  async_mutex_leave(&stream->mutex);
  return SQLITE_OK;
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
  return rc;
}

/* Can a journal be made beside the database?  Asked once a stream. */
static bool directory_is_writable(AsyncStream *stream) {
  if (stream->directory_checked) return true;
  char *folder = copy_name(stream->path, false);
  if (folder == NULL) return false;
  char *slash = strrchr(folder, '/');
  char *backslash = strrchr(folder, '\\');
  if (backslash > slash) slash = backslash;
  int writable = 0;
  if (slash != NULL) {
    slash[slash == folder] = '\0';
    sqlite3_vfs *vfs = stream->parent;
    if (vfs->xAccess(vfs, folder, SQLITE_ACCESS_READWRITE, &writable) != SQLITE_OK) writable = 0;
  }
  free_name(folder);
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
  /* If it cannot be made, the parent shall say why, and at once. */
  *defer = !there && directory_is_writable(stream);
  return *defer ? SQLITE_OK : open_parent(file, flags);
}

int async_file_open_journal(AsyncStream *stream, const char *path, int flags, AsyncFile **result,
                            int *out_flags) {
  async_mutex_enter(&stream->mutex);
  int rc = stream->error.code;
  AsyncFile *current = rc == SQLITE_OK ? async_file_find(stream, path) : NULL;
  bool reuse = current != NULL && current->exists;
  bool known_absent = current != NULL && !current->exists;
  if (known_absent && !(flags & SQLITE_OPEN_CREATE)) rc = SQLITE_CANTOPEN;
  if (reuse && (flags & SQLITE_OPEN_CREATE) && (flags & SQLITE_OPEN_EXCLUSIVE)) {
    rc = SQLITE_CANTOPEN;
  }
  if (rc == SQLITE_OK && reuse) {
    current->handles++;
    stream->handles++;
    *result = current;
    *out_flags = out_flags_of(current, flags);
  }
  async_mutex_leave(&stream->mutex);
  if (rc != SQLITE_OK || reuse) return rc;

  AsyncFile *file = file_new(stream, path);
  if (file == NULL) return SQLITE_NOMEM;
  file->exists = true;
  bool defer = known_absent;
  if (!defer) rc = probe_journal(stream, file, flags, &defer);

  async_mutex_enter(&stream->mutex);
  if (rc == SQLITE_OK) rc = stream->error.code;
  if (rc == SQLITE_OK && defer) {
    file->open_flags = flags;
    file->size_known = true;
    stream->directory_checked = true;
    AsyncOp *op = async_stream_push(stream, ASYNC_OP_CREATE, file, 0);
    if (op == NULL) {
      rc = SQLITE_NOMEM;
    } else {
      op->flags = flags;
      file->pending = 1;
    }
  }
  if (rc == SQLITE_OK) {
    file->handles = 1;
    stream->handles++;
    link_file(file);
    *result = file;
    *out_flags = out_flags_of(file, flags);
  }
  async_stream_leave_and_wake(stream);
  if (rc != SQLITE_OK) file_free(file);
  return rc;
}

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

/* ---- Deleting, existence ---- */

int async_file_delete(AsyncStream *stream, const char *path, int sync_directory) {
  AsyncFile *fresh = NULL;
  async_mutex_enter(&stream->mutex);
  int rc = stream->error.code;
  AsyncFile *file = async_file_find(stream, path);
  if (rc == SQLITE_OK && file == NULL) {
    file = fresh = file_new(stream, path);
    if (fresh == NULL) {
      rc = SQLITE_NOMEM;
    } else {
      fresh->exists = true;
    }
  }
  if (rc == SQLITE_OK && !file->exists) rc = SQLITE_IOERR_DELETE_NOENT;
  if (rc == SQLITE_OK) {
    AsyncOp *op = async_stream_push(stream, ASYNC_OP_DELETE, file, 0);
    if (op == NULL) {
      rc = SQLITE_NOMEM;
    } else {
      op->flags = sync_directory;
      file->pending++;
      file->exists = false;
      if (fresh != NULL) link_file(fresh);
    }
  }
  async_stream_leave_and_wake(stream);
  if (rc != SQLITE_OK && fresh != NULL) file_free(fresh);
  return rc;
}

bool async_file_knows(AsyncStream *stream, const char *path, int *exists) {
  async_mutex_enter(&stream->mutex);
  AsyncFile *file = async_file_find(stream, path);
  /* With nothing pending the disk knows as well, and others may have changed it. */
  bool known = stream->error.code == SQLITE_OK && file != NULL && file->pending > 0;
  /* Like the unix VFS: an empty file does not exist. */
  if (known) *exists = file->exists && file->size > 0;
  async_mutex_leave(&stream->mutex);
  return known;
}
