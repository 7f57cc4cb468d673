/*
** Applying ops.  See apply.h.
*/
#include "apply.h"

#include "beside.h"
#include "config.h"
#include "doorbell.h"
#include "failure.h"
#include "fence.h"
#include "file.h"
#include "moved.h"
#include "notify.h"
#include "parent.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What threads may need to begin what is due. */
#define LATE_US 20000

/* ---- Calling the parent ---- */

int async_stream_sync_file(AsyncStream *stream, sqlite3_file *parent, int flags) {
  int64_t start_us = async_os_now_us();
  int rc = parent->pMethods->xSync(parent, flags);
  int64_t took_us = async_os_now_us() - start_us;
  AsyncStats *stats = &stream->stats;
  async_mutex_enter(&stream->mutex);
  stats->syncs++;
  stats->sync_us_total += took_us;
  if (took_us > stats->sync_us_max) stats->sync_us_max = took_us;
  async_mutex_leave(&stream->mutex);
  return rc;
}

/* No mutex is held.  The op and its file stay as they are meanwhile.  moved: see moved.h. */
static int call_parent(AsyncStream *stream, const AsyncOp *op, bool moved) {
  AsyncFile *file = op->file;
  sqlite3_file *parent = file->parent;
  /* The name of a super-journal is nobody else's, and the journals of other databases have it. */
  bool without_name = moved && file->role != ASYNC_ROLE_SUPER_JOURNAL;
  switch (op->kind) {
  case ASYNC_OP_CREATE:
    return async_file_apply_open(file, op->flags, without_name);
  case ASYNC_OP_WRITE:
    return async_parent_write(stream, parent, op->payload, (int)op->length, op->offset);
  case ASYNC_OP_TRUNCATE:
    return async_parent_truncate(stream, parent, op->offset);
  case ASYNC_OP_SIZE_HINT:
    async_parent_size_hint(stream, parent, op->offset);
    return SQLITE_OK; /* only a hint */
  case ASYNC_OP_SYNC:
    return file->nameless ? SQLITE_OK : async_stream_sync_file(stream, parent, op->flags);
  case ASYNC_OP_DELETE:
    return async_file_apply_delete(file, op->flags, file->nameless || without_name);
  case ASYNC_OP_FENCE:
    break;
  }
  return SQLITE_OK;
}

/* ---- Steps; all under the mutex, which they leave for the parent's calls ---- */

/*
** If that is all there is, those who wait may expect the OS lock to be free, so
** it is given back first.
*/
void async_stream_publish_durable(AsyncStream *stream, AsyncMark mark) {
  if (stream->queue.head == NULL) {
    async_mutex_leave(&stream->mutex);
    async_lock_settle(stream);
    async_mutex_enter(&stream->mutex);
  }
  bool wanted = stream->flush_wanted > stream->durable.seq;
  if (mark.seq < stream->durable.seq) return; /* another sync was faster */
  if (mark.seq == stream->applied.seq) {
    mark = stream->applied; /* a commit noted meanwhile, all of it applied, is durable too */
    stream->unsynced_since_us = 0;
  }
  stream->durable = mark;
  async_stream_signal(&stream->durable_moved);
  if (!wanted) return;
  async_mutex_leave(&stream->mutex);
  async_notify();
  async_mutex_enter(&stream->mutex);
}

/* SQLite's own syncs may have done all there is to do. */
static void publish_if_clean(AsyncStream *stream) {
  if (stream->files.dirty > 0 || stream->directory_dirty) return;
  async_stream_publish_durable(stream, stream->applied);
}

/* Others are at what must come first, and wake us when it is done. */
static AsyncStep stuck_until_woken(int64_t *due_us) {
  *due_us = 0;
  return ASYNC_STEP_STUCK;
}

static AsyncStep step_fence(AsyncStream *stream, AsyncOp *op, int64_t *due_us) {
  AsyncFence *fence = op->fence;
  int code = SQLITE_OK;
  async_mutex_leave(&stream->mutex);
  AsyncFenceState state = async_fence_arrive(fence, stream, &code);
  if (state == ASYNC_FENCE_OPEN) async_fence_leave(fence, stream, SQLITE_OK);
  async_mutex_enter(&stream->mutex);
  switch (state) {
  case ASYNC_FENCE_OPEN:
    async_file_retire(stream);
    publish_if_clean(stream);
    return ASYNC_STEP_DONE;
  case ASYNC_FENCE_CLOSED:
    if (!async_failure_is_closed_for_long(stream)) return stuck_until_woken(due_us);
    code = SQLITE_FULL; /* what another database waits for so long */
    break;
  case ASYNC_FENCE_BROKEN:
    break;
  }
  async_failure_fail(stream, code, async_failure_operation(ASYNC_OP_FENCE), stream->path);
  return ASYNC_STEP_FAILED;
}

