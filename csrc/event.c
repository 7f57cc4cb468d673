/*
** Events.  See event.h.
*/
#include "event.h"

#include "mutex.h"
#include "notify.h"

#include <stdio.h>
#include <string.h>

#define EVENTS_KEPT 64
static AsyncMutex event_mutex;
static AsyncEvent events[EVENTS_KEPT]; /* guarded by event_mutex, as is event_count */
static int64_t event_count;            /* since the process began */

void async_event_init(void) { async_mutex_init(&event_mutex, ASYNC_RANK_EVENT); }

void async_event_publish(AsyncEventKind kind, int code, const char *operation, const char *path,
                         const char *database) {
  async_mutex_enter(&event_mutex);
  AsyncEvent *event = &events[event_count % EVENTS_KEPT];
  event->kind = kind;
  event->code = code;
  event->operation = operation;
  snprintf(event->path, sizeof event->path, "%s", path);
  snprintf(event->database, sizeof event->database, "%s", database);
  event_count++;
  async_mutex_leave(&event_mutex);
  async_notify();
}

int64_t async_event_count(void) {
  async_mutex_enter(&event_mutex);
  int64_t count = event_count;
  async_mutex_leave(&event_mutex);
  return count;
}

bool async_event_read(int64_t *cursor, AsyncEvent *event) {
  async_mutex_enter(&event_mutex);
  if (*cursor < event_count - EVENTS_KEPT) *cursor = event_count - EVENTS_KEPT;
  if (*cursor < 0) *cursor = 0;
  bool there = *cursor < event_count;
  if (there) *event = events[*cursor % EVENTS_KEPT];
  async_mutex_leave(&event_mutex);
  return there;
}
