/*
** Streams: pushing, watermarks, the bound of the queue.  See stream.h.
*/
#include "stream.h"

#include "config.h"
#include "doorbell.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* With so many bytes queued the writer is to begin, also before a transaction ends. */
#define LONG_BYTES (1024 * 1024)
/* How often to see whether a sync has ended, which says so. */
#define SYNC_POLL_US 1000000

AsyncStream *async_stream_new(const char *path, sqlite3_vfs *parent, int64_t id) {
  AsyncStream *stream = calloc(1, sizeof *stream);
  if (stream == NULL) return NULL;
  size_t size = strlen(path) + 1;
  stream->path = malloc(size);
  if (stream->path == NULL) {
    free(stream);
    return NULL;
  }
  memcpy(stream->path, path, size);
  stream->parent = parent;
  stream->id = id;
  async_mutex_init(&stream->position_mutex, ASYNC_RANK_POSITION);
  async_mutex_init(&stream->mutex, ASYNC_RANK_STREAM);
  async_cond_init(&stream->durable_moved.cond);
  async_cond_init(&stream->applied_moved.cond);
  async_cond_init(&stream->checkpointed.cond);
  async_cond_init(&stream->room_made.cond);
  async_cond_init(&stream->files_closed.cond);
  async_cond_init(&stream->synced.cond);
  stream->applied_wanted = stream->sync_at = INT64_MAX;
  stream->sync_task.home = ASYNC_LANE_SYNC;
  async_locktable_init(&stream->lock);
  async_walindex_init(&stream->walindex);
  return stream;
}

void async_stream_free(AsyncStream *stream) {
  assert(stream->files.newest == NULL && stream->handles == 0 && stream->queue.head == NULL);
  async_arena_free(&stream->queue.arena);
  async_segment_pool_free(&stream->segments);
  async_walindex_free(&stream->walindex);
  async_locktable_free(&stream->lock);
  async_cond_free(&stream->durable_moved.cond);
  async_cond_free(&stream->applied_moved.cond);
  async_cond_free(&stream->checkpointed.cond);
  async_cond_free(&stream->room_made.cond);
  async_cond_free(&stream->files_closed.cond);
  async_cond_free(&stream->synced.cond);
  async_mutex_free(&stream->mutex);
  async_mutex_free(&stream->position_mutex);
  free(stream->side_error.path);
  free(stream->error.path);
  free(stream->path);
  free(stream);
}

int64_t async_stream_sync_target(AsyncStream *stream) {
  int64_t wanted = stream->flush_wanted;
  if (wanted < stream->wal_sync_seq) wanted = stream->wal_sync_seq;
  if (wanted <= stream->durable.seq) return 0;
  if (stream->flush_target <= stream->durable.seq) stream->flush_target = wanted;
  return stream->flush_target;
}

void async_stream_arm_sync(AsyncStream *stream) {
  if (stream->error.code != SQLITE_OK || stream->side_error.code != SQLITE_OK) return;
  int64_t target = async_stream_sync_target(stream);
  if (target > stream->applied.seq) {
    if (stream->sync_at > target) stream->sync_at = target;
  } else if (target > 0) {
    async_scheduler_wake(&stream->sync_task, ASYNC_WAKE_NOW);
  } else if (!stream->sync_armed && stream->unsynced_since_us != 0) {
    int64_t ends_us = async_stream_delay_ends_us(stream);
    stream->sync_armed = ends_us != 0;
    if (ends_us != 0) async_scheduler_delay(&stream->sync_task, ends_us);
  }
}

bool async_stream_wake_now(AsyncStream *stream) {
  bool queued = stream->queue.head != NULL;
  if (queued && !stream->hurried) {
    stream->awake = stream->hurried = true;
    async_scheduler_wake(&stream->task, ASYNC_WAKE_NOW);
  }
  return queued;
}

void async_stream_leave_and_wake_now(AsyncStream *stream) {
  bool wake = !stream->hurried;
  stream->awake = stream->hurried = true;
  async_mutex_leave(&stream->mutex);
  if (wake) async_scheduler_wake(&stream->task, ASYNC_WAKE_NOW);
}

void async_stream_leave_and_wake(AsyncStream *stream) {
  if (stream->queue.bytes >= LONG_BYTES || stream->full) {
    async_stream_leave_and_wake_now(stream);
    return;
  }
  bool wake = !stream->awake;
  stream->awake = true;
  async_mutex_leave(&stream->mutex);
  if (wake) async_scheduler_wake(&stream->task, ASYNC_WAKE_SOON);
}

void async_stream_leave_later(AsyncStream *stream) {
  if (stream->wal_writer_active && stream->queue.bytes < LONG_BYTES) {
    async_mutex_leave(&stream->mutex);
  } else {
    async_stream_leave_and_wake(stream);
  }
}

