/*
** Reading and writing a file through the queue.  See file.h; opening, closing
** and deleting are in name.c, what the writer does to a file in retire.c.
*/
#include "file.h"

#include "gate.h"
#include "parent.h"

#include <assert.h>
#include <string.h>

/* ---- The size ---- */

/* Under the mutex, which it may leave meanwhile: make the size known. */
static int know_size(AsyncFile *file) {
  if (file->size_known) return SQLITE_OK;
  assert(file->parent != NULL && "a file that is not open yet has a known size");
  AsyncMutex *mutex = &file->stream->mutex;
  async_mutex_leave(mutex);
  sqlite3_int64 size = 0;
  int rc = file->parent->pMethods->xFileSize(file->parent, &size);
  async_mutex_enter(mutex);
  if (rc == SQLITE_OK && !file->size_known) {
    file->size = size;
    file->size_known = true;
  }
  return rc != SQLITE_OK ? rc : async_stream_report_error(file->stream);
}

int async_file_size(AsyncFile *file, int64_t *size) {
  AsyncStream *stream = file->stream;
  async_mutex_enter(&stream->mutex);
  int rc = async_stream_report_error(stream);
  bool ask = rc == SQLITE_OK && !file->size_known;
  if (!ask) *size = file->size;
  async_mutex_leave(&stream->mutex);
  if (!ask) return rc;
  sqlite3_int64 now = 0;
  rc = file->parent->pMethods->xFileSize(file->parent, &now);
  *size = now;
  return rc;
}

/* ---- Reading ---- */

/* Bytes of the disk from here on are not part of the file any more. */
static int64_t disk_limit(const AsyncFile *file) {
  return file->first_truncate == NULL ? INT64_MAX : file->first_truncate->offset;
}

/*
** Read the disk's part of [offset, offset + n), what is not there as zeros.
** Leaves the mutex for it.  False if an op was retired that overlaps.
*/
static bool read_disk(AsyncFile *file, unsigned char *buf, int64_t offset, int n, int *rc) {
  AsyncMutex *mutex = &file->stream->mutex;
  int64_t limit = disk_limit(file);
  int from_disk = n;
  if (offset + from_disk > limit) from_disk = limit > offset ? (int)(limit - offset) : 0;
  sqlite3_file *parent = file->parent;
  if (parent == NULL) from_disk = 0;

  AsyncDiskRead self = {.next = file->disk_reads, .start = offset, .end = offset + n};
  file->disk_reads = &self;
  async_mutex_leave(mutex);
  *rc = SQLITE_OK;
  if (from_disk > 0) {
    *rc = async_parent_read(file->stream, parent, buf, from_disk, offset);
    /* A short read has filled the rest with zeros. */
    if (*rc == SQLITE_IOERR_SHORT_READ) *rc = SQLITE_OK;
  }
  memset(buf + from_disk, 0, (size_t)(n - from_disk));
  async_mutex_enter(mutex);

  AsyncDiskRead **link = &file->disk_reads;
  while (*link != &self) link = &(*link)->next;
  *link = self.next;
  return !self.stale;
}

int async_file_read(AsyncFile *file, void *buf, int n, int64_t offset) {
  AsyncStream *stream = file->stream;
  async_mutex_enter(&stream->mutex);
  int rc = async_stream_report_error(stream);
  if (rc != SQLITE_OK || (file->pending == 0 && file->parent != NULL)) {
    async_mutex_leave(&stream->mutex);
    if (rc != SQLITE_OK) return rc;
    return async_parent_read(stream, file->parent, buf, n, offset);
  }

  /* With ops pending the size is known, async_file_write() and others see to it; unless all
  ** that is pending is the deletion of a file that somebody else has open. */
  if (file->parent != NULL) rc = know_size(file);
  int inside = n;
  if (offset + inside > file->size) {
    inside = file->size > offset ? (int)(file->size - offset) : 0;
  }
  size_t covered = async_overlay_read(&file->overlay, offset, (size_t)inside, buf);
  while (rc == SQLITE_OK && covered < (size_t)inside) {
    bool fresh = read_disk(file, buf, offset, inside, &rc);
    if (rc == SQLITE_OK) rc = async_stream_report_error(stream); /* the overlay may be gone */
    covered = async_overlay_read(&file->overlay, offset, (size_t)inside, buf);
    if (fresh) break;
  }
  async_mutex_leave(&stream->mutex);
  if (rc != SQLITE_OK || inside == n) return rc;
  memset((unsigned char *)buf + inside, 0, (size_t)(n - inside));
  return SQLITE_IOERR_SHORT_READ;
}

