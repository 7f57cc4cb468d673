/*
** File locks.  See lock.h.
*/
#include "lock.h"

#include "config.h"
#include "file.h"
#include "moved.h"
#include "parent.h"

#include <assert.h>
#include <string.h>

/* With no other process in sight the lock may be held longer by this factor. */
#define ALONE_FACTOR 4
/* Of maxLockHoldMs, how much the lock shall be free afterwards. */
#define FREE_FRACTION 10
/* Whatever others do, no transaction waits longer than this to make way. */
#define MAKE_WAY_US 10000000
/* How often to see whether the writer is stuck, or was stopped. */
#define STALLED_POLL_US 20000

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

/* The file's parent could not open it for writing: then it cannot lock it, either. */
static bool is_read_only(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  AsyncFile *file = stream->files.database;
  bool read_only = file != NULL && !(file->open_flags & SQLITE_OPEN_READWRITE);
  async_mutex_leave(&stream->mutex);
  return read_only;
}

/* The file must stay until the lock is given back, that is, until the queue is dry. */
static void keep_database(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  stream->pinned_by_lock = true;
  async_mutex_leave(&stream->mutex);
}

/* The parent's handle carries a lock of this level now. */
static void note_level(AsyncStream *stream, int level) {
  stream->lock.os_level = level;
  if (level == SQLITE_LOCK_NONE) return;
  stream->lock.os_locked = true;
  keep_database(stream);
}

