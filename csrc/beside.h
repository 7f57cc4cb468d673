/*
** Syncs beside the writer, on the checkpointer's thread: while it waits for
** the disk, the writer goes on applying frames.
**
** Who calls these has a reference to the stream and holds no mutex.
*/
#ifndef ASYNC_BESIDE_H
#define ASYNC_BESIDE_H

#include "file.h"

/* Is there a thread that does what is owed?  (checkpoint.c says so.) */
bool async_beside_has_thread(void);
void async_beside_set_thread(bool has);

/*
** Sync a file of the stream as it is on disk now.  SQLITE_OK if that was done, or
** nothing was to be done; SQLITE_BUSY if another thread is at it.  If it fails, its
** code, also from any later call; the writer fails the stream for it.
*/
int async_beside_sync(AsyncStream *stream, AsyncFile *file);

/* The same for the stream's database or WAL. */
void async_beside_sync_role(AsyncStream *stream, AsyncRole role);

/* The same for the database, if SQLite has asked for it (see apply.h). */
void async_beside_sync_owed(AsyncStream *stream);

/*
** Wait until all that was pushed so far has been applied.  SQLITE_INTERRUPT if
** the checkpointer is told to hurry, or there is no writer; the stream's error.
*/
int async_beside_await_applied(AsyncStream *stream);

#endif /* ASYNC_BESIDE_H */
