/*
** The overlay: what a file's queued writes say that its disk does not say yet.
**
** The file is cut into blocks, and a hash table leads from a block's number to
** its segments: runs of bytes of queued writes, newest content only.  Segments
** of one block never overlap, so a lookup costs the same whatever the queue's
** length: a bucket, and at most as many segments as a block has separately
** written pieces.
**
** A database is written in pages here and there, and has blocks of 4096 bytes: a
** segment for each page.  A WAL and a journal are appended to in small pieces,
** and have blocks of 64 KiB: what continues a segment in the file and in memory
** makes it longer, which costs no more than finding it.
**
** A segment borrows its bytes from the op that wrote them (queue.h) and ends
** with it: when the op has been applied, async_overlay_retire() takes its
** segments out, those that newer writes have covered being out already.
**
** Truncation takes out what lies beyond the new size.  What the *disk* still
** has there is file.c's concern.
**
** No lock of its own: the stream's mutex guards a file's overlay.
*/
#ifndef ASYNC_OVERLAY_H
#define ASYNC_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ASYNC_BLOCK_SIZE 4096
#define ASYNC_WIDE_BLOCK_SIZE 65536

typedef struct AsyncSegment AsyncSegment;
struct AsyncSegment {
  AsyncSegment *bucket_next; /* in the table; or the next free one */
  AsyncSegment *op_next;     /* the other segments of the same op */
  const unsigned char *data; /* the byte at start */
  int64_t block;
  uint32_t start; /* within the block */
  uint32_t end;   /* exclusive; start == end: covered by newer writes, out of the table */
};

/* Where segments come from; one a stream, guarded by the stream's mutex. */
typedef struct AsyncSegmentPool {
  AsyncSegment *free;
  size_t free_count;
  struct AsyncSegmentSlab *slabs;
  size_t live;
} AsyncSegmentPool;

typedef struct AsyncOverlay {
  bool wide;              /* constant: blocks of ASYNC_WIDE_BLOCK_SIZE */
  AsyncSegment **buckets; /* NULL until the first write */
  size_t bucket_count;    /* a power of two */
  size_t count;           /* segments in the table */
} AsyncOverlay;

/*
** Put in a write of n > 0 bytes at offset.  The bytes at data must stay until
** the op is retired.  *op_segments is the op's list; a write that continues
** one of its segments in the file and in memory extends that one.  False, and
** nothing changed, if memory is out.
*/
bool async_overlay_write(AsyncOverlay *overlay, AsyncSegmentPool *pool, AsyncSegment **op_segments,
                         int64_t offset, const unsigned char *data, size_t n);

/* A write at offset will follow: fetch what it will look at, meanwhile. */
void async_overlay_prefetch(const AsyncOverlay *overlay, int64_t offset);

/*
** Copy to out the bytes that the overlay has of [offset, offset + n), each to
** its place, and return how many they are.  out may be NULL, to count.
*/
size_t async_overlay_read(const AsyncOverlay *overlay, int64_t offset, size_t n,
                          unsigned char *out);

/* Forget all at or beyond size; old_size is where the file ended so far. */
void async_overlay_truncate(AsyncOverlay *overlay, int64_t size, int64_t old_size);

/* The op was applied: its segments go. */
void async_overlay_retire(AsyncOverlay *overlay, AsyncSegmentPool *pool, AsyncSegment *op_segments);

/* Give the table back.  It must be empty. */
void async_overlay_free(AsyncOverlay *overlay);

/* Give back the pool's memory but for one slab; nothing may be live. */
void async_segment_pool_trim(AsyncSegmentPool *pool);
void async_segment_pool_free(AsyncSegmentPool *pool);

#endif /* ASYNC_OVERLAY_H */
