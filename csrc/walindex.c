/*
** The wal-index.  See walindex.h.
*/
#include "walindex.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* How long the checkpointer waits for a moment without transactions. */
#define CLOSE_WAIT_US 50000

void async_walindex_init(AsyncWalIndex *index) {
  memset(index, 0, sizeof *index);
  async_mutex_init(&index->mutex, ASYNC_RANK_WALINDEX);
  async_cond_init(&index->changed);
}

static void free_regions(AsyncWalIndex *index) {
  for (int i = 0; i < index->region_count; i++) free(index->regions[i]);
  free(index->regions);
  index->regions = NULL;
  index->region_count = 0;
  index->renew = false;
}

void async_walindex_free(AsyncWalIndex *index) {
  assert(index->users == 0);
  free_regions(index);
  async_cond_free(&index->changed);
  async_mutex_free(&index->mutex);
}

/* ---- Regions ---- */

static bool extend_to(AsyncWalIndex *index, int count, int size) {
  void **regions = realloc(index->regions, (size_t)count * sizeof *regions);
  if (regions == NULL) return false;
  index->regions = regions;
  while (index->region_count < count) {
    void *region = calloc(1, (size_t)size);
    if (region == NULL) return false;
    index->regions[index->region_count++] = region;
  }
  return true;
}

int async_walindex_map(AsyncWalIndex *index, AsyncShmUser *user, int region, int size, bool extend,
                       void volatile **address) {
  int rc = SQLITE_OK;
  async_mutex_enter(&index->mutex);
  if (!user->mapped) {
    user->mapped = true;
    index->users++;
    if (user->is_checkpointer) index->checkpointer = user;
  }
  if (extend && region >= index->region_count && !extend_to(index, region + 1, size)) {
    rc = SQLITE_IOERR_NOMEM;
  }
  *address = region < index->region_count ? index->regions[region] : NULL;
  async_mutex_leave(&index->mutex);
  return rc;
}

