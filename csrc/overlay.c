/*
** The overlay.  What it is and its rules are in overlay.h.
**
** Memory: 40 bytes a segment and 16 to 32 for its buckets, so at most 2% of queued
** 4096-byte pages.
*/
#include "overlay.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_MIN 64
#define SLAB_SEGMENTS 100
#define BLOCK_SHIFT 12
#define BLOCK_SHIFT_WIDE 16

_Static_assert(1 << BLOCK_SHIFT == ASYNC_BLOCK_SIZE, "see overlay.h");
_Static_assert(1 << BLOCK_SHIFT_WIDE == ASYNC_WIDE_BLOCK_SIZE, "see overlay.h");

typedef struct AsyncSegmentSlab AsyncSegmentSlab;
struct AsyncSegmentSlab {
  AsyncSegmentSlab *next;
  AsyncSegment segments[SLAB_SEGMENTS];
};

/* ---- The pool ---- */

static void slab_release(AsyncSegmentPool *pool, AsyncSegmentSlab *slab) {
  for (int i = 0; i < SLAB_SEGMENTS; i++) {
    slab->segments[i].bucket_next = pool->free;
    pool->free = &slab->segments[i];
  }
  pool->free_count += SLAB_SEGMENTS;
}

/* Make sure that `count` segments can be taken without fail. */
static bool pool_reserve(AsyncSegmentPool *pool, size_t count) {
  while (pool->free_count < count) {
    AsyncSegmentSlab *slab = malloc(sizeof *slab);
    if (slab == NULL) return false;
    slab->next = pool->slabs;
    pool->slabs = slab;
    slab_release(pool, slab);
  }
  return true;
}

static AsyncSegment *pool_take(AsyncSegmentPool *pool) {
  AsyncSegment *segment = pool->free;
  assert(segment != NULL && "reserved beforehand");
  pool->free = segment->bucket_next;
  pool->free_count--;
  pool->live++;
  return segment;
}

static void pool_give(AsyncSegmentPool *pool, AsyncSegment *segment) {
  segment->bucket_next = pool->free;
  pool->free = segment;
  pool->free_count++;
  pool->live--;
}

void async_segment_pool_free(AsyncSegmentPool *pool) {
  assert(pool->live == 0);
  while (pool->slabs != NULL) {
    AsyncSegmentSlab *slab = pool->slabs;
    pool->slabs = slab->next;
    free(slab);
  }
  pool->free = NULL;
  pool->free_count = 0;
}

void async_segment_pool_trim(AsyncSegmentPool *pool) {
  if (pool->slabs == NULL || pool->slabs->next == NULL) return;
  AsyncSegmentSlab *kept = pool->slabs;
  pool->slabs = kept->next;
  async_segment_pool_free(pool);
  kept->next = NULL;
  pool->slabs = kept;
  slab_release(pool, kept);
}

/* ---- The table ---- */

static unsigned block_shift(const AsyncOverlay *overlay) {
  return overlay->wide ? BLOCK_SHIFT_WIDE : BLOCK_SHIFT;
}

static int64_t block_at(const AsyncOverlay *overlay, int64_t offset) {
  return (int64_t)((uint64_t)offset >> block_shift(overlay));
}

static AsyncSegment **bucket_of(const AsyncOverlay *overlay, int64_t block) {
  /* Fibonacci hashing: neighbouring blocks go to far buckets, evenly. */
  uint64_t hash = (uint64_t)block * UINT64_C(0x9E3779B97F4A7C15);
  /* Its top bits are the good ones. */
  return &overlay->buckets[((hash >> 32) * overlay->bucket_count) >> 32];
}

static bool table_resize(AsyncOverlay *overlay, size_t bucket_count) {
  AsyncSegment **buckets = calloc(bucket_count, sizeof *buckets);
  if (buckets == NULL) return false;
  AsyncOverlay old = *overlay;
  overlay->buckets = buckets;
  overlay->bucket_count = bucket_count;
  for (size_t i = 0; i < old.bucket_count; i++) {
    AsyncSegment *segment = old.buckets[i];
    while (segment != NULL) {
      AsyncSegment *next = segment->bucket_next;
      AsyncSegment **bucket = bucket_of(overlay, segment->block);
      segment->bucket_next = *bucket;
      *bucket = segment;
      segment = next;
    }
  }
  free(old.buckets);
  return true;
}

static void table_add(AsyncOverlay *overlay, AsyncSegment *segment) {
  AsyncSegment **bucket = bucket_of(overlay, segment->block);
  segment->bucket_next = *bucket;
  *bucket = segment;
  overlay->count++;
}

/* Take the segment at *link out of its bucket; its op still owns it. */
static void table_remove(AsyncOverlay *overlay, AsyncSegment **link) {
  AsyncSegment *segment = *link;
  *link = segment->bucket_next;
  segment->bucket_next = NULL;
  segment->end = segment->start;
  overlay->count--;
}

/*
** Cut [start, end) of a block out of the older segments, and return the one
** that ends at start with its bytes ending at data, if there is one: the new
** bytes may extend it.  An older segment that reaches over both sides becomes
** two, which takes one from the pool.
*/
static AsyncSegment *cut_block(AsyncOverlay *overlay, AsyncSegmentPool *pool, int64_t block,
                               uint32_t start, uint32_t end, const unsigned char *data) {
  AsyncSegment *before = NULL;
  AsyncSegment **link = bucket_of(overlay, block);
  while (*link != NULL) {
    AsyncSegment *old = *link;
    if (old->block == block && old->end == start && old->data + (old->end - old->start) == data) {
      before = old;
    }
    if (old->block != block || old->end <= start || old->start >= end) {
      link = &old->bucket_next;
      continue;
    }
    if (old->start >= start && old->end <= end) {
      table_remove(overlay, link);
      continue;
    }
    if (old->start < start && old->end > end) {
      AsyncSegment *tail = pool_take(pool);
      *tail = (AsyncSegment){.op_next = old->op_next,
                             .data = old->data + (end - old->start),
                             .block = block,
                             .start = end,
                             .end = old->end};
      old->op_next = tail;
      old->end = start;
      table_add(overlay, tail);
    } else if (old->start < start) {
      old->end = start;
    } else {
      old->data += end - old->start;
      old->start = end;
    }
    link = &old->bucket_next;
  }
  return before;
}

