/*
** The router: a default VFS that sends the databases whose paths were named
** to it, with their journals, to sqlite3async, and everything else, as it
** came, to the VFS that was the default before.
*/
#ifndef ASYNC_ROUTER_H
#define ASYNC_ROUTER_H

#include <stdbool.h>
#include <stddef.h>

void async_router_init(void);

/*
** Become the default VFS, unless what is the default is ours.  The first route does it; the
** run-time extension at once, so that a URI that a driver took for the name of a file is met:
** see uriname.h.
*/
int async_router_register(void);
void async_router_unregister(void);

/*
** A routed database that was never opened through us, though the process has it open: by a second
** copy of SQLite, or from before.  Puts its path, cut to n - 1 bytes, into path; false if there is
** none.  To find one takes a look at all descriptors of the process, so that is done for a few
** routes at most once a second, and not at all once each routed database has been opened.
*/
bool async_router_find_outside(char *path, size_t n);

/*
** In a child every database comes by the router, too, and those that are not routed are to
** work as ever.  So nobody else is changing the routes when the process forks, and the child
** finds their mutex free; it is the only one of ours that it enters.
*/
void async_router_before_fork(void);
void async_router_after_fork(void);

#endif /* ASYNC_ROUTER_H */