/*
** A super-journal that somebody left behind, and that may name any database: once those
** it names have come so far it is deleted, and if not, it stays.  Nobody fails for it.
*/
static AsyncStep step_delete_behind(AsyncStream *stream, AsyncOp *op, int64_t *due_us) {
  AsyncFence *fence = op->fence;
  int code = SQLITE_OK;
  async_mutex_leave(&stream->mutex);
  AsyncFenceState state = async_fence_arrive(fence, stream, &code);
  async_mutex_enter(&stream->mutex);
  if (state == ASYNC_FENCE_CLOSED) return stuck_until_woken(due_us);
  op->under_way = true;
  op->fence = NULL;
  async_mutex_leave(&stream->mutex);
  async_fence_leave(fence, stream, SQLITE_OK);
  if (state == ASYNC_FENCE_OPEN) code = call_parent(stream, op, false);
  if (code != SQLITE_OK) sqlite3_log(code, "sqlite3async: %s is left behind", op->file->path);
  async_mutex_enter(&stream->mutex);
  async_file_retire(stream);
  publish_if_clean(stream);
  return ASYNC_STEP_DONE;
}

static AsyncFile *first_dirty(AsyncStream *stream) {
  if (stream->files.dirty == 0) return NULL;
  AsyncFile *file = stream->files.newest;
  while (file != NULL && (!file->dirty || file->gone || file->parent == NULL)) file = file->older;
  return file;
}

/* The oldest commit of a flush has waited since then, and the flush took from
** start_us to now.  maxDelayMs is a bound up to when it begins. */
static void note_undurable(AsyncStream *stream, int64_t since_us, int64_t start_us) {
  int64_t age_us = stream->flushed_us - since_us;
  if (age_us > stream->stats.undurable_us_max) stream->stats.undurable_us_max = age_us;
  int64_t max_delay_us = async_config.max_delay_ms * 1000;
  if (max_delay_us > 0 && start_us - since_us > max_delay_us + LATE_US) {
    stream->stats.late_flushes++;
  }
}

/* Under the mutex, which it leaves meanwhile: as the only one, for the disk may tell
** only one of two threads that syncing failed.  False if it did: the stream has
** failed. */
static bool sync_now(AsyncStream *stream, AsyncFile *file) {
  AsyncChanges changes = file->changes;
  file->syncing = true;
  file->in_use++;
  async_mutex_leave(&stream->mutex);
  int rc = async_stream_sync_file(stream, file->parent, SQLITE_SYNC_NORMAL);
  async_mutex_enter(&stream->mutex);
  file->syncing = false;
  file->in_use--;
  if (rc != SQLITE_OK) {
    async_failure_fail(stream, rc, async_failure_operation(ASYNC_OP_SYNC), file->path);
    return false;
  }
  async_file_synced(file, changes);
  return true;
}

/* As sync_now(), of the folder, if a name in it changed. */
static AsyncStep sync_folder(AsyncStream *stream, int64_t *due_us) {
  if (!stream->directory_dirty) return ASYNC_STEP_DONE;
  const char *operation = async_failure_operation(ASYNC_OP_SYNC);
  stream->directory_dirty = false; /* a name that is made meanwhile sets it again */
  stream->directory_syncing = true;
  async_mutex_leave(&stream->mutex);
  int error = async_os_sync_directory(stream->path);
  async_mutex_enter(&stream->mutex);
  stream->directory_syncing = false;
  if (error == 0) {
    async_failure_resume(stream, &stream->folder_held_since_us, operation);
    return ASYNC_STEP_DONE;
  }
  stream->directory_dirty = true;
  if (error == ASYNC_OS_NOT_TRIED) {
    return async_failure_hold(stream, &stream->folder_held_since_us, SQLITE_CANTOPEN, operation,
                              stream->path, due_us);
  }
  async_failure_fail(stream, SQLITE_IOERR_DIR_FSYNC, operation, stream->path);
  return ASYNC_STEP_FAILED;
}

/* Sync all files that were written, and the folder if names changed. */
static AsyncStep step_flush(AsyncStream *stream, int64_t *due_us) {
  AsyncMark target = stream->applied;
  int64_t since_us = async_stream_undurable_since(stream);
  int64_t start_us = async_os_now_us();
  AsyncFile *file;
  while ((file = first_dirty(stream)) != NULL) {
    if (file->syncing) return stuck_until_woken(due_us);
    if (!sync_now(stream, file)) return ASYNC_STEP_FAILED;
    async_file_let_go(file);
  }
  AsyncStep folder = sync_folder(stream, due_us);
  if (folder != ASYNC_STEP_DONE) return folder;
  stream->flushed_us = async_os_now_us();
  if (since_us != 0) note_undurable(stream, since_us, start_us);
  async_stream_publish_durable(stream, target);
  return ASYNC_STEP_DONE;
}

