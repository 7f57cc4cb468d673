/*
** The checkpointer's doorbell: whoever gives it something to do rings, and the
** checkpointer (checkpoint.h) looks around when it hears that.
**
** Rings are not counted: one that comes while it looks around is heard when
** it next waits.
*/
#ifndef ASYNC_DOORBELL_H
#define ASYNC_DOORBELL_H

#include <stdbool.h>
#include <stdint.h>

void async_doorbell_init(void);

void async_doorbell_ring(void);

/* Wait for a ring, at most timeout_us (< 0: without bound). */
void async_doorbell_wait(int64_t timeout_us);

#endif /* ASYNC_DOORBELL_H */
