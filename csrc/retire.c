/*
** What an op that was applied, or dropped, leaves behind in its file and its
** stream.  Under the stream's mutex throughout.  See file.h and stream.h.
*/
#include "file.h"

#include <assert.h>

/* The disk changed in [start, end): reads of it that are under way must start over. */
static void disk_changed(AsyncFile *file, int64_t start, int64_t end) {
  for (AsyncDiskRead *read = file->disk_reads; read != NULL; read = read->next) {
    if (read->start < end && start < read->end) read->stale = true;
  }
}

void async_file_make_dirty(AsyncFile *file) {
  if (file->nameless) return;
  file->changes.by_ops++; /* a sync under way does not make up for it */
  if (!file->dirty && !file->gone) file->stream->files.dirty++;
  file->dirty = true;
}

void async_file_synced(AsyncFile *file, AsyncChanges changes) {
  if (file->changes.by_ops == changes.by_ops) {
    if (file->dirty && !file->gone) file->stream->files.dirty--;
    file->dirty = false;
  }
  if (file->changes.by_checkpoints == changes.by_checkpoints) {
    file->backfilled = false;
  }
}

bool async_file_is_append(const AsyncOp *op) {
  return op->kind == ASYNC_OP_WRITE && op->file->role == ASYNC_ROLE_WAL && op->offset > 0;
}

/* The op has changed the file on disk. */
static void note_change(AsyncFile *file, const AsyncOp *op) {
  file->maybe_unsynced = false;
  if (op->of_checkpoint) {
    file->changes.by_checkpoints++;
    file->backfilled = true;
  } else {
    async_file_make_dirty(file);
  }
}

void async_file_note_backfill(AsyncFile *file, int64_t start, int64_t end) {
  disk_changed(file, start, end);
  file->changes.by_checkpoints++;
  file->backfilled = true;
  file->stream->stats.bytes_written += end - start;
}

/* The WAL does not have everything any more that it had: what the database was
** given of it and never synced (with synchronous=OFF SQLite does not care) the
** next flush must sync. */
static void forget_frames(AsyncFile *wal) {
  AsyncFile *database = wal->stream->files.database;
  if (wal->role == ASYNC_ROLE_WAL && database != NULL && database->backfilled)
    async_file_make_dirty(database);
}

void async_file_inherit_unsynced(AsyncFile *file) {
  AsyncFiles *files = &file->stream->files;
  AsyncFile *old = files->unsynced_journal;
  if (old == NULL || old == file || file->role != ASYNC_ROLE_JOURNAL) return;
  files->unsynced_journal = NULL;
  async_file_synced(old, old->changes);
  async_file_let_go(old);
  if (!file->gone) async_file_make_dirty(file);
}

static void forget_truncate(AsyncFile *file, AsyncOp *op) {
  if (file->first_truncate != op) return; /* a later one has taken its place */
  file->first_truncate = op->truncates.next;
  if (file->first_truncate == NULL) {
    file->last_truncate = NULL;
  } else {
    file->first_truncate->truncates.prev = NULL;
  }
}

/* What the op did to the disk. */
static void note_applied(AsyncStream *stream, AsyncOp *op) {
  AsyncFile *file = op->file;
  switch (op->kind) {
  case ASYNC_OP_CREATE:
    /* The commits in a WAL are nothing without its name; a journal's name
    ** may get lost once its transaction is committed. */
    if (file->role == ASYNC_ROLE_WAL) stream->directory_dirty = true;
    async_file_inherit_unsynced(file);
    break;
  case ASYNC_OP_WRITE:
    disk_changed(file, op->offset, op->offset + op->length);
    if (op->offset == 0) forget_frames(file);
    note_change(file, op);
    stream->stats.bytes_written += op->length;
    break;
  case ASYNC_OP_TRUNCATE:
    disk_changed(file, op->offset, INT64_MAX);
    forget_frames(file);
    note_change(file, op);
    break;
  case ASYNC_OP_SYNC:
    async_file_synced(file, file->changes);
    break;
  case ASYNC_OP_DELETE:
    async_file_synced(file, file->changes);
    forget_frames(file);
    file->gone = true;
    if (file->role == ASYNC_ROLE_JOURNAL) stream->closed_journal = (AsyncOsFileState){0};
    async_file_inherit_unsynced(file);
    if (op->flags == 0) stream->directory_dirty = true;
    break;
  case ASYNC_OP_SIZE_HINT:
  case ASYNC_OP_BARRIER:
    break;
  }
}

/* Take the head off: it is no longer queued for its file. */
static void unqueue(AsyncStream *stream) {
  AsyncOp *op = stream->queue.head;
  AsyncFile *file = op->file;
  if (op->kind == ASYNC_OP_WRITE) {
    async_overlay_retire(&file->overlay, &stream->segments, op->segments);
  } else if (op->kind == ASYNC_OP_TRUNCATE) {
    forget_truncate(file, op);
  }
  async_queue_pop(&stream->queue);
  if (file != NULL) {
    file->pending--;
    async_file_let_go(file);
  }
}

static void move_marks(AsyncStream *stream, const AsyncOp *op) {
  if (op->transactions > stream->applied.transactions && stream->unsynced_since_us == 0) {
    stream->unsynced_since_us = op->queued_us;
  }
  stream->applied = (AsyncWatermark){.seq = op->seq, .transactions = op->transactions};
  if (stream->applied.seq >= stream->applied_wanted) {
    stream->applied_wanted = INT64_MAX;
    async_stream_signal(&stream->applied_moved);
  }
  if (stream->applied.seq >= stream->sync_at) {
    stream->sync_at = INT64_MAX;
    async_scheduler_wake(&stream->sync_task, ASYNC_WAKE_NOW);
  }
}

void async_file_retire(AsyncStream *stream) {
  AsyncOp *op = stream->queue.head;
  assert(op != NULL && async_mutex_is_held(&stream->mutex));
  note_applied(stream, op);
  move_marks(stream, op);
  stream->stats.ops_applied++;
  unqueue(stream);
  if (stream->queue.head == NULL) async_segment_pool_trim(&stream->segments);
  async_stream_check(stream);
}

void async_file_drop(AsyncStream *stream) {
  assert(stream->error.code != SQLITE_OK);
  unqueue(stream);
}