/* The last connection is closed and all applied: a file that was not synced yet is so now, for
** then its descriptor is closed. */
static AsyncStep step_close(AsyncStream *stream, int64_t *due_us) {
  AsyncFile *file = first_dirty(stream);
  if (file == NULL) return ASYNC_STEP_NOTHING;
  if (file->syncing) return stuck_until_woken(due_us);
  if (!sync_now(stream, file)) return ASYNC_STEP_FAILED;
  async_file_let_go(file);
  publish_if_clean(stream);
  return ASYNC_STEP_DONE;
}

/* The database's sync that is owed must be done before the op. */
static AsyncStep step_owed(AsyncStream *stream, AsyncFile *database, int64_t *due_us) {
  if (database->syncing) return stuck_until_woken(due_us);
  if (!sync_now(stream, database)) return ASYNC_STEP_FAILED;
  database->sync_owed = false; /* also if a checkpoint has gone on meanwhile */
  async_file_let_go(database);
  publish_if_clean(stream);
  return ASYNC_STEP_DONE;
}

/*
** A database that shrinks is truncated when its journal has been deleted, or truncated.  If
** the truncation of the database were durable and a power cut took the journal's end back,
** the journal would roll back a database of which a part is missing that it does not have.
** So all is flushed first; then the truncation is tried again.  (With synchronous=OFF the
** database is not synced, and nothing is promised of a power cut.)
*/
static bool must_flush_before(AsyncStream *stream, const AsyncOp *op) {
  return op->kind == ASYNC_OP_TRUNCATE && op->file->role == ASYNC_ROLE_DATABASE &&
         !op->of_checkpoint && !op->file->dirty &&
         (stream->directory_dirty || first_dirty(stream) != NULL);
}

/* Would the op be the first change of a journal that was found on disk?  See doubt_journal(). */
static bool must_sync_before(const AsyncOp *op) {
  bool changes = op->kind == ASYNC_OP_WRITE || op->kind == ASYNC_OP_TRUNCATE;
  return changes && op->file->sync_first;
}

static AsyncStep step_sync_first(AsyncStream *stream, AsyncFile *journal, int64_t *due_us) {
  if (journal->syncing) return stuck_until_woken(due_us);
  if (!sync_now(stream, journal)) return ASYNC_STEP_FAILED;
  journal->sync_first = false;
  return ASYNC_STEP_DONE;
}

/* Can a sync of a checkpoint be left to the checkpointer's thread? */
static bool is_owed(const AsyncOp *op) {
  return op->kind == ASYNC_OP_SYNC && op->of_checkpoint && async_beside_has_thread();
}

/* The op could not be applied; shortage: see async_failure_shortage(). */
static AsyncStep op_failed(AsyncStream *stream, AsyncOp *op, int rc, int shortage,
                           int64_t *due_us) {
  const char *operation = async_failure_operation(op->kind);
  if (shortage != SQLITE_OK) {
    return async_failure_hold(stream, &stream->op_held_since_us, shortage, operation,
                              op->file->path, due_us);
  }
  async_failure_fail(stream, rc, operation, op->file->path);
  return ASYNC_STEP_FAILED;
}

/* What must be done before the op; ASYNC_STEP_NOTHING if nothing must. */
static AsyncStep step_before(AsyncStream *stream, AsyncOp *op, int64_t *due_us) {
  if (!async_file_is_append(op)) {
    if (op->wal_sync > stream->durable.seq) return step_flush(stream, due_us);
    AsyncFile *database = stream->files.database;
    if (database != NULL && database->sync_owed) return step_owed(stream, database, due_us);
  }
  if (must_flush_before(stream, op)) return step_flush(stream, due_us);
  if (must_sync_before(op)) return step_sync_first(stream, op->file, due_us);
  if (op->kind == ASYNC_OP_SYNC && op->file->syncing) return stuck_until_woken(due_us);
  return ASYNC_STEP_NOTHING;
}

