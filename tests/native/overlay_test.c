/*
** The overlay against a model: an array that says for each byte of a file
** which value the newest queued write gave it, and which op that was.
*/
#include "harness.h"
#include "overlay.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX (200 * 1024) /* some wide blocks */
#define OPS_MAX 64
#define OP_BYTES_MAX 9000

/* A queued write; its bytes must stay where they are until it is retired. */
typedef struct Op {
  AsyncSegment *segments;
  unsigned char *data;
  int64_t offset;
  size_t length;
  size_t room;
  int number;
} Op;

typedef struct Model {
  Random random;
  AsyncOverlay overlay;
  AsyncSegmentPool pool;
  Op ops[OPS_MAX]; /* a ring: op n is at n % OPS_MAX */
  int first;       /* oldest op queued */
  int next;        /* number of the next one; numbers start at 1 */
  int64_t size;
  unsigned char value[FILE_MAX];
  int owner[FILE_MAX]; /* the op whose byte it is, 0: none */
} Model;

static Model *model_new(uint64_t offset) {
  Model *model = calloc(1, sizeof *model);
  CHECK(model != NULL);
  model->random = random_new(offset);
  model->overlay.wide = offset % 2 == 1;
  model->first = model->next = 1;
  return model;
}

static bool op_is_queued(const Model *model) { return model->first < model->next; }

static void retire_one(Model *model) {
  Op *op = &model->ops[model->first % OPS_MAX];
  async_overlay_retire(&model->overlay, &model->pool, op->segments);
  for (size_t i = 0; i < op->length; i++) {
    int64_t at = op->offset + (int64_t)i;
    if (model->owner[at] == model->first) model->owner[at] = 0;
  }
  memset(op->data, 0xEE, op->room); /* the memory is gone now */
  free(op->data);
  *op = (Op){0};
  model->first++;
}

static void model_free(Model *model) {
  while (op_is_queued(model)) retire_one(model);
  CHECK_EQ(model->overlay.count, 0);
  CHECK_EQ(model->pool.live, 0);
  async_overlay_free(&model->overlay);
  async_segment_pool_trim(&model->pool);
  async_segment_pool_free(&model->pool);
  free(model);
}

static void put(Model *model, Op *op, int64_t offset, size_t n) {
  unsigned char *place = op->data + op->length;
  random_fill(&model->random, place, n);
  CHECK(async_overlay_write(&model->overlay, &model->pool, &op->segments, offset, place, n));
  memcpy(model->value + offset, place, n);
  for (size_t i = 0; i < n; i++) model->owner[offset + (int64_t)i] = op->number;
  op->length += n;
  if (offset + (int64_t)n > model->size) model->size = offset + (int64_t)n;
}

static void write_new(Model *model) {
  if (model->next - model->first == OPS_MAX) retire_one(model);
  Op *op = &model->ops[model->next % OPS_MAX];
  int most = random_one_in(&model->random, 4) ? OP_BYTES_MAX : 300;
  size_t n = 1 + (size_t)random_below(&model->random, most);
  *op = (Op){.number = model->next, .room = OP_BYTES_MAX * 2, .data = malloc(OP_BYTES_MAX * 2)};
  CHECK(op->data != NULL);
  model->next++;
  op->offset = random_below(&model->random, FILE_MAX - (int)n);
  if (random_one_in(&model->random, 3)) op->offset -= op->offset % 512;
  put(model, op, op->offset, n);
}

/* A write that continues the newest op, in the file and in memory. */
static void write_more(Model *model) {
  if (!op_is_queued(model)) return;
  Op *op = &model->ops[(model->next - 1) % OPS_MAX];
  size_t n = 1 + (size_t)random_below(&model->random, 700);
  int64_t offset = op->offset + (int64_t)op->length;
  if (op->length + n > op->room || offset + (int64_t)n > FILE_MAX) return;
  put(model, op, offset, n);
}

static void truncate_model(Model *model) {
  int64_t size = random_below(&model->random, FILE_MAX);
  if (size > model->size && random_one_in(&model->random, 2)) size = model->size;
  async_overlay_truncate(&model->overlay, size, model->size);
  for (int64_t at = size; at < FILE_MAX; at++) model->owner[at] = 0;
  model->size = size;
}

static void check_read(Model *model) {
  static unsigned char out[FILE_MAX];
  size_t n =
      1 + (size_t)random_below(&model->random, random_one_in(&model->random, 3) ? 9000 : 100);
  int64_t offset = random_below(&model->random, FILE_MAX - (int)n);
  memset(out, 0xAA, n);
  size_t covered = async_overlay_read(&model->overlay, offset, n, out);
  CHECK_EQ(async_overlay_read(&model->overlay, offset, n, NULL), covered);
  size_t wanted = 0;
  for (size_t i = 0; i < n; i++) {
    bool is_there = model->owner[offset + (int64_t)i] != 0;
    wanted += is_there;
    CHECK_EQ(out[i], is_there ? model->value[offset + (int64_t)i] : 0xAA);
  }
  CHECK_EQ(covered, wanted);
}

