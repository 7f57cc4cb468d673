/*
** What becomes of a step of the writer's that could not be done: it waits for what
** others may give back, or the stream fails.
*/
#ifndef ASYNC_FAILURE_H
#define ASYNC_FAILURE_H

#include "file.h"

/* What came of a step. */
typedef enum AsyncStep {
  ASYNC_STEP_DONE,
  ASYNC_STEP_NOTHING, /* nothing is queued, and no flush wanted */
  ASYNC_STEP_STUCK,
  ASYNC_STEP_FAILED,
  ASYNC_STEP_SYNC, /* not done: this thread is not to wait for the disk */
} AsyncStep;

/* The kind of an op, in a word, for messages. */
const char *async_failure_operation(AsyncOpKind kind);

/*
** The parent has just failed with rc.  If that is because others have used up what
** they may give back, the code that says so; otherwise SQLITE_OK.  No mutex is held.
** moved: see moved.h.
*/
int async_failure_shortage(AsyncStream *stream, const AsyncOp *op, int rc, bool moved);

/*
** The stream's first background error.  Everything queued is dropped: what is
** on disk stays a prefix, and every later call gets the code.  Under the mutex, which
** it leaves meanwhile.
*/
void async_failure_fail(AsyncStream *stream, int code, const char *operation, const char *path);

/* Has the database been closed for as long as a close may wait for what others use up?  Under the
** mutex. */
bool async_failure_is_closed_for_long(const AsyncStream *stream);

/* The same on a thread that does not run the ops: whoever does fails the stream.  Under the
** mutex; the caller wakes it. */
void async_failure_note(AsyncStream *stream, int code, AsyncOpKind kind, const char *path);

/*
** True if the step is to be tried again at *due_us; false if that has gone on since *since_us for
** too long, and is to fail the stream.  Under the mutex, which it leaves meanwhile.
*/
bool async_failure_stall(AsyncStream *stream, int64_t *since_us, int code, const char *operation,
                         const char *path, int64_t *due_us);
/* It has been done.  Likewise. */
void async_failure_resume(AsyncStream *stream, int64_t *since_us, const char *operation);

#endif /* ASYNC_FAILURE_H */