static int lock_parent(AsyncStream *stream, sqlite3_file *parent, int level) {
  AsyncLock *lock = &stream->lock;
  if (!async_config.lock_files) {
    lock->os_level = level;
    keep_database(stream);
    return SQLITE_OK;
  }
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

/* The header's "write version" and "read version": 2 is WAL.
** https://sqlite.org/fileformat2.html#file_format_version_numbers */
#define HEADER_VERSIONS 18

static bool says_wal(const unsigned char *versions) { return versions[0] == 2 || versions[1] == 2; }

/* What the header on disk says, of a database that others cannot change now. */
static int read_mode(AsyncStream *stream, sqlite3_file *parent, bool *wal) {
  unsigned char versions[2] = {0, 0};
  int rc = async_parent_read(stream, parent, versions, 2, HEADER_VERSIONS);
  *wal = rc == SQLITE_OK && says_wal(versions);
  return rc == SQLITE_IOERR_SHORT_READ ? SQLITE_OK : rc; /* it is empty */
}

static int take_back(AsyncStream *stream);
static int lower_os_lock(AsyncStream *stream);

/* From NONE to what one connection's SHARED needs. */
static int take_os_lock(AsyncStream *stream, sqlite3_file *parent) {
  AsyncLock *lock = &stream->lock;
  int rc = lock_parent(stream, parent, SQLITE_LOCK_SHARED);
  if (rc != SQLITE_OK) return rc;
  rc = read_mode(stream, parent, &lock->is_wal_mode);
  if (rc == SQLITE_OK && lock->is_wal_mode) {
    rc = lock_parent(stream, parent, SQLITE_LOCK_EXCLUSIVE);
    bool refused = rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY;
    if (refused && is_read_only(stream)) rc = SQLITE_READONLY_CANTLOCK;
  }
  if (rc == SQLITE_OK && lock->handed_over) rc = take_back(stream);
  if (rc != SQLITE_OK) lower_os_lock(stream);
  return rc;
}

static int raise_os_lock(AsyncStream *stream, int level) {
  AsyncLock *lock = &stream->lock;
  if (lock->cut_off) return SQLITE_IOERR_CLOSE;
  if (lock->os_level >= level) return SQLITE_OK;
  sqlite3_file *parent = lock_handle(stream);
  int rc = SQLITE_OK;
  if (lock->os_level == SQLITE_LOCK_NONE) rc = take_os_lock(stream, parent);
  if (rc == SQLITE_OK && lock->os_level < level) rc = lock_parent(stream, parent, level);
  return rc;
}

/* What our connections need, as xUnlock knows it. */
static int needed_level(const AsyncLock *lock) {
  if (lock->cut_off) return SQLITE_LOCK_NONE;
  if (lock->writer != NULL) return SQLITE_LOCK_EXCLUSIVE;
  if (lock->shared == 0 || lock->handed_over) return SQLITE_LOCK_NONE;
  return lock->is_wal_mode ? SQLITE_LOCK_EXCLUSIVE : SQLITE_LOCK_SHARED;
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
  lock->is_wal_mode = false;
  lock->free_since_us = async_os_now_us();
  async_cond_broadcast(&lock->freed);
  async_mutex_enter(&stream->mutex);
  stream->pinned_by_lock = false;
  if (stream->files.database != NULL) async_file_let_go(stream->files.database);
  async_mutex_leave(&stream->mutex);
  return rc;
}

void async_lock_release_if_idle(AsyncStream *stream) {
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

/* The queue cannot run dry: nobody is at it, or it is held. */
static bool is_stalled(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  bool held = async_stream_is_stalled(stream);
  async_mutex_leave(&stream->mutex);
  return held || !async_scheduler_has_runner();
}

static void wake_writer_now(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  async_stream_wake_now(stream);
  async_mutex_leave(&stream->mutex);
}

/* How long the lock must be free before the next transaction; 0: it need not. */
static int64_t owed_us(AsyncStream *stream, int64_t now_us) {
  AsyncLock *lock = &stream->lock;
  int64_t max_hold_us = async_config.max_lock_hold_ms * 1000;
  if (max_hold_us <= 0 || lock->hold_since_us == 0) return 0;
  bool contended = now_us - lock->contended_us < ASYNC_CONTENDED_US;
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
** fails, which is looked for; and the clock bounds it in any case.
*/
static void make_way(AsyncStream *stream) {
  AsyncLock *lock = &stream->lock;
  if (!async_config.lock_files) return;
  int64_t now_us = async_os_now_us();
  int64_t owed = owed_us(stream, now_us);
  int64_t until_us = now_us + MAKE_WAY_US;
  while (owed > 0 && lock->shared == 0 && now_us < until_us) {
    int64_t slice_us = owed < STALLED_POLL_US ? owed : STALLED_POLL_US;
    if (lock->os_level != SQLITE_LOCK_NONE) {
      if (is_stalled(stream)) return;
      wake_writer_now(stream);
      slice_us = STALLED_POLL_US;
    }
    async_cond_wait(&lock->freed, &lock->mutex, slice_us);
    now_us = async_os_now_us();
    owed = owed_us(stream, now_us);
  }
}

/* ---- The checkpointer ---- */

bool async_lock_begin_checkpoint(AsyncStream *stream) {
  AsyncLock *lock = &stream->lock;
  async_mutex_enter(&lock->mutex);
  bool may = lock->shared > 0 && lock->writer == NULL && !lock->handed_over;
  if (may) {
    lock->checkpointing = true;
    stream->walindex.interrupted = false;
  }
  async_mutex_leave(&lock->mutex);
  return may;
}

void async_lock_end_checkpoint(AsyncStream *stream) {
  async_mutex_enter(&stream->lock.mutex);
  stream->lock.checkpointing = false;
  stream->walindex.interrupted = false;
  async_cond_broadcast(&stream->lock.checkpointed);
  async_mutex_leave(&stream->lock.mutex);
}

/* Under the mutex.  Ends when the checkpointer has closed its connection. */
static bool await_checkpoint(AsyncStream *stream, int64_t timeout_us) {
  AsyncLock *lock = &stream->lock;
  int64_t until_us = async_os_now_us() + timeout_us;
  if (lock->checkpointing) async_walindex_interrupt(&stream->walindex);
  while (lock->checkpointing) {
    int64_t left_us = until_us - async_os_now_us();
    if (left_us <= 0) return false;
    async_cond_wait(&lock->checkpointed, &lock->mutex, left_us);
  }
  return true;
}

bool async_lock_await_checkpoint(AsyncStream *stream, int64_t timeout_us) {
  async_mutex_enter(&stream->lock.mutex);
  bool ended = await_checkpoint(stream, timeout_us);
  async_mutex_leave(&stream->lock.mutex);
  return ended;
}

static bool others_are_checkpointer(const AsyncLock *lock, const AsyncHolder *holder) {
  int others = lock->shared - 1 - (lock->checkpointer_shared ? 1 : 0);
  return lock->checkpointing && !holder->is_checkpointer && others == 0;
}

/* ---- WAL mode ---- */

void async_lock_note_header(AsyncStream *stream, const unsigned char *header, int n) {
  if (n < HEADER_VERSIONS + 2) return;
  async_mutex_enter(&stream->lock.mutex);
  bool mapped = async_walindex_is_mapped(&stream->walindex);
  stream->lock.is_wal_mode = mapped || says_wal(header + HEADER_VERSIONS);
  async_mutex_leave(&stream->lock.mutex);
}

int async_lock_own(AsyncStream *stream) {
  AsyncLock *lock = &stream->lock;
  async_mutex_enter(&lock->mutex);
  int rc = raise_os_lock(stream, SQLITE_LOCK_EXCLUSIVE);
  if (rc == SQLITE_OK) {
    lock->is_wal_mode = true; /* a WAL may be there that the header does not speak of */
  } else {
    lower_os_lock(stream); /* others' readers may have stopped it at PENDING */
  }
  async_mutex_leave(&lock->mutex);
  return rc;
}

/* Under the mutex; the OS lock was just taken again. */
static int take_back(AsyncStream *stream) {
  AsyncLock *lock = &stream->lock;
  if (!lock->is_wal_mode) {
    sqlite3_log(SQLITE_CANTOPEN,
                "sqlite3async: the journal mode of %s was changed by another process while it "
                "was released; close its connections and open it again",
                stream->path);
    return SQLITE_CANTOPEN;
  }
  int rc = async_file_reopen_wal(stream);
  if (rc != SQLITE_OK) return rc;
  lock->handed_over = false;
  async_walindex_take_back(&stream->walindex);
  return SQLITE_OK;
}

int async_lock_hand_over(AsyncStream *stream) {
  AsyncLock *lock = &stream->lock;
  async_mutex_enter(&lock->mutex);
  async_mutex_enter(&stream->mutex);
  /* A commit that was applied just now is to be durable first.  And a process that found zeros
  ** for a header would begin with the same new one each time, to which old frames might fit. */
  bool whole = lock->os_level == SQLITE_LOCK_NONE || async_file_restore_wal(stream) == SQLITE_OK;
  bool dry = whole && stream->queue.head == NULL && stream->durable.seq == stream->applied.seq;
  async_stream_leave_and_wake(stream);
  bool idle =
      lock->writer == NULL && !lock->checkpointing && (lock->is_wal_mode || lock->shared == 0);
  bool free = lock->os_level == SQLITE_LOCK_NONE; /* others can have it already */
  int rc = free || (dry && idle) ? SQLITE_OK : SQLITE_BUSY;
  if (rc == SQLITE_OK && !free && lock->shared > 0) {
    rc = async_walindex_give_up(&stream->walindex) ? SQLITE_OK : SQLITE_BUSY;
    if (rc == SQLITE_OK) lock->handed_over = true;
  }
  if (rc == SQLITE_OK) rc = lower_os_lock(stream);
  async_mutex_leave(&lock->mutex);
  return rc;
}

void async_lock_cut_off(AsyncStream *stream) {
  async_mutex_enter(&stream->lock.mutex);
  stream->lock.cut_off = true;
  int rc = lower_os_lock(stream);
  async_mutex_leave(&stream->lock.mutex);
  if (rc != SQLITE_OK) sqlite3_log(rc, "sqlite3async: cannot unlock %s", stream->path);
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
    if (rc == SQLITE_OK && holder->is_checkpointer) lock->checkpointer_shared = true;
  } else if (holder->read_only) {
    /* As the unix VFS has it: a descriptor for reading gets no lock for writing. */
    rc = level == SQLITE_LOCK_EXCLUSIVE && lock->shared > 1 ? SQLITE_BUSY : SQLITE_IOERR_LOCK;
  } else if (level == SQLITE_LOCK_RESERVED) {
    rc = raise_os_lock(stream, level);
    if (rc == SQLITE_OK) lock->writer = holder;
  } else {
    int before = holder->level;
    /* New readers stay out from here on, also if old ones are still in. */
    lock->writer = holder;
    holder->level = SQLITE_LOCK_PENDING;
    if (others_are_checkpointer(lock, holder)) await_checkpoint(stream, ASYNC_INTERRUPT_US);
    rc = lock->shared > 1 ? SQLITE_BUSY : raise_os_lock(stream, SQLITE_LOCK_EXCLUSIVE);
    if (rc != SQLITE_OK && before < SQLITE_LOCK_RESERVED) {
      /* Only who has RESERVED keeps PENDING, as in the unix VFS: with locking_mode=EXCLUSIVE
      ** and a WAL, SQLite asks for it from SHARED, and may keep SHARED if it is refused. */
      lock->writer = NULL;
      holder->level = before;
      lower_os_lock(stream);
    }
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
  if (level == SQLITE_LOCK_NONE && holder->is_checkpointer) lock->checkpointer_shared = false;
  holder->level = level;
  int rc = lower_os_lock(stream);
  if (lock->shared == 0 && lock->handed_over) {
    lock->handed_over = false;
    async_walindex_take_back(&stream->walindex);
  }
  async_mutex_leave(&lock->mutex);
  return rc;
}

int async_lock_check_reserved(AsyncStream *stream, int *reserved) {
  AsyncLock *lock = &stream->lock;
  async_mutex_enter(&lock->mutex);
  int rc = SQLITE_OK;
  if (lock->writer != NULL || async_moved_look_now(stream)) {
    /* SQLite asks when it has found a journal under the name: after a move that is not this
    ** database's, and not to be rolled back into it. */
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
