/*
** The queue and its arena: which writes become one op, and that memory goes
** back.
*/
#include "harness.h"
#include "queue.h"

#include <stdlib.h>
#include <string.h>

/* The queue only compares and keeps these. */
static char places[2];
#define FILE_A ((struct AsyncFile *)(void *)&places[0])
#define FILE_B ((struct AsyncFile *)(void *)&places[1])

static void start(void) { async_arena_init_spares(); }

static AsyncOp *push_write(AsyncQueue *queue, struct AsyncFile *file, int64_t offset, uint32_t n) {
  AsyncOp *op = async_queue_push(queue, ASYNC_OP_WRITE, file, n);
  CHECK(op != NULL);
  op->offset = offset;
  memset(op->payload, 'x', n);
  return op;
}

static void finish(AsyncQueue *queue) {
  while (queue->head != NULL) async_queue_pop(queue);
  CHECK_EQ(queue->ops, 0);
  CHECK_EQ(queue->bytes, 0);
}

static void a_write_that_continues_the_last_joins_it(void) {
  start();
  AsyncQueue queue = {0};
  AsyncOp *op = push_write(&queue, FILE_A, 1000, 24);
  unsigned char *place = async_queue_continue(&queue, FILE_A, 1024, 100);
  CHECK(place == op->payload + 24);
  memset(place, 'y', 100);
  CHECK_EQ(op->length, 24); /* not yet */
  async_queue_grow(&queue, 100);
  CHECK_EQ(op->length, 124);
  CHECK_EQ(queue.bytes, 124);
  CHECK_EQ(queue.ops, 1);
  finish(&queue);
}

static void nothing_joins_across_a_gap_a_file_or_another_op(void) {
  start();
  AsyncQueue queue = {0};
  push_write(&queue, FILE_A, 0, 100);
  CHECK(async_queue_continue(&queue, FILE_A, 101, 10) == NULL);
  CHECK(async_queue_continue(&queue, FILE_A, 99, 10) == NULL);
  CHECK(async_queue_continue(&queue, FILE_B, 100, 10) == NULL);
  CHECK(async_queue_push(&queue, ASYNC_OP_SYNC, FILE_A, 0) != NULL);
  CHECK(async_queue_continue(&queue, FILE_A, 100, 10) == NULL);
  finish(&queue);
}

static void nothing_joins_an_op_under_way(void) {
  start();
  AsyncQueue queue = {0};
  AsyncOp *op = push_write(&queue, FILE_A, 0, 100);
  op->under_way = true;
  CHECK(async_queue_continue(&queue, FILE_A, 100, 10) == NULL);
  op->under_way = false;
  CHECK(async_queue_continue(&queue, FILE_A, 100, 10) != NULL);
  finish(&queue);
}

static void an_op_ends_at_65536_bytes(void) {
  start();
  AsyncQueue queue = {0};
  AsyncOp *op = push_write(&queue, FILE_A, 0, 4096);
  int64_t offset = 4096;
  while (async_queue_continue(&queue, FILE_A, offset, 4096) != NULL) {
    async_queue_grow(&queue, 4096);
    offset += 4096;
  }
  CHECK_EQ(op->length, ASYNC_WRITE_MAX);
  CHECK(async_queue_continue(&queue, FILE_A, offset, 1) == NULL);
  push_write(&queue, FILE_A, offset, ASYNC_WRITE_MAX);
  CHECK_EQ(queue.ops, 2);
  finish(&queue);
}

static void an_op_taken_back_leaves_the_queue_as_it_was(void) {
  start();
  AsyncQueue queue = {0};
  AsyncOp *first = push_write(&queue, FILE_A, 0, 50);
  push_write(&queue, FILE_B, 0, 70);
  async_queue_unpush(&queue, first);
  CHECK(queue.head == first && queue.tail == first && first->next == NULL);
  CHECK_EQ(queue.ops, 1);
  CHECK_EQ(queue.bytes, 50);
  /* What lies behind the first op in memory is not the op's any more. */
  CHECK(async_queue_continue(&queue, FILE_A, 50, 10) == NULL);
  async_queue_pop(&queue);
  push_write(&queue, FILE_A, 0, 10);
  async_queue_unpush(&queue, NULL);
  CHECK(queue.head == NULL && queue.tail == NULL);
  finish(&queue);
}

