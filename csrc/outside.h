/*
** The error for a database that is asked about and that is not ours: whoever takes plain SQLite
** for this module would take silence for a promise.
*/
#ifndef ASYNC_OUTSIDE_H
#define ASYNC_OUTSIDE_H

#include <stdbool.h>

/* SQLITE_NOTFOUND, with words: what was tried (such as "flush"), why it cannot be, the cure.
** never: it was not even open before. */
int async_outside_error(const char *verb, const char *zPath, bool never);

/*
** Is there a database, by the path a user gave, that was open through us at some time?
** SQLITE_OK; SQLITE_NOTFOUND; otherwise the path cannot be resolved.
*/
int async_outside_was_open(const char *zPath);

/* SQLITE_NOTFOUND, with words, if a routed database is open in this process and was never open
** through us: see async_router_find_outside().  Otherwise SQLITE_OK. */
int async_outside_check_routes(const char *verb);

#endif /* ASYNC_OUTSIDE_H */
