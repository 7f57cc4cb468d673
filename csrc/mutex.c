/*
** Mutexes that know their place in the lock order.  See mutex.h.
**
** In builds without NDEBUG each thread keeps a bit set of the ranks it holds;
** a rank is held at most once, since the order is strict.
*/
#include "mutex.h"

#include <assert.h>

#ifndef NDEBUG
static _Thread_local unsigned ranks_held;

static unsigned rank_bit(AsyncRank rank) { return 1u << (unsigned)rank; }

static void note_enter(const AsyncMutex *mutex) {
  assert(ranks_held < rank_bit(mutex->rank) && "lock order, see mutex.h");
  ranks_held |= rank_bit(mutex->rank);
}

static void note_leave(const AsyncMutex *mutex) {
  assert(ranks_held & rank_bit(mutex->rank));
  ranks_held &= ~rank_bit(mutex->rank);
}

bool async_mutex_is_held(const AsyncMutex *mutex) {
  return (ranks_held & rank_bit(mutex->rank)) != 0;
}
#else
static void note_enter(const AsyncMutex *mutex) { (void)mutex; }
static void note_leave(const AsyncMutex *mutex) { (void)mutex; }
bool async_mutex_is_held(const AsyncMutex *mutex) {
  (void)mutex;
  return true;
}
#endif

void async_mutex_init(AsyncMutex *mutex, AsyncRank rank) {
  async_os_mutex_init(&mutex->os);
  mutex->rank = rank;
}

void async_mutex_free(AsyncMutex *mutex) { async_os_mutex_free(&mutex->os); }

void async_mutex_enter(AsyncMutex *mutex) {
  note_enter(mutex);
  async_os_mutex_enter(&mutex->os);
}

void async_mutex_leave(AsyncMutex *mutex) {
  note_leave(mutex);
  async_os_mutex_leave(&mutex->os);
}

void async_cond_init(AsyncCond *cond) { async_os_cond_init(&cond->os); }

void async_cond_free(AsyncCond *cond) { async_os_cond_free(&cond->os); }

bool async_cond_wait(AsyncCond *cond, AsyncMutex *mutex, int64_t timeout_us) {
  note_leave(mutex);
  bool woken = async_os_cond_wait(&cond->os, &mutex->os, timeout_us);
  note_enter(mutex);
  return woken;
}

void async_cond_broadcast(AsyncCond *cond) { async_os_cond_broadcast(&cond->os); }
