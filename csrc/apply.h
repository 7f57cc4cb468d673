/*
** Applying a stream's ops: the writer's side of a stream.
**
** async_stream_run() does a bounded piece of work and returns; it needs no
** thread of its own, so a test can step through a queue with it.
**
** A run takes ops from the head, one at a time: the op is marked as under
** way, the mutex left, the parent called, the mutex entered, the op retired.
** When a flush is wanted and what it is about has been applied, all files
** that were written are synced once, for everybody who waits.
**
** A sync of the WAL is a position, wal_sync: it works like a flush that nobody
** waits for, but nothing else than further frames is applied before it.
**
** A checkpoint's sync of the database can take long, and only what destroys
** frames must wait for it.  So the op is taken for done, the sync owed; the
** checkpointer's thread does it beside the writer (beside.h), and the writer
** itself if it comes to an op that must wait and nobody is at it.
*/
#ifndef ASYNC_APPLY_H
#define ASYNC_APPLY_H

#include "stream.h"

typedef enum AsyncOutcome {
  ASYNC_RUN_MORE,  /* there is more to do */
  ASYNC_RUN_DRY,   /* nothing to do now */
  ASYNC_RUN_STUCK, /* what is next cannot be done before *due_us (0: until woken) */
} AsyncOutcome;

/* Do up to max_steps steps: an op applied, or a sync for a flush. */
AsyncOutcome async_stream_run(AsyncStream *stream, int max_steps, int64_t *due_us);

/*
** Everything up to the mark is on stable storage: tell those who wait.  Under
** the mutex, which it leaves meanwhile.
*/
void async_stream_publish_durable(AsyncStream *stream, AsyncMark mark);

/* Sync a file of the stream, and account for the time it took.  No mutex is held. */
int async_stream_sync_file(AsyncStream *stream, sqlite3_file *parent, int flags);

#endif /* ASYNC_APPLY_H */
