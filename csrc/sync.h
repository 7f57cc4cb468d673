/*
** Syncs: how what has been applied becomes durable, while the writer goes on applying.
**
** A sync never makes anything worse that is not yet on stable storage: the system may have
** written it at any time.  So a flush needs no place among the ops.  It is a task of its own
** beside that of the ops (stream->sync_task): it notes up to where all has been applied, syncs
** each file that was written by then, and the folder if names changed; then all up to there
** is durable.  Whoever asks meanwhile waits for the next one.
**
** What orders ops stays with them: a sync that is an op of its own, in a journal's transaction,
** and ops that must not be applied before a flush (apply.h).
**
** Two threads never sync one file at a time, for the system may tell only one of them that it
** failed.  Who finds that another one is at it is woken when that has ended.
**
** A sync that fails is never tried again.  Beside the writer it is noted (side_error), and who
** runs the ops fails the stream, since only he knows whether one is under way.
*/
#ifndef ASYNC_SYNC_H
#define ASYNC_SYNC_H

#include "failure.h"
#include "file.h"

/* What a run of one of the stream's tasks has come to. */
typedef enum AsyncOutcome {
  ASYNC_RUN_MORE,  /* there is more to do */
  ASYNC_RUN_DRY,   /* nothing to do now */
  ASYNC_RUN_STUCK, /* what is next cannot be done before *due_us (0: until woken) */
  ASYNC_RUN_SYNC,  /* what is next waits for the disk, and this thread is not to */
} AsyncOutcome;

/* A run of the sync task: one flush, if it is due. */
AsyncOutcome async_sync_run(AsyncStream *stream, int64_t *due_us);

/* Up to where somebody wants all synced that is not even applied; 0 if nobody does. */
int64_t async_sync_waits_for(AsyncStream *stream);

/* ---- Under the stream's mutex, which most leave meanwhile ---- */

/* The op at the head must not be applied before all that was is durable: its task is woken then. */
void async_sync_flush_first(AsyncStream *stream);

/* Is the last connection closed, all applied, and a file not synced yet?  Then it is so now, for
** its descriptor is to be closed.  The mutex is not left. */
bool async_sync_must_close(AsyncStream *stream);

/* A file that the next flush must sync; NULL if there is none. */
AsyncFile *async_sync_first_dirty(AsyncStream *stream);

/*
** Sync the file as the only one, on this thread, which runs the ops.  SQLITE_BUSY if another one is
** at it: then the task is woken when that has ended.  An error's code: the caller fails the stream.
*/
int async_sync_now(AsyncStream *stream, AsyncFile *file);

/* SQLite's own syncs may have done all there is to do. */
void async_sync_publish_if_clean(AsyncStream *stream);

/* A sync has ended, or a flush: wake who waits for that. */
void async_sync_wake_waiting(AsyncStream *stream);

/* ---- Without any mutex ---- */

/* Call the parent's xSync, and account for the time it takes. */
int async_sync_parent(AsyncStream *stream, sqlite3_file *parent, int flags);

/*
** Sync a file of the stream as it is on disk now, on any thread with a reference to the stream;
** after another one's sync of it, if that is under way.  SQLITE_OK if that was done, or nothing
** was to be done.  If it fails, its code, also from any later call.
*/
int async_sync_beside(AsyncStream *stream, AsyncFile *file);

/* The same for the stream's database or WAL. */
int async_sync_role(AsyncStream *stream, AsyncRole role);

#endif /* ASYNC_SYNC_H */
