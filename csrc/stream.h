/*
** A stream: one database with its journals; the unit of order, of error and
** of durability.
**
** Callers push ops (file.h); a writer runs the stream (apply.h).  A stream
** exists from the first open of its database until the last handle is
** closed, everything is applied and synced, and nobody looks at it; or, if
** it failed, until the last handle is closed.  registry.h has the list and
** the counting of references.
**
** Watermarks are positions: everything up to one has been pushed, applied or made
** durable.  pushed >= applied >= durable, always.
**
** Everything below is guarded by the mutex, but for what says otherwise.  No
** I/O is done while it is held.
*/
#ifndef ASYNC_STREAM_H
#define ASYNC_STREAM_H

#include "host.h"
#include "locktable.h"
#include "mutex.h"
#include "queue.h"
#include "scheduler.h"
#include "wal.h"
#include "walindex.h"

typedef struct AsyncStream AsyncStream;
struct AsyncFile;

/* A file control of our own, for sqlite3_file_control(): the stream of the open file, as
** const AsyncStream **.  A file of another VFS knows no such number, and changes nothing. */
#define ASYNC_FCNTL_STREAM 0x61737963

typedef struct AsyncWatermark {
  int64_t seq;          /* of the last op */
  int64_t transactions; /* committed ones, up to there */
} AsyncWatermark;

/* The first background error.  Once code is set it never changes. */
typedef struct AsyncError {
  int code;
  const char *operation; /* a constant */
  char *path;            /* of the file that was worked on */
} AsyncError;

/* A transaction that was committed, and what its commit is to wait for: see level.h. */
typedef struct AsyncCommit {
  int level;   /* SQLITEASYNC_COMMIT_QUEUED and so on */
  int64_t seq; /* of its last op; 0: it wrote nothing */
} AsyncCommit;

/*
** The names that SQLite uses for the journals of one connection, by their addresses: once another
** database is at the path, only they tell whose journal is meant (moved.h).  Part of a handle.
*/
typedef struct AsyncNames {
  struct AsyncNames *next;
  const char *journal;
  const char *wal;
} AsyncNames;

typedef struct AsyncStats {
  int64_t ops_applied;
  int64_t bytes_written;
  int64_t syncs;
  int64_t sync_us_total;
  int64_t sync_us_max;
  int64_t full_waits;
  int64_t full_wait_us;
  int64_t undurable_us_max; /* the longest that a commit waited for its sync */
  int64_t late_flushes;     /* that came too late for maxDelayMs */
  int64_t checkpoints;
} AsyncStats;

/* Sums, and of what is the longest the larger. */
void async_stats_add(AsyncStats *sum, const AsyncStats *stats);

/* The files of a stream, see file.h. */
typedef struct AsyncFiles {
  struct AsyncFile *newest;   /* all of them, linked to ever older ones */
  struct AsyncFile *database; /* what these names mean now, or NULL if we know nothing of it */
  struct AsyncFile *journal;
  struct AsyncFile *wal;
  struct AsyncFile *unsynced_journal; /* closed, not synced, not deleted */
  struct AsyncFile *garbage;          /* no longer needed; to be closed without the mutex */
  int closing;                        /* threads that close what they took from there */
  int dirty;                          /* files that the next flush must sync */
} AsyncFiles;

/* A sync beside the writer has failed; the writer shall fail the stream. */
typedef struct AsyncSideError {
  int code;
  const char *operation; /* a constant */
  char *path;
} AsyncSideError;

/* What threads wait for; nobody is woken while nobody waits. */
typedef struct AsyncSignal {
  AsyncCond cond;
  int waiting;
} AsyncSignal;

struct AsyncStream {
  AsyncTask task;      /* of the ops; the scheduler's */
  AsyncTask sync_task; /* of the syncs that order none of them */

  /* Constant from creation on. */
  int64_t id;
  char *path;
  sqlite3_vfs *parent;

  atomic_bool is_link; /* its path leads elsewhere now; set once */

  /* Guarded by the registry's mutex. */
  AsyncStream *path_next;
  AsyncStream *id_next;
  int references;

  AsyncLock lock;         /* has its own mutex */
  AsyncWalIndex walindex; /* has its own mutex */

  bool has_position;         /* constant: the parent's files are read and written so */
  AsyncMutex position_mutex; /* of those: parent.h */

  AsyncMutex mutex;
  AsyncSignal durable_moved; /* or the stream failed */
  AsyncSignal applied_moved; /* up to applied_wanted; or the stream failed */
  AsyncSignal checkpointed;  /* a checkpoint has ended */
  AsyncSignal room_made;     /* there is some in the queue again; or the stream failed */
  AsyncSignal files_closed;  /* some of the files have been closed */
  AsyncSignal synced;        /* a sync of one of them has ended */
  bool awake;                /* the scheduler knows of work; see async_stream_leave_and_wake */
  bool hurried;              /* a writer is at it, or was told that somebody waits */

