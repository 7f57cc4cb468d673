/*
** The wal-index of a stream: what SQLite otherwise keeps in the -shm file.
**
** It lies in our heap and serves all connections of the process; no other
** process may look at the database meanwhile (lock.h), for it would be
** promised frames that are still queued.  Regions are made on demand, never
** move, and go when the last connection unmaps.  What is in them is SQLite's,
** which guards it by the eight locks below and by barriers; without a
** connection it is made anew from the WAL.
**
** The locks have the rules of SQLite's unix VFS: any number of SHARED or one
** EXCLUSIVE; a request never waits.  The one exception is a request that only
** the checkpointer (checkpoint.h) stands in the way of: it is ours, nobody
** expects it, so nobody shall see SQLITE_BUSY because of it.  Such a request
** waits, and the checkpointer makes haste.
**
** With the WRITE lock the checkpointer copies the last frames of a WAL that has become too
** long, so that the next transaction can start it anew.  That works only for one that begins to
** read when this is done; so the checkpointer waits, a little, for a moment
** with no transaction, and gets the lock in the instant it comes; and
** transactions that begin meanwhile wait and then look at the index again, but for those
** that need nothing from the WAL.
**
** The mutex guards everything but what is in the regions.
*/
#ifndef ASYNC_WALINDEX_H
#define ASYNC_WALINDEX_H

#include "host.h"
#include "mutex.h"

#include <stdatomic.h>

/* Which lock is which: https://sqlite.org/walformat.html#wal_locks */
#define ASYNC_WAL_WRITE 0
#define ASYNC_WAL_CHECKPOINT 1
#define ASYNC_WAL_READ_0 3

/* Nothing the checkpointer does once it is interrupted takes this long, unless the
** disk has stopped answering. */
#define ASYNC_INTERRUPT_US 10000000

/* What a connection has mapped and locked; part of its handle. */
typedef struct AsyncShmUser {
  bool mapped;
  bool is_checkpointer;
  uint8_t shared; /* bits; written under the mutex */
  uint8_t exclusive;
} AsyncShmUser;

typedef struct AsyncWalIndex {
  AsyncMutex mutex;
  AsyncCond changed; /* somebody waits, and a lock was given back */
  int waiting;
  int users;
  int region_count;
  void **regions;
  int shared[SQLITE_SHM_NLOCK];              /* holders */
  AsyncShmUser *exclusive[SQLITE_SHM_NLOCK]; /* or the one */
  AsyncShmUser *checkpointer;                /* if it is among the users */
  AsyncShmUser *closer;                      /* the same, waiting for the WRITE lock */
  bool given_up;                             /* another process may have the database */
  bool renew;                                /* the next header that is made gets ... */
  uint32_t generation;                       /* ... this as a part of its change counter */

  /* No lock: the checkpointer shall end what it is at. */
  atomic_bool interrupted;
} AsyncWalIndex;

void async_walindex_init(AsyncWalIndex *index);
void async_walindex_free(AsyncWalIndex *index);

/* As xShmMap and xShmUnmap of sqlite3_io_methods; SQLite's regions have 32 KiB. */
int async_walindex_map(AsyncWalIndex *index, AsyncShmUser *user, int region, int size, bool extend,
                       void volatile **address);
void async_walindex_unmap(AsyncWalIndex *index, AsyncShmUser *user);

bool async_walindex_is_mapped(AsyncWalIndex *index);

/* As xShmLock.  SQLITE_LOCKED if the index was given up: own the database first. */
int async_walindex_lock(AsyncWalIndex *index, AsyncShmUser *user, int first, int n, int flags);

/* Where the index says how much of the WAL has been copied, while the caller has it mapped; NULL if
** nobody has. */
const void *async_walindex_header(AsyncWalIndex *index);

/* The frames of a WAL of which all have been copied; -1: not all, or the index is to be made anew.
** For who knows that nobody writes. */
int64_t async_walindex_copied(const void *header);

/* Does anybody but the checkpointer read from the WAL? */
bool async_walindex_has_readers(AsyncWalIndex *index);

/* The checkpointer shall come to an end. */
void async_walindex_interrupt(AsyncWalIndex *index);

/* Would this lock begin a transaction of the user's? */
bool async_walindex_begins_read(const AsyncShmUser *user, int first, int flags);

/* As xShmBarrier. */
void async_walindex_barrier(void);

/*
** Another process will have the database: what is in the regions is not to be
** believed any more.  SQLite makes them anew when it finds the checksum
** wrong.  Connections compare the new header with the one they remember to
** see whether their page cache still holds, and any two headers of an empty
** WAL look the same; so the first new one gets a change counter that was never
** there.  False, and nothing done, if anybody has a lock.
*/
bool async_walindex_give_up(AsyncWalIndex *index);
/* The database is ours again. */
void async_walindex_take_back(AsyncWalIndex *index);

#endif /* ASYNC_WALINDEX_H */
