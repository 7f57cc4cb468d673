/*
** The last close of a database in the process leaves what plain SQLite leaves: a
** file.  All is applied, the OS lock given back, every descriptor closed; so its
** owner can copy, rename or delete it, or put another file in its place.
**
** The thread that closes does the writer's work meanwhile, or waits for the
** writer that is at it.  What SQLite has not synced itself, with synchronous=OFF, is
** synced before its descriptor is closed, since nobody could do it later.  The
** folder is synced after the close has returned: that needs no descriptor of the
** database.
**
** ENDS BECAUSE  each op is applied or fails the stream.  An op that waits for
** space on the disk, or for what else others have used up, fails it after
** exitDrainMs here: nothing may be written once the file is its owner's.  What is
** lost then is told by an "error" event and on stderr.
**
** Without a thread of sqlite3async_start(), or while it is halted or stopped, nobody
** can be waited for: then the close returns at once, as in the original module,
** and counts as something queued until the stream is run next.  So it does when the
** process ends and the time is over that the drain at exit may take: the drain tells
** what is lost.
*/
#ifndef ASYNC_CLOSING_H
#define ASYNC_CLOSING_H

#include "stream.h"

/* A connection was opened, or closed; under the mutex.  True if it was the last one. */
void async_closing_note_open(AsyncStream *stream, AsyncNames *names);
bool async_closing_note_close(AsyncStream *stream, AsyncNames *names, bool was_abandoned);
/* Or the program has closed it, but not SQLite: see client.h. */
bool async_closing_note_abandon(AsyncStream *stream);

/* Under the mutex: is nothing left of the database but a file?  Or, while a zombie has handles,
** nothing to be applied? */
bool async_closing_is_a_file(const AsyncStream *stream);

/* One that was not the last was closed: wait until what was committed so far is applied.  Then its
** commits are in the files, as by plain SQLite, whoever else has the database open.  As below. */
void async_closing_await_applied(AsyncStream *stream);

/* The last one was closed, and its handle let go: wait; for what async_closing_release() does, if
** zombies have it open still.  The caller has a reference and holds no mutex. */
void async_closing_end(AsyncStream *stream);

/* The last one was abandoned: wait until all is applied, make it durable, and give the OS lock
** back, if no statement is in the middle of its rows.  No mutex is held. */
void async_closing_release(AsyncStream *stream);

/*
** Close by force: the database is cut off from those of its handles that are still open.  Every
** call by them fails with SQLITE_IOERR_CLOSE from here on; what was committed before is made
** durable; then the OS lock is given back, and whoever opens the path gets a new stream.
** SQLITE_BUSY, and all is as before, if that is not done by then.  The caller has a reference.
*/
int async_closing_cut_off(AsyncStream *stream, int64_t until_us);

/* Is any database being closed, so that descriptors will be free?  The wait for that ends after
** timeout_us. */
bool async_closing_await_any(int64_t timeout_us);

#endif /* ASYNC_CLOSING_H */
