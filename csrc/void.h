/*
** Voiding a WAL, so that it can start anew without a sync: see wal.h for what that is.
*/
#ifndef ASYNC_VOID_H
#define ASYNC_VOID_H

#include "stream.h"

/* Void the WAL, if the database has all of it.  The caller has the CHECKPOINT lock, and waits
** for the disk; it is no failure if that cannot be done now. */
void async_void_wal(AsyncStream *stream);

/*
** The WAL may start anew as in plain SQLite, so that who does it waits for its header's sync: after
** a program's checkpoint that keeps others from writing, since they would go on before it is void;
** and after one that syncs nothing (synchronous=OFF), for then nothing is promised of a power cut.
*/
void async_void_free(AsyncStream *stream);

#endif /* ASYNC_VOID_H */