static AsyncStep step_op(AsyncStream *stream, AsyncOp *op, int64_t *due_us) {
  AsyncStep before = step_before(stream, op, due_us);
  if (before != ASYNC_STEP_NOTHING) return before;
  if (op->kind == ASYNC_OP_FENCE) return step_fence(stream, op, due_us);
  if (op->kind == ASYNC_OP_DELETE && op->fence != NULL) {
    return step_delete_behind(stream, op, due_us);
  }
  if (is_owed(op)) {
    op->file->sync_owed = true;
    async_file_retire(stream);
    async_doorbell_ring();
    return ASYNC_STEP_DONE;
  }
  op->under_way = true;
  bool by_name = async_moved_concerns(stream, op);
  if (by_name) async_moved_begin_by_name(stream);
  bool moved = stream->moved;
  bool syncs = op->kind == ASYNC_OP_SYNC;
  if (syncs) op->file->syncing = true;
  async_mutex_leave(&stream->mutex);
  int64_t start_us = async_os_now_us();
  int rc = call_parent(stream, op, moved);
  int shortage = rc == SQLITE_OK ? SQLITE_OK : async_failure_shortage(stream, op, rc, moved);
  int64_t took_us = async_os_now_us() - start_us;
  async_mutex_enter(&stream->mutex);
  if (syncs) op->file->syncing = false;
  if (rc != SQLITE_OK) {
    op->under_way = false;
    /* It may have moved since it was looked: then it is tried again, without the name. */
    bool again = by_name && !moved && async_moved_look(stream);
    if (by_name) async_moved_end_by_name(stream);
    return again ? ASYNC_STEP_DONE : op_failed(stream, op, rc, shortage, due_us);
  }
  if (by_name) async_moved_end_by_name(stream);

  stream->apply_us_x16 += took_us - stream->apply_us_x16 / 16;
  stream->last_op_writes = op->writes;
  async_file_retire(stream);
  async_stream_room_made(stream);
  publish_if_clean(stream);
  async_failure_resume(stream, &stream->op_held_since_us, "write");
  return ASYNC_STEP_DONE;
}

/* Shall what has been applied be made durable before anything else? */
static bool flush_is_due(AsyncStream *stream) {
  if (stream->durable.seq == stream->applied.seq) return false;
  if (stream->unsynced_since_us != 0) {
    int64_t ends_us = async_stream_delay_ends_us(stream);
    if (ends_us != 0 && async_os_now_us() >= ends_us) return true;
  }
  int64_t wanted = stream->flush_wanted;
  if (wanted < stream->wal_sync) wanted = stream->wal_sync;
  if (wanted <= stream->durable.seq) return false;
  /* Those who ask from here on wait for the next sync, so that this one is
  ** not put off for ever. */
  if (stream->flush_target <= stream->durable.seq) stream->flush_target = wanted;
  return stream->applied.seq >= stream->flush_target;
}

static AsyncStep step(AsyncStream *stream, int64_t *due_us) {
  if (stream->error.code != SQLITE_OK) return ASYNC_STEP_NOTHING;
  if (stream->side_error.code != SQLITE_OK) {
    const char *path = stream->side_error.path;
    async_failure_fail(stream, stream->side_error.code, async_failure_operation(ASYNC_OP_SYNC),
                       path == NULL ? "?" : path);
    return ASYNC_STEP_FAILED;
  }
  if (stream->cut_off) stream->flush_wanted = stream->pushed.seq;
  if (flush_is_due(stream)) return step_flush(stream, due_us);
  AsyncOp *op = stream->queue.head;
  if (op != NULL) return step_op(stream, op, due_us);
  if (stream->cut_off && stream->durable.seq == stream->pushed.seq) {
    async_failure_fail(stream, SQLITE_IOERR_CLOSE, "close", stream->path);
    return ASYNC_STEP_FAILED;
  }
  return stream->is_closing ? step_close(stream, due_us) : ASYNC_STEP_NOTHING;
}

AsyncOutcome async_stream_run(AsyncStream *stream, int max_steps, int64_t *due_us) {
  *due_us = 0;
  AsyncStep last = ASYNC_STEP_DONE;
  async_mutex_enter(&stream->mutex);
  stream->awake = stream->hurried = true;
  for (int i = 0; i < max_steps && last == ASYNC_STEP_DONE; i++) {
    bool hurry_back = async_scheduler.interrupt || async_config.delay_ms > 0;
    if (i > 0 && hurry_back && stream->queue.head != NULL) break;
    last = step(stream, due_us);
  }
  bool dry = stream->queue.head == NULL;
  if (dry) stream->close_queued = false;
  async_mutex_leave(&stream->mutex);

  if (dry) {
    async_file_collect(stream); /* how a journal was left is looked at under the lock */
    async_lock_settle(stream);  /* first: what carries it may be closed next */
  }
  async_file_collect(stream);
  if (last == ASYNC_STEP_STUCK) return ASYNC_RUN_STUCK;
  return last == ASYNC_STEP_DONE ? ASYNC_RUN_MORE : ASYNC_RUN_DRY;
}
