/*
** The process's end: draining at exit, at signals, and not in forked children.
*/
#ifndef ASYNC_EXIT_H
#define ASYNC_EXIT_H

#include "mutex.h"

#include <stdbool.h>

/* Once: register for exit() and quick_exit(), and for fork(). */
void async_exit_init(void);

/*
** From the drain at a signal to the signal's effect nobody commits: it would be told as committed
** and be lost.  Whoever is about to write, truncate or delete calls this under the stream's
** mutex, which it leaves while it waits: until the process is gone, or has caught the signal.
*/
void async_exit_wait_if_held(AsyncMutex *mutex);

/* Drain at SIGTERM and SIGINT, or no longer.  False if the system cannot. */
bool async_exit_watch_signals(bool on);

#endif /* ASYNC_EXIT_H */
