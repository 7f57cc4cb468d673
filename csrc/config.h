/*
** The parameters that sqlite3async_set() sets, as numbers any thread may read
** at any time.  What a value must be, and when it may change, is parameters.c's
** to check.
*/
#ifndef ASYNC_CONFIG_H
#define ASYNC_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The most that `writers` can be. */
#define ASYNC_WRITERS_MAX 16

typedef struct AsyncConfig {
  _Atomic int64_t delay_ms;
  _Atomic int64_t writers;
  _Atomic int64_t poll_us;
  _Atomic int64_t lock_files;
  _Atomic int64_t max_queue_bytes;
  _Atomic int64_t on_queue_full;
  _Atomic int64_t max_delay_ms;
  _Atomic int64_t max_lock_hold_ms;
  _Atomic int64_t disk_full_retry_ms;
  _Atomic int64_t checkpoint_bytes;
  _Atomic int64_t checkpoint_idle_ms;
  _Atomic int64_t max_wal_bytes;
  _Atomic int64_t drain_on_exit;
  _Atomic int64_t exit_drain_ms;
  _Atomic int64_t drain_on_signals;
  _Atomic int64_t cover_handlers;
  _Atomic int64_t commit; /* SQLITEASYNC_COMMIT_QUEUED and so on */
} AsyncConfig;

extern AsyncConfig async_config;

/* Set in the child of a fork: it has no writer and must leave everything alone. */
extern atomic_bool async_forked;

#endif /* ASYNC_CONFIG_H */
