/*
** The methods of an open file, through which SQLite calls us.  They do little: they hand on to
** file.h, lock.h and walindex.h.
*/
#ifndef ASYNC_METHODS_H
#define ASYNC_METHODS_H

#include "handle.h"

/* Make *handle a handle on the file, opened with these flags; it takes over the reference.  name:
** as SQLite gave it, if that has opened it as a database, else NULL. */
void async_methods_open(AsyncHandle *handle, AsyncStream *stream, AsyncFile *file, int flags,
                        const char *name);

#endif /* ASYNC_METHODS_H */
