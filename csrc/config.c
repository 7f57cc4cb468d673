/*
** The parameters' values.  See config.h.
*/
#include "config.h"

/* What a program gets that only knows the original's four functions. */
AsyncConfig async_config = {
    .writers = 4,
    .poll_us = 500,
    .lock_files = 1,
    .max_lock_hold_ms = 1000,
    .disk_full_retry_ms = 30000,
    .checkpoint_bytes = 16 * 1024 * 1024,
    .checkpoint_idle_ms = 1000,
    .max_wal_bytes = 1024 * 1024 * 1024,
    .drain_on_exit = 1,
    .exit_drain_ms = 10000,
    .cover_handlers = 1,
};
atomic_bool async_forked;
