/*
** File locks.  See lock.h.
*/
#include "config.h"
#include "file.h"

#include <assert.h>
#include <string.h>

/* After another process stood in our way, be brief for this long; with none in
** sight the lock may be held longer by this factor. */
#define CONTENDED_US 10000000
#define ALONE_FACTOR 4
/* Of maxLockHoldMs, how much the lock shall be free afterwards. */
#define FREE_FRACTION 10
/* Whatever others do, no transaction waits longer than this to make way. */
#define MAKE_WAY_US 10000000
#define WAIT_SLICE_US 20000

void async_lock_init(AsyncLock *lock) {
  memset(lock, 0, sizeof *lock);
  async_mutex_init(&lock->mutex, ASYNC_RANK_LOCK);
  async_cond_init(&lock->freed);
  lock->contended_us = -CONTENDED_US;
}

void async_lock_free(AsyncLock *lock) {
  async_cond_free(&lock->freed);
  async_mutex_free(&lock->mutex);
}

/* The parent's handle that carries the OS lock.  Constant while a handle of
** SQLite is open, which the caller answers for. */
static sqlite3_file *lock_handle(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  sqlite3_file *parent = stream->files.database == NULL ? NULL : stream->files.database->parent;
  async_mutex_leave(&stream->mutex);
  return parent;
}

/* ---- Toward other processes ---- */

/* The OS lock was just taken: account for the time it was free. */
static void note_taken(AsyncLock *lock) {
  int64_t now_us = async_os_now_us();
  int64_t wanted_us = async_config.max_lock_hold_ms * 1000 / FREE_FRACTION;
  if (lock->hold_since_us == 0) lock->hold_since_us = now_us;
  if (lock->free_since_us != 0) lock->free_total_us += now_us - lock->free_since_us;
  if (lock->free_total_us >= wanted_us) {
    lock->hold_since_us = now_us;
    lock->free_total_us = 0;
  }
  lock->free_since_us = 0;
}

/* The parent's handle carries a lock of this level now: the file must stay. */
static void note_level(AsyncStream *stream, int level) {
  stream->lock.os_level = level;
  if (level == SQLITE_LOCK_NONE) return;
  stream->lock.os_locked = true;
  async_mutex_enter(&stream->mutex);
  stream->carries_lock = true;
  async_mutex_leave(&stream->mutex);
}

static int raise_os_lock(AsyncStream *stream, int level) {
  AsyncLock *lock = &stream->lock;
  if (lock->os_level >= level) return SQLITE_OK;
  if (!async_config.lock_files) {
    lock->os_level = level;
    return SQLITE_OK;
  }
  sqlite3_file *parent = lock_handle(stream);
  int rc = parent->pMethods->xLock(parent, level);
  if (rc == SQLITE_OK) {
    if (lock->os_level == SQLITE_LOCK_NONE) note_taken(lock);
    note_level(stream, level);
  } else if ((rc & 0xff) == SQLITE_BUSY) {
    lock->contended_us = async_os_now_us();
    /* Kept from EXCLUSIVE by readers, it may have got as far as PENDING. */
    int now = lock->os_level;
    parent->pMethods->xFileControl(parent, SQLITE_FCNTL_LOCKSTATE, &now);
    note_level(stream, now);
  }
  return rc;
}

/* What our connections need, as xUnlock knows it. */
static int needed_level(const AsyncLock *lock) {
  if (lock->writer != NULL) return SQLITE_LOCK_EXCLUSIVE;
  return lock->shared > 0 ? SQLITE_LOCK_SHARED : SQLITE_LOCK_NONE;
}

/* Give the OS lock back as far as the table and the queue allow. */
static int lower_os_lock(AsyncStream *stream) {
  AsyncLock *lock = &stream->lock;
  int level = needed_level(lock);
  if (lock->os_level <= level) return SQLITE_OK;

  async_mutex_enter(&stream->mutex);
  bool dry = stream->queue.head == NULL;
  if (dry && level == SQLITE_LOCK_NONE) async_file_forget_sizes(stream);
  async_mutex_leave(&stream->mutex);
  if (!dry) return SQLITE_OK;

  sqlite3_file *parent = lock->os_locked ? lock_handle(stream) : NULL;
  int rc = parent == NULL ? SQLITE_OK : parent->pMethods->xUnlock(parent, level);
  lock->os_level = level;
  if (level != SQLITE_LOCK_NONE) return rc;

  lock->os_locked = false;
  lock->free_since_us = async_os_now_us();
  async_cond_broadcast(&lock->freed);
  async_mutex_enter(&stream->mutex);
  stream->carries_lock = false;
  if (stream->files.database != NULL) async_file_let_go(stream->files.database);
  async_mutex_leave(&stream->mutex);
  return rc;
}

void async_lock_settle(AsyncStream *stream) {
  async_mutex_enter(&stream->lock.mutex);
  int rc = lower_os_lock(stream);
  async_mutex_leave(&stream->lock.mutex);
  if (rc != SQLITE_OK) sqlite3_log(rc, "sqlite3async: cannot unlock %s", stream->path);
}

