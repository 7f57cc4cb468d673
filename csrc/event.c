/*
** Events.  See event.h; sqlite3async_event() is the reader's side.
*/
#include "event.h"

#include "host.h"
#include "json.h"
#include "mutex.h"
#include "notify.h"

#include <stdio.h>
#include <string.h>

#define EVENTS_KEPT 64
#define EVENT_PATH_MAX 512

typedef struct Event {
  AsyncEventKind kind;
  int code;
  const char *operation;
  char path[EVENT_PATH_MAX]; /* cut if longer: an event tells, it does not identify */
  char database[EVENT_PATH_MAX];
} Event;

static AsyncMutex event_mutex;
static Event events[EVENTS_KEPT]; /* guarded by event_mutex, as is event_count */
static int64_t event_count;       /* since the process began */

void async_event_init(void) { async_mutex_init(&event_mutex, ASYNC_RANK_EVENT); }

void async_event_publish(AsyncEventKind kind, int code, const char *operation, const char *path,
                         const char *database) {
  async_mutex_enter(&event_mutex);
  Event *event = &events[event_count % EVENTS_KEPT];
  event->kind = kind;
  event->code = code;
  event->operation = operation;
  snprintf(event->path, sizeof event->path, "%s", path);
  snprintf(event->database, sizeof event->database, "%s", database);
  event_count++;
  async_mutex_leave(&event_mutex);
  async_notify();
}

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
  async_mutex_enter(&event_mutex);
  if (buf == NULL) {
    *cursor = event_count;
    async_mutex_leave(&event_mutex);
    return 0;
  }
  if (*cursor < event_count - EVENTS_KEPT) *cursor = event_count - EVENTS_KEPT;
  if (*cursor < 0) *cursor = 0;
  if (*cursor >= event_count) {
    async_mutex_leave(&event_mutex);
    return 0;
  }
  Event event = events[*cursor % EVENTS_KEPT];
  async_mutex_leave(&event_mutex);

  AsyncJson json = {.buf = buf, .room = n > 0 ? (size_t)n : 0};
  async_json_open(&json);
  async_json_text(&json, "type", kind_name(event.kind));
  async_json_number(&json, "code", event.code);
  async_json_text(&json, "operation", event.operation);
  async_json_text(&json, "path", event.path);
  async_json_text(&json, "database", event.database);
  async_json_close(&json);
  if (json.length < json.room) ++*cursor;
  return (int)json.length;
}