void async_overlay_prefetch(const AsyncOverlay *overlay, int64_t offset) {
#if defined(__GNUC__)
  if (overlay->buckets != NULL) __builtin_prefetch(bucket_of(overlay, block_at(overlay, offset)));
#else
  (void)overlay;
  (void)offset;
#endif
}

bool async_overlay_write(AsyncOverlay *overlay, AsyncSegmentPool *pool, AsyncSegment **op_segments,
                         int64_t offset, const unsigned char *data, size_t n) {
  assert(n > 0 && offset >= 0);
  size_t block_size = (size_t)1 << block_shift(overlay);
  int64_t last_block = block_at(overlay, offset + (int64_t)n - 1);
  size_t block_count = (size_t)(last_block - block_at(overlay, offset) + 1);

  /* Only the first and the last block can split an older segment. */
  if (!pool_reserve(pool, block_count + 2)) return false;
  if (overlay->buckets == NULL && !table_resize(overlay, BUCKETS_MIN)) return false;
  /* Half full at most: a bucket that is passed through is a cache miss. */
  if (2 * (overlay->count + block_count) > overlay->bucket_count) {
    /* Without memory for a larger table the old one still works, only slower. */
    (void)table_resize(overlay, overlay->bucket_count * 2);
  }

  while (n > 0) {
    int64_t block = block_at(overlay, offset);
    uint32_t start = (uint32_t)((size_t)offset & (block_size - 1));
    size_t length = block_size - start;
    if (length > n) length = n;
    uint32_t end = start + (uint32_t)length;

    AsyncSegment *before = cut_block(overlay, pool, block, start, end, data);
    if (before != NULL) {
      before->end = end;
    } else {
      AsyncSegment *segment = pool_take(pool);
      *segment = (AsyncSegment){
          .op_next = *op_segments, .data = data, .block = block, .start = start, .end = end};
      *op_segments = segment;
      table_add(overlay, segment);
    }
    offset += (int64_t)length;
    data += length;
    n -= length;
  }
  return true;
}

size_t async_overlay_read(const AsyncOverlay *overlay, int64_t offset, size_t n,
                          unsigned char *out) {
  if (overlay->count == 0) return 0;
  size_t block_size = (size_t)1 << block_shift(overlay);
  size_t covered = 0;
  size_t done = 0;
  while (done < n) {
    int64_t at = offset + (int64_t)done;
    int64_t block = block_at(overlay, at);
    size_t start = (size_t)at & (block_size - 1);
    size_t end = n - done < block_size - start ? start + (n - done) : block_size;
    const AsyncSegment *segment = *bucket_of(overlay, block);
    for (; segment != NULL; segment = segment->bucket_next) {
      if (segment->block != block || segment->end <= start || segment->start >= end) continue;
      size_t from = segment->start > start ? segment->start : start;
      size_t to = segment->end < end ? segment->end : end;
      if (out != NULL) {
        memcpy(out + done + (from - start), segment->data + (from - segment->start), to - from);
      }
      covered += to - from;
    }
    done += end - start;
  }
  return covered;
}

/* Of the segments in a bucket, whatever their blocks, forget what is from size on. */
static void truncate_bucket(AsyncOverlay *overlay, AsyncSegment **link, int64_t size) {
  while (*link != NULL) {
    AsyncSegment *segment = *link;
    int64_t base = segment->block << block_shift(overlay);
    if (base + segment->start >= size) {
      table_remove(overlay, link);
      continue;
    }
    if (base + segment->end > size) segment->end = (uint32_t)(size - base);
    link = &segment->bucket_next;
  }
}

void async_overlay_truncate(AsyncOverlay *overlay, int64_t size, int64_t old_size) {
  if (overlay->count == 0 || size >= old_size) return;
  int64_t first = block_at(overlay, size);
  int64_t last = block_at(overlay, old_size - 1);
  if ((uint64_t)(last - first) >= overlay->bucket_count) {
    for (size_t i = 0; i < overlay->bucket_count; i++) {
      truncate_bucket(overlay, &overlay->buckets[i], size);
    }
    return;
  }
  for (int64_t block = first; block <= last; block++) {
    truncate_bucket(overlay, bucket_of(overlay, block), size);
  }
}

void async_overlay_retire(AsyncOverlay *overlay, AsyncSegmentPool *pool,
                          AsyncSegment *op_segments) {
  while (op_segments != NULL) {
    AsyncSegment *segment = op_segments;
    op_segments = segment->op_next;
    if (segment->start != segment->end) {
      AsyncSegment **link = bucket_of(overlay, segment->block);
      while (*link != segment) link = &(*link)->bucket_next;
      table_remove(overlay, link);
    }
    pool_give(pool, segment);
  }
  if (overlay->count == 0 && overlay->bucket_count > BUCKETS_MIN) async_overlay_free(overlay);
}

void async_overlay_free(AsyncOverlay *overlay) {
  assert(overlay->count == 0);
  free(overlay->buckets);
  *overlay = (AsyncOverlay){.wide = overlay->wide};
}