/* ---- Letting other processes in ---- */

/* How long the ops now queued will take, going by the latest ones. */
static int64_t drain_estimate_us(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  int64_t estimate_us = stream->queue.ops * stream->apply_us_x16 / 16;
  async_mutex_leave(&stream->mutex);
  return estimate_us;
}

/* The queue cannot run dry: nobody is at it, or the disk is full. */
static bool is_stalled(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  bool full = stream->full_since_us != 0;
  async_mutex_leave(&stream->mutex);
  return full || !async_scheduler_has_runner();
}

/* How long the lock must be free before the next transaction; 0: it need not. */
static int64_t owed_us(AsyncStream *stream, int64_t now_us) {
  AsyncLock *lock = &stream->lock;
  int64_t max_hold_us = async_config.max_lock_hold_ms * 1000;
  if (max_hold_us <= 0 || lock->hold_since_us == 0) return 0;
  bool contended = now_us - lock->contended_us < CONTENDED_US;
  int64_t limit_us = contended ? max_hold_us : max_hold_us * ALONE_FACTOR;
  int64_t held_us = now_us - lock->hold_since_us + drain_estimate_us(stream);
  if (held_us <= limit_us) return 0;
  int64_t owed = max_hold_us / FREE_FRACTION - lock->free_total_us;
  if (lock->free_since_us != 0) owed -= now_us - lock->free_since_us;
  return owed;
}

/*
** A transaction is about to begin and nobody else in the process has one: if
** the OS lock has been held for long, wait until it was free for a moment.
**
** The wait ends because the writer applies what is queued, or is stopped or
** fails, which a slice shows; and the clock bounds it in any case.
*/
static void make_way(AsyncStream *stream) {
  AsyncLock *lock = &stream->lock;
  if (!async_config.lock_files) return;
  int64_t now_us = async_os_now_us();
  int64_t owed = owed_us(stream, now_us);
  int64_t until_us = now_us + MAKE_WAY_US;
  while (owed > 0 && lock->shared == 0 && now_us < until_us) {
    int64_t slice_us = owed < WAIT_SLICE_US ? owed : WAIT_SLICE_US;
    if (lock->os_level != SQLITE_LOCK_NONE) {
      if (is_stalled(stream)) return;
      slice_us = WAIT_SLICE_US;
    }
    async_cond_wait(&lock->freed, &lock->mutex, slice_us);
    now_us = async_os_now_us();
    owed = owed_us(stream, now_us);
  }
}

/* ---- Inside the process ---- */

int async_lock_acquire(AsyncStream *stream, AsyncHolder *holder, int level) {
  AsyncLock *lock = &stream->lock;
  if (holder->level >= level) return SQLITE_OK;
  async_mutex_enter(&lock->mutex);
  if (level == SQLITE_LOCK_SHARED && lock->shared == 0) make_way(stream);

  int rc = SQLITE_OK;
  bool other_writer = lock->writer != NULL && lock->writer != holder;
  if (other_writer && (lock->writer->level >= SQLITE_LOCK_PENDING || level > SQLITE_LOCK_SHARED)) {
    rc = SQLITE_BUSY;
  } else if (level == SQLITE_LOCK_SHARED) {
    rc = raise_os_lock(stream, level);
    if (rc == SQLITE_OK) lock->shared++;
  } else if (level == SQLITE_LOCK_RESERVED) {
    rc = raise_os_lock(stream, level);
    if (rc == SQLITE_OK) lock->writer = holder;
  } else {
    /* New readers stay out from here on, also if old ones are still in. */
    lock->writer = holder;
    holder->level = SQLITE_LOCK_PENDING;
    rc = lock->shared > 1 ? SQLITE_BUSY : raise_os_lock(stream, SQLITE_LOCK_EXCLUSIVE);
  }
  if (rc == SQLITE_OK) holder->level = level;
  async_mutex_leave(&lock->mutex);
  return rc;
}

int async_lock_release(AsyncStream *stream, AsyncHolder *holder, int level) {
  AsyncLock *lock = &stream->lock;
  if (holder->level <= level) return SQLITE_OK;
  async_mutex_enter(&lock->mutex);
  if (lock->writer == holder) lock->writer = NULL;
  if (level == SQLITE_LOCK_NONE) lock->shared--;
  holder->level = level;
  int rc = lower_os_lock(stream);
  async_mutex_leave(&lock->mutex);
  return rc;
}

int async_lock_check_reserved(AsyncStream *stream, int *reserved) {
  AsyncLock *lock = &stream->lock;
  async_mutex_enter(&lock->mutex);
  int rc = SQLITE_OK;
  if (lock->writer != NULL) {
    *reserved = 1;
  } else if (lock->os_level >= SQLITE_LOCK_RESERVED || !async_config.lock_files) {
    *reserved = 0; /* we have it, for ops of transactions that are over */
  } else {
    sqlite3_file *parent = lock_handle(stream);
    rc = parent->pMethods->xCheckReservedLock(parent, reserved);
  }
  async_mutex_leave(&lock->mutex);
  return rc;
}
