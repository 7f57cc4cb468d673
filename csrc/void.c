/*
** Voiding a WAL.  See void.h.
*/
#include "void.h"

#include "flush.h"
#include "sync.h"
#include "writer.h"

#include <stdatomic.h>

/* To be voided, a WAL is to be durable within this. */
#define FLUSH_MS 10000

/* Under the mutex: has the database all of a WAL that is not void, and is nobody about to append to
** it?  One that was found on disk without a frame stays as it was found. */
static bool is_copied(const AsyncStream *stream, const void *index) {
  bool written = atomic_load_explicit(&stream->wal_writer_active, memory_order_acquire);
  int64_t copied = index == NULL || written ? -1 : async_walindex_copied(index);
  bool has_frames = copied > 0 || (copied == 0 && stream->wal.end > 0);
  return has_frames && stream->wal.header != ASYNC_WAL_VOID && stream->error.code == SQLITE_OK;
}

/* Under the mutex: and is it there on stable storage? */
static bool is_needless(const AsyncStream *stream, const AsyncFile *wal) {
  const AsyncFile *database = stream->files.database;
  if (database == NULL || stream->moved) return false;
  bool is_quiet = wal == stream->files.wal && wal->pending == 0 && database->pending == 0 &&
                  stream->durable.seq == stream->pushed.seq;
  bool is_synced = !database->dirty && !database->backfilled;
  return is_quiet && is_synced;
}

/* Queue the zeros, if that has not been done before, and was not waited for.  False if the WAL is
** needed; *seq: the position up to which it is to be synced. */
static bool begin_void(AsyncStream *stream, AsyncFile *wal, int64_t *seq) {
  const void *index = async_walindex_header(&stream->walindex);
  unsigned char header[ASYNC_WAL_HEADER_SIZE] = {0};
  if (index == NULL || async_file_read_wal_header(wal, header) != SQLITE_OK) return false;
  async_mutex_enter(&stream->mutex);
  bool voids = is_copied(stream, index) && is_needless(stream, wal);
  if (voids && stream->wal.header == ASYNC_WAL_VALID) {
    voids = async_file_void_wal(wal, header) == SQLITE_OK;
  }
  *seq = stream->pushed.seq;
  async_stream_leave_and_wake(stream);
  return voids;
}

static AsyncFile *pin_wal(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  AsyncFile *wal = stream->files.wal;
  if (wal != NULL && wal->parent == NULL) wal = NULL;
  if (wal != NULL) async_file_pin(wal);
  async_mutex_leave(&stream->mutex);
  return wal;
}

static void unpin_wal(AsyncFile *wal) {
  AsyncStream *stream = wal->stream;
  async_mutex_enter(&stream->mutex);
  async_file_unpin(wal);
  async_mutex_leave(&stream->mutex);
  async_file_collect(stream);
}

/* Can it be voided, once what was committed is durable? */
static bool may_be_voided(AsyncStream *stream) {
  const void *index = async_walindex_header(&stream->walindex);
  async_mutex_enter(&stream->mutex);
  bool may = is_copied(stream, index) && !async_stream_is_stalled(stream);
  async_mutex_leave(&stream->mutex);
  return may;
}

/* What is stalled is not waited for without a bound. */
static int make_durable(AsyncStream *stream) {
  int64_t ticket = async_flush_request(stream);
  if (ticket > 0) async_writer_help(stream, ticket);
  return async_flush_stream(stream, FLUSH_MS);
}

void async_void_wal(AsyncStream *stream) {
  AsyncFile *wal = may_be_voided(stream) ? pin_wal(stream) : NULL;
  if (wal == NULL) return;
  int64_t seq = 0;
  int rc = make_durable(stream);
  if (rc == SQLITE_OK && !begin_void(stream, wal, &seq)) rc = SQLITE_BUSY;
  if (rc == SQLITE_OK) rc = async_flush_await_applied(stream, seq, NULL); /* of 32 bytes */
  if (rc == SQLITE_OK) rc = async_sync_beside(stream, wal);
  async_mutex_enter(&stream->mutex);
  bool is_void = rc == SQLITE_OK && stream->wal.header == ASYNC_WAL_VOIDING;
  if (is_void) stream->wal.header = ASYNC_WAL_VOID;
  async_mutex_leave(&stream->mutex);
  unpin_wal(wal);
}

void async_void_free(AsyncStream *stream) {
  if (!may_be_voided(stream)) return;
  async_mutex_enter(&stream->mutex);
  stream->wal.free_to_restart = true;
  async_mutex_leave(&stream->mutex);
}
