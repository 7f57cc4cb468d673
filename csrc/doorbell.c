/*
** The doorbell.  See doorbell.h.
*/
#include "doorbell.h"

#include "mutex.h"

static AsyncMutex mutex;
static AsyncCond heard;
static bool rung; /* guarded by the mutex */

void async_doorbell_init(void) {
  async_mutex_init(&mutex, ASYNC_RANK_DOORBELL);
  async_cond_init(&heard);
}

void async_doorbell_ring(void) {
  async_mutex_enter(&mutex);
  rung = true;
  async_cond_broadcast(&heard);
  async_mutex_leave(&mutex);
}

void async_doorbell_wait(int64_t timeout_us) {
  async_mutex_enter(&mutex);
  if (!rung) async_cond_wait(&heard, &mutex, timeout_us);
  rung = false;
  async_mutex_leave(&mutex);
}