  AsyncQueue queue;
  bool full; /* see async_stream_is_full */
  AsyncSegmentPool segments;
  AsyncFiles files;
  int handles;               /* open handles of SQLite on any of the files */
  int connections;           /* of them those on the database, without the checkpointer's and: */
  AsyncNames *names;         /* of the connections */
  int abandoned;             /* those of zombies, see client.h */
  struct AsyncSuper *supers; /* multi-database transactions under way; see super.c */

  int64_t refused;           /* counted as committed, but failed before their commits returned */
  int64_t changes;           /* ops of transactions pushed, merged ones too */
  int64_t changes_committed; /* what `changes` was at the last commit */
  AsyncWatermark pushed;
  AsyncWatermark applied;
  AsyncWatermark durable;
  int64_t applied_wanted;    /* the smallest seq that somebody waits for, or INT64_MAX */
  int64_t flush_wanted;      /* seq that somebody wants durable */
  int64_t flush_target;      /* the part of it that the next sync will do */
  int64_t wal_sync_seq;      /* seq up to which the WAL is to be synced, see apply.h */
  int64_t sync_at;           /* seq that is applied when the sync task is to be woken */
  bool sync_armed;           /* it comes when maxDelayMs asks for it */
  int64_t flushes;           /* how many have begun */
  bool ops_wait_for_sync;    /* one that is under way */
  bool ops_wait_for_flush;   /* which the sync task is to make first */
  bool sync_waits_for_sync;  /* the sync task for another thread's */
  int64_t exit_wanted;       /* seq up to which the end of the process waits */
  int64_t flushed_us;        /* when the last sync of all files ended */
  int64_t unsynced_since_us; /* when the oldest applied, not durable commit was made; or 0 */
  int64_t syncing_since_us;  /* the same of those that a sync under way is about */
  bool pinned_by_lock;       /* the database's handle must stay; see lock.c */
  bool directory_dirty;      /* a name was made or deleted, and the folder not synced */
  bool directory_syncing;    /* it is being synced; dirty only of what came since */
  int64_t closing_since_us;  /* when the last connection was closed; see closing.h */
  bool cut_off;              /* close() by force: nothing more is pushed, and then it fails */
  bool close_queued;         /* nobody has looked at the stream since */
  bool moved;                /* the database had lost its name, when last looked; see moved.h */
  int64_t moves_seen;        /* how often a look has found that */
  bool is_deleted;           /* it failed, and its owner had deleted the database */
  AsyncOsFileState database_state; /* which file it is, when it was opened */
  bool has_left_path;              /* and the path may be another stream's */
  bool by_name;                    /* the writer does something by name */
  int removing;                    /* so many remove journals, see moved.c */
  int64_t op_stalled_since_us;     /* the first op waits for what may be there again; or 0 */
  int64_t folder_stalled_since_us; /* so does the folder's sync; or 0 */
  /* What was opened last as the journal, if it is closed and not deleted: it may still be hot. */
  AsyncOsFileState closed_journal;
  AsyncOsFileState left_journal; /* the journal, when it was last closed here */
  int64_t last_op_writes; /* of SQLite's, in the op that was applied last; its runner's alone */
  int64_t apply_us_x16;   /* 16 times the time to apply an op, a moving average */

  AsyncWal wal;
  AsyncSideError side_error;
  /* No lock, but only who has the WAL's WRITE lock writes it: somebody has. */
  atomic_bool wal_writer_active;

  /* No lock: the queue or the WAL is at its bound, or the stream has failed; so a
  ** transaction that begins must look closer.  May stay set for longer. */
  atomic_bool under_pressure;

  int awaiting; /* threads that wait until something is applied, and want no pauses */
  /* No lock: one does, so that a writer must not pause.  Set and cleared under the mutex. */
  atomic_bool is_awaited;

  /* No lock: the last connection was closed.  Set and cleared under the mutex. */
  atomic_bool is_closing;

  AsyncError error;
  bool error_told; /* somebody got its code */
  bool lost_told;  /* what it has lost was told on stderr */
  AsyncStats stats;
};

/* Make a stream, unknown to anybody yet.  NULL if memory is out. */
AsyncStream *async_stream_new(const char *path, sqlite3_vfs *parent, int64_t id);
void async_stream_free(AsyncStream *stream);

