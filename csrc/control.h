/*
** Control: the life cycle and the parameters, behind the public functions.
*/
#ifndef ASYNC_CONTROL_H
#define ASYNC_CONTROL_H

#include "stream.h"

/* Once in the process, before anything else; any number of calls. */
void async_control_init(void);

/* The VFS that does the real I/O; NULL if ours is not registered. */
sqlite3_vfs *async_control_parent(void);

/* The mutex of what this module and the extension's entry points keep. */
void async_control_enter(void);
void async_control_leave(void);

/* SQLITE_OK if the VFS is registered; otherwise SQLITE_MISUSE, with a message. */
int async_control_ready(const char *operation);
/* The same for one that is about the database zPath, which must not be NULL or "". */
int async_control_ready_for(const char *operation, const char *zPath);

/* Remember the words for sqlite3async_errmsg() and return code. */
int async_control_error(int code, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* The stream of a database by the path a user gave: an array of it, or of nothing,
** as from async_registry_all(); or of all, for NULL and "".  Or a code other than
** SQLITE_OK: that of the parent, if it cannot resolve the path, or SQLITE_NOMEM. */
int async_control_find(const char *zPath, AsyncStream ***streams);

/* The full path, as the parent makes it, from malloc.  Codes as above. */
int async_control_full_path(const char *zPath, char **full);

#endif /* ASYNC_CONTROL_H */
