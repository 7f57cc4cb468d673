/*
** Syncs beside the writer.  See beside.h.
*/
#include "beside.h"

#include "apply.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* How often to see whether to hurry, or whether the writer was stopped. */
#define HURRY_POLL_US 2000

static atomic_bool has_thread;

bool async_beside_has_thread(void) { return has_thread; }
void async_beside_set_thread(bool has) { has_thread = has; }

/* Under the mutex: the writer shall fail the stream for it. */
static void note_failure(AsyncStream *stream, const AsyncFile *file, int rc) {
  if (stream->side_error.code != SQLITE_OK) return;
  stream->side_error.path = malloc(strlen(file->path) + 1);
  if (stream->side_error.path != NULL) strcpy(stream->side_error.path, file->path);
  stream->side_error.code = rc;
}

/* Under the mutex: would a sync of this file alone make all that is applied durable? */
static bool is_all(const AsyncStream *stream, const AsyncFile *file) {
  bool folder = stream->directory_dirty || stream->directory_syncing;
  return stream->files.dirty == (file->dirty ? 1 : 0) && !folder;
}

int async_beside_sync(AsyncStream *stream, AsyncFile *file) {
  async_mutex_enter(&stream->mutex);
  bool needed = file->dirty || file->backfilled || file->sync_owed;
  int rc = stream->error.code;
  if (rc == SQLITE_OK) rc = stream->side_error.code;
  if (rc == SQLITE_OK && needed && (file->syncing || file->parent == NULL)) rc = SQLITE_BUSY;
  if (rc != SQLITE_OK || !needed) {
    async_mutex_leave(&stream->mutex);
    return rc;
  }
  file->syncing = true;
  file->in_use++;
  bool all = is_all(stream, file);
  bool owed = file->sync_owed;
  AsyncMark mark = stream->applied;
  AsyncChanges changes = file->changes;
  /* Commits that are applied from here on set it for themselves. */
  int64_t since_us = stream->unsynced_since_us;
  if (all) stream->unsynced_since_us = 0;
  async_mutex_leave(&stream->mutex);

  rc = async_stream_sync_file(stream, file->parent, SQLITE_SYNC_NORMAL);

  async_mutex_enter(&stream->mutex);
  file->syncing = false;
  file->in_use--;
  if (rc != SQLITE_OK) {
    note_failure(stream, file, rc);
    stream->unsynced_since_us = since_us;
  } else {
    async_file_synced(file, changes);
    if (owed) file->sync_owed = false; /* what it was about was on disk before */
    if (all && mark.seq > stream->durable.seq) async_stream_publish_durable(stream, mark);
  }
  async_file_let_go(file);
  async_stream_leave_and_wake(stream);
  /* The writer may have come to where it must wait for this, and sleeps. */
  async_scheduler_wake(&stream->task, ASYNC_WAKE_NOW);
  return rc;
}

/* What the role's name means now, held; or NULL. */
static AsyncFile *hold(AsyncStream *stream, AsyncRole role, bool owed_only) {
  async_mutex_enter(&stream->mutex);
  AsyncFile *file = role == ASYNC_ROLE_WAL ? stream->files.wal : stream->files.database;
  if (file != NULL && owed_only && !file->sync_owed) file = NULL;
  if (file != NULL) file->in_use++;
  async_mutex_leave(&stream->mutex);
  return file;
}

/* Sync what hold() gave, and let it go. */
static void sync_held(AsyncFile *file) {
  if (file == NULL) return;
  AsyncStream *stream = file->stream;
  async_beside_sync(stream, file);
  async_mutex_enter(&stream->mutex);
  file->in_use--;
  async_file_let_go(file);
  async_mutex_leave(&stream->mutex);
  async_file_collect(stream);
}

void async_beside_sync_role(AsyncStream *stream, AsyncRole role) {
  sync_held(hold(stream, role, false));
}

void async_beside_sync_owed(AsyncStream *stream) {
  sync_held(hold(stream, ASYNC_ROLE_DATABASE, true));
}

int async_beside_await_applied(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  int rc = stream->error.code;
  int64_t wanted = stream->pushed.seq;
  while (rc == SQLITE_OK && stream->applied.seq < wanted) {
    if (stream->walindex.hurry || !async_scheduler_has_runner()) {
      rc = SQLITE_INTERRUPT;
    } else {
      if (stream->applied_wanted > wanted) stream->applied_wanted = wanted;
      async_stream_wait(stream, &stream->applied_moved, HURRY_POLL_US);
      rc = stream->error.code;
    }
  }
  async_mutex_leave(&stream->mutex);
  return rc;
}
