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

#include "stream.h"

/* As xLock, xUnlock and xCheckReservedLock of sqlite3_io_methods. */
int async_lock_acquire(AsyncStream *stream, AsyncHolder *holder, int level);
int async_lock_release(AsyncStream *stream, AsyncHolder *holder, int level);
int async_lock_check_reserved(AsyncStream *stream, int *reserved);

/* The first n bytes of the database are written: which mode do they say? */
void async_lock_note_header(AsyncStream *stream, const unsigned char *header, int n);

/*
** A connection is to use the shared wal-index: the database must be this
** process's.  SQLITE_BUSY if another one has it; SQLITE_READONLY_CANTLOCK if
** the file cannot be written and so not be locked; SQLITE_CANTOPEN if it was
** handed over and its journal mode was changed by another process.
*/
int async_lock_own(AsyncStream *stream);

/*
** Let other processes have the database.  SQLITE_BUSY if anybody here has a
** transaction, or anything is queued.
*/
int async_lock_hand_over(AsyncStream *stream);

/* The stream has failed for good, and its handles are only waiting to be closed: give the OS lock
** back whatever they hold. */
void async_lock_cut_off(AsyncStream *stream);

/*
** The checkpointer is about to open the database; false if it must not.  From
** here to end_checkpoint, who asks for EXCLUSIVE waits for it, if nobody else is
** in the way, instead of getting SQLITE_BUSY.
*/
bool async_lock_begin_checkpoint(AsyncStream *stream);
void async_lock_end_checkpoint(AsyncStream *stream);
/* Wait until it has ended, interrupting it; false if that took too long. */
bool async_lock_await_checkpoint(AsyncStream *stream, int64_t timeout_us);

/* The queue ran dry: give the OS lock back as far as nobody needs it. */
void async_lock_release_if_idle(AsyncStream *stream);

#endif /* ASYNC_LOCK_H */