/* ---- Writing ---- */

/*
** Under the mutex: the stream's error.  Of a journal it does not count as told: once a transaction
** on several databases is committed, SQLite keeps for itself what becomes of their journals.
*/
static int error_of(const AsyncFile *file) {
  if (file->role == ASYNC_ROLE_JOURNAL) return async_stream_error_untold(file->stream);
  return async_stream_report_error(file->stream);
}

/* Under the mutex: with a WAL open, only checkpoints write to the database. */
static bool is_of_checkpoint(const AsyncFile *file) {
  const AsyncFile *wal = file->stream->files.wal;
  return file->role == ASYNC_ROLE_DATABASE && wal != NULL && wal->handles > 0;
}

/* Under the mutex: may a write become part of the tail op?  Not if that need not
** wait for what this one must wait for. */
static bool is_like_tail(const AsyncFile *file, bool of_checkpoint) {
  const AsyncOp *tail = file->stream->queue.tail;
  if (tail == NULL || tail->of_checkpoint != of_checkpoint) return false;
  return async_file_is_append(tail) || tail->wal_sync_seq == file->stream->wal_sync_seq;
}

/* Under the mutex: queue up to ASYNC_WRITE_MAX bytes. */
static int push_write(AsyncFile *file, const unsigned char *data, uint32_t n, int64_t offset) {
  AsyncStream *stream = file->stream;
  bool of_checkpoint = is_of_checkpoint(file);
  async_overlay_prefetch(&file->overlay, offset); /* while the bytes are copied */
  unsigned char *place = NULL;
  if (is_like_tail(file, of_checkpoint)) {
    place = async_queue_continue(&stream->queue, file, offset, n);
  }
  if (place != NULL) {
    memcpy(place, data, n);
    AsyncSegment **segments = &stream->queue.tail->segments;
    if (!async_overlay_write(&file->overlay, &stream->segments, segments, offset, place, n)) {
      return SQLITE_IOERR_NOMEM;
    }
    async_queue_grow(&stream->queue, n);
  } else {
    AsyncOp *before = stream->queue.tail;
    AsyncOp *op = async_stream_push(stream, ASYNC_OP_WRITE, file, n);
    if (op == NULL) return SQLITE_IOERR_NOMEM;
    op->offset = offset;
    op->of_checkpoint = of_checkpoint;
    memcpy(op->payload, data, n);
    if (!async_overlay_write(&file->overlay, &stream->segments, &op->segments, offset, op->payload,
                             n)) {
      async_queue_unpush(&stream->queue, before);
      stream->pushed.seq--;
      return SQLITE_IOERR_NOMEM;
    }
    file->pending++;
  }
  if (offset + n > file->size) file->size = offset + n;
  return SQLITE_OK;
}

/*
** Under the mutex: has the transaction under way a journal on disk?  Without
** one, in the journal modes MEMORY and OFF, SQLite rolls back by writing,
** which would fail like the write before and leave half a transaction queued.
*/
static bool has_journal(const AsyncStream *stream) {
  const AsyncFile *journal = stream->files.journal;
  const AsyncFile *wal = stream->files.wal;
  return (journal != NULL && journal->handles > 0) || (wal != NULL && wal->handles > 0);
}

/* Under the mutex, which it may leave meanwhile: the file may be changed, and its size is known. */
static int get_ready(AsyncFile *file) {
  AsyncStream *stream = file->stream;
  int rc;
  do {
    rc = error_of(file);
    if (rc == SQLITE_OK) rc = know_size(file);
  } while (rc == SQLITE_OK && async_gate_wait(&stream->mutex));
  return rc;
}

/* Under the mutex: queue an op that has no payload. */
static int push_plain(AsyncFile *file, AsyncOpKind kind, int64_t offset, int flags) {
  AsyncOp *op = async_stream_push(file->stream, kind, file, 0);
  if (op == NULL) return SQLITE_IOERR_NOMEM;
  op->offset = offset;
  op->flags = flags;
  op->of_checkpoint = is_of_checkpoint(file);
  file->pending++;
  return SQLITE_OK;
}

