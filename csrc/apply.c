/*
** Applying ops.  See apply.h.
*/
#include "apply.h"

#include "config.h"
#include "failure.h"
#include "barrier.h"
#include "file.h"
#include "lock.h"
#include "moved.h"
#include "parent.h"
#include "sync.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- Calling the parent ---- */

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
    return file->nameless ? SQLITE_OK : async_sync_parent(stream, parent, op->flags);
  case ASYNC_OP_DELETE:
    return async_file_apply_delete(file, op->flags, file->nameless || without_name);
  case ASYNC_OP_BARRIER:
    break;
  }
  return SQLITE_OK;
}

/* ---- Steps; all under the mutex, which they leave for the parent's calls ---- */

/* Others are at what must come first, and wake us when it is done. */
static AsyncStep stuck_until_woken(int64_t *due_us) {
  *due_us = 0;
  return ASYNC_STEP_STUCK;
}

static AsyncStep step_barrier(AsyncStream *stream, AsyncOp *op, int64_t *due_us) {
  AsyncBarrier *barrier = op->barrier;
  int code = SQLITE_OK;
  async_mutex_leave(&stream->mutex);
  AsyncBarrierState state = async_barrier_arrive(barrier, stream, &code);
  if (state == ASYNC_BARRIER_OPEN) async_barrier_leave(barrier, stream, SQLITE_OK);
  async_mutex_enter(&stream->mutex);
  switch (state) {
  case ASYNC_BARRIER_OPEN:
    async_file_retire(stream);
    async_sync_publish_if_clean(stream);
    return ASYNC_STEP_DONE;
  case ASYNC_BARRIER_CLOSED:
    if (!async_failure_is_closed_for_long(stream)) return stuck_until_woken(due_us);
    code = SQLITE_FULL; /* what another database waits for so long */
    break;
  case ASYNC_BARRIER_BROKEN:
    break;
  }
  async_failure_fail(stream, code, async_failure_operation(ASYNC_OP_BARRIER), stream->path);
  return ASYNC_STEP_FAILED;
}

/*
** A super-journal that somebody left behind, and that may name any database: once those
** it names have come so far it is deleted, and if not, it stays.  Nobody fails for it.
*/
static AsyncStep step_delete_behind(AsyncStream *stream, AsyncOp *op, int64_t *due_us) {
  AsyncBarrier *barrier = op->barrier;
  int code = SQLITE_OK;
  async_mutex_leave(&stream->mutex);
  AsyncBarrierState state = async_barrier_arrive(barrier, stream, &code);
  async_mutex_enter(&stream->mutex);
  if (state == ASYNC_BARRIER_CLOSED) return stuck_until_woken(due_us);
  op->under_way = true;
  op->barrier = NULL;
  async_mutex_leave(&stream->mutex);
  async_barrier_leave(barrier, stream, SQLITE_OK);
  if (state == ASYNC_BARRIER_OPEN) code = call_parent(stream, op, false);
  if (code != SQLITE_OK) sqlite3_log(code, "sqlite3async: %s is left behind", op->file->path);
  async_mutex_enter(&stream->mutex);
  async_file_retire(stream);
  async_sync_publish_if_clean(stream);
  return ASYNC_STEP_DONE;
}

/* A file is to be synced before the op: done, or another thread is at it. */
static AsyncStep sync_before(AsyncStream *stream, AsyncFile *file) {
  int rc = async_sync_now(stream, file);
  if (rc == SQLITE_OK) return ASYNC_STEP_DONE;
  if (rc == SQLITE_BUSY) return ASYNC_STEP_STUCK;
  async_failure_fail(stream, rc, async_failure_operation(ASYNC_OP_SYNC), file->path);
  return ASYNC_STEP_FAILED;
}

/* All is to be flushed before the op. */
static AsyncStep flush_before(AsyncStream *stream) {
  async_sync_flush_first(stream);
  return ASYNC_STEP_STUCK;
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
         (stream->directory_dirty || stream->directory_syncing ||
          async_sync_first_dirty(stream) != NULL);
}

/* Would the op be the first change of a journal that was found on disk?  See suspect_journal(). */
static bool must_sync_before(const AsyncOp *op) {
  bool changes = op->kind == ASYNC_OP_WRITE || op->kind == ASYNC_OP_TRUNCATE;
  return changes && op->file->sync_first;
}

static AsyncStep step_sync_first(AsyncStream *stream, AsyncFile *journal) {
  AsyncStep step = sync_before(stream, journal);
  if (step == ASYNC_STEP_DONE) journal->sync_first = false;
  return step;
}

/* Does the op wait for the disk?  A deletion does if the folder is to be synced as well. */
static bool is_sync(const AsyncOp *op) {
  if (op->kind == ASYNC_OP_SYNC) return !op->file->nameless;
  return op->kind == ASYNC_OP_DELETE && op->flags != 0;
}

/* The op could not be applied; shortage: see async_failure_shortage(). */
static AsyncStep op_failed(AsyncStream *stream, AsyncOp *op, int rc, int shortage,
                           int64_t *due_us) {
  const char *operation = async_failure_operation(op->kind);
  const char *path = op->file->path;
  if (shortage != SQLITE_OK) rc = shortage;
  bool goes_on = shortage != SQLITE_OK && async_failure_stall(stream, &stream->op_stalled_since_us,
                                                              rc, operation, path, due_us);
  if (goes_on) return ASYNC_STEP_STUCK;
  async_failure_fail(stream, rc, operation, path);
  return ASYNC_STEP_FAILED;
}

