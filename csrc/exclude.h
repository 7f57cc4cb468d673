/*
** What is left to the parent although our VFS is the default: the folders of databases that are
** not the program's but its runtime's, such as Deno's localStorage.
**
** Both lists only ever grow, so that they are read without a lock.
*/
#ifndef ASYNC_EXCLUDE_H
#define ASYNC_EXCLUDE_H

#include <stdbool.h>

/* Under the mutex of api.h: take over a full path, from malloc.  False if memory is out. */
bool async_exclude_add(char *full);

/* Under that mutex, with a path that is excluded: but not this one database. */
bool async_exclude_all_but(char *full);

/* True if a database or one of its journals, by its full path, lies in such a folder, or is such
** a path itself. */
bool async_exclude_has(const char *full);

#endif /* ASYNC_EXCLUDE_H */
