/*
** Which paths are known.  See known.h.
*/
#include "known.h"

#include "mutex.h"

#include <stdlib.h>

#define OPENED_MAX (1 << 20)
#define COMPLAINTS_MAX 256
#define ROOM_FIRST 64

typedef struct Set {
  int max;          /* paths that it takes */
  int count;        /* paths in it */
  int room;         /* slots; a power of 2 */
  uint64_t *hashes; /* open addressing; 0 is a free slot */
  uint64_t *first;  /* the slots that it began with, which are not from malloc */
  bool full;        /* from now on everything is known */
} Set;

static uint64_t first_opened[ROOM_FIRST];
static uint64_t first_complaints[ROOM_FIRST];

/* Guarded by known_mutex. */
static AsyncMutex known_mutex;
static Set opened = {
    .max = OPENED_MAX, .room = ROOM_FIRST, .hashes = first_opened, .first = first_opened};
static Set complaints = {.max = COMPLAINTS_MAX,
                         .room = ROOM_FIRST,
                         .hashes = first_complaints,
                         .first = first_complaints};

void async_known_init(void) { async_mutex_init(&known_mutex, ASYNC_RANK_KNOWN); }

static uint64_t hash_of(const char *path) {
  uint64_t hash = 14695981039346656037u; /* FNV-1a */
  for (; *path != '\0'; path++) hash = (hash ^ (unsigned char)*path) * 1099511628211u;
  return hash == 0 ? 1 : hash;
}

/* The slot that has the hash, or the free one where it belongs.  There is a free one. */
static uint64_t *slot_of(const Set *set, uint64_t hash) {
  uint64_t last = (uint64_t)set->room - 1;
  uint64_t i = (hash ^ hash >> 32) & last;
  while (set->hashes[i] != 0 && set->hashes[i] != hash) i = (i + 1) & last;
  return &set->hashes[i];
}

/* Make sure that half of the slots stay free.  False if memory is out. */
static bool make_room(Set *set) {
  if (2 * (set->count + 1) <= set->room) return true;
  Set larger = *set;
  larger.room = 2 * set->room;
  larger.hashes = calloc((size_t)larger.room, sizeof(uint64_t));
  if (larger.hashes == NULL) return false;
  for (int i = 0; i < set->room; i++) {
    if (set->hashes[i] != 0) *slot_of(&larger, set->hashes[i]) = set->hashes[i];
  }
  if (set->hashes != set->first) free(set->hashes);
  *set = larger;
  return true;
}

static bool has(const Set *set, uint64_t hash) { return set->full || *slot_of(set, hash) == hash; }

/* True if it was not known before. */
static bool add(Set *set, uint64_t hash) {
  if (has(set, hash)) return false;
  if (set->count == set->max || !make_room(set)) {
    set->full = true;
    return false;
  }
  *slot_of(set, hash) = hash;
  set->count++;
  return true;
}

void async_known_note_open(const char *full) {
  uint64_t hash = hash_of(full);
  async_mutex_enter(&known_mutex);
  add(&opened, hash);
  async_mutex_leave(&known_mutex);
}

bool async_known_was_open(const char *full) {
  uint64_t hash = hash_of(full);
  async_mutex_enter(&known_mutex);
  bool was = has(&opened, hash);
  async_mutex_leave(&known_mutex);
  return was;
}

bool async_known_note_complaint(const char *name) {
  uint64_t hash = hash_of(name);
  async_mutex_enter(&known_mutex);
  bool first = add(&complaints, hash);
  async_mutex_leave(&known_mutex);
  return first;
}
