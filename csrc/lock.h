/*
** File locks of a database.
**
** Inside the process a lock is a line in a table, with SQLite's rules: many
** SHARED, one RESERVED, PENDING or EXCLUSIVE.  It is granted and given back
** at once.
**
** Toward other processes one parent handle carries one lock for all our
** connections.  It is taken at once, and given back when two things hold:
** nothing of the stream is queued, and nobody in the process needs it.  So
** what is on disk while other processes may look is always complete.
**
** A process that commits without pause would so hold the lock for ever.
** Therefore, once it has been held for maxLockHoldMs, counting the time that
** what is queued will still take, the next transaction first waits until the
** queue ran dry and the lock was free for a tenth of that time (free moments
** that come by themselves count).  As long as no other process was seen to
** want the lock, in the last ten seconds, four times that is allowed: the
** first to come waits a little longer, and a burst has more room.  SQLite's
** busy handler looks every 100 ms at the slowest, so with the default of 1 s
** another process gets in at the first such moment.
**
** A database in WAL mode is this process's alone while anybody here has it
** open: its wal-index is in our heap (walindex.h), and another process would be
** promised frames that are still queued.  So its OS lock is EXCLUSIVE from the
** first SHARED on.  The mode is read from the database's header whenever the
** OS lock is taken, and noted when the header is written.  SQLite's connections
** keep SHARED as long as they are open in WAL mode; async_lock_hand_over() gives
** the OS lock to others all the same, and the next transaction takes it back.
**
** The mutex is held during the parent's xLock and xUnlock: these calls do
** not wait.  It also guards the opening of the parent's handle.
*/
#ifndef ASYNC_LOCK_H
#define ASYNC_LOCK_H

#include "mutex.h"

struct AsyncStream;

/* A connection's line in the table; part of its handle. */
typedef struct AsyncHolder {
  int level; /* SQLITE_LOCK_NONE .. SQLITE_LOCK_EXCLUSIVE; written under the mutex */
  bool is_checkpointer;
  bool read_only; /* SQLite opened the database so, whatever the parent's handle can do */
} AsyncHolder;

typedef struct AsyncLock {
  AsyncMutex mutex;
  AsyncCond freed;          /* the OS lock was given back */
  int shared;               /* holders at SHARED or above */
  AsyncHolder *writer;      /* the one at RESERVED or above */
  bool os_locked;           /* os_level is really the parent's: see lockFiles */
  int os_level;             /* what the parent's handle has */
  int64_t hold_since_us;    /* since when the lock was not free long enough */
  int64_t free_since_us;    /* last given back */
  int64_t free_total_us;    /* free moments since hold_since_us */
  int64_t contended_us;     /* when another process last stood in our way */
  bool is_wal_mode;         /* the database is in WAL mode; known while os_level is not NONE */
  bool cut_off;             /* its holders have nothing any more, see async_lock_cut_off() */
  bool handed_over;         /* others may have it, though connections have SHARED */
  bool checkpointer_shared; /* it is one of `shared` */
  bool checkpointing;       /* the checkpointer has it open, or is about to */
  AsyncCond checkpointed;   /* no longer so */
} AsyncLock;

void async_lock_init(AsyncLock *lock);
void async_lock_free(AsyncLock *lock);

/* As xLock, xUnlock and xCheckReservedLock of sqlite3_io_methods. */
int async_lock_acquire(struct AsyncStream *stream, AsyncHolder *holder, int level);
int async_lock_release(struct AsyncStream *stream, AsyncHolder *holder, int level);
int async_lock_check_reserved(struct AsyncStream *stream, int *reserved);

/* The first n bytes of the database are written: which mode do they say? */
void async_lock_note_header(struct AsyncStream *stream, const unsigned char *header, int n);

/*
** A connection is to use the shared wal-index: the database must be this
** process's.  SQLITE_BUSY if another one has it; SQLITE_READONLY_CANTLOCK if
** the file cannot be written and so not be locked; SQLITE_CANTOPEN if it was
** handed over and its journal mode was changed by another process.
*/
int async_lock_own(struct AsyncStream *stream);

/*
** Let other processes have the database.  SQLITE_BUSY if anybody here has a
** transaction, or anything is queued.
*/
int async_lock_hand_over(struct AsyncStream *stream);

/* The stream has failed for good, and its handles are only waiting to be closed: give the OS lock
** back whatever they hold. */
void async_lock_cut_off(struct AsyncStream *stream);

/*
** The checkpointer is about to open the database; false if it must not.  From
** here to end_checkpoint, who asks for EXCLUSIVE waits for it, if nobody else is
** in the way, instead of getting SQLITE_BUSY.
*/
bool async_lock_begin_checkpoint(struct AsyncStream *stream);
void async_lock_end_checkpoint(struct AsyncStream *stream);
/* Wait until it has ended, interrupting it; false if that took too long. */
bool async_lock_await_checkpoint(struct AsyncStream *stream, int64_t timeout_us);

/* The queue ran dry: give the OS lock back as far as nobody needs it. */
void async_lock_release_if_idle(struct AsyncStream *stream);

#endif /* ASYNC_LOCK_H */
