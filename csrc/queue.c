/*
** The queue of a stream.  See queue.h.
*/
#include "queue.h"

#include <assert.h>

_Static_assert(offsetof(AsyncOp, payload) + ASYNC_WRITE_MAX <= ASYNC_ARENA_PIECE_MAX,
               "an op must fit");

AsyncOp *async_queue_push(AsyncQueue *queue, AsyncOpKind kind, struct AsyncFile *file,
                          uint32_t length) {
  assert(length <= ASYNC_WRITE_MAX);
  AsyncOp *op = async_arena_take(&queue->arena, offsetof(AsyncOp, payload) + length);
  if (op == NULL) return NULL;
  *op = (AsyncOp){.kind = kind,
                  .file = file,
                  .length = length,
                  .writes = 1,
                  .chunk = async_arena_chunk(&queue->arena)};
  if (queue->tail == NULL) {
    queue->head = op;
  } else {
    queue->tail->next = op;
  }
  queue->tail = op;
  queue->ops++;
  queue->bytes += length;
  if (queue->bytes > queue->peak_bytes) queue->peak_bytes = queue->bytes;
  return op;
}

bool async_queue_reserve(AsyncQueue *queue, int ops) {
  size_t aligned = (offsetof(AsyncOp, payload) + 15) & ~(size_t)15;
  return async_arena_reserve(&queue->arena, (size_t)ops * aligned);
}

unsigned char *async_queue_continue(AsyncQueue *queue, const struct AsyncFile *file, int64_t offset,
                                    uint32_t n) {
  AsyncOp *tail = queue->tail;
  if (tail == NULL || tail->kind != ASYNC_OP_WRITE || tail->file != file || tail->under_way) {
    return NULL;
  }
  if (tail->offset + tail->length != offset || tail->length + n > ASYNC_WRITE_MAX) return NULL;
  return async_arena_extend(&queue->arena, tail->payload + tail->length, n);
}

void async_queue_grow(AsyncQueue *queue, uint32_t n) {
  queue->tail->length += n;
  queue->tail->writes++;
  queue->bytes += n;
  if (queue->bytes > queue->peak_bytes) queue->peak_bytes = queue->bytes;
}

void async_queue_pop(AsyncQueue *queue) {
  AsyncOp *op = queue->head;
  queue->head = op->next;
  if (queue->head == NULL) queue->tail = NULL;
  queue->ops--;
  queue->bytes -= op->length;
  async_arena_give(&queue->arena, op->chunk);
}

void async_queue_unpush(AsyncQueue *queue, AsyncOp *before) {
  AsyncOp *op = queue->tail;
  queue->tail = before;
  if (before == NULL) {
    queue->head = NULL;
  } else {
    before->next = NULL;
  }
  queue->ops--;
  queue->bytes -= op->length;
  async_arena_give(&queue->arena, op->chunk);
}