static void the_peak_stays_when_the_queue_runs_dry(void) {
  start();
  AsyncQueue queue = {0};
  push_write(&queue, FILE_A, 0, 1000);
  push_write(&queue, FILE_B, 0, 500);
  async_queue_pop(&queue);
  push_write(&queue, FILE_B, 900, 300);
  CHECK_EQ(queue.bytes, 800);
  CHECK_EQ(queue.peak_bytes, 1500);
  finish(&queue);
}

typedef struct Expected {
  unsigned char *bytes;
  uint32_t length;
} Expected;

/* Ops come out in order, with the bytes that were put in, whatever the chunks do. */
static void any_history_comes_out_in_order(void) {
  start();
  enum { OPS = 400 };
  static Expected expected[OPS];
  Random random = random_new(0);
  AsyncQueue queue = {0};
  int first = 0;
  int next = 0;
  for (int i = 0; i < 60000 * test_scale(); i++) {
    bool take = next - first == OPS || (next > first && random_one_in(&random, 2));
    if (take) {
      Expected *wanted = &expected[first++ % OPS];
      CHECK_EQ(queue.head->length, wanted->length);
      CHECK(memcmp(queue.head->payload, wanted->bytes, wanted->length) == 0);
      free(wanted->bytes);
      async_queue_pop(&queue);
      continue;
    }
    uint32_t most = random_one_in(&random, 20) ? ASYNC_WRITE_MAX : 5000;
    uint32_t n = 1 + (uint32_t)random_below(&random, (int)most);
    Expected *wanted = &expected[next++ % OPS];
    *wanted = (Expected){.bytes = malloc(n), .length = n};
    CHECK(wanted->bytes != NULL);
    random_fill(&random, wanted->bytes, n);
    AsyncOp *op = push_write(&queue, FILE_A, 0, n);
    CHECK_EQ((uintptr_t)op % 16, 0);
    memcpy(op->payload, wanted->bytes, n);
  }
  for (; first < next; first++) free(expected[first % OPS].bytes);
  finish(&queue);
}

static void an_arena_fills_one_chunk_again_when_all_of_it_is_back(void) {
  start();
  AsyncArena arena = {0};
  void *first = async_arena_take(&arena, 1000);
  AsyncChunk *chunk = async_arena_chunk(&arena);
  async_arena_give(&arena, chunk);
  CHECK(async_arena_take(&arena, 1000) == first);
  async_arena_give(&arena, chunk);
}

static void an_arena_extends_only_its_last_piece(void) {
  start();
  AsyncArena arena = {0};
  char *first = async_arena_take(&arena, 100);
  CHECK(async_arena_extend(&arena, first + 100, 50) == first + 100);
  char *second = async_arena_take(&arena, 64);
  CHECK(async_arena_extend(&arena, first + 150, 10) == NULL);
  CHECK(async_arena_extend(&arena, second + 64, 10) == second + 64);
  CHECK(async_arena_extend(&arena, second + 74, 1000000) == NULL);
  async_arena_give(&arena, async_arena_chunk(&arena));
  async_arena_give(&arena, async_arena_chunk(&arena));
}

int main(void) {
  return run_tests((TestCase[]){TEST(a_write_that_continues_the_last_joins_it),
                                TEST(nothing_joins_across_a_gap_a_file_or_another_op),
                                TEST(nothing_joins_an_op_under_way),
                                TEST(an_op_ends_at_65536_bytes),
                                TEST(an_op_taken_back_leaves_the_queue_as_it_was),
                                TEST(the_peak_stays_when_the_queue_runs_dry),
                                TEST(any_history_comes_out_in_order),
                                TEST(an_arena_fills_one_chunk_again_when_all_of_it_is_back),
                                TEST(an_arena_extends_only_its_last_piece),
                                {0}});
}
