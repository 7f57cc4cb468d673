/*
** The end of the process: once it has begun, nobody waits for longer than the drain
** at exit may take.  Runtimes close databases themselves while they end, and some
** before exit handlers are called.
*/
#ifndef ASYNC_ENDING_H
#define ASYNC_ENDING_H

#include <stdbool.h>

/* It begins; further calls change nothing. */
void async_ending_begin(void);

/* It did not come: the process lives on, as after a reload by `deno --watch`. */
void async_ending_cancel(void);

/* Has it begun, and is the time over in which what is queued can be waited for? */
bool async_ending_is_over(void);

#endif /* ASYNC_ENDING_H */
