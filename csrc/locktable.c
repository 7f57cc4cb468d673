/*
** The state of a database's file locks.  See locktable.h.
*/
#include "locktable.h"

#include <string.h>

void async_locktable_init(AsyncLock *lock) {
  memset(lock, 0, sizeof *lock);
  async_mutex_init(&lock->mutex, ASYNC_RANK_LOCK);
  async_cond_init(&lock->freed);
  async_cond_init(&lock->checkpointed);
  lock->contended_us = -ASYNC_CONTENDED_US;
}

void async_locktable_free(AsyncLock *lock) {
  async_cond_free(&lock->checkpointed);
  async_cond_free(&lock->freed);
  async_mutex_free(&lock->mutex);
}