/* Under the mutex: the tail op is a truncation; note what it hides of the disk. */
static void note_truncate(AsyncFile *file, AsyncOp *op) {
  /* Earlier ones that leave as much or more hide nothing beside this one. */
  while (file->last_truncate != NULL && file->last_truncate->offset >= op->offset) {
    file->last_truncate = file->last_truncate->truncates.prev;
  }
  op->truncates.prev = file->last_truncate;
  op->truncates.next = NULL;
  if (file->last_truncate == NULL) {
    file->first_truncate = op;
  } else {
    file->last_truncate->truncates.next = op;
  }
  file->last_truncate = op;
}

/* Under the mutex, with the size known. */
static int cut(AsyncFile *file, int64_t size) {
  int rc = push_plain(file, ASYNC_OP_TRUNCATE, size, 0);
  if (rc != SQLITE_OK) return rc;
  note_truncate(file, file->stream->queue.tail);
  async_overlay_truncate(&file->overlay, size, file->size);
  file->size = size;
  return SQLITE_OK;
}

int async_file_read_wal_header(AsyncFile *wal, unsigned char *header) {
  async_mutex_enter(&wal->stream->mutex);
  int rc = know_size(wal);
  async_mutex_leave(&wal->stream->mutex);
  if (rc == SQLITE_OK) rc = async_file_read(wal, header, ASYNC_WAL_HEADER_SIZE, 0);
  return rc == SQLITE_IOERR_SHORT_READ ? SQLITE_OK : rc; /* it is empty */
}

int async_file_void_wal(AsyncFile *wal, const unsigned char *header) {
  static const unsigned char zeros[ASYNC_WAL_HEADER_SIZE];
  AsyncWal *known = &wal->stream->wal;
  if (!wal->size_known) return SQLITE_BUSY;
  int rc = wal->size == 0 ? SQLITE_OK : push_write(wal, zeros, sizeof zeros, 0);
  if (rc != SQLITE_OK) return rc;
  memcpy(known->old_header, header, sizeof known->old_header);
  known->header = ASYNC_WAL_VOIDING;
  return SQLITE_OK;
}

/* Under the mutex: it is not valid. */
static int restore_header(AsyncFile *file) {
  AsyncWal *wal = &file->stream->wal;
  bool had_one = file->size > 0;
  int rc = had_one ? push_write(file, wal->old_header, sizeof wal->old_header, 0) : SQLITE_OK;
  if (rc == SQLITE_OK) wal->header = ASYNC_WAL_VALID;
  return rc;
}

/* Under the mutex: the WAL is about to be written to.  A frame needs its header; but with a new
** one it starts anew, and nothing in the file is needed any more. */
static int prepare_wal(AsyncFile *file, int64_t offset) {
  AsyncWal *wal = &file->stream->wal;
  if (wal->header == ASYNC_WAL_VALID) return SQLITE_OK;
  if (offset == 0) return async_wal_is_oversized(wal, file->size) ? cut(file, 0) : SQLITE_OK;
  return restore_header(file);
}

int async_file_restore_wal(AsyncStream *stream) {
  AsyncFile *file = stream->files.wal;
  bool is_there = file != NULL && file->exists && !file->gone;
  if (!is_there || stream->wal.header == ASYNC_WAL_VALID) return SQLITE_OK;
  if (!file->size_known) return SQLITE_BUSY;
  int rc = restore_header(file);
  return rc == SQLITE_OK && file->pending > 0 ? SQLITE_BUSY : rc;
}

int async_file_write(AsyncFile *file, const void *data, int n, int64_t offset) {
  AsyncStream *stream = file->stream;
  async_mutex_enter(&stream->mutex);
  int rc = error_of(file);
  if (rc == SQLITE_OK && !async_stream_has_room(stream, n)) {
    rc = async_stream_wait_for_room(stream, n, has_journal(stream));
  }
  if (rc == SQLITE_OK) rc = get_ready(file);
  bool is_wal = file == stream->files.wal;
  if (rc == SQLITE_OK && is_wal) rc = prepare_wal(file, offset);
  const unsigned char *bytes = data;
  const int64_t first = offset;
  const int all = n;
  if (rc == SQLITE_OK && !is_of_checkpoint(file)) async_stream_note_change(stream);
  while (rc == SQLITE_OK && n > 0) {
    uint32_t piece = n > ASYNC_WRITE_MAX ? ASYNC_WRITE_MAX : (uint32_t)n;
    rc = push_write(file, bytes, piece, offset);
    bytes += piece;
    offset += piece;
    n -= (int)piece;
  }
  if (rc == SQLITE_OK && is_wal) async_wal_wrote(&stream->wal, data, all, first);
  async_stream_leave_later(stream);
  return rc;
}

