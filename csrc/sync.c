/*
** Syncs.  See sync.h.
*/
#include "sync.h"

#include "config.h"
#include "lock.h"
#include "notify.h"

#include <assert.h>

/* What threads may need to begin what is due. */
#define LATE_US 20000

/* ---- Telling ---- */

/*
** Everything up to the watermark is on stable storage: tell those who wait.  If that is all there
** is, they may expect the OS lock to be free, so it is given back first.
*/
static void publish(AsyncStream *stream, AsyncWatermark watermark) {
  if (stream->queue.head == NULL) {
    async_mutex_leave(&stream->mutex);
    async_lock_release_if_idle(stream);
    async_mutex_enter(&stream->mutex);
  }
  bool wanted = stream->flush_wanted > stream->durable.seq;
  if (watermark.seq < stream->durable.seq) return; /* another sync was faster */
  if (watermark.seq == stream->applied.seq) {
    watermark = stream->applied; /* a commit noted meanwhile, all of it applied, is durable too */
    stream->unsynced_since_us = 0;
  }
  stream->durable = watermark;
  async_stream_check(stream);
  async_stream_signal(&stream->durable_moved);
  if (!wanted) return;
  async_mutex_leave(&stream->mutex);
  async_notify();
  async_mutex_enter(&stream->mutex);
}

void async_sync_publish_if_clean(AsyncStream *stream) {
  bool folder = stream->directory_dirty || stream->directory_syncing;
  if (stream->files.dirty == 0 && !folder) publish(stream, stream->applied);
}

void async_sync_wake_waiting(AsyncStream *stream) {
  bool ops = stream->ops_wait_for_sync || stream->side_error.code != SQLITE_OK;
  bool syncs = stream->sync_waits_for_sync;
  stream->ops_wait_for_sync = stream->sync_waits_for_sync = false;
  async_stream_signal(&stream->synced);
  if (ops) async_scheduler_wake(&stream->task, ASYNC_WAKE_NOW);
  if (syncs) async_scheduler_wake(&stream->sync_task, ASYNC_WAKE_NOW);
}

/* Once: while the flush itself waits for another thread's sync, the ops may be tried again and
** again, and if each time woke the flush, and that the ops, one thread would be busy with both. */
void async_sync_flush_first(AsyncStream *stream) {
  if (stream->ops_wait_for_flush) return;
  stream->ops_wait_for_flush = true;
  async_scheduler_wake(&stream->sync_task, ASYNC_WAKE_NOW);
}

/* ---- Syncing a file ---- */

