/*
** The end of the process.  See ending.h.
*/
#include "ending.h"

#include "config.h"
#include "os.h"

#include <stdatomic.h>

static _Atomic int64_t began_us; /* 0: it has not begun */

void async_ending_begin(void) {
  if (began_us == 0) began_us = async_os_now_us();
}

void async_ending_cancel(void) { began_us = 0; }

bool async_ending_is_over(void) {
  int64_t began = began_us;
  if (began == 0) return false;
  if (!async_config.drain_on_exit) return true;
  return async_os_now_us() - began >= async_config.exit_drain_ms * 1000;
}
