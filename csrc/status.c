/*
** Status, and events as sqlite3async.h offers them.  See status.h and event.h.
*/
#include "status.h"

#include "config.h"
#include "api.h"
#include "event.h"
#include "file.h"
#include "init.h"
#include "json.h"
#include "level.h"
#include "outside.h"
#include "registry.h"

#include <stdio.h>

#define STATUS_PATH_MAX 1024

/* A copy, so that text is made without a lock. */
typedef struct Status {
  int level; /* of commits */
  int64_t queued_ops;
  int64_t queued_bytes;
  int64_t peak_queued_bytes;
  int64_t committed;
  int64_t applied;
  int64_t durable;
  int64_t oldest_queued_us; /* ages */
  int64_t undurable_us;
  AsyncStats stats;
  int64_t wal_bytes;
  bool checkpoint_blocked;
  int checkpoint_code;
  bool held;
  int error; /* the code */
  const char *error_operation;
  char error_path[STATUS_PATH_MAX];
} Status;

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* Sums, and of the ages the largest; of several errors the first one met. */
static void add_stream(Status *status, AsyncStream *stream) {
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
  if (async_stream_is_stalled(stream)) status->held = true;
  if (stream->error.code != SQLITE_OK && status->error == SQLITE_OK) {
    status->error = stream->error.code;
    status->error_operation = stream->error.operation;
    snprintf(status->error_path, sizeof status->error_path, "%s",
             stream->error.path == NULL ? stream->path : stream->error.path);
  }
  async_mutex_leave(&stream->mutex);
}

static const char *state_name(const Status *status) {
  if (status->error != SQLITE_OK) return "failed";
  if (status->held) return "disk-full";
  return async_scheduler_has_runner() ? "running" : "halted";
}

static void write_members(AsyncJson *json, const Status *status) {
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

static int write_status(const Status *status, char *buf, size_t n) {
  AsyncJson json = {.buf = buf, .room = n};
  async_json_open(&json);
  write_members(&json, status);
  async_json_close(&json);
  return (int)json.length;
}

int async_status_write(AsyncStream *stream, int level, char *buf, size_t n) {
  Status status = {.level = level};
  add_stream(&status, stream);
  return write_status(&status, buf, n);
}

/* It is closed, and its stream about to end: nothing is left to tell. */
static bool is_over(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  bool durable = stream->durable.seq == stream->pushed.seq && !stream->directory_dirty;
  bool over = stream->handles == 0 && durable && stream->error.code == SQLITE_OK;
  async_mutex_leave(&stream->mutex);
  return over;
}

int sqlite3async_status(const char *zPath, char *buf, int n) {
  int rc = async_api_ready("status");
  if (rc != SQLITE_OK) return -rc;
  bool all = zPath == NULL || zPath[0] == '\0';
  AsyncStream **streams;
  rc = async_api_find(zPath, &streams);
  if (rc != SQLITE_OK) return -async_api_error(rc, "status: %s", sqlite3_errstr(rc));
  if (!all && (streams[0] == NULL || is_over(streams[0]))) {
    async_registry_unref_all(streams);
    return -async_outside_error("tell the status of", zPath, false);
  }
  Status status = {.level = (int)async_config.commit};
  for (AsyncStream **stream = streams; *stream != NULL; stream++) add_stream(&status, *stream);
  if (all) {
    AsyncPast past = async_registry_past();
    status.committed += past.pushed.transactions;
    status.applied += past.applied.transactions;
    status.durable += past.durable.transactions;
    async_stats_add(&status.stats, &past.stats);
  }
  async_registry_unref_all(streams);
  return write_status(&status, buf, buf == NULL || n < 0 ? 0 : (size_t)n);
}

/* ---- Which databases are open ---- */

/* The connections, or -1 if nobody has the database open and nothing of it is left to write. */
static int look_at(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  int connections = stream->connections;
  bool ended = stream->cut_off || (stream->handles == 0 && stream->queue.head == NULL);
  async_mutex_leave(&stream->mutex);
  return ended ? -1 : connections;
}

int sqlite3async_databases(char *buf, int n) {
  int rc = async_api_ready("databases");
  if (rc != SQLITE_OK) return -rc;
  AsyncStream **streams = async_registry_all();
  if (streams == NULL) return -async_api_error(SQLITE_NOMEM, "databases: out of memory");
  AsyncJson json = {.buf = buf, .room = buf == NULL || n < 0 ? 0 : (size_t)n};
  async_json_open_list(&json);
  for (AsyncStream **stream = streams; *stream != NULL; stream++) {
    int connections = look_at(*stream);
    if (connections < 0) continue;
    Status status = {.level = (int)async_config.commit};
    add_stream(&status, *stream);
    async_json_element(&json);
    async_json_text(&json, "path", (*stream)->path);
    async_json_number(&json, "connections", connections);
    write_members(&json, &status);
    async_json_close(&json);
  }
  async_registry_unref_all(streams);
  async_json_close_list(&json);
  return (int)json.length;
}

int sqlite3async_is_open(const char *zPath) {
  int rc = async_api_ready("is_open");
  if (rc != SQLITE_OK) return -rc;
  AsyncStream **streams;
  rc = async_api_find(zPath, &streams);
  if (rc != SQLITE_OK) return -async_api_error(rc, "is_open: %s", sqlite3_errstr(rc));
  int is_open = 0;
  for (AsyncStream **stream = streams; *stream != NULL && !is_open; stream++) {
    is_open = look_at(*stream) > 0;
  }
  async_registry_unref_all(streams);
  return is_open;
}

/* ---- Events ---- */

static const char *kind_name(AsyncEventKind kind) {
  switch (kind) {
  case ASYNC_EVENT_ERROR:
    return "error";
  case ASYNC_EVENT_DISK_FULL:
    return "diskfull";
  case ASYNC_EVENT_RESUME:
    return "resume";
  }
  return "";
}

int sqlite3async_event(sqlite3_int64 *cursor, char *buf, int n) {
  if (async_forked) return 0;
  async_init();
  if (cursor == NULL) return 0;
  if (buf == NULL) {
    *cursor = async_event_count();
    return 0;
  }
  AsyncEvent event;
  int64_t position = *cursor;
  if (!async_event_read(&position, &event)) return 0;
  AsyncJson json = {.buf = buf, .room = n > 0 ? (size_t)n : 0};
  async_json_open(&json);
  async_json_text(&json, "type", kind_name(event.kind));
  async_json_number(&json, "code", event.code);
  async_json_text(&json, "operation", event.operation);
  async_json_text(&json, "path", event.path);
  async_json_text(&json, "database", event.database);
  async_json_close(&json);
  if (json.length < json.room) *cursor = position + 1;
  return (int)json.length;
}