int async_sync_parent(AsyncStream *stream, sqlite3_file *parent, int flags) {
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

/* Nobody else is at it. */
static int sync_alone(AsyncStream *stream, AsyncFile *file) {
  assert(!file->syncing && file->parent != NULL);
  AsyncChanges changes = file->changes;
  file->syncing = true;
  file->in_use++;
  async_mutex_leave(&stream->mutex);
  int rc = async_sync_parent(stream, file->parent, SQLITE_SYNC_NORMAL);
  async_mutex_enter(&stream->mutex);
  file->syncing = false;
  file->in_use--;
  if (rc == SQLITE_OK) async_file_synced(file, changes);
  return rc;
}

int async_sync_now(AsyncStream *stream, AsyncFile *file) {
  if (file->syncing) {
    stream->ops_wait_for_sync = true;
    return SQLITE_BUSY;
  }
  int rc = sync_alone(stream, file);
  /* At once: until the stream has failed, nobody is to sync it again. */
  if (rc != SQLITE_OK) async_failure_note(stream, rc, ASYNC_OP_SYNC, file->path);
  async_sync_wake_waiting(stream);
  return rc;
}

/* ---- Which commits a sync under way is about ---- */

/* Commits that are applied from here on note their age for themselves. */
static int64_t begin_all(AsyncStream *stream) {
  int64_t since_us = stream->unsynced_since_us;
  stream->syncing_since_us = since_us;
  stream->unsynced_since_us = 0;
  return since_us;
}

static void end_all(AsyncStream *stream, int64_t since_us, bool done) {
  stream->syncing_since_us = 0;
  if (!done && since_us != 0) stream->unsynced_since_us = since_us;
}

/* ---- The task ---- */

/* The first from this one on that must be synced. */
static AsyncFile *dirty_from(AsyncFile *file) {
  while (file != NULL && (!file->dirty || file->gone || file->parent == NULL)) file = file->older;
  return file;
}

AsyncFile *async_sync_first_dirty(AsyncStream *stream) {
  return stream->files.dirty == 0 ? NULL : dirty_from(stream->files.newest);
}

/* Of those, one that this flush has not been at. */
static AsyncFile *next_dirty(AsyncStream *stream) {
  AsyncFile *file = async_sync_first_dirty(stream);
  while (file != NULL && file->flushes == stream->flushes) file = dirty_from(file->older);
  return file;
}

/* Those written until now, each once: what is applied meanwhile may go on for ever. */
static AsyncStep sync_files(AsyncStream *stream) {
  stream->flushes++;
  AsyncFile *file;
  while ((file = next_dirty(stream)) != NULL) {
    if (file->syncing) {
      stream->sync_waits_for_sync = true;
      return ASYNC_STEP_STUCK;
    }
    file->flushes = stream->flushes;
    int rc = sync_alone(stream, file);
    if (rc != SQLITE_OK) async_failure_note(stream, rc, ASYNC_OP_SYNC, file->path);
    async_file_let_go(file);
    async_sync_wake_waiting(stream);
    if (rc != SQLITE_OK) return ASYNC_STEP_FAILED;
  }
  return ASYNC_STEP_DONE;
}

/* The folder, if a name in it changed. */
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
    async_failure_resume(stream, &stream->folder_stalled_since_us, operation);
    return ASYNC_STEP_DONE;
  }
  stream->directory_dirty = true;
  bool goes_on = error == ASYNC_OS_NOT_TRIED &&
                 async_failure_stall(stream, &stream->folder_stalled_since_us, SQLITE_CANTOPEN,
                                     operation, stream->path, due_us);
  if (goes_on) return ASYNC_STEP_STUCK;
  int code = error == ASYNC_OS_NOT_TRIED ? SQLITE_CANTOPEN : SQLITE_IOERR_DIR_FSYNC;
  async_failure_note(stream, code, ASYNC_OP_SYNC, stream->path);
  async_sync_wake_waiting(stream);
  return ASYNC_STEP_FAILED;
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

static AsyncStep flush(AsyncStream *stream, int64_t *due_us) {
  if (stream->syncing_since_us != 0) { /* another thread is at all of it */
    stream->sync_waits_for_sync = true;
    return ASYNC_STEP_STUCK;
  }
  AsyncWatermark target = stream->applied;
  int64_t oldest_us = async_stream_undurable_since(stream);
  int64_t start_us = async_os_now_us();
  int64_t since_us = begin_all(stream);
  AsyncStep step = sync_files(stream);
  if (step == ASYNC_STEP_DONE) step = sync_folder(stream, due_us);
  end_all(stream, since_us, step == ASYNC_STEP_DONE);
  if (step != ASYNC_STEP_DONE) return step;
  stream->flushed_us = async_os_now_us();
  if (oldest_us != 0) note_undurable(stream, oldest_us, start_us);
  publish(stream, target);
  stream->ops_wait_for_sync = stream->ops_wait_for_sync || stream->ops_wait_for_flush;
  stream->ops_wait_for_flush = false;
  async_sync_wake_waiting(stream);
  return ASYNC_STEP_DONE;
}

/* Shall what has been applied be made durable now? */
static bool is_due(AsyncStream *stream) {
  if (stream->ops_wait_for_flush) return true;
  if (stream->durable.seq == stream->applied.seq) return false;
  int64_t ends_us = stream->unsynced_since_us == 0 ? 0 : async_stream_delay_ends_us(stream);
  if (ends_us != 0 && async_os_now_us() >= ends_us) return true;
  int64_t target = async_stream_sync_target(stream);
  return target > 0 && stream->applied.seq >= target;
}

