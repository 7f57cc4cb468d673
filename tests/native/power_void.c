/*
** Voided WALs in a recording.  See power_void.h.
*/
#include "power_void.h"

#include "harness.h"
#include "recorder.h"
#include "registry.h"

#include <stdlib.h>
#include <string.h>

#define HEADER_SIZE 32
/* Which word of the wal-index says how many frames the WAL has. */
#define WAL_INDEX_FRAMES 4

/* What lies where a file's header is. */
typedef struct Header {
  bool is_known;
  bool is_zeros;
  bool is_void;                     /* they are synced */
  int written;                      /* position of the zeros */
  unsigned char bytes[HEADER_SIZE]; /* that of the WAL, if it was voided the former one */
} Header;

static bool is_wal(const char *path) {
  size_t n = strlen(path);
  return n > 4 && strcmp(path + n - 4, "-wal") == 0;
}

static void note_write(Header *header, const Record *record, int position, Voids *voids) {
  static const unsigned char zeros[HEADER_SIZE];
  if (record->offset != 0 || record->n < HEADER_SIZE) return;
  if (memcmp(record->data, zeros, HEADER_SIZE) == 0) {
    header->is_zeros = header->is_known;
    header->is_void = false;
    header->written = position;
    return;
  }
  bool same = memcmp(record->data, header->bytes, HEADER_SIZE) == 0;
  if (header->is_void) *(same ? &voids->restored : &voids->restarted) += 1;
  if (header->is_zeros && !header->is_void && same) voids->cancelled++;
  memcpy(header->bytes, record->data, HEADER_SIZE);
  header->is_known = true;
  header->is_zeros = header->is_void = false;
}

static void note_sync(Header *header, const Record *record, Voids *voids) {
  if (!header->is_zeros || header->is_void || record->covers <= header->written) return;
  header->is_void = true;
  voids->voided++;
}

void count_voids(int from, Voids *voids) {
  const Recording *recording = recorder_recording();
  Header *headers = calloc((size_t)recording->file_count + 1, sizeof *headers);
  CHECK(headers != NULL);
  Voids before = {0};
  for (int i = 0; i < recording->count; i++) {
    const Record *record = &recording->records[i];
    if (record->file < 0 || !is_wal(recording->files[record->file].path)) continue;
    Header *header = &headers[record->file];
    Voids *to = i < from ? &before : voids;
    if (record->kind == RECORD_WRITE) note_write(header, record, i, to);
    if (record->kind == RECORD_SYNC) note_sync(header, record, to);
    if (record->kind == RECORD_TRUNCATE)
      header->is_known = header->is_zeros = header->is_void = false;
  }
  free(headers);
}

bool is_voiding(const char *path) {
  AsyncStream *stream = async_registry_find(path);
  async_mutex_enter(&stream->mutex);
  const AsyncWal *wal = &stream->wal;
  /* Who writes the header of a WAL that was found, or that has no frames any more, waits. */
  bool may = wal->header == ASYNC_WAL_VOIDING && !wal->header_unsynced && !wal->free_to_restart;
  async_mutex_leave(&stream->mutex);
  AsyncWalIndex *index = &stream->walindex;
  const uint32_t *header = async_walindex_header(index);
  may = may && header != NULL && header[WAL_INDEX_FRAMES] > 0;
  /* With the WRITE lock the checkpointer holds up whoever comes. */
  async_mutex_enter(&index->mutex);
  may = may && index->exclusive[ASYNC_WAL_WRITE] == NULL && index->closer == NULL;
  async_mutex_leave(&index->mutex);
  async_registry_unref(stream);
  return may;
}
