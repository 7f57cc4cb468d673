/*
** The process's end: draining at exit, at signals, and not in forked children.
*/
#ifndef ASYNC_EXIT_H
#define ASYNC_EXIT_H

#include <stdbool.h>

/* Once: register for exit() and quick_exit(), and for fork(). */
void async_exit_init(void);

/* Drain at the signals that os.h names, or no longer.  False if the system cannot. */
bool async_exit_watch_signals(bool on);

#endif /* ASYNC_EXIT_H */
