/*
** What is known of a WAL.  See wal.h.
*/
#include "wal.h"

#include "config.h"
#include "host.h"
#include "os.h"

#include <string.h>

#define FRAME_HEADER 24

/* So much may come in until the WAL is synced as it grows: what a checkpoint must
** sync takes the longer, and holds up the more, the more it is at once. */
#define SYNC_BYTES (4 * 1024 * 1024)
/* So many times as long as it should be a WAL may become while no moment is found to void it. */
#define PATIENCE 16
/* A WAL that should start anew is voided once there was no commit for so long. */
#define GAP_US 10000
#define GAP_RETRY_US 100000
/* So many times as large as it should be the file of a WAL may stay when a load is over. */
#define OVERSIZE 2
/* When to come again after readers were in the way; and after anything else was. */
#define BLOCKED_RETRY_US 50000
#define REFUSED_US 1000000

void async_wal_forget(AsyncWal *wal) {
  wal->end = wal->write_end = wal->backfilled = wal->sync_from = 0;
  wal->has_commit = wal->wants_sync = wal->blocked = false;
  wal->request = ASYNC_CHECKPOINT_NONE;
  wal->starts++;
}

void async_wal_wrote(AsyncWal *wal, const unsigned char *data, int n, int64_t offset) {
  static const unsigned char no_commit[4];
  if (offset == 0) {
    async_wal_forget(wal);
    wal->header_written = true;
    wal->header_unsynced = wal->header != ASYNC_WAL_VOID;
    wal->header = ASYNC_WAL_VALID;
    wal->end = wal->write_end = n;
  } else if (offset == wal->end || offset + n > wal->write_end) {
    /* The first frame of a transaction may lie where one that was rolled back did. */
    wal->write_end = offset + n;
  }
  if (offset > 0) wal->header_written = false;
  wal->free_to_restart = false;
  if (n == FRAME_HEADER && memcmp(data + 4, no_commit, 4) != 0) wal->has_commit = true;
}

AsyncWalSync async_wal_note_sync(AsyncWal *wal) {
  AsyncWalSync sync = wal->header_written ? ASYNC_WAL_SYNC_NEVER : ASYNC_WAL_SYNC_LATER;
  if (wal->header_unsynced) sync = ASYNC_WAL_SYNC_NOW;
  wal->header_written = wal->header_unsynced = false;
  return sync;
}

void async_wal_is_new(AsyncWal *wal) {
  async_wal_forget(wal);
  wal->header = ASYNC_WAL_VOID;
  wal->header_written = wal->header_unsynced = false;
}

int64_t async_wal_end_of_frame(int n, int64_t page_size) {
  return ASYNC_WAL_HEADER_SIZE + n * (FRAME_HEADER + page_size);
}

static bool is_long(const AsyncWal *wal) {
  int64_t limit = async_config.checkpoint_bytes;
  return limit > 0 && wal->end - wal->backfilled >= limit;
}

/* It should start anew. */
static bool is_ripe(const AsyncWal *wal) {
  int64_t limit = async_config.checkpoint_bytes;
  return limit > 0 && wal->end >= limit;
}

bool async_wal_must_end(const AsyncWal *wal) {
  int64_t limit = async_config.checkpoint_bytes;
  bool is_too_long = limit > 0 && wal->end / PATIENCE >= limit;
  return is_too_long || async_wal_is_over_limit(wal);
}

bool async_wal_is_oversized(const AsyncWal *wal, int64_t size) {
  int64_t limit = async_config.checkpoint_bytes;
  int64_t idle_us = async_config.checkpoint_idle_ms * 1000;
  bool is_large = limit > 0 && size / OVERSIZE > limit;
  return is_large && wal->header == ASYNC_WAL_VOID && idle_us > 0 &&
         async_os_now_us() - wal->written_us >= idle_us;
}

bool async_wal_is_full(const AsyncWal *wal) {
  int64_t max = async_config.max_wal_bytes;
  return max > 0 && wal->end >= max;
}

bool async_wal_is_over_limit(const AsyncWal *wal) {
  return async_wal_is_full(wal) && !wal->cannot_checkpoint;
}

bool async_wal_may_restart(const AsyncWal *wal) {
  return wal->header == ASYNC_WAL_VOID || wal->free_to_restart || wal->cannot_checkpoint;
}

/* Raise the request; true if it is a new one. */
static bool request(AsyncWal *wal, AsyncCheckpointRequest wanted) {
  if (wal->request >= wanted) return false;
  wal->request = wanted;
  wal->retry_us = 0;
  return true;
}

bool async_wal_request_now(AsyncWal *wal) { return request(wal, ASYNC_CHECKPOINT_NOW); }

bool async_wal_end_transaction(AsyncWal *wal, bool committed) {
  wal->has_commit = false;
  if (!committed) {
    wal->write_end = wal->end;
    return false;
  }
  wal->end = wal->write_end;
  if (wal->end == 0) return false; /* there is no WAL */
  wal->written_us = async_os_now_us();
  /* With synchronous=OFF not even the header is synced. */
  bool sync = wal->end - wal->sync_from >= SYNC_BYTES && !wal->header_unsynced && !wal->wants_sync;
  if (sync) wal->wants_sync = true;
  bool now = is_long(wal) || async_wal_must_end(wal);
  return request(wal, now ? ASYNC_CHECKPOINT_NOW : ASYNC_CHECKPOINT_WHEN_IDLE) || sync;
}

void async_wal_note_checkpoint(AsyncWal *wal, const AsyncWalOutcome *outcome) {
  bool ok = outcome->code == SQLITE_OK;
  bool busy = (outcome->code & 0xff) == SQLITE_BUSY;
  bool failed = !ok && !busy && outcome->code != SQLITE_INTERRUPT;
  bool all = (ok || busy) && outcome->opened && wal->end <= wal->backfilled;
  wal->ended++;
  wal->blocked = outcome->opened && outcome->readers && !all;
  wal->cannot_checkpoint = !outcome->opened && failed;
  wal->code = failed ? outcome->code : SQLITE_OK;

  wal->request = ASYNC_CHECKPOINT_WHEN_IDLE;
  int64_t pause_us = is_ripe(wal) ? GAP_RETRY_US : async_config.checkpoint_idle_ms * 1000;
  /* At its bound transactions wait until it can start anew, and ask for that only once. */
  bool still_ends = async_wal_must_end(wal) && !async_wal_may_restart(wal);
  if (all && !still_ends) {
    wal->request = ASYNC_CHECKPOINT_NONE;
  } else if (is_long(wal) || async_wal_must_end(wal)) {
    wal->request = ASYNC_CHECKPOINT_NOW;
    pause_us = ok && outcome->progress ? 0 : BLOCKED_RETRY_US;
  }
  if (!outcome->opened || failed) pause_us = REFUSED_US;
  wal->retry_us = async_os_now_us() + pause_us;
}

int64_t async_wal_due_us(const AsyncWal *wal) {
  int64_t idle_us = async_config.checkpoint_idle_ms * 1000;
  if (is_ripe(wal) && (idle_us <= 0 || idle_us > GAP_US)) idle_us = GAP_US;
  if (wal->request == ASYNC_CHECKPOINT_NOW) return wal->retry_us;
  if (wal->request == ASYNC_CHECKPOINT_NONE || idle_us <= 0) return -1;
  int64_t idle_at_us = wal->written_us + idle_us;
  return idle_at_us > wal->retry_us ? idle_at_us : wal->retry_us;
}