/*
** The caller has given the stream something to do, and holds its mutex, which
** this leaves.  If no writer knows of it, one that polls will look soon, and otherwise
** one is woken.  now: the caller is going to wait for it, so it is to be at once.
*/
void async_stream_leave_and_wake(AsyncStream *stream);
void async_stream_leave_and_wake_now(AsyncStream *stream);

/* Under the mutex: up to where the next sync is wanted, or 0.  Whoever wants more from here on
** waits for the one after it, so that this one is not put off for ever. */
int64_t async_stream_sync_target(AsyncStream *stream);

/* Under the mutex: see to it that the sync task comes: now, when all it is to be about has been
** applied, or when maxDelayMs asks for it. */
void async_stream_arm_sync(AsyncStream *stream);

/* Under the mutex: if anything is queued, wake a writer at once, for the caller waits for it.
** True if something is. */
bool async_stream_wake_now(AsyncStream *stream);

/*
** As async_stream_leave_and_wake(), but if a connection writes a transaction to the
** WAL that can wait until it has given the WRITE lock back: then the writer does
** not get in its way.
*/
void async_stream_leave_later(AsyncStream *stream);

/* Under the mutex: the error, for a caller who will be told it; SQLITE_OK if
** there is none. */
int async_stream_report_error(AsyncStream *stream);
/* The same for a caller who may not be told: it stays something to tell. */
int async_stream_error_untold(const AsyncStream *stream);

/*
** Under the mutex: wait, at most timeout_us, and wake those who do.  Who waits
** waits for the writer, in the end: it is woken if something is queued.  Nobody
** is told that it was stopped, so those who wait for it alone look that often.
*/
#define ASYNC_STOPPED_POLL_US 50000
void async_stream_wait(AsyncStream *stream, AsyncSignal *signal, int64_t timeout_us);
void async_stream_signal(AsyncSignal *signal);

/* Under the mutex, which it leaves meanwhile: wait for the end of a sync, which is under way, of
** any of the files. */
void async_stream_await_sync(AsyncStream *stream);

/* Under the mutex: assert what holds of a stream whenever nobody is in the middle of a change. */
void async_stream_check(const AsyncStream *stream);

/*
** Append an op, under the mutex.  Numbers it and notes the time.  NULL if
** memory is out.
*/
AsyncOp *async_stream_push(AsyncStream *stream, AsyncOpKind kind, struct AsyncFile *file,
                           uint32_t length);

/* Under the mutex: may n more bytes be queued? */
bool async_stream_has_room(const AsyncStream *stream, int64_t n);

/*
** Wait, under the mutex, until n more bytes may be queued, if they may not.
** SQLITE_OK; SQLITE_FULL if there is no writer to make room, but only if the
** transaction may fail here (otherwise the bound gives way); the stream's error.
*/
int async_stream_wait_for_room(AsyncStream *stream, int64_t n, bool may_fail);

/*
** Under the mutex: is the queue full?  It is from when it met its bound until
** it has some room again.
*/
bool async_stream_is_full(AsyncStream *stream);
/* Under the mutex: an op has left the queue. */
void async_stream_room_made(AsyncStream *stream);

/* Under the mutex: an op of a transaction was pushed, or merged with the last. */
void async_stream_note_change(AsyncStream *stream);

/*
** SQLite has committed a transaction, the ops of which have all been pushed, at this level.  The
** position of the last of them, or 0 if there are none.  Above level queued no writer is woken:
** the caller sees to it that they are applied.
*/
int64_t async_stream_committed(AsyncStream *stream, int level);

/*
** A connection is about to give the WAL's WRITE lock back: its transaction, if it
** wrote one, is committed or rolled back.  (When SQLite says that it has committed
** it has given the lock back, and another one may be writing.)  The same for level and result.
*/
int64_t async_stream_wal_write_ended(AsyncStream *stream, int level);

/* When the oldest commit that is not durable was made, or 0.  Under the mutex. */
int64_t async_stream_undurable_since(const AsyncStream *stream);

/* Under the mutex: when maxDelayMs asks for a sync of what has been applied; 0: not
** at all.  In a backlog every commit is late when it is applied, and it is no use
** to sync after each: then it counts from the last sync. */
int64_t async_stream_delay_ends_us(const AsyncStream *stream);

/* Does the writer wait for space on the disk, or for what else others have used up?  Under
** the mutex. */
bool async_stream_is_stalled(const AsyncStream *stream);

/* How many committed transactions are not written, of which nobody was told on stderr yet; none of
** a database that its owner has deleted.  Under the mutex. */
int64_t async_stream_lost(const AsyncStream *stream);

/* Has everything been applied, and made durable or failed?  Under the mutex. */
bool async_stream_is_drained(const AsyncStream *stream);

#endif /* ASYNC_STREAM_H */
