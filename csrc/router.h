/*
** The router: a default VFS that sends the databases whose paths were named
** to it, with their journals, to sqlite3async, and everything else, as it
** came, to the VFS that was the default before.
*/
#ifndef ASYNC_ROUTER_H
#define ASYNC_ROUTER_H

void async_router_init(void);
void async_router_unregister(void);

#endif /* ASYNC_ROUTER_H */
