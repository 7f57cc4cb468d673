/*
** The checkpointer.  See checkpoint.h.
*/
#include "checkpoint.h"

#include "config.h"
#include "doorbell.h"
#include "ending.h"
#include "flush.h"
#include "lock.h"
#include "moved.h"
#include "registry.h"
#include "sync.h"
#include "void.h"

#include <stdatomic.h>
#include <stdlib.h>

/* It is copied until no more than this is left; but not for ever, if others write faster than the
** disk syncs: so many times what a checkpoint is requested for. */
#define LAST_BYTES (512 * 1024)
#define COPY_TIMES 8
/* So often the WAL is synced just before. */
#define SYNC_ROUNDS 4
/* When to come again if memory is out. */
#define NO_MEMORY_RETRY_US 50000
/* At its bound, so many checkpoints of a WAL are waited for, in case the first ones are in
** somebody's way; and how often to see whether the checkpointer was stopped. */
#define AWAIT_ATTEMPTS 3
#define AWAIT_POLL_US 50000

/* Is this the checkpointer? */
static _Thread_local bool is_checkpointer;
/* The stream of which this thread has the CHECKPOINT lock, with a reference; and what it copies
** from the WAL is on stable storage there. */
static _Thread_local const AsyncStream *checkpointed;
static _Thread_local bool wal_is_synced;
static _Thread_local bool copies_unsynced; /* or not, since nobody asks for it */

static AsyncOsThread thread;
static bool started;           /* guarded by api.h's mutex, which start and stop are called under */
static atomic_bool has_thread; /* which takes care of WALs */
static atomic_bool stopping;
static atomic_bool paused;

bool async_checkpoint_is_this_thread(void) { return is_checkpointer; }

void async_checkpoint_note_thread(bool has) { has_thread = has; }

bool async_checkpoint_is_active(void) {
  bool wanted = async_config.checkpoint_bytes > 0 || async_config.checkpoint_idle_ms > 0;
  return wanted && has_thread;
}

/* ---- What a thread that checkpoints does differently ---- */

void async_checkpoint_begins(const AsyncStream *stream) {
  checkpointed = stream;
  wal_is_synced = copies_unsynced = false;
}

void async_checkpoint_forget(void) {
  checkpointed = NULL;
  wal_is_synced = false;
}

bool async_checkpoint_is_at(const AsyncStream *stream) { return checkpointed == stream; }

/* For the checkpointer: others wait for it to go. */
static const atomic_bool *stop_of(const AsyncStream *stream) {
  return is_checkpointer ? &stream->walindex.interrupted : NULL;
}

int async_checkpoint_write(AsyncFile *file, const void *data, int n, int64_t offset) {
  if (is_checkpointer && file->stream->walindex.interrupted) return SQLITE_INTERRUPT;
  if (wal_is_synced) return async_file_write_through(file, data, n, offset);
  copies_unsynced = true;
  return async_file_write(file, data, n, offset);
}

static int await_pushed(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  int64_t seq = stream->pushed.seq;
  async_mutex_leave(&stream->mutex);
  return async_flush_await_applied(stream, seq, stop_of(stream));
}

/* Where nobody applies what is queued, nobody can wait for that: then the sync is queued. */
static int queue_sync(AsyncFile *file, int flags) {
  int64_t unused;
  return async_file_sync(file, flags, &unused);
}

int async_checkpoint_sync(AsyncFile *file, int flags) {
  AsyncStream *stream = file->stream;
  int rc = await_pushed(stream);
  bool is_interrupted = is_checkpointer && stream->walindex.interrupted;
  if (rc == SQLITE_INTERRUPT && !is_interrupted) return queue_sync(file, flags);
  if (rc == SQLITE_OK) rc = async_sync_beside(stream, file);
  if (file->role != ASYNC_ROLE_WAL) return rc;
  wal_is_synced = rc == SQLITE_OK;
  async_mutex_enter(&stream->mutex);
  if (wal_is_synced) (void)async_wal_note_sync(&stream->wal); /* of its header, too */
  async_mutex_leave(&stream->mutex);
  return rc;
}

