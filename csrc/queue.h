/*
** The queue: a stream's ops in the order in which SQLite made them.
**
** A caller appends at the tail, the writer takes from the head; an op stays
** at the head while it is being applied.  A write that continues the write
** before it, in the same file and with nothing between, becomes part of that
** op, up to 65,536 bytes: SQLite's own largest write, and what the unix VFS
** takes without cutting (it masks lengths with 0x1ffff).
**
** No lock of its own: the stream's mutex guards its queue.
*/
#ifndef ASYNC_QUEUE_H
#define ASYNC_QUEUE_H

#include "arena.h"
#include "overlay.h"

#define ASYNC_WRITE_MAX 65536

typedef enum AsyncOpKind {
  ASYNC_OP_CREATE,    /* open a journal; flags: for xOpen */
  ASYNC_OP_WRITE,     /* payload at offset */
  ASYNC_OP_TRUNCATE,  /* to size offset */
  ASYNC_OP_SIZE_HINT, /* the file will soon have size offset */
  ASYNC_OP_SYNC,      /* flags: for xSync */
  ASYNC_OP_DELETE,    /* flags: sync the folder too */
  ASYNC_OP_BARRIER,   /* meet other streams, see barrier.h */
} AsyncOpKind;

typedef struct AsyncOp AsyncOp;
struct AsyncOp {
  AsyncOp *next;
  AsyncChunk *chunk;
  struct AsyncFile *file;
  AsyncSegment *segments; /* of a write: where the overlay shows it */
  union {
    struct AsyncBarrier *barrier; /* of a barrier; of a delete that waits at one, or NULL */
    struct {
      AsyncOp *next; /* of a truncate: see file.h */
      AsyncOp *prev;
    } truncates;
  };
  int64_t seq;          /* position in the stream, from 1 */
  int64_t transactions; /* that are complete once this op is applied */
  int64_t queued_us;
  int64_t wal_sync_seq; /* the WAL must be synced up to here first, unless this appends to it */
  int64_t offset;
  uint32_t length; /* of the payload */
  uint32_t writes; /* of SQLite's, that it was made of: 1 if nothing was merged into it */
  int flags;
  AsyncOpKind kind;
  bool under_way;     /* the writer is applying it: it must not change */
  bool of_checkpoint; /* what it writes to the database, the WAL has, too */
  unsigned char payload[];
};

typedef struct AsyncQueue {
  AsyncArena arena;
  AsyncOp *head;
  AsyncOp *tail;
  int64_t ops;
  int64_t bytes; /* of payload */
  int64_t peak_bytes;
} AsyncQueue;

/* Append an op with room for `length` bytes of payload; NULL if memory is out. */
AsyncOp *async_queue_push(AsyncQueue *queue, AsyncOpKind kind, struct AsyncFile *file,
                          uint32_t length);

/* Make sure that `ops` ops without payload can be pushed without fail. */
bool async_queue_reserve(AsyncQueue *queue, int ops);

/*
** The place for n bytes of payload at the end of the tail op, if a write to
** `offset` of the file continues it; or NULL.  They are not yet part of the
** op: async_queue_grow() makes them so.
*/
unsigned char *async_queue_continue(AsyncQueue *queue, const struct AsyncFile *file, int64_t offset,
                                    uint32_t n);
void async_queue_grow(AsyncQueue *queue, uint32_t n);

/* Take the head off.  Its memory is gone with this. */
void async_queue_pop(AsyncQueue *queue);

/* Take the tail off again, which was just pushed. */
void async_queue_unpush(AsyncQueue *queue, AsyncOp *before);

#endif /* ASYNC_QUEUE_H */
