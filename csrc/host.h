/*
** The host: the SQLite library that loaded us, or that we are linked into.
** Every file that calls SQLite includes this and nothing else for it.  In the
** loadable build the sqlite3_* names are macros over the host's API table,
** which extension.c receives; until then none of them may be called.
*/
#ifndef ASYNC_HOST_H
#define ASYNC_HOST_H

#ifdef SQLITE_CORE
#include "sqlite3.h"
#else
#include "sqlite3ext.h"
SQLITE_EXTENSION_INIT3
#endif

/* The oldest host that the tests know to do; an older one is refused. */
#define ASYNC_HOST_OLDEST 3037000
#if SQLITE_VERSION_NUMBER < ASYNC_HOST_OLDEST
#error "sqlite3async needs the headers of SQLite 3.37 or a later one"
#endif

#include "sqlite3async.h"

#endif /* ASYNC_HOST_H */
