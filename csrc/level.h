/*
** Commit levels: what a commit has come to when it returns.
**
**     queued    it is in the queue
**     applied   it was handed to the operating system: SIGKILL takes nothing
**     durable   it is synced
**
** A connection has a level of its own, or that of the process (client.h); what holds when
** the transaction ends counts.  SQLite tells of that by SQLITE_FCNTL_COMMIT_PHASETWO, the
** code of which is the commit's.  For transactions with a super-journal it is not, so these
** wait at the deletion of that, too, which is their commit (super.c).
**
** RULES
**
** 1. Who commits does the writer's work itself, if no other thread is at it, and so far
**    only as its own commit needs, or what others wait for to be applied: one write, mostly.
**    No writer is woken for it, and none polls because of it.
** 2. At level applied it waits for no sync but such as order the ops of a rollback journal's
**    transaction; at level durable, if nobody is at it, it syncs itself.
** 3. Halting the writers, or a pause of theirs (delay), is not for who asks by a level.
** 4. SQLITE_OK says that the commit is there.  If it is not: the stream's error; or, if the
**    process is ending and the time of the drain is over, SQLITE_IOERR_WRITE, though the commit
**    may still get there.
**
** WHY THE WAIT ENDS  All that is queued is applied, or fails the stream, which is looked at
** in each round: an op that waits for space fails it after diskFullRetryMs.  Either another
** thread runs the stream, and tells when the watermark has moved, or this one does.  A run that
** another one has left unfinished is a writer's, who is told; with no writer, this thread
** looks again.  At a barrier it runs the streams that have not come there yet; what holds them
** up are older barriers at most, so there is no circle.
*/
#ifndef ASYNC_LEVEL_H
#define ASYNC_LEVEL_H

#include "stream.h"

/* The names, in the order of SQLITEASYNC_COMMIT_QUEUED and so on. */
const char *async_level_name(int level);
/* -1: it is none. */
int async_level_of_name(const char *name);

/*
** Wait until the stream has come to the commit's level.  The caller has a reference, and
** holds no mutex.  If it fails, who commits is told: the transaction is none that was lost.
*/
int async_level_await(AsyncStream *stream, AsyncCommit commit);
/* The same for all that was pushed so far. */
int async_level_await_all(AsyncStream *stream, int level);
/* The same at level applied, however long it takes: nothing but the stream's error may undo it. */
int async_level_await_applied(AsyncStream *stream);

/* What was to be waited for will not be: a writer is to do it. */
void async_level_give_up(AsyncStream *stream, AsyncCommit commit);

/* The queue is full, and who would begin a transaction commits above level queued: make room, as
** far as that needs no waiting.  True if there is some. */
bool async_level_make_room(AsyncStream *stream);

#endif /* ASYNC_LEVEL_H */
