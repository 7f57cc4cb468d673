/*
** Super-journals: multi-database transactions.
**
** SQLite commits a transaction on several databases so (vdbeCommit()): write
** the names of all their journals to a super-journal and sync it; write its
** name into each journal, sync, write and sync each database; delete the
** super-journal, which is the commit; delete the journals.
**
** The super-journal belongs to the stream of the connection's main database.
** From the names written to it we know whose transaction it is, and push a
** fence to them after its sync, and one before and one behind its deletion.
**
** A journal named there that is no stream's of ours belongs to a database on
** another VFS, which acts at once.  Then the super-journal must too: its sync
** and its deletion wait until they are done.  The same holds the other way
** round, see async_super_sync_child().
*/
#ifndef ASYNC_SUPER_H
#define ASYNC_SUPER_H

#include "file.h"

typedef struct AsyncSuper AsyncSuper;

/* SQLite wrote n bytes to the super-journal: names, each ended by a zero. */
int async_super_note_names(AsyncFile *file, const char *names, int n);

/* Behind the super-journal's sync, which was just queued. */
int async_super_fence_sync(AsyncFile *file);

/* As xDelete, for a super-journal. */
int async_super_delete(AsyncStream *home, const char *path, int sync_directory);

/*
** A database is synced as part of the transaction of super-journal `super`.
** If that is not ours, its deletion, the commit, will not wait for us; so
** this waits until the database is durable.
*/
int async_super_sync_child(AsyncStream *child, const char *super);

bool async_super_is_name(const char *path);
void async_super_free(AsyncSuper *super);

#endif /* ASYNC_SUPER_H */
