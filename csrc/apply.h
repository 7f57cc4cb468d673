/*
** Applying a stream's ops: the writer's side of a stream.
**
** async_stream_run() does a bounded piece of work and returns; it needs no
** thread of its own, so a test can step through a queue with it.
**
** A run takes ops from the head, one at a time: the op is marked as under
** way, the mutex left, the parent called, the mutex entered, the op retired.
**
** Some ops wait for the disk: a sync in a journal's transaction, which orders what is
** before it and behind it.  A thread of the lane WRITE (scheduler.h) leaves them to the lane
** SYNC; what waits for the disk and orders nothing is no op at all (sync.h).
**
** A sync of the WAL is a position, wal_sync_seq: it works like a flush that nobody
** waits for, but nothing else than further frames is applied before it.
*/
#ifndef ASYNC_APPLY_H
#define ASYNC_APPLY_H

#include "sync.h"

/* Do up to max_steps steps.  may_sync: also such as wait for the disk. */
AsyncOutcome async_stream_run(AsyncStream *stream, int max_steps, bool may_sync, int64_t *due_us);

#endif /* ASYNC_APPLY_H */
