/*
** SQLite's automatic checkpoints.
**
** Each connection makes one after a commit that left more than 1000 frames in
** the WAL, on the thread that committed.  Where the checkpointer takes care
** of the WAL that is no use, and the caller would wait for it.  So when a
** connection begins to use a WAL of ours, its automatic checkpoint is turned
** off, if it is the one that SQLite has by default.  Who asks for another by
** PRAGMA wal_autocheckpoint or sqlite3_wal_autocheckpoint() has it.
**
** SQLite keeps it as a hook, and tells nobody which one it has; so one that a C
** program has set by sqlite3_wal_hook() before it first used the database is
** lost.  It is to be set after that.
**
** It is a setting of the connection, not of a database.  In a connection whose
** main database is not ours it stays as it is.
*/
#ifndef ASYNC_AUTOCHECKPOINT_H
#define ASYNC_AUTOCHECKPOINT_H

#include "handle.h"

/* The connection begins to use a WAL. */
void async_autocheckpoint_adopt(AsyncHandle *handle);

/* The connection has committed: is the checkpointer still there for it? */
void async_autocheckpoint_note_commit(AsyncHandle *handle);

/* PRAGMA name=value was given to the connection; value may be NULL. */
void async_autocheckpoint_note_pragma(AsyncHandle *handle, const char *name, const char *value);

#endif /* ASYNC_AUTOCHECKPOINT_H */
