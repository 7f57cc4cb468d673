/*
** Chunked memory for queues.  See arena.h.
*/
#include "arena.h"

#include "mutex.h"

#include <assert.h>
#include <stdalign.h>

#define CHUNK_SIZE ((size_t)256 * 1024)
/* A queue that grows takes them while the writer makes more. */
#define SPARES_READY 16

struct AsyncChunk {
  AsyncChunk *next_spare;
  size_t used;   /* bytes from the start of data */
  size_t pieces; /* taken and not given back */
  alignas(16) unsigned char data[];
};

#define CHUNK_CAPACITY (CHUNK_SIZE - sizeof(AsyncChunk))
_Static_assert(CHUNK_CAPACITY >= ASYNC_ARENA_PIECE_MAX, "a piece must fit a chunk");

static AsyncMutex spare_mutex;
static AsyncChunk *spares; /* guarded by spare_mutex, as is spare_count */
static int spare_count;

void async_arena_init_spares(void) { async_mutex_init(&spare_mutex, ASYNC_RANK_ARENA); }

static AsyncChunk *chunk_new(void) {
  async_mutex_enter(&spare_mutex);
  AsyncChunk *chunk = spares;
  if (chunk != NULL) {
    spares = chunk->next_spare;
    spare_count--;
  }
  async_mutex_leave(&spare_mutex);
  if (chunk == NULL) chunk = async_os_pages_new(CHUNK_SIZE);
  if (chunk != NULL) chunk->used = chunk->pieces = 0;
  return chunk;
}

static void chunk_free(AsyncChunk *chunk) {
  async_mutex_enter(&spare_mutex);
  chunk->next_spare = spares;
  spares = chunk;
  spare_count++;
  async_mutex_leave(&spare_mutex);
}

bool async_arena_wants_spare(void) {
  async_mutex_enter(&spare_mutex);
  bool few = spare_count < SPARES_READY;
  async_mutex_leave(&spare_mutex);
  return few;
}

void async_arena_prepare_spare(void) {
  AsyncChunk *chunk = async_os_pages_new(CHUNK_SIZE);
  if (chunk != NULL) chunk_free(chunk);
}

static AsyncChunk *take_surplus_spare(void) {
  async_mutex_enter(&spare_mutex);
  AsyncChunk *chunk = spare_count > ASYNC_ARENA_SPARES_MAX ? spares : NULL;
  if (chunk != NULL) {
    spares = chunk->next_spare;
    spare_count--;
  }
  async_mutex_leave(&spare_mutex);
  return chunk;
}

bool async_arena_has_surplus(void) {
  async_mutex_enter(&spare_mutex);
  bool has = spare_count > ASYNC_ARENA_SPARES_MAX;
  async_mutex_leave(&spare_mutex);
  return has;
}

void async_arena_trim_spares(void) {
  AsyncChunk *chunk;
  while ((chunk = take_surplus_spare()) != NULL) async_os_pages_free(chunk, CHUNK_SIZE);
}

/* Where the next piece starts in the chunk. */
static size_t start_of_next(const AsyncChunk *chunk) { return (chunk->used + 15) & ~(size_t)15; }

bool async_arena_reserve(AsyncArena *arena, size_t n) {
  assert(n <= ASYNC_ARENA_PIECE_MAX);
  AsyncChunk *chunk = arena->filling;
  if (chunk != NULL && start_of_next(chunk) + n <= CHUNK_CAPACITY) return true;
  AsyncChunk *fresh = chunk_new();
  if (fresh == NULL) return false;
  arena->filling = fresh;
  return true;
}

void *async_arena_take(AsyncArena *arena, size_t n) {
  if (!async_arena_reserve(arena, n)) return NULL;
  AsyncChunk *chunk = arena->filling;
  size_t start = start_of_next(chunk);
  chunk->used = start + n;
  chunk->pieces++;
  return chunk->data + start;
}

void *async_arena_extend(AsyncArena *arena, const void *end, size_t n) {
  AsyncChunk *chunk = arena->filling;
  if (chunk == NULL || end != chunk->data + chunk->used) return NULL;
  if (chunk->used + n > CHUNK_CAPACITY) return NULL;
  void *more = chunk->data + chunk->used;
  chunk->used += n;
  return more;
}

AsyncChunk *async_arena_chunk(const AsyncArena *arena) { return arena->filling; }

void async_arena_free(AsyncArena *arena) {
  if (arena->filling == NULL) return;
  assert(arena->filling->pieces == 0 && "only reserved");
  chunk_free(arena->filling);
  arena->filling = NULL;
}

void async_arena_give(AsyncArena *arena, AsyncChunk *chunk) {
  assert(chunk->pieces > 0);
  if (--chunk->pieces > 0) return;
  /* Also the one being filled: a thousand idle databases shall not have one each. */
  if (chunk == arena->filling) arena->filling = NULL;
  chunk_free(chunk);
}