static void step(Model *model) {
  switch (random_below(&model->random, 10)) {
  case 0:
  case 1:
    write_new(model);
    break;
  case 2:
  case 3:
    write_more(model);
    break;
  case 4:
    if (random_one_in(&model->random, 8)) truncate_model(model);
    break;
  case 5:
  case 6:
    if (op_is_queued(model)) retire_one(model);
    break;
  default:
    check_read(model);
    break;
  }
}

static void any_history_reads_like_the_model(void) {
  for (int round = 0; round < 40; round++) {
    Model *model = model_new((uint64_t)round);
    for (int i = 0; i < 6000 * test_scale(); i++) step(model);
    model_free(model);
  }
}

static void a_write_inside_another_leaves_its_two_sides(void) {
  AsyncOverlay overlay = {0};
  AsyncSegmentPool pool = {0};
  AsyncSegment *big = NULL;
  AsyncSegment *small = NULL;
  unsigned char outer[100];
  unsigned char inner[10];
  unsigned char out[100];
  memset(outer, 'o', sizeof outer);
  memset(inner, 'i', sizeof inner);
  CHECK(async_overlay_write(&overlay, &pool, &big, 4000, outer, sizeof outer));
  CHECK(async_overlay_write(&overlay, &pool, &small, 4040, inner, sizeof inner));
  CHECK_EQ(async_overlay_read(&overlay, 4000, 100, out), 100);
  CHECK(memcmp(out, outer, 40) == 0 && memcmp(out + 40, inner, 10) == 0);
  CHECK(memcmp(out + 50, outer, 50) == 0);

  /* Retired in order, the sides go and the inside stays. */
  async_overlay_retire(&overlay, &pool, big);
  CHECK_EQ(async_overlay_read(&overlay, 4000, 100, NULL), 10);
  async_overlay_retire(&overlay, &pool, small);
  CHECK_EQ(overlay.count, 0);
  CHECK_EQ(pool.live, 0);
  async_overlay_free(&overlay);
  async_segment_pool_free(&pool);
}

static void small_writes_that_continue_share_a_segment(void) {
  AsyncOverlay overlay = {0};
  AsyncSegmentPool pool = {0};
  AsyncSegment *segments = NULL;
  static unsigned char data[4096];
  for (int64_t at = 0; at < 4096; at += 8) {
    CHECK(async_overlay_write(&overlay, &pool, &segments, at, data + at, 8));
  }
  CHECK_EQ(overlay.count, 1);
  async_overlay_retire(&overlay, &pool, segments);
  async_overlay_free(&overlay);
  async_segment_pool_free(&pool);
}

/* The table grows with the blocks, so a lookup stays short; and offsets past 4 GiB work. */
static void a_large_sparse_file_keeps_short_buckets(void) {
  AsyncOverlay overlay = {0};
  AsyncSegmentPool pool = {0};
  AsyncSegment *segments = NULL;
  static unsigned char byte[1] = {7};
  const int count = 20000;
  for (int i = 0; i < count; i++) {
    int64_t offset = (int64_t)i * 1000003;
    CHECK(async_overlay_write(&overlay, &pool, &segments, offset, byte, 1));
  }
  CHECK(overlay.bucket_count >= (size_t)count / 2);
  size_t longest = 0;
  for (size_t i = 0; i < overlay.bucket_count; i++) {
    size_t length = 0;
    for (AsyncSegment *s = overlay.buckets[i]; s != NULL; s = s->bucket_next) length++;
    if (length > longest) longest = length;
  }
  CHECK(longest <= 16);
  unsigned char out = 0;
  CHECK_EQ(async_overlay_read(&overlay, (int64_t)(count - 1) * 1000003, 1, &out), 1);
  CHECK_EQ(out, 7);
  async_overlay_truncate(&overlay, 5, (int64_t)count * 1000003);
  CHECK_EQ(overlay.count, 1);
  async_overlay_retire(&overlay, &pool, segments);
  CHECK_EQ(pool.live, 0);
  async_overlay_free(&overlay);
  async_segment_pool_free(&pool);
}

int main(void) {
  return run_tests((TestCase[]){TEST(any_history_reads_like_the_model),
                                TEST(a_write_inside_another_leaves_its_two_sides),
                                TEST(small_writes_that_continue_share_a_segment),
                                TEST(a_large_sparse_file_keeps_short_buckets),
                                {0}});
}
