/*
** Super-journals: multi-database transactions.
**
** SQLite commits a transaction on several databases so (vdbeCommit()): write
** the names of all their journals to a super-journal and sync it; write its
** name into each journal, sync, write and sync each database; close and delete
** the super-journal, which is the commit; delete the journals.
**
** The super-journal belongs to the stream of the connection's main database,
** which remembers, by the super-journal's name, whose transaction it is: the
** names written to it say so.  They all get a barrier after its sync, and one
** before and one behind its deletion.
**
** A journal named there that is no stream's of ours belongs to a database on
** another VFS, which acts at once.  Then the super-journal must too: its sync
** and its deletion wait until they are done.  The same holds the other way
** round, see async_super_sync_child().
**
** SQLite ignores what becomes of such a transaction after the deletion: above level queued
** (level.h) it is that which waits.
**
** A super-journal may also be found by the rollback of a transaction that a
** process left behind.  It is deleted when no journal names it any more; here
** that means, when the rollbacks of the databases it names have been applied.
** Anybody may have written it, and name what database he likes: so its deletion
** waits for them, but they neither wait nor fail for it.  A rollback that
** meets one which names a database that has failed here fails with its code, until
** that is closed.
*/
#ifndef ASYNC_SUPER_H
#define ASYNC_SUPER_H

#include "file.h"

/* SQLite wrote n bytes to the super-journal: names, each ended by a zero. */
int async_super_note_names(AsyncFile *file, const char *names, int n);

/* Behind the super-journal's sync, which was just queued. */
int async_super_barrier_sync(AsyncFile *file);

/* As xDelete, for a super-journal. */
int async_super_delete(sqlite3_vfs *parent, const char *path, int sync_directory);

/*
** A database is synced as part of the transaction of super-journal `super`.
** If that is not ours, its deletion, the commit, will not wait for us; so
** this waits until the database is durable.  level: of the connection's commits; the
** deletion waits for it.
*/
int async_super_sync_child(AsyncStream *child, const char *super, int level);

/* A handle was closed; if it was the last one, what the stream still remembers
** is of no use. */
void async_super_forget_all(AsyncStream *home);

#endif /* ASYNC_SUPER_H */
