/*
** A writer of small JSON objects, and lists of them, into a buffer of given size, for the status
** and the events.  Like snprintf, it counts what does not fit.  What is no UTF-8 in a
** text is replaced.
*/
#ifndef ASYNC_JSON_H
#define ASYNC_JSON_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct AsyncJson {
  char *buf;
  size_t room;
  size_t length; /* of the whole text, written or not; the buffer is terminated */
  int members;   /* of the object or the list being written */
} AsyncJson;

/* Begin and end an object. */
void async_json_open(AsyncJson *json);
void async_json_close(AsyncJson *json);

void async_json_number(AsyncJson *json, const char *name, int64_t value);
/* Microseconds, as milliseconds with their fraction. */
void async_json_ms(AsyncJson *json, const char *name, int64_t us);
void async_json_bool(AsyncJson *json, const char *name, bool value);
/* A list of objects: begin it, begin each object (async_json_close() ends it), end it. */
void async_json_open_list(AsyncJson *json);
void async_json_element(AsyncJson *json);
void async_json_close_list(AsyncJson *json);

/* value may be NULL. */
void async_json_text(AsyncJson *json, const char *name, const char *value);
/* Begin a member that is itself an object; close it with async_json_close(). */
void async_json_object(AsyncJson *json, const char *name);

#endif /* ASYNC_JSON_H */
