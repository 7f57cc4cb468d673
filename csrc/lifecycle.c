/*
** The module's life, as sqlite3async.h offers it: from initialize and start to stop, drain and
** close.
*/
#include "checkpoint.h"
#include "client.h"
#include "closing.h"
#include "config.h"
#include "api.h"
#include "ending.h"
#include "init.h"
#include "parameters.h"
#include "registry.h"
#include "router.h"
#include "vfs.h"
#include "writer.h"

#include <stdio.h>

#define NAMES_MAX 1024

/* ---- The beginning ---- */

static int initialize(const char *zParent, bool is_default) {
  if (async_api_parent() != NULL) return SQLITE_OK;
  /* A flush of one would know nothing of what the other has queued. */
  if (sqlite3_vfs_find(SQLITEASYNC_VFSNAME) != NULL) {
    return async_api_error(SQLITE_MISUSE,
                           "initialize: another copy of sqlite3async is in use in this "
                           "process; all who use it must load the same file");
  }
  sqlite3_vfs *parent = sqlite3_vfs_find(zParent);
  if (parent == NULL) {
    return async_api_error(SQLITE_ERROR, "initialize: there is no VFS called \"%s\"",
                           zParent == NULL ? "" : zParent);
  }
  int rc = async_vfs_register(parent, is_default);
  if (rc != SQLITE_OK) return async_api_error(rc, "initialize: %s", sqlite3_errstr(rc));
  async_api_set_parent(parent);
  return SQLITE_OK;
}

int sqlite3async_initialize(const char *zParent, int isDefault) {
  if (async_forked) return async_api_refuse_in_child("initialize");
  async_init();
  async_api_enter();
  int rc = initialize(zParent, isDefault != 0);
  async_api_leave();
  return rc;
}

void sqlite3async_shutdown(void) {
  if (async_api_parent() == NULL || async_forked) return;
  async_api_enter();
  async_router_unregister();
  async_vfs_unregister();
  async_api_set_parent(NULL);
  async_api_leave();
}

void sqlite3async_run(void) {
  if (async_forked) return;
  async_init();
  async_writer_run();
}

int sqlite3async_start(void) {
  int rc = async_api_ready("start");
  if (rc != SQLITE_OK) return rc;
  async_api_enter();
  bool ran = async_writer_has_threads();
  bool started = async_writer_start() && async_checkpoint_start();
  if (!started && !ran) async_writer_stop();
  if (started) {
    async_checkpoint_pause(false); /* after a drain for an end that did not come */
    async_ending_cancel();
    async_writer_ensure_threads(async_registry_count());
    async_parameters_use_defaults();
  }
  async_api_leave();
  if (started) return SQLITE_OK;
  return async_api_error(SQLITE_ERROR, "start: the system gives no thread");
}

/* ---- The end ---- */

static int check_timeout(const char *operation, int timeoutMs) {
  if (timeoutMs >= 0) return SQLITE_OK;
  return async_api_error(SQLITE_MISUSE, "%s: the timeout is %d ms; it must be 0 or more", operation,
                         timeoutMs);
}

int sqlite3async_stop(int timeoutMs) {
  int rc = async_api_ready("stop");
  if (rc == SQLITE_OK) rc = check_timeout("stop", timeoutMs);
  if (rc != SQLITE_OK) return rc;
  async_api_enter();
  async_checkpoint_stop();
  async_api_leave();
  bool drained = async_writer_drain((int64_t)timeoutMs * 1000);
  async_api_enter();
  async_writer_stop();
  async_api_leave();
  if (drained) return SQLITE_OK;
  return async_api_error(SQLITE_BUSY,
                         "stop: not all was written within %d ms; the rest stays "
                         "queued",
                         timeoutMs);
}