static void keep_larger(int64_t *sum, int64_t value) {
  if (value > *sum) *sum = value;
}

void async_stats_add(AsyncStats *sum, const AsyncStats *stats) {
  sum->ops_applied += stats->ops_applied;
  sum->bytes_written += stats->bytes_written;
  sum->syncs += stats->syncs;
  sum->sync_us_total += stats->sync_us_total;
  keep_larger(&sum->sync_us_max, stats->sync_us_max);
  keep_larger(&sum->undurable_us_max, stats->undurable_us_max);
  sum->late_flushes += stats->late_flushes;
  sum->checkpoints += stats->checkpoints;
  sum->full_waits += stats->full_waits;
  sum->full_wait_us += stats->full_wait_us;
}

int async_stream_error_untold(const AsyncStream *stream) {
  assert(async_mutex_is_held(&stream->mutex));
  if (stream->error.code == SQLITE_OK && stream->cut_off) return SQLITE_IOERR_CLOSE;
  return stream->error.code;
}

int async_stream_report_error(AsyncStream *stream) {
  int rc = async_stream_error_untold(stream);
  if (stream->error.code != SQLITE_OK) stream->error_told = true;
  return rc;
}

void async_stream_wait(AsyncStream *stream, AsyncSignal *signal, int64_t timeout_us) {
  async_stream_wake_now(stream);
  signal->waiting++;
  async_cond_wait(&signal->cond, &stream->mutex, timeout_us);
  signal->waiting--;
}

/* Not by async_stream_wait(): it needs no writer to end. */
void async_stream_await_sync(AsyncStream *stream) {
  stream->synced.waiting++;
  async_cond_wait(&stream->synced.cond, &stream->mutex, SYNC_POLL_US);
  stream->synced.waiting--;
}

void async_stream_signal(AsyncSignal *signal) {
  if (signal->waiting > 0) async_cond_broadcast(&signal->cond);
}

void async_stream_check(const AsyncStream *stream) {
  assert(async_mutex_is_held(&stream->mutex));
  assert(stream->pushed.seq >= stream->applied.seq);
  assert(stream->applied.seq >= stream->durable.seq);
  assert(stream->pushed.transactions >= stream->applied.transactions);
  assert(stream->applied.transactions >= stream->durable.transactions);
  const AsyncQueue *queue = &stream->queue;
  assert((queue->head == NULL) == (queue->tail == NULL));
  assert((queue->head == NULL) == (queue->ops == 0));
  assert(queue->bytes >= 0 && queue->bytes <= queue->peak_bytes);
  assert(stream->error.code != SQLITE_OK || queue->head == NULL ||
         queue->head->seq == stream->applied.seq + 1);
  assert(stream->files.dirty >= 0 && stream->files.closing >= 0);
  (void)queue; /* without assertions */
}

AsyncOp *async_stream_push(AsyncStream *stream, AsyncOpKind kind, struct AsyncFile *file,
                           uint32_t length) {
  assert(async_mutex_is_held(&stream->mutex));
  assert(stream->error.code == SQLITE_OK);
  AsyncOp *op = async_queue_push(&stream->queue, kind, file, length);
  if (op == NULL) return NULL;
  if (async_stream_is_full(stream)) stream->under_pressure = true;
  op->seq = ++stream->pushed.seq;
  op->transactions = stream->pushed.transactions;
  op->queued_us = async_os_now_us();
  op->wal_sync_seq = stream->wal_sync_seq;
  async_stream_check(stream);
  return op;
}

/* What a queue that met its bound must shrink to.  Little below it: then those who
** wait do so more often, and each time only for a moment. */
static int64_t relief(int64_t max) { return max - max / 16; }

bool async_stream_is_full(AsyncStream *stream) {
  int64_t max = async_config.max_queue_bytes;
  if (stream->queue.bytes <= relief(max) || max <= 0) stream->full = false;
  if (stream->queue.bytes >= max && max > 0) stream->full = true;
  return stream->full;
}

/* What the queue must shrink to before n more bytes may come. */
static int64_t room_level(int64_t max, int64_t n) {
  /* With "busy" others are kept out meanwhile, so just enough will do. */
  bool refuses = async_config.on_queue_full == SQLITEASYNC_FULL_BUSY;
  int64_t level = relief(max);
  return n < max && (refuses || max - n < level) ? max - n : level;
}

bool async_stream_has_room(const AsyncStream *stream, int64_t n) {
  int64_t max = async_config.max_queue_bytes;
  return max <= 0 || stream->queue.bytes + n <= max || stream->queue.bytes == 0;
}

