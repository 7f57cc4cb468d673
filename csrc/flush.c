/*
** Flush.  See flush.h.
*/
#include "flush.h"

#include "ending.h"
#include "writer.h"

/* The stream failed, its error was reported or its database deleted, and all handles are closed, so
** that it is about to be freed; or it was cut off from them, once all was durable.  Treat it as not
** open. */
static bool is_past(const AsyncStream *stream) {
  bool is_known = stream->error_told || stream->is_deleted;
  return stream->cut_off || (stream->handles == 0 && is_known);
}

/* Note the wish, of which a writer is still to be told if the ticket is more than 0. */
static int64_t want(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  int64_t ticket = stream->pushed.seq;
  bool past = is_past(stream);
  int rc = past ? SQLITE_OK : async_stream_report_error(stream);
  if (rc != SQLITE_OK) {
    ticket = -rc;
  } else if (past || stream->durable.seq >= ticket) {
    ticket = 0;
  }
  if (stream->flush_wanted < ticket) stream->flush_wanted = ticket;
  async_mutex_leave(&stream->mutex);
  return ticket;
}

/* The sync task's thread applies, too, what is to be synced: to wake one is enough. */
static void tell(AsyncStream *stream) { async_scheduler_wake(&stream->sync_task, ASYNC_WAKE_NOW); }

int64_t async_flush_request(AsyncStream *stream) {
  int64_t ticket = want(stream);
  if (ticket > 0) tell(stream);
  return ticket;
}

static int wait_for(AsyncStream *stream, int64_t ticket, int64_t until_us) {
  int rc = SQLITE_OK;
  async_mutex_enter(&stream->mutex);
  while (stream->durable.seq < ticket) {
    rc = async_stream_report_error(stream);
    if (rc != SQLITE_OK) break;
    int64_t slice_us = ASYNC_STOPPED_POLL_US;
    if (until_us >= 0) {
      int64_t left_us = until_us - async_os_now_us();
      rc = left_us <= 0 ? SQLITE_BUSY : SQLITE_OK;
      if (left_us < slice_us) slice_us = left_us;
    }
    if (rc == SQLITE_OK && !async_scheduler_has_runner()) rc = SQLITE_MISUSE;
    if (rc != SQLITE_OK) break;
    async_stream_wait(stream, &stream->durable_moved, slice_us);
  }
  async_mutex_leave(&stream->mutex);
  return rc;
}

int async_flush_until(AsyncStream *stream, int64_t until_us) {
  int64_t ticket = want(stream);
  if (ticket <= 0) return (int)-ticket;
  /* A step of the writer's has no bound. */
  bool helped = until_us < 0 && async_writer_help(stream, ticket);
  if (!helped) tell(stream);
  return wait_for(stream, ticket, until_us);
}

/* How often to see whether to stop, or whether the writer was stopped. */
#define STOP_POLL_US 2000

/* Under the mutex: SQLITE_BUSY if there is more to wait for. */
static int look_whether_applied(AsyncStream *stream, int64_t seq, const atomic_bool *stop) {
  if (stream->applied.seq >= seq) return SQLITE_OK;
  int rc = async_stream_error_untold(stream);
  if (rc != SQLITE_OK) return rc;
  bool stopped = stop != NULL && *stop;
  bool nobody = !async_scheduler_has_runner() || async_ending_is_over();
  return stopped || nobody || async_stream_is_stalled(stream) ? SQLITE_INTERRUPT : SQLITE_BUSY;
}

int async_flush_await_applied(AsyncStream *stream, int64_t seq, const atomic_bool *stop) {
  async_mutex_enter(&stream->mutex);
  int rc = look_whether_applied(stream, seq, stop);
  async_mutex_leave(&stream->mutex);
  if (rc != SQLITE_BUSY) return rc;
  async_writer_help_apply(stream, seq);
  async_mutex_enter(&stream->mutex);
  async_writer_no_pause(stream, true);
  while ((rc = look_whether_applied(stream, seq, stop)) == SQLITE_BUSY) {
    if (stream->applied_wanted > seq) stream->applied_wanted = seq;
    async_stream_wait(stream, &stream->applied_moved, STOP_POLL_US);
  }
  async_writer_no_pause(stream, false);
  async_mutex_leave(&stream->mutex);
  return rc;
}

int64_t async_flush_deadline(int timeout_ms) {
  return timeout_ms < 0 ? -1 : async_os_now_us() + (int64_t)timeout_ms * 1000;
}

int async_flush_stream(AsyncStream *stream, int timeout_ms) {
  return async_flush_until(stream, async_flush_deadline(timeout_ms));
}