/* ---- The WAL's end ---- */

static void end_wal(AsyncStream *stream, bool may_wait) {
  if (may_wait && !copies_unsynced) {
    async_void_wal(stream);
  } else {
    async_void_free(stream);
  }
}

void async_checkpoint_ends_writing(AsyncStream *stream) {
  if (checkpointed == stream) end_wal(stream, is_checkpointer);
}

void async_checkpoint_ends(AsyncStream *stream) {
  if (checkpointed != stream) return;
  end_wal(stream, true);
  async_checkpoint_forget();
}

bool async_checkpoint_may_restart(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  bool may = async_wal_may_restart(&stream->wal);
  async_mutex_leave(&stream->mutex);
  return may || !async_checkpoint_is_active();
}

/* ---- A checkpoint ---- */

static int note_number(void *number, int n, char **values, char **names) {
  (void)names;
  if (n == 1 && values[0] != NULL) *(int64_t *)number = atoll(values[0]);
  return 0;
}

/* Has the connection opened this stream, and not another database that is at its path by now? */
static bool is_open_in(sqlite3 *db, const AsyncStream *stream) {
  const AsyncStream *opened = NULL;
  sqlite3_file_control(db, "main", ASYNC_FCNTL_STREAM, &opened);
  return opened == stream;
}

static int open_connection(AsyncStream *stream, sqlite3 **db_out, int64_t *page_size) {
  sqlite3 *db = NULL;
  /* No link was in this path when the database was opened by it: one that is now
  ** leads to another database. */
  int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_NOFOLLOW;
  int rc = sqlite3_open_v2(stream->path, &db, flags, SQLITEASYNC_VFSNAME);
  if (rc == SQLITE_OK && !is_open_in(db, stream)) rc = SQLITE_READONLY_DBMOVED;
  /* To read anything makes SQLite see that there is a WAL. */
  const char *sql = "PRAGMA schema_version; PRAGMA page_size";
  if (rc == SQLITE_OK) rc = sqlite3_exec(db, sql, note_number, page_size, NULL);
  if (rc == SQLITE_OK) {
    rc = sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
  }
  *db_out = rc == SQLITE_OK ? db : NULL;
  if (rc != SQLITE_OK) sqlite3_close(db);
  return rc;
}

/*
** Sync a file beside the writer, with all that was pushed up to now.  So the
** syncs that SQLite asks for at the end of a checkpoint find little to do.
*/
static void sync_role_first(AsyncStream *stream, AsyncRole role) {
  if (await_pushed(stream) == SQLITE_OK) async_sync_role(stream, role);
}

typedef struct Session {
  AsyncStream *stream;
  sqlite3 *db;
  int64_t page_size;
  int64_t copied; /* bytes of the WAL */
  int64_t left;
} Session;

/* One sqlite3_wal_checkpoint_v2(), PASSIVE or FULL. */
static int checkpoint_once(Session *session, int mode) {
  AsyncStream *stream = session->stream;
  async_mutex_enter(&stream->mutex);
  int64_t starts = stream->wal.starts;
  int64_t changes = stream->changes;
  async_mutex_leave(&stream->mutex);

  int frames = 0;
  int copied = 0;
  int rc = sqlite3_wal_checkpoint_v2(session->db, "main", mode, &frames, &copied);
  sync_role_first(stream, ASYNC_ROLE_DATABASE);

  session->copied = copied > 0 ? async_wal_end_of_frame(copied, session->page_size) : 0;
  async_mutex_enter(&stream->mutex);
  AsyncWal *wal = &stream->wal;
  bool same = wal->starts == starts;
  if (same && wal->backfilled < session->copied) wal->backfilled = session->copied;
  /* SQLite knows where the WAL ends; we may not, after a rollback to a savepoint. */
  bool quiet = same && stream->changes == changes && !wal->has_commit;
  if (quiet && frames > 0)
    wal->end = wal->write_end = async_wal_end_of_frame(frames, session->page_size);
  session->left = wal->end - wal->backfilled;
  async_mutex_leave(&stream->mutex);
  return rc;
}

