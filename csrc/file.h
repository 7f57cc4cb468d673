/*
** A file of a stream as SQLite sees it: what is on disk, and over it what is
** queued.
**
** The same name can mean several files in turn: a journal that was deleted
** and made again is a new generation, and ops queued for the old one still
** go to the old one.  AsyncFiles (stream.h) says which generation a name
** means now.
**
** A journal that SQLite creates is opened by the writer: until that op has
** been applied, `parent` is NULL and everything is in the overlay.
**
** The size: while ops are queued, or were in this transaction, `size` is what
** the file will have; otherwise another process may change it and the
** parent is asked.  Bytes of the disk at or beyond the smallest queued
** truncation are not part of the file any more, and read as nothing.
**
** A read that needs disk and overlay reads the disk without the mutex.  It
** registers itself before; if an op that overlaps it is retired meanwhile,
** it is told that it is stale and starts over.  This ends, since every round
** uses up an op, and SQLite's locks keep others from queueing more for a page
** that is being read.
**
** Everything is guarded by the stream's mutex, but for what says otherwise.
*/
#ifndef ASYNC_FILE_H
#define ASYNC_FILE_H

#include "path.h"
#include "stream.h"

/* A read of the disk that is under way; on the reader's stack. */
typedef struct AsyncDiskRead AsyncDiskRead;
struct AsyncDiskRead {
  AsyncDiskRead *next;
  int64_t start;
  int64_t end;
  bool stale;
};

/* How often the file was changed on disk: what a sync has made durable is what was
** done before it. */
typedef struct AsyncChanges {
  int64_t by_ops;
  int64_t by_checkpoints;
} AsyncChanges;

typedef struct AsyncFile AsyncFile;
struct AsyncFile {
  AsyncFile *older;
  AsyncFile *newer;
  AsyncStream *stream; /* constant, as are path and role */
  char *path;
  AsyncRole role;

  int handles; /* of SQLite */
  int pending; /* ops queued for it, the one under way included */
  bool exists; /* as SQLite sees it */
  bool gone;   /* deleted on disk, or left behind: its name does not mean it any more */
  bool dirty;  /* the next flush must sync it; counted in AsyncFiles */
  /* A checkpoint wrote to it on disk since the last sync, of a database: what
  ** it wrote is in the WAL as well, so it need not be synced before that is
  ** written over. */
  bool backfilled;
  bool maybe_unsynced; /* it is dirty only because others may not have synced it */
  bool sync_first;     /* a journal that others may not have synced: before it is written to */
  bool syncing;        /* a thread is at it */
  int64_t flushes;     /* of the stream's, the last one that was at it */
  AsyncChanges changes;
  int in_use; /* threads that use `parent` without the mutex, and no handle: it must not end */

  bool size_known;
  int64_t size;
  AsyncOverlay overlay;
  /* Queued truncations that decide what of the disk still counts: sizes grow
  ** from the first to the last. */
  AsyncOp *first_truncate;
  AsyncOp *last_truncate;
  AsyncDiskRead *disk_reads;

  /* The parent's handle: NULL until opened, then constant while a handle of
  ** SQLite is open, or an op that works on it is queued, or in_use says so
  ** (but see async_file_reopen_wal).  Its methods are called without the mutex,
  ** by any number of threads; xRead and xWrite through parent.h. */
  sqlite3_file *parent;
  sqlite3_file *parent_room;
  int open_flags;         /* what the parent's xOpen said it did */
  AsyncOsFileState state; /* of a journal, when it was opened */
  bool nameless;          /* and that nobody will ever recover: see moved.h */
  bool is_left;           /* and its name was another one's when last looked */
};

/*
** As xOpen.  On SQLITE_OK *file has one handle more.  The stream is
** referenced by the caller.  SQLITE_READONLY_DBMOVED: its database has lost its
** name (moved.h), so the path is another database's.
*/
int async_file_open_database(AsyncStream *stream, const char *path, int flags, AsyncFile **file,
                             int *out_flags);
/* Likewise, of a journal. */
int async_file_open_journal(AsyncStream *stream, const char *path, int flags, AsyncFile **file,
                            int *out_flags);

/*
** Another process had the database (lock.h) and may have deleted the WAL and
** made a new one: open what its name means now.  Under the lock table's mutex,
** with nothing queued and no transaction open.
*/
int async_file_reopen_wal(AsyncStream *stream);

/* A handle was closed. */
void async_file_close(AsyncFile *file);

