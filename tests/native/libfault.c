/*
** Faults of the system.  See libfault.h.
*/
#include "libfault.h"

#include "arena.h"
#include "harness.h"
#include "sqlite3.h"
#include "stepper.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#define SETS 4
#define SPARES_TAKEN_MAX (4 * ASYNC_ARENA_SPARES_MAX) /* a chunk has room for three */

/* Guarded by the mutex, but that armed may be read without. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic unsigned armed;
static int to_pass;
static int to_fail;
static int injected;
static int calls[SETS];

static _Atomic int64_t live_blocks;
static _Atomic int64_t live_pages;
static _Thread_local bool suspended;

void libfault_fail(unsigned set, int after, int times) {
  pthread_mutex_lock(&mutex);
  to_pass = after;
  to_fail = times;
  injected = 0;
  memset(calls, 0, sizeof calls);
  armed = set;
  pthread_mutex_unlock(&mutex);
}

int libfault_stop(void) {
  pthread_mutex_lock(&mutex);
  armed = 0;
  int count = injected;
  pthread_mutex_unlock(&mutex);
  return count;
}

int libfault_calls(unsigned set) {
  int count = 0;
  pthread_mutex_lock(&mutex);
  for (int i = 0; i < SETS; i++) {
    if (set & (1u << i)) count += calls[i];
  }
  pthread_mutex_unlock(&mutex);
  return count;
}

void libfault_suspend(bool on) { suspended = on; }

/* Shall this call fail? */
static bool fails(unsigned kind) {
  if ((armed & kind) == 0 || suspended) return false;
  bool result = false;
  pthread_mutex_lock(&mutex);
  if (armed & kind) {
    for (int i = 0; i < SETS; i++) {
      if (kind & (1u << i)) calls[i]++;
    }
    if (to_pass > 0) {
      to_pass--;
    } else if (to_fail != 0) {
      if (to_fail > 0) to_fail--;
      injected++;
      result = true;
    }
  }
  pthread_mutex_unlock(&mutex);
  return result;
}

/* ---- What the core calls ---- */

void *test_malloc(size_t n);
void *test_calloc(size_t count, size_t n);
void *test_realloc(void *block, size_t n);
void test_free(void *block);
void *test_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int test_munmap(void *pages, size_t n);
int test_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                        void *arg);

void *test_malloc(size_t n) {
  void *block = fails(OF_MEMORY) ? NULL : malloc(n);
  if (block != NULL) live_blocks++;
  return block;
}

void *test_calloc(size_t count, size_t n) {
  void *block = fails(OF_MEMORY) ? NULL : calloc(count, n);
  if (block != NULL) live_blocks++;
  return block;
}

void *test_realloc(void *block, size_t n) {
  bool is_new = block == NULL;
  void *moved = fails(OF_MEMORY) ? NULL : realloc(block, n);
  if (moved != NULL && is_new) live_blocks++;
  return moved;
}

void test_free(void *block) {
  if (block != NULL) live_blocks--;
  free(block);
}

void *test_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset) {
  void *pages = fails(OF_PAGES) ? MAP_FAILED : mmap(at, n, protection, flags, fd, offset);
  if (pages != MAP_FAILED) live_pages++;
  return pages;
}

int test_munmap(void *pages, size_t n) {
  live_pages--;
  return munmap(pages, n);
}

int test_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                        void *arg) {
  return fails(OF_THREAD) ? EAGAIN : step_thread_create(thread, attributes, run, arg);
}

int64_t libfault_live_blocks(void) { return live_blocks; }
int64_t libfault_live_pages(void) { return live_pages; }

/* ---- SQLite's allocator ---- */

static sqlite3_mem_methods sqlite_memory;

static void *sqlite_malloc(int n) { return fails(OF_SQLITE) ? NULL : sqlite_memory.xMalloc(n); }

static void *sqlite_realloc(void *block, int n) {
  return fails(OF_SQLITE) ? NULL : sqlite_memory.xRealloc(block, n);
}

void libfault_wrap_sqlite(void) {
  if (sqlite_memory.xMalloc != NULL) return;
  CHECK_EQ(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_memory), SQLITE_OK);
  sqlite3_mem_methods wrapped = sqlite_memory;
  wrapped.xMalloc = sqlite_malloc;
  wrapped.xRealloc = sqlite_realloc;
  CHECK_EQ(sqlite3_config(SQLITE_CONFIG_MALLOC, &wrapped), SQLITE_OK);
}

/* ---- Spare chunks ---- */

static AsyncArena spare_arena;
static AsyncChunk *taken[SPARES_TAKEN_MAX];
static int taken_count;

void libfault_take_spares(void) {
  CHECK(taken_count == 0);
  int64_t before = live_pages;
  while (live_pages == before) {
    CHECK(taken_count < SPARES_TAKEN_MAX);
    CHECK(async_arena_take(&spare_arena, ASYNC_ARENA_PIECE_MAX) != NULL);
    taken[taken_count++] = async_arena_chunk(&spare_arena);
  }
}

void libfault_give_spares(void) {
  while (taken_count > 0) async_arena_give(&spare_arena, taken[--taken_count]);
  async_arena_trim_spares();
}
