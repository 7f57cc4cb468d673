/*
** Holding commits.  See hold.h.
*/
#include "hold.h"

#include <stdatomic.h>

#define HOLD_POLL_US 1000

static _Atomic int64_t held_until_us; /* 0: nobody is */

void async_hold_commits(int64_t us) { held_until_us = async_os_now_us() + us; }

void async_hold_release(void) { held_until_us = 0; }

static bool is_held(void) { return held_until_us != 0 && async_os_now_us() < held_until_us; }

bool async_hold_wait(AsyncMutex *mutex) {
  bool waited = false;
  while (is_held()) {
    async_mutex_leave(mutex);
    async_os_sleep_us(HOLD_POLL_US);
    async_mutex_enter(mutex);
    waited = true;
  }
  return waited;
}
