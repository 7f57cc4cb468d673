/*
** The status of a stream, or of all: what PRAGMA async_status and
** sqlite3async_status() give, under the names the TypeScript API uses.
*/
#ifndef ASYNC_STATUS_H
#define ASYNC_STATUS_H

#include "json.h"
#include "stream.h"

#define ASYNC_STATUS_PATH_MAX 1024

/* A copy, so that text is made without a lock. */
typedef struct AsyncStatus {
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
  bool stalled;
  int error; /* the code */
  const char *error_operation;
  char error_path[ASYNC_STATUS_PATH_MAX];
} AsyncStatus;

/* Add a stream: counts are summed, and of ages the largest is kept; of several errors the first. */
void async_status_add(AsyncStatus *status, AsyncStream *stream);

/* As members of an object that is open, or as an object of its own.  The result is the length of
** the whole text, as snprintf. */
void async_status_write_members(AsyncJson *json, const AsyncStatus *status);
int async_status_write(const AsyncStatus *status, char *buf, size_t n);

/* The same of one stream.  level: of the commits of the connection that asks. */
int async_status_of_stream(AsyncStream *stream, int level, char *buf, size_t n);

#endif /* ASYNC_STATUS_H */
