/*
** The ends of the module's life, as sqlite3async.h offers them: stop, drain, close.
*/
#include "checkpoint.h"
#include "client.h"
#include "closing.h"
#include "config.h"
#include "control.h"
#include "ending.h"
#include "registry.h"
#include "writer.h"

#include <stdio.h>

#define NAMES_MAX 1024

static int check_timeout(const char *operation, int timeoutMs) {
  if (timeoutMs >= 0) return SQLITE_OK;
  return async_control_error(SQLITE_MISUSE, "%s: the timeout is %d ms; it must be 0 or more",
                             operation, timeoutMs);
}

int sqlite3async_stop(int timeoutMs) {
  int rc = async_control_ready("stop");
  if (rc == SQLITE_OK) rc = check_timeout("stop", timeoutMs);
  if (rc != SQLITE_OK) return rc;
  async_control_enter();
  async_checkpoint_stop();
  async_control_leave();
  bool drained = async_writer_drain((int64_t)timeoutMs * 1000);
  async_control_enter();
  async_writer_stop();
  async_control_leave();
  if (drained) return SQLITE_OK;
  return async_control_error(SQLITE_BUSY,
                             "stop: not all was written within %d ms; the rest stays "
                             "queued",
                             timeoutMs);
}

int sqlite3async_drain(void) {
  int rc = async_control_ready("drain");
  if (rc != SQLITE_OK || !async_config.drain_on_exit) return rc;
  async_checkpoint_pause(true); /* what it would still queue is in the WAL already */
  if (!async_writer_finish(async_config.exit_drain_ms * 1000)) {
    return async_control_error(SQLITE_BUSY, "drain: not all was written within %lld ms",
                               (long long)async_config.exit_drain_ms);
  }
  /* Who is not there is not killed in the middle of what the runtime's end still queues. */
  async_control_enter();
  async_checkpoint_stop();
  async_writer_stop();
  async_control_leave();
  return SQLITE_OK;
}

int sqlite3async_ending(void) {
  if (!async_forked) async_ending_begin();
  return SQLITE_OK;
}

/* Name the databases that are open, in the message. */
static int refuse_open_databases(void) {
  AsyncStream **streams = async_registry_all();
  if (streams == NULL) return async_control_error(SQLITE_NOMEM, "close: out of memory");
  char names[NAMES_MAX] = "";
  size_t length = 0;
  bool all_abandoned = true;
  for (AsyncStream **stream = streams; *stream != NULL; stream++) {
    async_mutex_enter(&(*stream)->mutex);
    bool open = (*stream)->handles > 0 && !(*stream)->cut_off;
    if (open && (*stream)->connections > 0) all_abandoned = false;
    async_mutex_leave(&(*stream)->mutex);
    if (!open || length >= sizeof names) continue;
    length += (size_t)snprintf(names + length, sizeof names - length, "%s%s",
                               length == 0 ? "" : ", ", (*stream)->path);
  }
  async_registry_unref_all(streams);
  if (length == 0) return SQLITE_OK;
  if (!all_abandoned) {
    return async_control_error(
        SQLITE_BUSY, "close: still open: %.900s; close them first, or close by force", names);
  }
  return async_control_error(
      SQLITE_LOCKED, "close: closed, but with statements that are not finalized: %.900s", names);
}

/* Cut off what is still open. */
static int cut_off_open_databases(int timeoutMs) {
  AsyncStream **streams = async_registry_all();
  if (streams == NULL) return async_control_error(SQLITE_NOMEM, "close: out of memory");
  int64_t until_us = async_os_now_us() + (int64_t)timeoutMs * 1000;
  int rc = SQLITE_OK;
  for (AsyncStream **stream = streams; *stream != NULL && rc == SQLITE_OK; stream++) {
    rc = async_closing_cut_off(*stream, until_us);
  }
  async_registry_unref_all(streams);
  if (rc == SQLITE_OK) return rc;
  return async_control_error(rc, "close: not all was durable within %d ms", timeoutMs);
}

/* What close() has stopped, and started. */
typedef struct Changes {
  bool stopped_checkpointer;
  bool started_writer;
} Changes;

static int refuse_queued(Changes *changes, int timeoutMs) {
  /* A halted writer is somebody's wish; a stopped one is in nobody's way. */
  if (!async_scheduler_has_runner() && async_writer_halt() == SQLITEASYNC_HALT_NEVER) {
    async_control_enter();
    changes->started_writer = async_writer_start();
    async_writer_ensure_threads(async_registry_count());
    async_control_leave();
    if (!changes->started_writer) {
      return async_control_error(SQLITE_ERROR, "close: the system gives no thread");
    }
  }
  if (async_writer_drain((int64_t)timeoutMs * 1000)) return SQLITE_OK;
  return async_control_error(SQLITE_BUSY,
                             "close: not all was written within %d ms; is the "
                             "writer halted?",
                             timeoutMs);
}

/* It is refused: all goes on as before. */
static void undo_close(const Changes *changes) {
  async_control_enter();
  if (changes->started_writer) async_writer_stop();
  if (changes->stopped_checkpointer) async_checkpoint_start();
  async_control_leave();
}

static int close_all(int timeoutMs, bool force) {
  int rc = async_control_ready("close");
  if (rc == SQLITE_OK) rc = check_timeout("close", timeoutMs);
  if (rc != SQLITE_OK) return rc;
  Changes changes = {0};
  async_control_enter();
  changes.stopped_checkpointer =
      async_checkpoint_stop(); /* its connections are not to count as open */
  async_control_leave();
  rc = force ? SQLITE_OK : refuse_open_databases();
  if (rc == SQLITE_OK) rc = refuse_queued(&changes, timeoutMs);
  bool refused = rc != SQLITE_OK;
  if (!refused) {
    /* What was just applied is also made durable, as at the end of any stream. */
    rc = sqlite3async_flush(NULL, timeoutMs);
    refused = rc == SQLITE_BUSY || rc == SQLITE_MISUSE;
    if (rc == SQLITE_NOTFOUND) rc = SQLITE_OK; /* of a route, which ends with the VFS */
  }
  if (!refused && force) {
    int cut = cut_off_open_databases(timeoutMs);
    if (cut != SQLITE_OK) rc = cut;
    refused = cut != SQLITE_OK;
  }
  if (refused) {
    undo_close(&changes);
    return rc;
  }
  async_control_enter();
  async_checkpoint_stop(); /* another thread may have started it meanwhile */
  async_writer_stop();
  async_control_leave();
  sqlite3async_shutdown();
  return rc; /* closed all the same, but something was lost before */
}

int sqlite3async_release_closed(void) {
  int rc = async_control_ready("release");
  if (rc == SQLITE_OK) async_client_release_abandoned();
  return rc;
}

int sqlite3async_close(int timeoutMs) { return close_all(timeoutMs, false); }

int sqlite3async_close_by_force(int timeoutMs) { return close_all(timeoutMs, true); }
