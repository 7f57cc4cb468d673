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
*/
#ifndef ASYNC_APPLY_H
#define ASYNC_APPLY_H

#include "stream.h"

typedef enum AsyncOutcome {
  ASYNC_RUN_MORE,  /* there is more to do */
  ASYNC_RUN_DRY,   /* nothing to do before *due_us (0: nothing at all) */
  ASYNC_RUN_STUCK, /* what is next cannot be done before *due_us (0: until woken) */
} AsyncOutcome;

/* Do up to max_steps steps: an op applied, or a sync for a flush. */
AsyncOutcome async_stream_run(AsyncStream *stream, int max_steps, int64_t *due_us);

#endif /* ASYNC_APPLY_H */
