/*
** Mutexes with a place in the lock order, condition variables, threads.
**
** The lock order is written here and nowhere else.  A thread may enter a
** mutex only if every mutex it holds has a smaller rank; in builds without
** NDEBUG this is asserted on every entry.
*/
#ifndef ASYNC_MUTEX_H
#define ASYNC_MUTEX_H

#include "os.h"

typedef enum AsyncRank {
  ASYNC_RANK_API = 1,   /* api.c: life cycle calls, one at a time */
  ASYNC_RANK_REGISTRY,  /* registry.c: the list of streams and their references */
  ASYNC_RANK_BARRIER,   /* barrier.c: which streams have arrived; the order of barriers */
  ASYNC_RANK_LOCK,      /* lock.c: a stream's lock table and its parent handle's lock */
  ASYNC_RANK_WALINDEX,  /* walindex.h: a stream's wal-index and its locks */
  ASYNC_RANK_STREAM,    /* stream.h: a stream's queue, overlays, watermarks */
  ASYNC_RANK_SCHEDULER, /* scheduler.h: which streams have work */
  ASYNC_RANK_DOORBELL,  /* doorbell.c: the checkpointer is to look around */
  ASYNC_RANK_EVENT,     /* event.c: the ring of events */
  ASYNC_RANK_NOTIFY,    /* notify.c: subscriptions of JavaScript environments */
  ASYNC_RANK_ROUTER,    /* router.c: the routes */
  ASYNC_RANK_KNOWN,     /* known.c: which paths are known */
  ASYNC_RANK_ARENA,     /* arena.c: spare chunks */
  ASYNC_RANK_POSITION,  /* parent.h: the parent's descriptors of a stream, where they have one */
} AsyncRank;

typedef struct AsyncMutex {
  AsyncOsMutex os;
  AsyncRank rank;
} AsyncMutex;

void async_mutex_init(AsyncMutex *mutex, AsyncRank rank);
void async_mutex_free(AsyncMutex *mutex);
void async_mutex_enter(AsyncMutex *mutex);
void async_mutex_leave(AsyncMutex *mutex);

/* For assertions: does this thread hold a mutex of this one's rank? */
bool async_mutex_is_held(const AsyncMutex *mutex);

typedef struct AsyncCond {
  AsyncOsCond os;
} AsyncCond;

void async_cond_init(AsyncCond *cond);
void async_cond_free(AsyncCond *cond);
/*
** Leave the mutex, wait, enter it again.  It must be the only one held but
** for those the caller can answer for.  timeout_us < 0: no bound.  False if
** the time ran out.
*/
bool async_cond_wait(AsyncCond *cond, AsyncMutex *mutex, int64_t timeout_us);
void async_cond_broadcast(AsyncCond *cond);

#endif /* ASYNC_MUTEX_H */
