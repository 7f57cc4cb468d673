/*
** Events for whoever watches the module: a stream failed, is held by a full disk or
** for want of what else others have used up, or goes on after that.  A ring of the
** latest ones; readers keep their own place in it, so there may be any number of them.
*/
#ifndef ASYNC_EVENT_H
#define ASYNC_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#define ASYNC_EVENT_PATH_MAX 512

typedef enum AsyncEventKind {
  ASYNC_EVENT_ERROR,
  ASYNC_EVENT_DISK_FULL,
  ASYNC_EVENT_RESUME,
} AsyncEventKind;

typedef struct AsyncEvent {
  AsyncEventKind kind;
  int code;
  const char *operation;           /* a constant */
  char path[ASYNC_EVENT_PATH_MAX]; /* cut if longer: an event tells, it does not identify */
  char database[ASYNC_EVENT_PATH_MAX];
} AsyncEvent;

void async_event_init(void);

/*
** Publish an event about a database.  `operation` is a constant; path is the
** file that was worked on.  Call it with no mutex held: it wakes JavaScript.
*/
void async_event_publish(AsyncEventKind kind, int code, const char *operation, const char *path,
                         const char *database);

/* How many there have been. */
int64_t async_event_count(void);

/*
** The first event at or behind position *cursor that is still kept; *cursor
** becomes its position.  False if there is none.
*/
bool async_event_read(int64_t *cursor, AsyncEvent *event);

#endif /* ASYNC_EVENT_H */