/*
** As the methods of sqlite3_io_methods, and xDelete and xAccess of sqlite3_vfs.
** Without memory they give SQLITE_IOERR_NOMEM: SQLite takes only that for a failed
** write, after which its page cache is not to be trusted; with a plain SQLITE_NOMEM
** it would go on, and write pages that no journal has.
*/
int async_file_read(AsyncFile *file, void *buf, int n, int64_t offset);
int async_file_write(AsyncFile *file, const void *data, int n, int64_t offset);
/*
** As async_file_write(), but to disk at once, if nothing is queued for the file.
** For a checkpoint, whose thread may wait, and when what it copies from the
** WAL has been synced there.  What goes wrong then is the checkpoint's failure alone.
*/
int async_file_write_through(AsyncFile *file, const void *data, int n, int64_t offset);
int async_file_truncate(AsyncFile *file, int64_t size);
/* Under the mutex: a WAL that was voided, or is being, is to have its header again.  SQLITE_BUSY
** if it has not, now. */
int async_file_restore_wal(AsyncStream *stream);
/* The header of a WAL, which shall be voided (wal.h): to read it, without the mutex; and then,
** under the mutex and with no ops pending for the file, to queue zeros over it. */
int async_file_read_wal_header(AsyncFile *wal, unsigned char *header);
int async_file_void_wal(AsyncFile *wal, const unsigned char *header);
/* *await: what was asked for is to be done before the caller goes on: a position, to be waited for
** until it has been applied; or 0. */
int async_file_sync(AsyncFile *file, int flags, int64_t *await);
int async_file_size(AsyncFile *file, int64_t *size);
int async_file_size_hint(AsyncFile *file, int64_t size);
int async_file_delete(AsyncStream *stream, const char *path, int sync_directory);
/*
** The same when the one-sided barrier that the stream waits at is open; if it is broken,
** or the deletion fails, the file stays, and that is all.  On SQLITE_OK the barrier has
** been taken over.
*/
struct AsyncBarrier;
int async_file_delete_behind(AsyncStream *stream, const char *path, int sync_directory,
                             struct AsyncBarrier *barrier);
/* As the first, or with a barrier as the second, under the mutex; the caller wakes a writer. */
int async_file_push_delete(AsyncStream *stream, const char *path, int sync_directory,
                           struct AsyncBarrier *barrier);
/* False if only the disk knows. */
bool async_file_knows(AsyncStream *stream, const char *path, int *exists);

/* The file that the name means now, under the mutex, or NULL. */
AsyncFile *async_file_find(AsyncStream *stream, const char *path);

/* A journal or WAL that was closed and only waits to be synced, likewise. */
AsyncFile *async_file_find_unsynced(AsyncStream *stream, const char *path);

/*
** A new file, exists, not yet linked; NULL if memory is out.  To free one that
** is not linked.  To link it, under the mutex: from now on the name means it.
*/
AsyncFile *async_file_new(AsyncStream *stream, const char *path);
void async_file_free(AsyncFile *file);
void async_file_link(AsyncFile *file);

/* Under the mutex: if nobody needs the file any more, it becomes garbage. */
void async_file_let_go(AsyncFile *file);

/* Under the mutex: keep the parent's handle while a thread uses it without the mutex; the same, no
** longer: it may become garbage. */
void async_file_pin(AsyncFile *file);
void async_file_unpin(AsyncFile *file);

/*
** Under the mutex: the journal at this name was opened, or deleted, on disk.
** What an earlier file of the name left unsynced is now this one's to sync:
** it is the same file.
*/
void async_file_inherit_unsynced(AsyncFile *file);

/* ---- For the writer ---- */

/* Open the parent's handle of a journal that SQLite has created; nameless: under no name. */
int async_file_apply_open(AsyncFile *file, int flags, bool nameless);
/*
** Opening it has just failed, and SQLite's VFS does not say why: it goes on to open what is not
** there for reading, and tells that error.  So create it once more: the system's error number; 0
** if that works now; -1 if something lies there.
*/
int async_file_why_not_created(const AsyncFile *file);
/* Delete it: its handle first, if SQLite has none, for some systems want that.  nameless: only
** that. */
int async_file_apply_delete(AsyncFile *file, int sync_directory, bool nameless);

/* The op at the queue's head was applied: take it off.  Under the mutex. */
void async_file_retire(AsyncStream *stream);
/* The stream failed: take it off all the same, as if it had never been. */
void async_file_drop(AsyncStream *stream);

/* The file was synced as it was when its changes were these.  Under the mutex. */
void async_file_synced(AsyncFile *file, AsyncChanges changes);

/* A checkpoint has changed the database on disk in [start, end).  Under the mutex. */
void async_file_note_backfill(AsyncFile *file, int64_t start, int64_t end);

/* Under the mutex: the next flush must sync it. */
void async_file_make_dirty(AsyncFile *file);

/* Is the op a further frame of the WAL?  It needs none of the ops before it
** to be durable. */
bool async_file_is_append(const AsyncOp *op);

/* The OS lock was given back: sizes may change.  Under the mutex. */
void async_file_forget_sizes(AsyncStream *stream);

/* Close what is no longer needed.  Without the mutex. */
void async_file_collect(AsyncStream *stream);
/* Everything, at the stream's end. */
void async_file_forget_all(AsyncStream *stream);

#endif /* ASYNC_FILE_H */