void async_walindex_unmap(AsyncWalIndex *index, AsyncShmUser *user) {
  if (!user->mapped) return;
  async_walindex_lock(index, user, 0, SQLITE_SHM_NLOCK, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
  async_mutex_enter(&index->mutex);
  user->mapped = false;
  index->users--;
  if (user->is_checkpointer) index->checkpointer = NULL;
  if (index->users == 0) free_regions(index);
  async_mutex_leave(&index->mutex);
}

bool async_walindex_is_mapped(AsyncWalIndex *index) {
  async_mutex_enter(&index->mutex);
  bool mapped = index->users > 0;
  async_mutex_leave(&index->mutex);
  return mapped;
}

void async_walindex_barrier(void) { atomic_thread_fence(memory_order_seq_cst); }

/* ---- The header ---- */

/* The wal-index header: https://sqlite.org/walformat.html#the_wal_index_header
** All words are in the machine's order. */
#define HEADER_WORDS 12
#define HEADER_CHANGES 2
#define HEADER_FLAGS 3 /* its first byte: isInit */
#define HEADER_CHECKSUM 10
#define HEADER_FRAMES 4
#define CHECKPOINT_INFO (2 * HEADER_WORDS) /* its first word: how many frames were copied */
/* More changes than any transaction adds to a header that SQLite has just made. */
#define GENERATION_STEP 0x01000193u

const void *async_walindex_header(AsyncWalIndex *index) {
  async_mutex_enter(&index->mutex);
  const void *header = index->region_count > 0 ? index->regions[0] : NULL;
  async_mutex_leave(&index->mutex);
  return header;
}

int64_t async_walindex_copied(const void *header) {
  const volatile uint32_t *words = header;
  bool is_valid = *(const volatile unsigned char *)&words[HEADER_FLAGS] != 0;
  for (int i = 0; i < HEADER_WORDS; i++) is_valid = is_valid && words[i] == words[HEADER_WORDS + i];
  bool is_copied = is_valid && words[CHECKPOINT_INFO] >= words[HEADER_FRAMES];
  return is_copied ? (int64_t)words[HEADER_FRAMES] : -1;
}

static void checksum(uint32_t *words) {
  uint32_t s0 = 0;
  uint32_t s1 = 0;
  for (int i = 0; i < HEADER_CHECKSUM; i += 2) {
    s0 += words[i] + s1;
    s1 += words[i + 1] + s0;
  }
  words[HEADER_CHECKSUM] = s0;
  words[HEADER_CHECKSUM + 1] = s1;
}

/* Somebody gives the WRITE lock back, and may have made the index anew. */
static void renew_header(AsyncWalIndex *index) {
  uint32_t *first = index->region_count > 0 ? index->regions[0] : NULL;
  if (first == NULL || *(unsigned char *)&first[HEADER_FLAGS] == 0) return;
  uint32_t *second = first + HEADER_WORDS;
  uint32_t words[HEADER_WORDS];
  memcpy(words, first, sizeof words);
  words[HEADER_CHANGES] += GENERATION_STEP * index->generation;
  checksum(words);
  /* In SQLite's order: a reader takes the first, then the second. */
  memcpy(second, words, sizeof words);
  async_walindex_barrier();
  memcpy(first, words, sizeof words);
  index->renew = false;
}

/* Somebody makes the index anew, and its header has not got its change counter yet:
** who saw it might take it for the one it remembers. */
static bool is_being_renewed(const AsyncWalIndex *index, const AsyncShmUser *user) {
  const AsyncShmUser *writer = index->exclusive[ASYNC_WAL_WRITE];
  return index->renew && writer != NULL && writer != user;
}

/* ---- Locks ---- */

bool async_walindex_begins_read(const AsyncShmUser *user, int first, int flags) {
  return first >= ASYNC_WAL_READ_0 && !(flags & SQLITE_SHM_EXCLUSIVE) && user->shared == 0;
}

static unsigned mask_of(int first, int n) { return ((1u << n) - 1) << first; }

static void grant(AsyncWalIndex *index, AsyncShmUser *user, int first, int n, bool exclusive) {
  uint8_t mask = (uint8_t)mask_of(first, n);
  if (exclusive) {
    for (int i = first; i < first + n; i++) index->exclusive[i] = user;
    user->exclusive |= mask;
  } else {
    index->shared[first]++;
    user->shared |= mask;
  }
}

/* Does no transaction write, or read from the WAL? */
static bool is_quiet(const AsyncWalIndex *index) {
  bool quiet = index->exclusive[ASYNC_WAL_WRITE] == NULL;
  for (int i = ASYNC_WAL_READ_0 + 1; i < SQLITE_SHM_NLOCK; i++) {
    quiet = quiet && index->shared[i] == 0;
  }
  return quiet;
}

static void unlock(AsyncWalIndex *index, AsyncShmUser *user, int first, int n) {
  for (int i = first; i < first + n; i++) {
    unsigned bit = 1u << i;
    if (user->exclusive & bit) {
      index->exclusive[i] = NULL;
      if (i == ASYNC_WAL_WRITE && index->renew) renew_header(index);
    } else if (user->shared & bit) {
      index->shared[i]--;
    }
  }
  uint8_t others = (uint8_t)~mask_of(first, n);
  user->exclusive &= others;
  user->shared &= others;
  if (index->closer != NULL && is_quiet(index)) {
    grant(index, index->closer, ASYNC_WAL_WRITE, 1, true);
    index->closer = NULL;
  }
}

/* What stands in the way of a request. */
typedef enum Obstacle {
  OBSTACLE_NONE,
  OBSTACLE_CHECKPOINTER, /* and nothing else: it goes away when asked to */
  OBSTACLE_CLOSER,       /* and nothing else: it has the WRITE lock, for a moment */
  OBSTACLE_OTHERS,
} Obstacle;

static bool is_closing(const AsyncWalIndex *index) {
  const AsyncShmUser *writer = index->exclusive[ASYNC_WAL_WRITE];
  return writer != NULL && writer->is_checkpointer;
}

static bool has_shared(const AsyncShmUser *user, int i) {
  return user != NULL && (user->shared & (1u << i)) != 0;
}

static Obstacle obstacle_at(const AsyncWalIndex *index, const AsyncShmUser *user, int i,
                            bool exclusive) {
  const AsyncShmUser *holder = index->exclusive[i];
  if (holder != NULL && !holder->is_checkpointer) return OBSTACLE_OTHERS;
  if (i == ASYNC_WAL_WRITE && holder != NULL) return OBSTACLE_CLOSER;
  if (i == ASYNC_WAL_CHECKPOINT && holder != NULL) return OBSTACLE_CHECKPOINTER;
  bool begins = async_walindex_begins_read(user, i, exclusive ? SQLITE_SHM_EXCLUSIVE : 0) &&
                !user->is_checkpointer;
  /* Who needs nothing from the WAL needs not wait. */
  if (begins && i != ASYNC_WAL_READ_0 && is_closing(index)) return OBSTACLE_CLOSER;
  /* Those of the read locks pass by themselves, and SQLite has other ways to go
  ** on; but to a checkpoint by hand each reader is one that blocks it. */
  if (holder != NULL) return OBSTACLE_OTHERS;
  if (!exclusive || index->shared[i] == 0) return OBSTACLE_NONE;
  bool checkpoints = index->exclusive[ASYNC_WAL_CHECKPOINT] == user;
  bool only_ours = index->shared[i] == 1 && has_shared(index->checkpointer, i);
  return checkpoints && only_ours ? OBSTACLE_CHECKPOINTER : OBSTACLE_OTHERS;
}

static Obstacle obstacle(const AsyncWalIndex *index, const AsyncShmUser *user, int first, int n,
                         bool exclusive) {
  Obstacle worst = OBSTACLE_NONE;
  for (int i = first; i < first + n; i++) {
    Obstacle one = obstacle_at(index, user, i, exclusive);
    if (one > worst) worst = one;
  }
  return worst;
}

/* Wait for another's unlocking; false if that took too long. */
static bool wait_for_change(AsyncWalIndex *index, int64_t until_us) {
  int64_t left_us = until_us - async_os_now_us();
  if (left_us <= 0) return false;
  index->waiting++;
  async_cond_wait(&index->changed, &index->mutex, left_us);
  index->waiting--;
  return true;
}

/* It may be waiting itself. */
static void interrupt_checkpointer(AsyncWalIndex *index) {
  index->interrupted = true;
  if (index->waiting > 0) async_cond_broadcast(&index->changed);
}

void async_walindex_interrupt(AsyncWalIndex *index) {
  async_mutex_enter(&index->mutex);
  interrupt_checkpointer(index);
  async_mutex_leave(&index->mutex);
}

/* Ends when the checkpointer has come to its end, or with the time. */
static bool wait_for_checkpointer(AsyncWalIndex *index, const AsyncShmUser *user, int first, int n,
                                  bool exclusive) {
  int64_t until_us = async_os_now_us() + ASYNC_INTERRUPT_US;
  Obstacle now = obstacle(index, user, first, n, exclusive);
  bool in_time = true;
  bool waited = false;
  while (in_time && (now == OBSTACLE_CHECKPOINTER || now == OBSTACLE_CLOSER)) {
    if (now == OBSTACLE_CHECKPOINTER) interrupt_checkpointer(index);
    in_time = wait_for_change(index, until_us);
    waited = true;
    now = obstacle(index, user, first, n, exclusive);
  }
  /* What SQLite knew when it chose this read lock is old: SQLITE_BUSY makes it
  ** look again, and see that all has been copied. */
  bool reads_wal = first > ASYNC_WAL_READ_0 && !exclusive;
  return now == OBSTACLE_NONE && !(waited && reads_wal);
}

/* The checkpointer wants the WRITE lock. */
static bool wait_for_quiet(AsyncWalIndex *index, AsyncShmUser *user) {
  int64_t until_us = async_os_now_us() + CLOSE_WAIT_US;
  bool in_time = true;
  if (!is_quiet(index)) index->closer = user;
  while (in_time && !index->interrupted && index->closer != NULL) {
    in_time = wait_for_change(index, until_us);
  }
  index->closer = NULL;
  return index->exclusive[ASYNC_WAL_WRITE] == user || is_quiet(index);
}

/* True if the lock can be had, maybe after waiting for the checkpointer; for the
** checkpointer's WRITE lock also if it has been granted meanwhile. */
static bool wait_for_lock(AsyncWalIndex *index, AsyncShmUser *user, int first, int n,
                          bool exclusive) {
  if (user->is_checkpointer && first == ASYNC_WAL_WRITE) return wait_for_quiet(index, user);
  if (obstacle(index, user, first, n, exclusive) == OBSTACLE_NONE) return true;
  return !user->is_checkpointer && wait_for_checkpointer(index, user, first, n, exclusive);
}

int async_walindex_lock(AsyncWalIndex *index, AsyncShmUser *user, int first, int n, int flags) {
  assert(first >= 0 && n >= 1 && first + n <= SQLITE_SHM_NLOCK);
  bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
  int rc = SQLITE_OK;
  async_mutex_enter(&index->mutex);
  if (flags & SQLITE_SHM_UNLOCK) {
    unlock(index, user, first, n);
    if (index->waiting > 0) async_cond_broadcast(&index->changed);
  } else if (index->given_up) {
    rc = SQLITE_LOCKED;
  } else if (is_being_renewed(index, user) && async_walindex_begins_read(user, first, flags)) {
    rc = SQLITE_BUSY;
  } else if (!exclusive && (user->shared & (1u << first))) {
    /* It has it already. */
  } else if (!wait_for_lock(index, user, first, n, exclusive)) {
    rc = SQLITE_BUSY;
  } else {
    grant(index, user, first, n, exclusive);
  }
  async_mutex_leave(&index->mutex);
  return rc;
}

bool async_walindex_has_readers(AsyncWalIndex *index) {
  async_mutex_enter(&index->mutex);
  int readers = 0;
  for (int i = ASYNC_WAL_READ_0 + 1; i < SQLITE_SHM_NLOCK; i++) {
    readers += index->shared[i] - (has_shared(index->checkpointer, i) ? 1 : 0);
  }
  async_mutex_leave(&index->mutex);
  return readers > 0;
}

/* ---- Giving up ---- */

static bool is_locked(const AsyncWalIndex *index) {
  for (int i = 0; i < SQLITE_SHM_NLOCK; i++) {
    if (index->shared[i] > 0 || index->exclusive[i] != NULL) return true;
  }
  return false;
}

bool async_walindex_give_up(AsyncWalIndex *index) {
  async_mutex_enter(&index->mutex);
  bool can = !is_locked(index);
  if (can) {
    index->given_up = true;
    if (index->region_count > 0) {
      memset(index->regions[0], 0, 2 * HEADER_WORDS * sizeof(uint32_t));
      index->generation++;
      index->renew = true;
    }
  }
  async_mutex_leave(&index->mutex);
  return can;
}

void async_walindex_take_back(AsyncWalIndex *index) {
  async_mutex_enter(&index->mutex);
  index->given_up = false;
  async_mutex_leave(&index->mutex);
}
