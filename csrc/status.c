/*
** Status.  See status.h.
*/
#include "status.h"

#include "level.h"
#include "scheduler.h"

#include <stdio.h>

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* Sums, and of the ages the largest; of several errors the first one met. */
void async_status_add(AsyncStatus *status, AsyncStream *stream) {
  int64_t now_us = async_os_now_us();
  async_mutex_enter(&stream->mutex);
  status->queued_ops += stream->queue.ops;
  status->queued_bytes += stream->queue.bytes;
  status->peak_queued_bytes += stream->queue.peak_bytes;
  status->committed += stream->pushed.transactions;
  status->applied += stream->applied.transactions;
  status->durable += stream->durable.transactions;
  if (stream->queue.head != NULL) {
    int64_t age_us = now_us - stream->queue.head->queued_us;
    status->oldest_queued_us = larger(status->oldest_queued_us, age_us);
  }
  int64_t since_us = async_stream_undurable_since(stream);
  if (since_us != 0) status->undurable_us = larger(status->undurable_us, now_us - since_us);
  async_stats_add(&status->stats, &stream->stats);
  status->wal_bytes += stream->wal.end;
  if (stream->wal.blocked) status->checkpoint_blocked = true;
  if (status->checkpoint_code == SQLITE_OK) status->checkpoint_code = stream->wal.code;
  if (async_stream_is_stalled(stream)) status->stalled = true;
  if (stream->error.code != SQLITE_OK && status->error == SQLITE_OK) {
    status->error = stream->error.code;
    status->error_operation = stream->error.operation;
    snprintf(status->error_path, sizeof status->error_path, "%s",
             stream->error.path == NULL ? stream->path : stream->error.path);
  }
  async_mutex_leave(&stream->mutex);
}

static const char *state_name(const AsyncStatus *status) {
  if (status->error != SQLITE_OK) return "failed";
  if (status->stalled) return "disk-full";
  return async_scheduler_has_runner() ? "running" : "halted";
}

void async_status_write_members(AsyncJson *json, const AsyncStatus *status) {
  async_json_text(json, "commit", async_level_name(status->level));
  async_json_number(json, "queuedOps", status->queued_ops);
  async_json_number(json, "queuedBytes", status->queued_bytes);
  async_json_number(json, "peakQueuedBytes", status->peak_queued_bytes);
  async_json_number(json, "committed", status->committed);
  async_json_number(json, "applied", status->applied);
  async_json_number(json, "durable", status->durable);
  async_json_ms(json, "oldestQueuedMs", status->oldest_queued_us);
  async_json_ms(json, "undurableMs", status->undurable_us);
  async_json_number(json, "opsApplied", status->stats.ops_applied);
  async_json_number(json, "bytesWritten", status->stats.bytes_written);
  async_json_number(json, "syncs", status->stats.syncs);
  async_json_ms(json, "syncMsTotal", status->stats.sync_us_total);
  async_json_ms(json, "syncMsMax", status->stats.sync_us_max);
  async_json_ms(json, "undurableMsMax", status->stats.undurable_us_max);
  async_json_number(json, "lateFlushes", status->stats.late_flushes);
  async_json_number(json, "walBytes", status->wal_bytes);
  async_json_number(json, "checkpoints", status->stats.checkpoints);
  async_json_bool(json, "checkpointBlocked", status->checkpoint_blocked);
  bool failed = status->checkpoint_code != SQLITE_OK;
  async_json_text(json, "checkpointError", failed ? sqlite3_errstr(status->checkpoint_code) : NULL);
  async_json_number(json, "fullWaits", status->stats.full_waits);
  async_json_ms(json, "fullWaitMs", status->stats.full_wait_us);
  async_json_text(json, "state", state_name(status));
  if (status->error == SQLITE_OK) {
    async_json_text(json, "error", NULL);
  } else {
    async_json_object(json, "error");
    async_json_number(json, "code", status->error);
    async_json_text(json, "operation", status->error_operation);
    async_json_text(json, "path", status->error_path);
    async_json_text(json, "message", sqlite3_errstr(status->error));
    async_json_close(json);
  }
}

int async_status_write(const AsyncStatus *status, char *buf, size_t n) {
  AsyncJson json = {.buf = buf, .room = n};
  async_json_open(&json);
  async_status_write_members(&json, status);
  async_json_close(&json);
  return (int)json.length;
}

int async_status_of_stream(AsyncStream *stream, int level, char *buf, size_t n) {
  AsyncStatus status = {.level = level};
  async_status_add(&status, stream);
  return async_status_write(&status, buf, n);
}
