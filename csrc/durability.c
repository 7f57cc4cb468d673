/*
** Durability, as sqlite3async.h offers it: flush in its forms, and release.
*/
#include "config.h"
#include "api.h"
#include "flush.h"
#include "init.h"
#include "lock.h"
#include "outside.h"
#include "registry.h"

#include <stdlib.h>

static int report(int rc, const char *path) {
  if (path == NULL || path[0] == '\0') path = "all databases";
  if (rc == SQLITE_MISUSE) {
    return async_api_error(rc, "flush of %s: no writer is running; call sqlite3async_start()",
                           path);
  }
  if (rc == SQLITE_BUSY) return async_api_error(rc, "flush of %s: not done in time", path);
  if (rc != SQLITE_OK) return async_api_error(rc, "flush of %s: %s", path, sqlite3_errstr(rc));
  return SQLITE_OK;
}

/* A database that failed after it was closed: whoever asks first is told. */
static int report_past_failure(const char *zPath) {
  if (!async_registry_has_failure()) return SQLITE_OK; /* and no path is to be resolved */
  bool all = zPath == NULL || zPath[0] == '\0';
  char *full = NULL;
  int rc = all ? SQLITE_OK : async_api_full_path(zPath, &full);
  if (rc != SQLITE_OK) return report(rc, zPath); /* it is told the next time */
  AsyncFailure failure;
  bool found = async_registry_take_failure(full, &failure);
  free(full);
  return found ? report(failure.code, failure.path) : SQLITE_OK;
}

/* Everything that is ours is durable; was the caller's database among it? */
static int report_outside(const char *zPath, bool found) {
  if (zPath == NULL || zPath[0] == '\0') return async_outside_check_routes("flush");
  if (found) return SQLITE_OK;
  int rc = async_outside_was_open(zPath);
  if (rc == SQLITE_NOTFOUND) return async_outside_error("flush", zPath, true);
  return report(rc, zPath);
}

int sqlite3async_flush(const char *zPath, int timeoutMs) {
  int rc = async_api_ready("flush");
  if (rc != SQLITE_OK) return rc;
  int64_t until_us = async_flush_deadline(timeoutMs);
  AsyncStream **streams;
  rc = async_api_find(zPath, &streams);
  if (rc != SQLITE_OK) return report(rc, zPath);
  /* First ask all, so that their syncs can overlap; then wait for each.  A single one is asked
  ** when it is waited for: this thread may do the work itself, and then nobody is to be woken. */
  bool found = streams[0] != NULL;
  bool several = found && streams[1] != NULL;
  for (AsyncStream **stream = streams; several && *stream != NULL; stream++) {
    async_flush_request(*stream);
  }
  for (AsyncStream **stream = streams; *stream != NULL; stream++) {
    int one = async_flush_until(*stream, until_us);
    if (one != SQLITE_OK && rc == SQLITE_OK) rc = report(one, (*stream)->path);
  }
  async_registry_unref_all(streams);
  if (rc == SQLITE_OK) rc = report_past_failure(zPath);
  return rc == SQLITE_OK ? report_outside(zPath, found) : rc;
}

int sqlite3async_flush_begin(const char *zPath, sqlite3_int64 *pairs, int nPair) {
  int rc = async_api_ready("flush");
  if (rc != SQLITE_OK) return -rc;
  AsyncStream **streams;
  rc = async_api_find(zPath, &streams);
  if (rc != SQLITE_OK) return -report(rc, zPath);
  bool found = streams[0] != NULL;
  int count = 0;
  for (AsyncStream **stream = streams; *stream != NULL; stream++) {
    int64_t ticket = async_flush_request(*stream);
    if (ticket < 0 && rc == SQLITE_OK) rc = report((int)-ticket, (*stream)->path);
    if (ticket > 0 && rc == SQLITE_OK && !async_scheduler_has_runner()) {
      rc = report(SQLITE_MISUSE, (*stream)->path);
    }
    if (ticket <= 0) continue;
    if (pairs != NULL && count < nPair) {
      pairs[2 * count] = (*stream)->id;
      pairs[2 * count + 1] = ticket;
    }
    count++;
  }
  async_registry_unref_all(streams);
  if (rc == SQLITE_OK) rc = report_past_failure(zPath);
  if (rc == SQLITE_OK) rc = report_outside(zPath, found);
  return rc != SQLITE_OK ? -rc : count;
}

/* ---- Release ---- */

#define RELEASE_POLL_US 1000

/* Once; then the checkpointer, if it was in the way, is about to go. */
static int try_release(AsyncStream *stream, int64_t until_us) {
  int rc = async_flush_until(stream, until_us);
  if (rc != SQLITE_OK) return rc;
  async_lock_await_checkpoint(stream, 0); /* interrupt it */
  return async_lock_hand_over(stream);
}

int sqlite3async_release(const char *zPath, int timeoutMs) {
  int rc = async_api_ready_for("release", zPath);
  if (rc != SQLITE_OK) return rc;
  int64_t until_us = async_flush_deadline(timeoutMs < 0 ? 0 : timeoutMs);
  AsyncStream **streams;
  rc = async_api_find(zPath, &streams);
  if (rc == SQLITE_OK && streams[0] == NULL) rc = SQLITE_NOTFOUND;
  if (rc == SQLITE_OK) {
    rc = try_release(streams[0], until_us);
    while (rc == SQLITE_BUSY && async_os_now_us() < until_us) {
      async_os_sleep_us(RELEASE_POLL_US);
      rc = try_release(streams[0], until_us);
    }
  }
  async_registry_unref_all(streams);
  switch (rc) {
  case SQLITE_OK:
    return rc;
  case SQLITE_NOTFOUND:
    return async_outside_error("release", zPath, false);
  case SQLITE_BUSY:
    return async_api_error(rc,
                           "release of %s: within %d ms there was no moment without a "
                           "transaction and with everything written",
                           zPath, timeoutMs);
  case SQLITE_MISUSE:
    return async_api_error(rc,
                           "release of %s: no writer is running; call "
                           "sqlite3async_start()",
                           zPath);
  default:
    return async_api_error(rc, "release of %s: %s", zPath, sqlite3_errstr(rc));
  }
}

sqlite3_int64 sqlite3async_durable(sqlite3_int64 streamId) {
  if (async_forked) return -SQLITE_MISUSE;
  async_init();
  return async_registry_durable(streamId);
}