int sqlite3async_drain(void) {
  int rc = async_api_ready("drain");
  if (rc != SQLITE_OK || !async_config.drain_on_exit) return rc;
  async_checkpoint_pause(true); /* what it would still queue is in the WAL already */
  if (!async_writer_finish(async_config.exit_drain_ms * 1000)) {
    return async_api_error(SQLITE_BUSY, "drain: not all was written within %lld ms",
                           (long long)async_config.exit_drain_ms);
  }
  /* Who is not there is not killed in the middle of what the runtime's end still queues. */
  async_api_enter();
  async_checkpoint_stop();
  async_writer_stop();
  async_api_leave();
  return SQLITE_OK;
}

int sqlite3async_ending(void) {
  if (!async_forked) async_ending_begin();
  return SQLITE_OK;
}

/* Name the databases that are open, in the message. */
static int refuse_open_databases(void) {
  AsyncStream **streams = async_registry_all();
  if (streams == NULL) return async_api_error(SQLITE_NOMEM, "close: out of memory");
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
    return async_api_error(SQLITE_BUSY,
                           "close: still open: %.900s; close them first, or close by force", names);
  }
  return async_api_error(
      SQLITE_LOCKED, "close: closed, but with statements that are not finalized: %.900s", names);
}

/* Cut off what is still open. */
static int cut_off_open_databases(int timeoutMs) {
  AsyncStream **streams = async_registry_all();
  if (streams == NULL) return async_api_error(SQLITE_NOMEM, "close: out of memory");
  int64_t until_us = async_os_now_us() + (int64_t)timeoutMs * 1000;
  int rc = SQLITE_OK;
  for (AsyncStream **stream = streams; *stream != NULL && rc == SQLITE_OK; stream++) {
    rc = async_closing_cut_off(*stream, until_us);
  }
  async_registry_unref_all(streams);
  if (rc == SQLITE_OK) return rc;
  return async_api_error(rc, "close: not all was durable within %d ms", timeoutMs);
}

/* What close() has stopped, and started. */
typedef struct Changes {
  bool stopped_checkpointer;
  bool started_writer;
} Changes;

static int refuse_queued(Changes *changes, int timeoutMs) {
  /* A halted writer is somebody's wish; a stopped one is in nobody's way. */
  if (!async_scheduler_has_runner() && async_writer_halt() == SQLITEASYNC_HALT_NEVER) {
    async_api_enter();
    changes->started_writer = async_writer_start();
    async_writer_ensure_threads(async_registry_count());
    async_api_leave();
    if (!changes->started_writer) {
      return async_api_error(SQLITE_ERROR, "close: the system gives no thread");
    }
  }
  if (async_writer_drain((int64_t)timeoutMs * 1000)) return SQLITE_OK;
  return async_api_error(SQLITE_BUSY,
                         "close: not all was written within %d ms; is the "
                         "writer halted?",
                         timeoutMs);
}

/* It is refused: all goes on as before. */
static void undo_close(const Changes *changes) {
  async_api_enter();
  if (changes->started_writer) async_writer_stop();
  if (changes->stopped_checkpointer) async_checkpoint_start();
  async_api_leave();
}

static int close_all(int timeoutMs, bool force) {
  int rc = async_api_ready("close");
  if (rc == SQLITE_OK) rc = check_timeout("close", timeoutMs);
  if (rc != SQLITE_OK) return rc;
  Changes changes = {0};
  async_api_enter();
  changes.stopped_checkpointer =
      async_checkpoint_stop(); /* its connections are not to count as open */
  async_api_leave();
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
  async_api_enter();
  async_checkpoint_stop(); /* another thread may have started it meanwhile */
  async_writer_stop();
  async_api_leave();
  sqlite3async_shutdown();
  return rc; /* closed all the same, but something was lost before */
}

int sqlite3async_release_closed(void) {
  int rc = async_api_ready("release");
  if (rc == SQLITE_OK) async_client_release_abandoned();
  return rc;
}

int sqlite3async_close(int timeoutMs) { return close_all(timeoutMs, false); }

int sqlite3async_close_by_force(int timeoutMs) { return close_all(timeoutMs, true); }
