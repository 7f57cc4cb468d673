/*
** The state of a database's file locks, which lock.h works on: who of this process has which,
** and what the parent's handle has.
*/
#ifndef ASYNC_LOCKTABLE_H
#define ASYNC_LOCKTABLE_H

#include "mutex.h"

/* A connection's line in the table; part of its handle. */
typedef struct AsyncHolder {
  int level; /* SQLITE_LOCK_NONE .. SQLITE_LOCK_EXCLUSIVE; written under the mutex */
  bool is_checkpointer;
  bool read_only; /* SQLite opened the database so, whatever the parent's handle can do */
} AsyncHolder;

/* After another process stood in our way, be brief for this long. */
#define ASYNC_CONTENDED_US 10000000

typedef struct AsyncLock {
  AsyncMutex mutex;
  AsyncCond freed;          /* the OS lock was given back */
  int shared;               /* holders at SHARED or above */
  AsyncHolder *writer;      /* the one at RESERVED or above */
  bool os_locked;           /* os_level is really the parent's: see lockFiles */
  int os_level;             /* what the parent's handle has */
  int64_t hold_since_us;    /* since when the lock was not free long enough */
  int64_t free_since_us;    /* last given back */
  int64_t free_total_us;    /* free moments since hold_since_us */
  int64_t contended_us;     /* when another process last stood in our way */
  bool is_wal_mode;         /* the database is in WAL mode; known while os_level is not NONE */
  bool cut_off;             /* its holders have nothing any more, see async_lock_cut_off() */
  bool handed_over;         /* others may have it, though connections have SHARED */
  bool checkpointer_shared; /* it is one of `shared` */
  bool checkpointing;       /* the checkpointer has it open, or is about to */
  AsyncCond checkpointed;   /* no longer so */
} AsyncLock;

void async_locktable_init(AsyncLock *lock);
void async_locktable_free(AsyncLock *lock);

#endif /* ASYNC_LOCKTABLE_H */
