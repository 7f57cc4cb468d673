/*
** Does queueing a write cost the same whatever the queue's length?
**
** "fresh": the queue grows from nothing to 100,000 page writes and takes new
** memory from the system all the way; the first writes against the last.
**
** "steady": the queue has a depth and keeps it, as with a writer that is as
** fast as its callers: some writes are queued, as many applied.
**
** The writes are xWrite of 4096 bytes at random, so that nothing merges; or,
** for comparison, of one page after the other.  The parent discards them.
*/
#include "bench.h"
#include "parent.h"

/* The core is linked in: its inside gives the writer's step. */
#include "apply.h"
#include "registry.h"

#include <string.h>

#define QUEUED_OPS 100000
#define SAMPLES 2000

static unsigned char page[BENCH_PAGE_SIZE];
static int64_t samples[SAMPLES];

static void write_page(sqlite3_file *file, int64_t number) {
  int rc = file->pMethods->xWrite(file, page, BENCH_PAGE_SIZE, number * BENCH_PAGE_SIZE);
  bench_check(rc, "xWrite");
}

static void time_writes(sqlite3_file *file, const int64_t *numbers, size_t count, int64_t *ns) {
  for (size_t i = 0; i < count; i++) {
    int64_t start_ns = bench_now_ns();
    write_page(file, numbers[i]);
    ns[i] = bench_now_ns() - start_ns;
  }
}

/* One growth of the queue; the process is new, so that all memory is. */
static void bench_fresh(sqlite3_file *file, const int64_t *numbers) {
  time_writes(file, numbers, SAMPLES, samples);
  bench_print("new memory, depth 0", 0, samples, SAMPLES);
  for (size_t i = SAMPLES; i < QUEUED_OPS; i++) write_page(file, numbers[i]);
  if (bench_status("queuedOps") < QUEUED_OPS) bench_fail("the queue has merged writes");
  time_writes(file, numbers + QUEUED_OPS, SAMPLES, samples);
  bench_print("new memory, depth 100,000", 0, samples, SAMPLES);
  bench_drain();
}

/* Queue and apply by turns, so that the queue keeps its depth. */
#define BATCH 100

static void time_steady(sqlite3 *db, const int64_t *numbers, const char *series, int round) {
  sqlite3_file *file = bench_file(db);
  AsyncStream *stream = async_registry_find(sqlite3_db_filename(db, "main"));
  for (size_t i = 0; i < SAMPLES; i += BATCH) {
    int64_t due_us;
    time_writes(file, numbers + i, BATCH, samples + i);
    (void)async_stream_run(stream, BATCH, true, &due_us);
  }
  async_registry_unref(stream);
  if (round >= 0) bench_print(series, round, samples, SAMPLES);
}

static void bench_steady(const Bench *bench, sqlite3 *shallow, const int64_t *numbers) {
  char *path = bench_path(bench, "deep.db");
  bench_make_sparse(path, 1);
  sqlite3 *deep = bench_open(path, SQLITEASYNC_VFSNAME);
  for (size_t i = 0; i < QUEUED_OPS; i++) write_page(bench_file(deep), numbers[i]);
  numbers += QUEUED_OPS;

  int64_t in_order[SAMPLES];
  for (int64_t number = 0; number < SAMPLES; number++) in_order[number] = number;
  int rounds = bench->quick ? 5 : 15;
  for (int round = -1; round < rounds; round++) {
    time_steady(shallow, numbers, "used memory, depth 0", round);
    time_steady(deep, numbers, "used memory, depth 100,000", round);
    time_steady(shallow, in_order, "used memory, depth 0, in order", round);
    numbers += SAMPLES;
  }
  if (bench_status("queuedOps") != QUEUED_OPS) bench_fail("the queue did not keep its depth");
  bench_drain();
  bench_close(deep);
}

void bench_enqueue(const Bench *bench) {
  bench_initialize();
  parent_set_mode(PARENT_DISCARD);
  char *path = bench_path(bench, "enqueue.db");
  bench_make_sparse(path, 1);
  sqlite3 *db = bench_open(path, SQLITEASYNC_VFSNAME);
  /* Even pages alone have no neighbours. */
  int64_t *numbers = bench_shuffled(0, 2, 2 * QUEUED_OPS, 1);
  if (strcmp(bench->variant, "fresh") == 0) {
    bench_fresh(bench_file(db), numbers);
  } else {
    bench_steady(bench, db, numbers);
  }
  bench_close(db);
}
