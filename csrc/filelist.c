/*
** The files of a stream: what its names mean now, and how long a file lives.
** See file.h.
**
** A file is needed as long as SQLite has a handle, an op is queued for it, or
** somebody uses its parent's handle without the mutex.  Besides,
**
**   - one that was written and not synced waits for the next flush, unless
**     another file of that name takes this over (retire.c);
**   - the database, whose handle carries the OS lock, waits until the lock has
**     been given back.
**
** What is no longer needed is closed without the mutex, by whoever comes to
** async_file_collect().
*/
#include "file.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

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

/* The latest file that was called so, or NULL. */
static AsyncFile *latest(AsyncStream *stream, const char *path) {
  AsyncFile **slot = slot_of(stream, async_path_role(stream->path, path));
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
  return file != NULL && file->gone ? NULL : file;
}

/* One that only waits to be synced, or for the lock, says nothing about its name any more. */
static bool only_waits(const AsyncFile *file) { return file->handles == 0 && file->pending == 0; }

AsyncFile *async_file_find(AsyncStream *stream, const char *path) {
  AsyncFile *file = latest(stream, path);
  return file == NULL || only_waits(file) ? NULL : file;
}

AsyncFile *async_file_find_unsynced(AsyncStream *stream, const char *path) {
  AsyncFile *file = latest(stream, path);
  if (file == NULL || file->role == ASYNC_ROLE_DATABASE || !only_waits(file)) return NULL;
  return file;
}

AsyncFile *async_file_new(AsyncStream *stream, const char *path) {
  AsyncFile *file = calloc(1, sizeof *file);
  if (file == NULL) return NULL;
  file->stream = stream;
  file->role = async_path_role(stream->path, path);
  file->overlay.wide = file->role != ASYNC_ROLE_DATABASE;
  file->path = async_path_copy(path, file->role == ASYNC_ROLE_DATABASE);
  file->parent_room = calloc(1, (size_t)stream->parent->szOsFile);
  if (file->path == NULL || file->parent_room == NULL) {
    async_file_free(file);
    return NULL;
  }
  file->exists = true;
  return file;
}

void async_file_free(AsyncFile *file) {
  if (file->parent != NULL) file->parent->pMethods->xClose(file->parent);
  free(file->parent_room);
  async_path_free(file->path);
  free(file);
}

void async_file_link(AsyncFile *file) {
  AsyncStream *stream = file->stream;
  file->older = stream->files.newest;
  if (file->older != NULL) file->older->newer = file;
  stream->files.newest = file;
  AsyncFile **slot = slot_of(stream, file->role);
  if (slot != NULL) *slot = file;
}

/* Out of the list, to be closed. */
static void discard(AsyncFile *file) {
  if (file->role == ASYNC_ROLE_JOURNAL && file->state.inode != 0 && !file->gone && !file->is_left) {
    file->stream->closed_journal = file->state;
  }
  AsyncFiles *files = &file->stream->files;
  if (file->newer == NULL) {
    files->newest = file->older;
  } else {
    file->newer->older = file->older;
  }
  if (file->older != NULL) file->older->newer = file->newer;
  AsyncFile **slot = slot_of(file->stream, file->role);
  if (slot != NULL && *slot == file) *slot = NULL;
  if (files->unsynced_journal == file) files->unsynced_journal = NULL;
  if (file->dirty && !file->gone) files->dirty--;
  async_overlay_free(&file->overlay);
  file->older = files->garbage;
  files->garbage = file;
}

void async_file_let_go(AsyncFile *file) {
  AsyncStream *stream = file->stream;
  if (file->handles > 0 || file->pending > 0 || file->in_use > 0) return;
  if (file->role == ASYNC_ROLE_DATABASE && stream->pinned_by_lock) return;
  bool unsynced =
      file->dirty && !file->maybe_unsynced && !file->gone && stream->error.code == SQLITE_OK;
  if (unsynced) {
    if (file->role == ASYNC_ROLE_JOURNAL) stream->files.unsynced_journal = file;
    return;
  }
  discard(file);
}

void async_file_pin(AsyncFile *file) { file->in_use++; }

void async_file_unpin(AsyncFile *file) {
  file->in_use--;
  async_file_let_go(file);
}

void async_file_collect(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  bool any = stream->files.garbage != NULL;
  async_mutex_leave(&stream->mutex);
  if (!any) return;
  async_os_block_exit(); /* nobody else would close what is off the list */
  async_mutex_enter(&stream->mutex);
  AsyncFile *garbage = stream->files.garbage;
  stream->files.garbage = NULL;
  stream->files.closing++;
  async_mutex_leave(&stream->mutex);
  bool journal = false;
  AsyncOsFileState left = {0};
  while (garbage != NULL) {
    AsyncFile *file = garbage;
    garbage = file->older;
    if (file->role == ASYNC_ROLE_JOURNAL && !file->gone && !file->sync_first) {
      journal = true;
      left = async_os_file_state(file->path);
    }
    async_file_free(file);
  }
  async_os_unblock_exit();
  async_mutex_enter(&stream->mutex);
  if (journal) stream->left_journal = left;
  stream->files.closing--;
  async_stream_signal(&stream->files_closed);
  async_mutex_leave(&stream->mutex);
}

void async_file_forget_all(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  while (stream->files.newest != NULL) {
    assert(stream->files.newest->handles == 0 && stream->files.newest->pending == 0);
    discard(stream->files.newest);
  }
  async_mutex_leave(&stream->mutex);
  async_file_collect(stream);
}

void async_file_forget_sizes(AsyncStream *stream) {
  for (AsyncFile *file = stream->files.newest; file != NULL; file = file->older) {
    if (file->pending == 0 && file->parent != NULL) file->size_known = false;
  }
}
