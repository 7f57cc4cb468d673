/*
** Fences: a point that several streams pass together.
**
** A multi-database transaction has one commit point, the deletion of its
** super-journal, and what was queued for each of its databases before it must
** be on disk by then, and nothing after it.  So a fence is pushed to all of
** them, as an op.  A stream whose writer comes to it waits there until all
** have; then all go on.  If one fails before it arrives, the others fail at
** the fence with its code: they share the transaction.
**
** A fence that could not be pushed to all, for want of memory or because one has
** failed, is none: those that have it already pass it as if it were open.  The
** transaction is not committed then, and SQLite rolls it back.
**
** Fences are pushed under one mutex, so they stand in the same order in all
** queues and cannot wait for each other in a circle.
**
** A one-sided fence is for an op, the waiter's, that must not be applied before
** what was queued for others: they pass it as they come, and neither wait nor
** fail for anybody.  Its op is queued after it, so it waits only for what is
** older, and there is no circle either.
*/
#ifndef ASYNC_FENCE_H
#define ASYNC_FENCE_H

#include "stream.h"

typedef struct AsyncFence AsyncFence;

typedef enum AsyncFenceState {
  ASYNC_FENCE_OPEN,   /* all have arrived, or it is none */
  ASYNC_FENCE_CLOSED, /* wait: the scheduler wakes the stream when it opens */
  ASYNC_FENCE_BROKEN, /* a stream has failed */
} AsyncFenceState;

void async_fence_init(void);

/* An op that stands directly before the fence in the last stream's queue: both are
** pushed or none.  Called under the stream's mutex, with memory for one op. */
typedef struct AsyncFenceOp {
  int (*push)(AsyncStream *stream, void *arg);
  void *arg;
} AsyncFenceOp;

/*
** Push a fence to n different streams, with the op, if there is one.  The caller
** holds a reference to each and no mutex.  SQLITE_OK; or SQLITE_IOERR_NOMEM, the code of
** the op, or the error of a stream that has failed, and then there is no fence.
*/
int async_fence_push(AsyncStream *const *streams, int n, const AsyncFenceOp *before);

/*
** Push a one-sided fence to n streams, which may have failed: that breaks it.
** *fence is for the op of the waiter, which none of them is; if that is not queued,
** async_fence_leave() is to be called for it.  SQLITE_OK or SQLITE_IOERR_NOMEM.
*/
int async_fence_push_before(AsyncStream *waiter, AsyncStream *const *streams, int n,
                            AsyncFence **fence);

/* The stream's writer has come to the fence.  No mutex held.  *code: if broken. */
AsyncFenceState async_fence_arrive(AsyncFence *fence, const AsyncStream *stream, int *code);

/* Do others wait at the fence for this stream, which has not come there yet?  Who asks sees to it
** that the fence stays, and holds no mutex of a stream. */
bool async_fence_waits_for(const AsyncFence *fence, const AsyncStream *stream);

/* The stream goes on behind the fence, or, if code is not SQLITE_OK, has
** failed before it.  Once for each stream; no mutex held. */
void async_fence_leave(AsyncFence *fence, AsyncStream *stream, int code);

#endif /* ASYNC_FENCE_H */
