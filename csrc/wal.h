/*
** What is known of a stream's WAL: how long it is, and what the checkpointer
** (checkpoint.h) is to do about it.
**
** Positions are ends of frames, in bytes from the WAL's start, as SQLite sees
** them; on disk it may be less.  A frame is written as its header and its page,
** and the header of a transaction's last frame says so: that is how its commit is
** seen.  When SQLite tells of the commit it has given the WRITE lock back, and
** another transaction may be writing.
**
** A WAL starts anew when its header is written: then all positions begin again,
** and `starts` says that they are not to be compared with older ones.
**
** The new header must be on stable storage before frames are written over old ones, or a power cut
** could leave the old header with some of the old frames (https://sqlite.org/src/info/ff5be73dee).
** So that nobody waits for that, the WAL is voided before: when the database has all of it, on
** stable storage, zeros are written over the header, and synced.  While it is void nobody needs
** another sync to start it anew; and only then may SQLite do so.  Whoever appends to it instead
** has the old header written again first: nothing but the sync was in vain.
**
** Format: https://sqlite.org/fileformat2.html#walformat
**
** Guarded by the stream's mutex, but for what says otherwise.
*/
#ifndef ASYNC_WAL_H
#define ASYNC_WAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What the checkpointer was asked for. */
typedef enum AsyncCheckpointRequest {
  ASYNC_CHECKPOINT_NONE,      /* nothing is to be done */
  ASYNC_CHECKPOINT_WHEN_IDLE, /* when the database has been idle for a while */
  ASYNC_CHECKPOINT_NOW,
} AsyncCheckpointRequest;

/* What lies on disk where the header is. */
typedef enum AsyncWalHeader {
  ASYNC_WAL_VALID,   /* that of the WAL; or nobody knows */
  ASYNC_WAL_VOIDING, /* zeros are queued, or not synced yet */
  ASYNC_WAL_VOID,    /* zeros on stable storage; or there never was one, and with the first sync
                     ** of a new file its parent syncs the folder */
} AsyncWalHeader;

#define ASYNC_WAL_HEADER_SIZE 32

typedef struct AsyncWal {
  int64_t end;        /* of the last committed frame */
  int64_t write_end;  /* of the last frame of the transaction under way */
  bool has_commit;    /* that has written the frame which commits it */
  int64_t backfilled; /* up to here the database has it, too */
  int64_t starts;     /* how often it has started anew */
  int64_t written_us; /* when the last transaction was committed */

  AsyncWalHeader header;
  unsigned char old_header[ASYNC_WAL_HEADER_SIZE]; /* if it is not valid: what it was */
  bool free_to_restart; /* it is as it was copied by a checkpoint that syncs nothing */
  bool header_written;  /* and no frame behind it, nor a sync asked for */
  bool header_unsynced; /* the header was written, and the next sync cannot wait */
  int64_t sync_from;    /* up to here the checkpointer has synced it as it grew */
  bool wants_sync;      /* and it is to do so again */

  AsyncCheckpointRequest request;
  int64_t retry_us;              /* no checkpoint before this time */
  int64_t begun;                 /* checkpoints that the checkpointer has begun */
  int64_t ended;                 /* of them */
  bool blocked;                  /* readers kept the last one from its end */
  int code;                      /* why the last one failed; SQLITE_OK if it did not */
  atomic_bool cannot_checkpoint; /* no lock: the checkpointer cannot open the database */
} AsyncWal;

/* What came of a checkpoint. */
typedef struct AsyncWalOutcome {
  int code;
  bool opened;   /* the checkpointer could open the database */
  bool readers;  /* others read from the WAL, and kept it from copying all */
  bool progress; /* it copied something */
} AsyncWalOutcome;

/* SQLite has written n bytes at offset. */
void async_wal_wrote(AsyncWal *wal, const unsigned char *data, int n, int64_t offset);

/* There are no frames any more: it was truncated or deleted, or another process had it. */
void async_wal_forget(AsyncWal *wal);

/* The transaction under way was committed, or was not.  True if the checkpointer
** must be asked for a checkpoint, which it does not know of yet. */
bool async_wal_end_transaction(AsyncWal *wal, bool committed);

/* The checkpointer is to come at once.  True if it does not know yet. */
bool async_wal_request_now(AsyncWal *wal);

/* SQLite has asked for a sync. */
typedef enum AsyncWalSync {
  ASYNC_WAL_SYNC_LATER, /* of commits, which further frames need not wait for */
  ASYNC_WAL_SYNC_NOW,   /* of a header that may not be on stable storage later than any frame */
  ASYNC_WAL_SYNC_NEVER, /* of a header over a void one */
} AsyncWalSync;
AsyncWalSync async_wal_note_sync(AsyncWal *wal);

/* The WAL has just been made, so it never had a header. */
void async_wal_is_new(AsyncWal *wal);

/* Where the n-th frame ends. */
int64_t async_wal_end_of_frame(int n, int64_t page_size);

/* Is it so long that it has to be voided now, and others to wait for that? */
bool async_wal_must_end(const AsyncWal *wal);

/* It is about to start anew, in a file of this size: shall that be cut first?  It had grown with
** a load that is over; to allocate what one needs that goes on would take longer than to write
** over it. */
bool async_wal_is_oversized(const AsyncWal *wal, int64_t size);

/* Is it at its bound, maxWalBytes? */
bool async_wal_is_full(const AsyncWal *wal);
/* Is it, and can the checkpointer do anything about it? */
bool async_wal_is_over_limit(const AsyncWal *wal);

/* If the database has all of it: may it start anew now?  That is, is it void, or is there nothing
** that its header would have to be synced for? */
bool async_wal_may_restart(const AsyncWal *wal);

/* A checkpoint has ended: what is to be done next? */
void async_wal_note_checkpoint(AsyncWal *wal, const AsyncWalOutcome *outcome);

/* When the checkpointer is to come; -1: not at all. */
int64_t async_wal_due_us(const AsyncWal *wal);

#endif /* ASYNC_WAL_H */
