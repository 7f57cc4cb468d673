/*
** The floor of the public functions of sqlite3async.h: the mutex of what they keep, the message of
** the last error, whether the VFS is registered, and which database a path means.
*/
#ifndef ASYNC_API_H
#define ASYNC_API_H

#include "stream.h"

/* Before all else of this; called by init.c. */
void async_api_init(void);

/* The VFS that does the real I/O; NULL if ours is not registered.  set: under the mutex below. */
sqlite3_vfs *async_api_parent(void);
void async_api_set_parent(sqlite3_vfs *parent);

/* The mutex of what this module and the extension's entry points keep. */
void async_api_enter(void);
void async_api_leave(void);

/* SQLITE_OK if this is no forked child; otherwise SQLITE_MISUSE, with a message. */
int async_api_refuse_in_child(const char *operation);
/* The same, and the VFS is registered. */
int async_api_ready(const char *operation);
/* The same for one that is about the database zPath, which must not be NULL or "". */
int async_api_ready_for(const char *operation, const char *zPath);

/* Remember the words for sqlite3async_errmsg() and return code. */
int async_api_error(int code, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* The stream of a database by the path a user gave: an array of it, or of nothing,
** as from async_registry_all(); or of all, for NULL and "".  Or a code other than
** SQLITE_OK: that of the parent, if it cannot resolve the path, or SQLITE_NOMEM. */
int async_api_find(const char *zPath, AsyncStream ***streams);

/* The full path, as the parent makes it, from malloc.  Codes as above. */
int async_api_full_path(const char *zPath, char **full);

#endif /* ASYNC_API_H */
