/*
** The router: a default VFS that sends the databases whose paths were named
** to it, with their journals, to sqlite3async, and everything else, as it
** came, to the VFS that was the default before.
*/
#ifndef ASYNC_ROUTER_H
#define ASYNC_ROUTER_H

void async_router_init(void);
void async_router_unregister(void);

/*
** In a child every database comes by the router, too, and those that are not routed are to
** work as ever.  So nobody else is changing the routes when the process forks, and the child
** finds their mutex free; it is the only one of ours that it enters.
*/
void async_router_before_fork(void);
void async_router_after_fork(void);

#endif /* ASYNC_ROUTER_H */