/* Copy until little is left, or readers let no more be copied. */
static int copy(Session *session) {
  int64_t limit = async_config.checkpoint_bytes * COPY_TIMES;
  int64_t before;
  int rc;
  session->copied = -1;
  do {
    before = session->copied;
    rc = checkpoint_once(session, SQLITE_CHECKPOINT_PASSIVE);
  } while (rc == SQLITE_OK && session->left > LAST_BYTES && session->copied != before &&
           session->copied < limit);
  return rc;
}

/* One of the stream's WAL, which others move. */
static int64_t read_position(AsyncStream *stream, const int64_t *position) {
  async_mutex_enter(&stream->mutex);
  int64_t value = *position;
  async_mutex_leave(&stream->mutex);
  return value;
}

/* The WAL is synced before, so that little of that is left to do while others are held up. */
static void sync_wal_first(AsyncStream *stream) {
  int64_t grown = LAST_BYTES + 1;
  for (int i = 0; i < SYNC_ROUNDS && grown > LAST_BYTES; i++) {
    int64_t before = read_position(stream, &stream->wal.end);
    sync_role_first(stream, ASYNC_ROLE_WAL);
    grown = read_position(stream, &stream->wal.end) - before;
  }
}

/* Others are held up from here on, until the WAL can start anew. */
static int close(Session *session) {
  sync_wal_first(session->stream);
  return checkpoint_once(session, SQLITE_CHECKPOINT_FULL);
}

static bool must_end(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  bool must = stream->wal.header != ASYNC_WAL_VOID && async_wal_must_end(&stream->wal);
  async_mutex_leave(&stream->mutex);
  return must;
}

static AsyncWalOutcome checkpoint(AsyncStream *stream) {
  Session session = {.stream = stream};
  int64_t backfilled = read_position(stream, &stream->wal.backfilled);
  is_checkpointer = true;
  AsyncWalOutcome outcome = {.code = open_connection(stream, &session.db, &session.page_size)};
  if (session.db != NULL) {
    outcome.opened = true;
    outcome.code = copy(&session);
    if (outcome.code == SQLITE_OK && must_end(stream)) outcome.code = close(&session);
    sqlite3_close(session.db);
    /* Interrupted it does not wait for a moment without transactions. */
    if (outcome.code == SQLITE_BUSY && stream->walindex.interrupted)
      outcome.code = SQLITE_INTERRUPT;
    outcome.readers = session.left > 0 && async_walindex_has_readers(&stream->walindex);
  }
  is_checkpointer = false;
  outcome.progress = read_position(stream, &stream->wal.backfilled) != backfilled;
  return outcome;
}

static bool is_paused(void) { return paused || stopping; }

/*
** Sync the WAL as it grows.  Its frames must be synced before a checkpoint copies
** them, and that takes the longer, and holds up the more, the more it is at once.
*/
static void sync_early(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  bool wanted = stream->wal.wants_sync;
  stream->wal.wants_sync = false;
  if (wanted) stream->wal.sync_from = stream->wal.end;
  async_mutex_leave(&stream->mutex);
  if (wanted) sync_role_first(stream, ASYNC_ROLE_WAL);
}

/* Under the mutex: when to do something for the stream; -1: never. */
static int64_t due_us(const AsyncStream *stream) {
  return stream->error.code != SQLITE_OK ? -1 : async_wal_due_us(&stream->wal);
}

static bool has_moved(AsyncStream *stream) {
  bool moved = async_moved_look_now(stream);
  async_file_collect(stream); /* it may have been closed meanwhile */
  return moved;
}

