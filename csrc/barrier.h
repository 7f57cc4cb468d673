/*
** Barriers: a point that several streams pass together.
**
** A multi-database transaction has one commit point, the deletion of its
** super-journal, and what was queued for each of its databases before it must
** be on disk by then, and nothing after it.  So a barrier is pushed to all of
** them, as an op.  A stream whose writer comes to it waits there until all
** have; then all go on.  If one fails before it arrives, the others fail at
** the barrier with its code: they share the transaction.
**
** A barrier that could not be pushed to all, for want of memory or because one has
** failed, is none: those that have it already pass it as if it were open.  The
** transaction is not committed then, and SQLite rolls it back.
**
** Barriers are pushed under one mutex, so they stand in the same order in all
** queues and cannot wait for each other in a circle.
**
** A one-sided barrier is for an op, the waiter's, that must not be applied before
** what was queued for others: they pass it as they come, and neither wait nor
** fail for anybody.  Its op is queued after it, so it waits only for what is
** older, and there is no circle either.
*/
#ifndef ASYNC_BARRIER_H
#define ASYNC_BARRIER_H

#include "stream.h"

typedef struct AsyncBarrier AsyncBarrier;

typedef enum AsyncBarrierState {
  ASYNC_BARRIER_OPEN,   /* all have arrived, or it is none */
  ASYNC_BARRIER_CLOSED, /* wait: the scheduler wakes the stream when it opens */
  ASYNC_BARRIER_BROKEN, /* a stream has failed */
} AsyncBarrierState;

void async_barrier_init(void);

/* An op that stands directly before the barrier in the last stream's queue: both are
** pushed or none.  Called under the stream's mutex, with memory for one op. */
typedef struct AsyncBarrierOp {
  int (*push)(AsyncStream *stream, void *arg);
  void *arg;
} AsyncBarrierOp;

/*
** Push a barrier to n different streams, with the op, if there is one.  The caller
** holds a reference to each and no mutex.  SQLITE_OK; or SQLITE_IOERR_NOMEM, the code of
** the op, or the error of a stream that has failed, and then there is no barrier.
*/
int async_barrier_push(AsyncStream *const *streams, int n, const AsyncBarrierOp *before);

/*
** Push a one-sided barrier to n streams, which may have failed: that breaks it.
** *barrier is for the op of the waiter, which none of them is; if that is not queued,
** async_barrier_leave() is to be called for it.  SQLITE_OK or SQLITE_IOERR_NOMEM.
*/
int async_barrier_push_before(AsyncStream *waiter, AsyncStream *const *streams, int n,
                              AsyncBarrier **barrier);

/* The stream's writer has come to the barrier.  No mutex held.  *code: if broken. */
AsyncBarrierState async_barrier_arrive(AsyncBarrier *barrier, const AsyncStream *stream, int *code);

/* Do others wait at the barrier for this stream, which has not come there yet?  Who asks sees to it
** that the barrier stays, and holds no mutex of a stream. */
bool async_barrier_waits_for(const AsyncBarrier *barrier, const AsyncStream *stream);

/* The stream goes on behind the barrier, or, if code is not SQLITE_OK, has
** failed before it.  Once for each stream; no mutex held. */
void async_barrier_leave(AsyncBarrier *barrier, AsyncStream *stream, int code);

#endif /* ASYNC_BARRIER_H */
