/*
** What a read takes, by the length of the queue; the commits are in depth.c.
**
** "pages": xRead of pages at random.  A file has as many page writes queued as
** the depth says, none of which the queue could merge; pages that the queue
** covers and pages that it doesn't are measured apart.  Each page lies in a
** block of its own, 4096 bytes from the next, as SQLite's usual pages would.
** A last file has pages queued in order, so that they were merged.  All that is
** read from disk is in the system's cache; the files are sparse, for it is
** nothing to this what the pages hold.
**
** "rows": SELECT of random rows from copies of a database some twelve times
** as large as SQLite's cache.  Half of its pages, or as many as the depth
** says, are queued, and from then on queued again.
*/
#include "depth.h"

#include "parent.h"

#include <string.h>

#define STRIDE_BYTES 4096
#define DISK_PAGES 10000 /* of each file, that are not queued */
#define MERGED_PAGES 100000
#define SAMPLES 2000

static unsigned char page[DEPTH_PAGE_SIZE];

static void write_at(sqlite3_file *file, int64_t offset) {
  int rc = file->pMethods->xWrite(file, page, DEPTH_PAGE_SIZE, offset);
  bench_check(rc, "xWrite");
}

static void read_at(sqlite3_file *file, int64_t offset) {
  bench_check(file->pMethods->xRead(file, page, DEPTH_PAGE_SIZE, offset), "xRead");
}

/* What the page at an offset holds, if it was queued: never what the disk has. */
static int value_at(int64_t offset) { return 1 + (int)(offset / DEPTH_PAGE_SIZE % 255); }

/* A file with pages in the queue, and others that are not. */
typedef struct Paged {
  sqlite3 *db;
  sqlite3_file *file;
  int64_t queued;         /* pages */
  const int64_t *covered; /* their offsets, in an order of chance */
} Paged;

static Paged paged_open(const Bench *bench, const char *name, int64_t pages) {
  char *path = bench_path(bench, name);
  bench_make_sparse(path, pages);
  Paged paged = {.db = bench_open(path, SQLITEASYNC_VFSNAME)};
  paged.file = bench_file(paged.db);
  return paged;
}

static void queue_at(Paged *paged, const int64_t *offsets, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    memset(page, value_at(offsets[i]), sizeof page);
    write_at(paged->file, offsets[i]);
  }
  paged->queued = count;
  paged->covered = offsets;
}

/* Read some of the pages at these offsets. */
static void time_reads(const Paged *paged, const int64_t *offsets, int64_t count, int round,
                       int64_t *samples) {
  uint64_t chance = (uint64_t)round;
  bool queued = offsets == paged->covered;
  for (size_t i = 0; i < SAMPLES; i++) {
    int64_t offset = offsets[bench_random(&chance, (uint32_t)count)];
    int64_t start_ns = bench_now_ns();
    read_at(paged->file, offset);
    samples[i] = bench_now_ns() - start_ns;
    int wanted = queued ? value_at(offset) : 0;
    if (page[0] != wanted || page[sizeof page - 1] != wanted) bench_fail("a read is wrong");
  }
}

static void time_pages(const Paged *paged, const int64_t *uncovered, const Depth *at, int round) {
  static int64_t samples[SAMPLES];
  time_reads(paged, uncovered, DISK_PAGES, round, samples);
  if (round >= 0) bench_print_at("page of the disk", at, round, samples, SAMPLES);
  if (paged->queued == 0) return;
  time_reads(paged, paged->covered, paged->queued, round, samples);
  if (round >= 0) bench_print_at("page of the queue", at, round, samples, SAMPLES);
}

