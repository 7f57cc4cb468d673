/*
** Holding commits.  See gate.h.
*/
#include "gate.h"

#include <stdatomic.h>

#define GATE_POLL_US 1000

static _Atomic int64_t closed_until_us; /* 0: nobody is */

void async_gate_close(int64_t us) { closed_until_us = async_os_now_us() + us; }

void async_gate_open(void) { closed_until_us = 0; }

static bool is_held(void) { return closed_until_us != 0 && async_os_now_us() < closed_until_us; }

bool async_gate_wait(AsyncMutex *mutex) {
  bool waited = false;
  while (is_held()) {
    async_mutex_leave(mutex);
    async_os_sleep_us(GATE_POLL_US);
    async_mutex_enter(mutex);
    waited = true;
  }
  return waited;
}