/* Do what is due; when to come again, -1 being never. */
static int64_t look_at(AsyncStream *stream) {
  sync_early(stream);
  async_mutex_enter(&stream->mutex);
  int64_t due = due_us(stream);
  bool is_due = due >= 0 && due <= async_os_now_us();
  if (is_due) stream->wal.begun++;
  async_mutex_leave(&stream->mutex);
  if (!is_due) return due;

  AsyncWalOutcome outcome = {.code = SQLITE_INTERRUPT};
  if (has_moved(stream)) {
    outcome.code = SQLITE_READONLY_DBMOVED; /* nothing at its path is its own */
  } else if (async_lock_begin_checkpoint(stream)) {
    if (!is_paused()) outcome = checkpoint(stream);
    async_lock_end_checkpoint(stream);
  }
  async_mutex_enter(&stream->mutex);
  async_wal_note_checkpoint(&stream->wal, &outcome);
  if (outcome.code == SQLITE_OK || stream->wal.blocked) stream->stats.checkpoints++;
  async_stream_signal(&stream->checkpointed);
  due = due_us(stream);
  async_mutex_leave(&stream->mutex);
  return due;
}

int64_t async_checkpoint_step(void) {
  AsyncStream **streams = async_registry_all();
  if (streams == NULL) return NO_MEMORY_RETRY_US;
  int64_t next_us = -1;
  for (AsyncStream **stream = streams; *stream != NULL && !is_paused(); stream++) {
    int64_t due = look_at(*stream);
    if (due >= 0 && (next_us < 0 || due < next_us)) next_us = due;
  }
  async_registry_unref_all(streams);
  if (next_us < 0) return -1;
  int64_t left_us = next_us - async_os_now_us();
  return left_us > 0 ? left_us : 0;
}

/* ---- The thread ---- */

static void thread_main(void *arg) {
  (void)arg;
  while (!stopping) {
    int64_t wait_us = paused ? -1 : async_checkpoint_step();
    if (!stopping) async_doorbell_wait(wait_us);
  }
}

bool async_checkpoint_start(void) {
  /* A SQLite that was compiled for one thread is not for ours. */
  if (started || sqlite3_threadsafe() == 0) return true;
  stopping = paused = false;
  started = async_os_thread_start(&thread, thread_main, NULL);
  async_checkpoint_note_thread(started);
  return started;
}

static void interrupt_all(void) {
  AsyncStream **streams = async_registry_all();
  for (AsyncStream **stream = streams; streams != NULL && *stream != NULL; stream++) {
    async_walindex_interrupt(&(*stream)->walindex);
  }
  async_registry_unref_all(streams);
  async_doorbell_ring();
}

void async_checkpoint_pause(bool on) {
  paused = on;
  if (on) {
    interrupt_all();
  } else {
    async_doorbell_ring();
  }
}

bool async_checkpoint_stop(void) {
  if (!started) return false;
  async_checkpoint_note_thread(false);
  stopping = true;
  interrupt_all();
  async_os_thread_join(&thread);
  started = false;
  return true;
}

/* ---- The bound of the WAL ---- */

/* Under the mutex. */
static bool is_over_limit(const AsyncStream *stream) {
  return async_wal_is_over_limit(&stream->wal) && async_checkpoint_is_active();
}

/* Under the mutex: will there be further checkpoints to wait for?  None of a stream that has
** failed, and none in a process that ends, once the time of the drain is over. */
static bool can_be_waited_for(const AsyncStream *stream) {
  return is_over_limit(stream) && stream->error.code == SQLITE_OK && !async_ending_is_over();
}

/* Under the mutex: by a transaction that looks at the index now. */
static bool can_restart(const AsyncStream *stream) {
  return stream->wal.end <= stream->wal.backfilled && async_wal_may_restart(&stream->wal);
}

bool async_checkpoint_is_over_limit(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  bool over = is_over_limit(stream);
  bool ring = over && async_wal_request_now(&stream->wal);
  async_mutex_leave(&stream->mutex);
  if (ring) async_doorbell_ring();
  return over;
}

bool async_checkpoint_await(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  /* One that is under way may have met the caller's own last transaction. */
  int64_t first = stream->wal.begun + 1;
  bool waited = false;
  while (can_be_waited_for(stream) && !can_restart(stream) &&
         stream->wal.ended < first + AWAIT_ATTEMPTS &&
         !(stream->wal.blocked && stream->wal.ended >= first)) {
    async_stream_wait(stream, &stream->checkpointed, AWAIT_POLL_US);
    waited = true;
  }
  bool can = waited && can_restart(stream);
  async_mutex_leave(&stream->mutex);
  return can;
}