int async_file_write_through(AsyncFile *file, const void *data, int n, int64_t offset) {
  AsyncStream *stream = file->stream;
  async_mutex_enter(&stream->mutex);
  int rc = async_stream_report_error(stream);
  if (rc == SQLITE_OK) rc = know_size(file);
  bool direct = rc == SQLITE_OK && file->pending == 0 && file->parent != NULL;
  async_mutex_leave(&stream->mutex);
  if (rc != SQLITE_OK) return rc;
  if (!direct) return async_file_write(file, data, n, offset);
  rc = async_parent_write(stream, file->parent, data, n, offset);
  async_mutex_enter(&stream->mutex);
  if (rc != SQLITE_OK) {
    if (file->pending == 0) file->size_known = false; /* a part may have been written */
  } else {
    async_file_note_backfill(file, offset, offset + n);
    if (offset + n > file->size) file->size = offset + n;
  }
  async_mutex_leave(&stream->mutex);
  return rc;
}

int async_file_truncate(AsyncFile *file, int64_t size) {
  AsyncStream *stream = file->stream;
  async_mutex_enter(&stream->mutex);
  int rc = get_ready(file);
  if (rc == SQLITE_OK) rc = cut(file, size);
  if (rc == SQLITE_OK) {
    if (file->role == ASYNC_ROLE_WAL && size == 0) async_wal_forget(&stream->wal);
    if (!stream->queue.tail->of_checkpoint) async_stream_note_change(stream);
  }
  async_stream_leave_and_wake(stream);
  return rc;
}

static int push_alone(AsyncFile *file, AsyncOpKind kind, int64_t offset, int flags) {
  AsyncStream *stream = file->stream;
  async_mutex_enter(&stream->mutex);
  int rc = error_of(file);
  if (rc == SQLITE_OK) rc = know_size(file);
  if (rc == SQLITE_OK) rc = push_plain(file, kind, offset, flags);
  async_stream_leave_and_wake(stream);
  return rc;
}

/*
** A sync of the WAL is no op but a position.  Frames may be applied behind it, and
** positions that only frames separate become one sync: so commits that came while
** one was under way share the next.  Nothing else is applied before it is done.
**
** The sync that SQLite makes after it has written the header of a WAL that
** starts anew is an op, which nothing passes, and whoever writes the header waits for it,
** so that nothing that was told to be committed does.  It is none if the WAL was void (wal.h).
*/
int async_file_sync(AsyncFile *file, int flags, int64_t *await) {
  AsyncStream *stream = file->stream;
  *await = 0;
  AsyncWalSync sync = ASYNC_WAL_SYNC_NOW;
  async_mutex_enter(&stream->mutex);
  int rc = error_of(file);
  if (rc == SQLITE_OK && file->role == ASYNC_ROLE_WAL) sync = async_wal_note_sync(&stream->wal);
  if (sync == ASYNC_WAL_SYNC_LATER) stream->wal_sync_seq = stream->pushed.seq;
  if (sync != ASYNC_WAL_SYNC_NOW || rc != SQLITE_OK) {
    async_stream_leave_later(stream);
    return rc;
  }
  bool waits = file->role == ASYNC_ROLE_WAL || is_of_checkpoint(file);
  rc = know_size(file);
  if (rc == SQLITE_OK) rc = push_plain(file, ASYNC_OP_SYNC, 0, flags);
  if (rc == SQLITE_OK && waits) *await = stream->pushed.seq;
  async_stream_leave_and_wake(stream);
  return rc;
}

int async_file_size_hint(AsyncFile *file, int64_t size) {
  return push_alone(file, ASYNC_OP_SIZE_HINT, size, 0);
}