bool async_sync_must_close(AsyncStream *stream) {
  return stream->is_closing && stream->queue.head == NULL && async_sync_first_dirty(stream) != NULL;
}

static AsyncStep step(AsyncStream *stream, int64_t *due_us) {
  if (stream->error.code != SQLITE_OK || stream->side_error.code != SQLITE_OK) {
    return ASYNC_STEP_NOTHING;
  }
  if (is_due(stream)) return flush(stream, due_us);
  if (!async_sync_must_close(stream)) return ASYNC_STEP_NOTHING;
  AsyncStep files = sync_files(stream);
  if (files == ASYNC_STEP_DONE) async_sync_publish_if_clean(stream);
  return files;
}

AsyncOutcome async_sync_run(AsyncStream *stream, int64_t *due_us) {
  *due_us = 0;
  async_mutex_enter(&stream->mutex);
  stream->sync_armed = false;
  AsyncStep last = step(stream, due_us);
  if (async_stream_sync_target(stream) > stream->applied.seq) async_stream_wake_now(stream);
  async_mutex_leave(&stream->mutex);
  async_file_collect(stream);
  if (last == ASYNC_STEP_STUCK) return ASYNC_RUN_STUCK;
  return last == ASYNC_STEP_DONE ? ASYNC_RUN_MORE : ASYNC_RUN_DRY;
}

int64_t async_sync_waits_for(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  int64_t target = async_stream_sync_target(stream);
  bool waits = target > stream->applied.seq && stream->flush_wanted >= target;
  async_mutex_leave(&stream->mutex);
  return waits ? target : 0;
}

/* ---- Other threads ---- */

/* Under the mutex: would a sync of this file alone make all that is applied durable? */
static bool is_all(const AsyncStream *stream, const AsyncFile *file) {
  bool folder = stream->directory_dirty || stream->directory_syncing;
  return stream->files.dirty == (file->dirty ? 1 : 0) && !folder;
}

/* Under the mutex, which it leaves meanwhile. */
static int sync_beside(AsyncStream *stream, AsyncFile *file) {
  while (file->syncing) async_stream_await_sync(stream);
  int rc = stream->error.code != SQLITE_OK ? stream->error.code : stream->side_error.code;
  bool needed = (file->dirty || file->backfilled) && file->parent != NULL;
  if (rc != SQLITE_OK || !needed) return rc;
  bool all = is_all(stream, file) && stream->syncing_since_us == 0;
  AsyncWatermark watermark = stream->applied;
  int64_t since_us = all ? begin_all(stream) : 0;
  rc = sync_alone(stream, file);
  if (all) end_all(stream, since_us, rc == SQLITE_OK);
  if (rc != SQLITE_OK) async_failure_note(stream, rc, ASYNC_OP_SYNC, file->path);
  async_sync_wake_waiting(stream);
  if (rc == SQLITE_OK && all && watermark.seq > stream->durable.seq) publish(stream, watermark);
  return rc;
}

/* The same; the file stays meanwhile. */
static int sync_pinned(AsyncStream *stream, AsyncFile *file) {
  async_file_pin(file);
  int rc = sync_beside(stream, file);
  async_file_unpin(file);
  return rc;
}

int async_sync_beside(AsyncStream *stream, AsyncFile *file) {
  async_mutex_enter(&stream->mutex);
  int rc = sync_pinned(stream, file);
  async_mutex_leave(&stream->mutex);
  async_file_collect(stream);
  return rc;
}

int async_sync_role(AsyncStream *stream, AsyncRole role) {
  async_mutex_enter(&stream->mutex);
  AsyncFile *file = role == ASYNC_ROLE_WAL ? stream->files.wal : stream->files.database;
  int rc = file == NULL ? SQLITE_OK : sync_pinned(stream, file);
  async_mutex_leave(&stream->mutex);
  async_file_collect(stream);
  return rc;
}
