/*
** Holding commits.  From the drain at a signal to the signal's effect nobody commits: it would be
** told as committed and be lost.
*/
#ifndef ASYNC_GATE_H
#define ASYNC_GATE_H

#include "mutex.h"

/* Hold whoever is about to commit, at most so long from now. */
void async_gate_close(int64_t us);
void async_gate_open(void);

/*
** Whoever is about to queue a write, a truncation or a deletion calls this just before, under the
** stream's mutex, which it leaves while it waits: until the process is gone, or has caught the
** signal.  True if it has waited: what was looked at before may have changed.
*/
bool async_gate_wait(AsyncMutex *mutex);

#endif /* ASYNC_GATE_H */
