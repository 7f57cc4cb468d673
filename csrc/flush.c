/*
** Flush.  See flush.h and sqlite3async.h.
*/
#include "flush.h"

#include "control.h"
#include "registry.h"
#include "writer.h"

/* How often to see whether the writer was stopped. */
#define WAIT_SLICE_US 50000

int64_t async_flush_request(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  int64_t ticket = stream->pushed.seq;
  if (stream->error.code != SQLITE_OK) {
    ticket = -stream->error.code;
  } else if (stream->durable.seq >= ticket) {
    ticket = 0;
  }
  if (ticket <= 0) {
    async_mutex_leave(&stream->mutex);
    return ticket;
  }
  if (stream->flush_wanted < ticket) stream->flush_wanted = ticket;
  async_stream_leave_and_wake(stream);
  return ticket;
}

static int wait_for(AsyncStream *stream, int64_t ticket, int64_t until_us) {
  int rc = SQLITE_OK;
  async_mutex_enter(&stream->mutex);
  while (stream->durable.seq < ticket) {
    rc = stream->error.code;
    if (rc != SQLITE_OK) break;
    int64_t slice_us = WAIT_SLICE_US;
    if (until_us >= 0) {
      int64_t left_us = until_us - async_os_now_us();
      rc = left_us <= 0 ? SQLITE_BUSY : SQLITE_OK;
      if (left_us < slice_us) slice_us = left_us;
    }
    if (rc == SQLITE_OK && !async_writer_is_running()) rc = SQLITE_MISUSE;
    if (rc != SQLITE_OK) break;
    async_stream_wait(stream, &stream->durable_moved, slice_us);
  }
  async_mutex_leave(&stream->mutex);
  return rc;
}

static int flush_until(AsyncStream *stream, int64_t until_us) {
  int64_t ticket = async_flush_request(stream);
  if (ticket <= 0) return (int)-ticket;
  return wait_for(stream, ticket, until_us);
}

static int64_t deadline_of(int timeout_ms) {
  return timeout_ms < 0 ? -1 : async_os_now_us() + (int64_t)timeout_ms * 1000;
}

int async_flush_stream(AsyncStream *stream, int timeout_ms) {
  return flush_until(stream, deadline_of(timeout_ms));
}

/* ---- The public functions ---- */

/* The streams that zPath means: as async_registry_all(). */
static AsyncStream **streams_of(const char *zPath) {
  if (zPath == NULL || zPath[0] == '\0') return async_registry_all();
  return async_control_find(zPath);
}

static int report(int rc, const char *path) {
  if (rc == SQLITE_MISUSE) {
    return async_control_error(rc, "flush of %s: no writer is running; call sqlite3async_start()",
                               path);
  }
  if (rc == SQLITE_BUSY) return async_control_error(rc, "flush of %s: not done in time", path);
  if (rc != SQLITE_OK) return async_control_error(rc, "flush of %s: %s", path, sqlite3_errstr(rc));
  return SQLITE_OK;
}

int sqlite3async_flush(const char *zPath, int timeoutMs) {
  int rc = async_control_ready("flush");
  if (rc != SQLITE_OK) return rc;
  int64_t until_us = deadline_of(timeoutMs);
  AsyncStream **streams = streams_of(zPath);
  if (streams == NULL) return async_control_error(SQLITE_NOMEM, "flush: out of memory");
  /* First ask all, so that their syncs can overlap; then wait for each. */
  for (AsyncStream **stream = streams; *stream != NULL; stream++) async_flush_request(*stream);
  for (AsyncStream **stream = streams; *stream != NULL; stream++) {
    int one = flush_until(*stream, until_us);
    if (one != SQLITE_OK && rc == SQLITE_OK) rc = report(one, (*stream)->path);
  }
  async_registry_release_all(streams);
  return rc;
}

int sqlite3async_flush_begin(const char *zPath, sqlite3_int64 *pairs, int nPair) {
  int rc = async_control_ready("flush");
  if (rc != SQLITE_OK) return -rc;
  AsyncStream **streams = streams_of(zPath);
  if (streams == NULL) return -async_control_error(SQLITE_NOMEM, "flush: out of memory");
  int count = 0;
  for (AsyncStream **stream = streams; *stream != NULL; stream++) {
    int64_t ticket = async_flush_request(*stream);
    if (ticket < 0 && rc == SQLITE_OK) rc = report((int)-ticket, (*stream)->path);
    if (ticket > 0 && rc == SQLITE_OK && !async_writer_is_running()) {
      rc = report(SQLITE_MISUSE, (*stream)->path);
    }
    if (ticket <= 0) continue;
    if (count < nPair) {
      pairs[2 * count] = (*stream)->id;
      pairs[2 * count + 1] = ticket;
    }
    count++;
  }
  async_registry_release_all(streams);
  return rc != SQLITE_OK ? -rc : count;
}

sqlite3_int64 sqlite3async_durable(sqlite3_int64 streamId) {
  return async_registry_durable(streamId);
}
