/*
** What the process has once, and in which order it is made.
*/
#ifndef ASYNC_INIT_H
#define ASYNC_INIT_H

/* Before anything else of the module; any number of calls, from any thread. */
void async_init(void);

#endif /* ASYNC_INIT_H */
