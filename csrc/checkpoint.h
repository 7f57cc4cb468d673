/*
** The checkpointer: a native thread that copies the frames of WALs into their
** databases, so that no commit has to.
**
** It has no access of its own to the files: it opens a connection through the
** VFS and calls sqlite3_wal_checkpoint_v2(), like any program.
**
** It is called by a write that makes the WAL longer than checkpointBytes, and
** works in two parts.  First PASSIVE checkpoints, while others go on
** committing: each syncs the WAL, writes and syncs the database on its own thread,
** past the queue (beside.h), so that nobody waits for it.  When what
** came in meanwhile is little, a FULL one copies that with the WRITE lock held,
** without waiting for anything: a commit that comes just then waits for as long
** as copying a few pages takes.  Then all is copied, and the next transaction
** starts the WAL anew.  Without the second part a thread that commits without
** a pause would never let it start anew.
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

/* Does anybody take care of WALs? */
bool async_checkpoint_is_active(void);

/*
** Look at all streams and do what is due; what the thread does all the time.
** Returns after how many us to come again, or -1.
*/
int64_t async_checkpoint_step(void);

/* ---- What its own handles do differently ---- */

/* Does this thread open for the checkpointer? */
bool async_checkpoint_is_this_thread(void);
/* As xWrite and xSync; to write, of the database. */
int async_checkpoint_write(AsyncFile *file, const void *data, int n, int64_t offset);
int async_checkpoint_sync(AsyncFile *file, int flags);

/* ---- The bound of the WAL ---- */

/* Is the WAL at maxWalBytes?  Then the checkpointer is called. */
bool async_checkpoint_is_over(AsyncStream *stream);

/*
** A transaction is about to begin, and the WAL is at its bound: wait until the
** checkpointer has done what it can.  True if that is all, after a wait: then a
** transaction that looks at the wal-index again can start the WAL anew.
*/
bool async_checkpoint_await(AsyncStream *stream);

#endif /* ASYNC_CHECKPOINT_H */