int async_stream_wait_for_room(AsyncStream *stream, int64_t n, bool may_fail) {
  assert(async_mutex_is_held(&stream->mutex));
  int64_t max = async_config.max_queue_bytes;
  int64_t start_us = async_os_now_us();
  stream->stats.full_waits++;
  stream->full = true;
  stream->under_pressure = true;
  int rc = SQLITE_OK;
  /* Ends because the writer applies ops or fails the stream; and if there is
  ** no writer any more, that is seen by looking. */
  while (rc == SQLITE_OK && max > 0 && stream->queue.bytes > room_level(max, n)) {
    if (!async_scheduler_has_runner()) {
      if (may_fail) rc = SQLITE_FULL;
      break;
    }
    async_stream_wait(stream, &stream->room_made, ASYNC_STOPPED_POLL_US);
    rc = async_stream_report_error(stream);
    max = async_config.max_queue_bytes;
  }
  stream->stats.full_wait_us += async_os_now_us() - start_us;
  return rc;
}

void async_stream_room_made(AsyncStream *stream) {
  bool enough = stream->queue.bytes <= relief(async_config.max_queue_bytes);
  if (enough || async_config.on_queue_full == SQLITEASYNC_FULL_BUSY) {
    async_stream_signal(&stream->room_made);
  }
}

void async_stream_note_change(AsyncStream *stream) { stream->changes++; }

static void note_commit(AsyncStream *stream) {
  stream->pushed.transactions++;
  if (stream->error.code != SQLITE_OK) return; /* it was dropped */
  if (stream->queue.tail != NULL) {
    stream->queue.tail->transactions = stream->pushed.transactions;
    return;
  }
  /* The writer was faster: all ops of the transaction are applied already. */
  bool durable = stream->durable.seq == stream->applied.seq;
  stream->applied.transactions = stream->pushed.transactions;
  if (durable) stream->durable.transactions = stream->pushed.transactions;
  if (durable || stream->unsynced_since_us != 0) return;
  stream->unsynced_since_us = async_os_now_us();
}

/* Under the mutex, which this leaves. */
static int64_t end_transaction(AsyncStream *stream, bool committed, int level) {
  int64_t seq = committed ? stream->pushed.seq : 0;
  bool is_callers = committed && level != SQLITEASYNC_COMMIT_QUEUED && stream->queue.head != NULL;
  if (committed) note_commit(stream);
  stream->changes_committed = stream->changes;
  bool ring = async_wal_end_transaction(&stream->wal, committed);
  if (async_wal_is_full(&stream->wal)) stream->under_pressure = true;
  if (stream->error.code == SQLITE_OK && stream->queue.head != NULL && !is_callers) {
    async_stream_leave_and_wake(stream); /* see async_stream_leave_later */
  } else {
    async_stream_arm_sync(stream); /* the writer was faster, and has not seen the commit */
    async_mutex_leave(&stream->mutex);
  }
  if (ring) async_doorbell_ring();
  return seq;
}

int64_t async_stream_committed(AsyncStream *stream, int level) {
  async_mutex_enter(&stream->mutex);
  return end_transaction(stream, stream->changes != stream->changes_committed, level);
}

int64_t async_stream_wal_write_ended(AsyncStream *stream, int level) {
  async_mutex_enter(&stream->mutex);
  return end_transaction(stream, stream->wal.has_commit, level);
}

int64_t async_stream_undurable_since(const AsyncStream *stream) {
  if (stream->syncing_since_us != 0) return stream->syncing_since_us;
  if (stream->unsynced_since_us != 0) return stream->unsynced_since_us;
  if (stream->pushed.transactions == stream->applied.transactions) return 0;
  return stream->queue.head == NULL ? 0 : stream->queue.head->queued_us;
}

int64_t async_stream_delay_ends_us(const AsyncStream *stream) {
  int64_t max_delay_us = async_config.max_delay_ms * 1000;
  int64_t since_us = stream->unsynced_since_us;
  if (max_delay_us <= 0 || since_us == 0) return 0;
  return (since_us > stream->flushed_us ? since_us : stream->flushed_us) + max_delay_us;
}

bool async_stream_is_stalled(const AsyncStream *stream) {
  return stream->op_stalled_since_us != 0 || stream->folder_stalled_since_us != 0;
}

int64_t async_stream_lost(const AsyncStream *stream) {
  /* What is committed just when all was made durable is counted only afterwards. */
  bool cut_off = stream->cut_off && stream->error.code == SQLITE_IOERR_CLOSE;
  if (stream->is_deleted || cut_off || stream->lost_told) return 0;
  return stream->pushed.transactions - stream->applied.transactions - stream->refused;
}

bool async_stream_is_drained(const AsyncStream *stream) {
  if (stream->close_queued) return false;
  if (stream->error.code != SQLITE_OK) return stream->queue.head == NULL;
  if (stream->queue.head != NULL || stream->side_error.code != SQLITE_OK) return false;
  return stream->durable.seq == stream->pushed.seq;
}
