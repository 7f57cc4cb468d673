/*
** What programs ask of the module by sqlite3async.h: its status, which databases are open, events.
*/
#include "api.h"
#include "config.h"
#include "event.h"
#include "init.h"
#include "outside.h"
#include "registry.h"
#include "status.h"

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
  AsyncStatus status = {.level = (int)async_config.commit};
  for (AsyncStream **stream = streams; *stream != NULL; stream++)
    async_status_add(&status, *stream);
  if (all) {
    AsyncPast past = async_registry_past();
    status.committed += past.pushed.transactions;
    status.applied += past.applied.transactions;
    status.durable += past.durable.transactions;
    async_stats_add(&status.stats, &past.stats);
  }
  async_registry_unref_all(streams);
  return async_status_write(&status, buf, buf == NULL || n < 0 ? 0 : (size_t)n);
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
    AsyncStatus status = {.level = (int)async_config.commit};
    async_status_add(&status, *stream);
    async_json_element(&json);
    async_json_text(&json, "path", (*stream)->path);
    async_json_number(&json, "connections", connections);
    async_status_write_members(&json, &status);
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