void bench_depth_pages(const Bench *bench) {
  /* The same layout for all, since what lies far apart takes the system longer, too. */
  int64_t deepest = bench_depths[DEPTH_COUNT - 1].depth;
  int64_t *covered = bench_shuffled(0, STRIDE_BYTES, (size_t)(deepest + DISK_PAGES), 1);
  const int64_t *uncovered = covered + deepest;
  Paged paged[DEPTH_COUNT];
  for (int i = 0; i < DEPTH_COUNT; i++) {
    char name[32];
    sqlite3_snprintf(sizeof name, name, "pages-%d.db", i);
    paged[i] = paged_open(bench, name, deepest + DISK_PAGES);
    for (int64_t j = 0; j < DISK_PAGES; j++) read_at(paged[i].file, uncovered[j]);
    int64_t before = bench_status("queuedOps");
    queue_at(&paged[i], covered, bench_depths[i].depth);
    int64_t ops = bench_status("queuedOps") - before;
    bench_print_queued(&bench_depths[i], 0, ops, ops * DEPTH_PAGE_SIZE);
    if (ops != bench_depths[i].depth) bench_fail("the queue has merged writes");
  }
  Paged merged = paged_open(bench, "merged.db", MERGED_PAGES * DEPTH_PAGE_SIZE / STRIDE_BYTES);
  int64_t *in_order = bench_alloc(MERGED_PAGES * sizeof *in_order);
  for (int64_t i = 0; i < MERGED_PAGES; i++) in_order[i] = i * DEPTH_PAGE_SIZE;
  queue_at(&merged, in_order, MERGED_PAGES);

  static int64_t samples[SAMPLES];
  for (int round = -1; round < (bench->quick ? 5 : 15); round++) {
    for (int i = 0; i < DEPTH_COUNT; i++) {
      time_pages(&paged[i], uncovered, &bench_depths[i], round);
    }
    time_reads(&merged, in_order, MERGED_PAGES, round, samples);
    if (round >= 0) bench_print("page of the queue, merged", round, samples, SAMPLES);
  }
  parent_set_mode(PARENT_DISCARD);
  bench_drain();
  for (int i = 0; i < DEPTH_COUNT; i++) bench_close(paged[i].db);
  bench_close(merged.db);
}

/* ---- Through SQLite ---- */

#define ROWS 50000

static void make_rows(const char *path) {
  sqlite3 *db = bench_open(path, NULL);
  bench_exec(db, "PRAGMA page_size = 512; PRAGMA synchronous = OFF;"
                 "CREATE TABLE t(id INTEGER PRIMARY KEY, data);"
                 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50000)"
                 "INSERT INTO t SELECT i, randomblob(400) FROM n");
  bench_close(db);
}

/* Queue what the file has already: every other page, so that nothing merges. */
static void queue_pages(sqlite3_file *file, int64_t ops) {
  sqlite3_int64 size = 0;
  bench_check(file->pMethods->xFileSize(file, &size), "xFileSize");
  int64_t offset = 0;
  while (ops-- > 0) {
    read_at(file, offset);
    write_at(file, offset);
    offset += 2 * DEPTH_PAGE_SIZE;
    if (offset >= size) offset = 0;
  }
}

static void time_selects(sqlite3 *db, sqlite3_stmt *select, const Depth *at, int round) {
  static int64_t samples[SAMPLES];
  uint64_t chance = (uint64_t)round;
  bench_exec(db, "BEGIN");
  for (size_t i = 0; i < SAMPLES; i++) {
    int64_t id = 1 + bench_random(&chance, ROWS);
    int64_t start_ns = bench_now_ns();
    bench_step(select, id);
    samples[i] = bench_now_ns() - start_ns;
  }
  bench_exec(db, "COMMIT");
  if (round >= 0) bench_print_at("row", at, round, samples, SAMPLES);
}

void bench_depth_rows(const Bench *bench) {
  char *source = bench_path(bench, "source.db");
  make_rows(source);
  sqlite3 *db[DEPTH_COUNT];
  sqlite3_stmt *select[DEPTH_COUNT];
  int64_t before = 0;
  for (int i = 0; i < DEPTH_COUNT; i++) {
    char name[32];
    sqlite3_snprintf(sizeof name, name, "rows-%d.db", i);
    char *path = bench_path(bench, name);
    bench_copy(source, path);
    db[i] = bench_open(path, SQLITEASYNC_VFSNAME);
    select[i] = bench_prepare(db[i], "SELECT length(data), data FROM t WHERE id = ?1");
    queue_pages(bench_file(db[i]), bench_depths[i].depth);
    int64_t ops = bench_status("queuedOps") - before;
    before += ops;
    bench_print_queued(&bench_depths[i], 0, ops, ops * DEPTH_PAGE_SIZE);
    if (ops < bench_depths[i].depth) bench_fail("the queue has merged writes");
  }
  int rounds = bench->quick ? 5 : 15;
  for (int round = -1; round < rounds; round++) {
    for (int i = 0; i < DEPTH_COUNT; i++) time_selects(db[i], select[i], &bench_depths[i], round);
  }
  parent_set_mode(PARENT_DISCARD);
  bench_drain();
  for (int i = 0; i < DEPTH_COUNT; i++) {
    sqlite3_finalize(select[i]);
    bench_close(db[i]);
  }
}