/* What must be done before the op; ASYNC_STEP_NOTHING if nothing must. */
static AsyncStep step_before(AsyncStream *stream, AsyncOp *op, bool may_sync) {
  if (!async_file_is_append(op) && op->wal_sync_seq > stream->durable.seq)
    return flush_before(stream);
  if (must_flush_before(stream, op)) return flush_before(stream);
  if (must_sync_before(op)) return may_sync ? step_sync_first(stream, op->file) : ASYNC_STEP_SYNC;
  if (!is_sync(op)) return ASYNC_STEP_NOTHING;
  if (!may_sync) return ASYNC_STEP_SYNC;
  if (op->kind != ASYNC_OP_SYNC || !op->file->syncing) return ASYNC_STEP_NOTHING;
  stream->ops_wait_for_sync = true;
  return ASYNC_STEP_STUCK;
}

static AsyncStep step_op(AsyncStream *stream, AsyncOp *op, bool may_sync, int64_t *due_us) {
  AsyncStep before = step_before(stream, op, may_sync);
  if (before != ASYNC_STEP_NOTHING) return before;
  if (op->kind == ASYNC_OP_BARRIER) return step_barrier(stream, op, due_us);
  if (op->kind == ASYNC_OP_DELETE && op->barrier != NULL) {
    return step_delete_behind(stream, op, due_us);
  }
  op->under_way = true;
  bool syncs = op->kind == ASYNC_OP_SYNC;
  if (syncs) op->file->syncing = true; /* before the mutex is left */
  bool by_name = async_moved_concerns(stream, op);
  if (by_name) async_moved_begin_by_name(stream);
  bool moved = stream->moved;
  async_mutex_leave(&stream->mutex);
  int64_t start_us = async_os_now_us();
  int rc = call_parent(stream, op, moved);
  int shortage = rc == SQLITE_OK ? SQLITE_OK : async_failure_shortage(stream, op, rc, moved);
  int64_t took_us = async_os_now_us() - start_us;
  async_mutex_enter(&stream->mutex);
  if (syncs) {
    op->file->syncing = false;
    /* At once: until the stream has failed, nobody is to sync it again. */
    if (rc != SQLITE_OK) async_failure_note(stream, rc, op->kind, op->file->path);
    async_sync_wake_waiting(stream);
  }
  if (rc != SQLITE_OK) {
    op->under_way = false;
    /* It may have moved since it was looked: then it is tried again, without the name. */
    bool again = by_name && !moved && !syncs && async_moved_look(stream);
    if (by_name) async_moved_end_by_name(stream);
    return again ? ASYNC_STEP_DONE : op_failed(stream, op, rc, shortage, due_us);
  }
  if (by_name) async_moved_end_by_name(stream);

  stream->apply_us_x16 += took_us - stream->apply_us_x16 / 16;
  stream->last_op_writes = op->writes;
  async_file_retire(stream);
  async_stream_room_made(stream);
  async_sync_publish_if_clean(stream);
  async_failure_resume(stream, &stream->op_stalled_since_us, "write");
  return ASYNC_STEP_DONE;
}

/* It is cut off from its handles, and all is applied. */
static AsyncStep step_cut_off(AsyncStream *stream) {
  if (stream->durable.seq < stream->pushed.seq) {
    stream->flush_wanted = stream->pushed.seq;
    return flush_before(stream);
  }
  async_failure_fail(stream, SQLITE_IOERR_CLOSE, "close", stream->path);
  return ASYNC_STEP_FAILED;
}

static AsyncStep step(AsyncStream *stream, bool may_sync, int64_t *due_us) {
  if (stream->error.code != SQLITE_OK) return ASYNC_STEP_NOTHING;
  const AsyncSideError *error = &stream->side_error;
  if (error->code != SQLITE_OK) {
    async_failure_fail(stream, error->code, error->operation,
                       error->path == NULL ? "?" : error->path);
    return ASYNC_STEP_FAILED;
  }
  AsyncOp *op = stream->queue.head;
  if (op != NULL) return step_op(stream, op, may_sync, due_us);
  return stream->cut_off ? step_cut_off(stream) : ASYNC_STEP_NOTHING;
}

AsyncOutcome async_stream_run(AsyncStream *stream, int max_steps, bool may_sync, int64_t *due_us) {
  *due_us = 0;
  AsyncStep last = ASYNC_STEP_DONE;
  async_mutex_enter(&stream->mutex);
  stream->awake = stream->hurried = true;
  for (int i = 0; i < max_steps && last == ASYNC_STEP_DONE; i++) {
    bool returns_soon = async_scheduler.interrupt || async_config.delay_ms > 0;
    if (i > 0 && returns_soon && stream->queue.head != NULL) break;
    last = step(stream, may_sync, due_us);
  }
  bool dry = stream->queue.head == NULL;
  if (dry) stream->close_queued = false;
  async_stream_arm_sync(stream);
  if (async_sync_must_close(stream)) async_scheduler_wake(&stream->sync_task, ASYNC_WAKE_NOW);
  async_mutex_leave(&stream->mutex);

  if (dry) {
    async_file_collect(stream);         /* how a journal was left is looked at under the lock */
    async_lock_release_if_idle(stream); /* first: what carries it may be closed next */
  }
  async_file_collect(stream);
  switch (last) {
  case ASYNC_STEP_DONE:
    return ASYNC_RUN_MORE;
  case ASYNC_STEP_STUCK:
    return ASYNC_RUN_STUCK;
  case ASYNC_STEP_SYNC:
    return ASYNC_RUN_SYNC;
  case ASYNC_STEP_NOTHING:
  case ASYNC_STEP_FAILED:
    break;
  }
  return ASYNC_RUN_DRY;
}
