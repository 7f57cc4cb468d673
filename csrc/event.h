/*
** Events for whoever watches the module: a stream failed, met a full disk,
** or went on after one.  A ring of the latest ones; readers keep their own
** place in it, so there may be any number of them.
*/
#ifndef ASYNC_EVENT_H
#define ASYNC_EVENT_H

#include <stdint.h>

typedef enum AsyncEventKind {
  ASYNC_EVENT_ERROR,
  ASYNC_EVENT_DISK_FULL,
  ASYNC_EVENT_RESUME,
} AsyncEventKind;

void async_event_init(void);

/*
** Publish an event about a database.  `operation` is a constant; path is the
** file that was worked on.  Call it with no mutex held: it wakes JavaScript.
*/
void async_event_publish(AsyncEventKind kind, int code, const char *operation, const char *path,
                         const char *database);

#endif /* ASYNC_EVENT_H */
