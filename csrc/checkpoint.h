/*
** The checkpointer: a native thread that copies the frames of WALs into their
** databases, so that no commit has to.
**
** It has no access of its own to the files: it opens a connection through the
** VFS and calls sqlite3_wal_checkpoint_v2(), like any program.
**
** It is asked by a commit that makes the WAL longer than checkpointBytes, and makes
** PASSIVE checkpoints, while others go on committing: each syncs the WAL, writes and
** syncs the database on its own thread, past the queue, so that nobody waits for it.
** Once all has been copied the WAL is voided (void.h), and can start anew.
**
** A thread that commits without a pause leaves no moment for that.  When the WAL has become
** too long (wal.h), a FULL checkpoint copies the rest with the WRITE lock held, and voids the
** WAL before it gives that back: who begins a transaction waits for three syncs.
**
** It also comes when a database has been idle for checkpointIdleMs.
**
** Connections with SQLite's default setting get no automatic checkpoints of
** their own; see autocheckpoint.h.
*/
#ifndef ASYNC_CHECKPOINT_H
#define ASYNC_CHECKPOINT_H

#include "file.h"

/* Start the thread, or do nothing if it runs.  False if there is none to be had. */
bool async_checkpoint_start(void);
/* End it and its connection; false if it did not run. */
bool async_checkpoint_stop(void);
/* It shall leave what it is at, and begin nothing new, or go on. */
void async_checkpoint_pause(bool on);

/* There is a thread that calls async_checkpoint_step(), also one of a test, or no longer. */
void async_checkpoint_note_thread(bool has);

/* Does anybody take care of WALs? */
bool async_checkpoint_is_active(void);

/*
** Look at all streams and do what is due; what the thread does all the time.
** Returns after how many us to come again, or -1.
*/
int64_t async_checkpoint_step(void);

/* Is this thread the checkpointer? */
bool async_checkpoint_is_this_thread(void);

/*
** ---- What a thread that checkpoints does differently, the checkpointer or a program's ----
**
** It waits for the disk, as in plain SQLite, and nobody else does: for its syncs of the WAL and of
** the database, and between them it writes to the database past the queue.
**
** It has been given the CHECKPOINT lock of the wal-index, and is about to give it back; if all has
** been copied the WAL is voided, see wal.h.
*/
void async_checkpoint_begins(const AsyncStream *stream);
void async_checkpoint_ends(AsyncStream *stream);
bool async_checkpoint_is_at(const AsyncStream *stream);
/* It is about to give the WRITE lock back, with which the checkpointer holds up others: the
** same. */
void async_checkpoint_ends_writing(AsyncStream *stream);
/* Its handle is closed. */
void async_checkpoint_forget(void);

/* May a transaction start the WAL anew, without anybody waiting for a sync?  Or is it its own
** affair? */
bool async_checkpoint_may_restart(AsyncStream *stream);

/* As xWrite and xSync; to write, of the database. */
int async_checkpoint_write(AsyncFile *file, const void *data, int n, int64_t offset);
int async_checkpoint_sync(AsyncFile *file, int flags);

/* ---- The bound of the WAL ---- */

/* Is the WAL at maxWalBytes?  Then a checkpoint is requested. */
bool async_checkpoint_is_over_limit(AsyncStream *stream);

/*
** A transaction is about to begin, and the WAL is at its bound: wait until the
** checkpointer has done what it can.  True if that is all, after a wait: then a
** transaction that looks at the wal-index again can start the WAL anew.
*/
bool async_checkpoint_await(AsyncStream *stream);

#endif /* ASYNC_CHECKPOINT_H */
