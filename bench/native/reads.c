/*
** Does a read cost the same whatever the queue's length?
**
** "pages": xRead of 4096 bytes at random from two files that are alike but
** for the queue: nothing is queued for the one, 100,000 page writes for the
** other, none of which the queue could merge.  Pages that the queue covers
** and pages that it doesn't are measured apart.  A third file has the same
** number of pages queued in order, so that they were merged.  All that is
** read from disk is in the system's cache; the files are sparse, for it is
** nothing to this what the pages hold.
**
** "rows": SELECT of random rows from two copies of a database some twelve
** times as large as SQLite's cache.
*/
#include "bench.h"
#include "parent.h"

#include <string.h>

#define QUEUED_OPS 100000
#define STRIDE 10 /* one page in so many is left out of the queue */
#define FILE_PAGES (QUEUED_OPS * STRIDE / (STRIDE - 1) + STRIDE)
#define SAMPLES 2000

static unsigned char page[BENCH_PAGE_SIZE];

static void write_page(sqlite3_file *file, int64_t number) {
  memset(page, (int)number, sizeof page);
  int rc = file->pMethods->xWrite(file, page, BENCH_PAGE_SIZE, number * BENCH_PAGE_SIZE);
  bench_check(rc, "xWrite");
}

static void read_page(sqlite3_file *file, int64_t number) {
  int rc = file->pMethods->xRead(file, page, BENCH_PAGE_SIZE, number * BENCH_PAGE_SIZE);
  bench_check(rc, "xRead");
}

static void time_reads(sqlite3_file *file, const int64_t *numbers, size_t count, const char *series,
                       int round) {
  static int64_t samples[SAMPLES];
  uint64_t chance = (uint64_t)round;
  for (size_t i = 0; i < SAMPLES; i++) {
    int64_t number = numbers[bench_random(&chance, (uint32_t)count)];
    int64_t start_ns = bench_now_ns();
    read_page(file, number);
    samples[i] = bench_now_ns() - start_ns;
  }
  if (round >= 0) bench_print(series, round, samples, SAMPLES);
}

static void bench_pages(const Bench *bench) {
  static const char *const names[3] = {"empty.db", "queued.db", "merged.db"};
  sqlite3 *db[3];
  sqlite3_file *file[3];
  for (int i = 0; i < 3; i++) {
    char *path = bench_path(bench, names[i]);
    bench_make_sparse(path, FILE_PAGES);
    db[i] = bench_open(path, SQLITEASYNC_VFSNAME);
    file[i] = bench_file(db[i]);
    for (int64_t number = 0; number < FILE_PAGES; number++) read_page(file[i], number);
  }
  /* Of each ten pages the first is left alone. */
  int64_t *shuffled = bench_shuffled(0, 1, FILE_PAGES, 1);
  int64_t *covered = bench_alloc(FILE_PAGES * sizeof *covered);
  int64_t *uncovered = bench_alloc(FILE_PAGES * sizeof *uncovered);
  size_t covered_count = 0;
  size_t uncovered_count = 0;
  for (size_t i = 0; i < FILE_PAGES; i++) {
    if (shuffled[i] % STRIDE == 0) {
      uncovered[uncovered_count++] = shuffled[i];
    } else if (covered_count < QUEUED_OPS) {
      covered[covered_count++] = shuffled[i];
    }
  }
  for (size_t i = 0; i < QUEUED_OPS; i++) write_page(file[1], covered[i]);
  bench_print_one("queued ops", 0, bench_status("queuedOps"));
  for (int64_t number = 0; number < QUEUED_OPS; number++) write_page(file[2], number);
  int64_t merged = bench_status("queuedOps");
  bench_print_one("queued ops, merged", 0, merged - QUEUED_OPS);

  int rounds = bench->quick ? 5 : 15;
  for (int round = -1; round < rounds; round++) {
    time_reads(file[0], covered, QUEUED_OPS, "page of the disk, nothing queued", round);
    time_reads(file[1], covered, QUEUED_OPS, "page of the queue", round);
    time_reads(file[1], uncovered, uncovered_count, "page of the disk, others queued", round);
    time_reads(file[2], covered, QUEUED_OPS, "page of the queue, merged", round);
  }
  parent_set_mode(PARENT_DISCARD);
  bench_drain();
  for (int i = 0; i < 3; i++) bench_close(db[i]);
}

/* ---- Through SQLite ---- */

#define ROWS 90000

static void make_rows(const char *path) {
  sqlite3 *db = bench_open(path, NULL);
  bench_exec(db, "PRAGMA synchronous = OFF; CREATE TABLE t(id INTEGER PRIMARY KEY, data);"
                 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 90000)"
                 "INSERT INTO t SELECT i, randomblob(1100) FROM n");
  bench_close(db);
}

/* Queue what the file has already: every other page, so that nothing merges. */
static void queue_pages(sqlite3_file *file) {
  sqlite3_int64 size = 0;
  bench_check(file->pMethods->xFileSize(file, &size), "xFileSize");
  int64_t pages = size / BENCH_PAGE_SIZE;
  int64_t number = 0;
  for (int i = 0; i < QUEUED_OPS; i++) {
    read_page(file, number);
    int rc = file->pMethods->xWrite(file, page, BENCH_PAGE_SIZE, number * BENCH_PAGE_SIZE);
    bench_check(rc, "xWrite");
    number = number + 2 < pages ? number + 2 : 0;
  }
}

static void time_selects(sqlite3 *db, sqlite3_stmt *select, const char *series, int round) {
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
  if (round >= 0) bench_print(series, round, samples, SAMPLES);
}

static void bench_rows(const Bench *bench) {
  static const char *const names[2] = {"empty.db", "queued.db"};
  char *source = bench_path(bench, "source.db");
  make_rows(source);
  sqlite3 *db[2];
  sqlite3_stmt *select[2];
  for (int i = 0; i < 2; i++) {
    char *path = bench_path(bench, names[i]);
    bench_copy(source, path);
    db[i] = bench_open(path, SQLITEASYNC_VFSNAME);
    select[i] = bench_prepare(db[i], "SELECT length(data), data FROM t WHERE id = ?1");
  }
  queue_pages(bench_file(db[1]));
  bench_print_one("queued ops", 0, bench_status("queuedOps"));
  int rounds = bench->quick ? 5 : 15;
  for (int round = -1; round < rounds; round++) {
    time_selects(db[0], select[0], "row, nothing queued", round);
    time_selects(db[1], select[1], "row, half its pages queued", round);
  }
  parent_set_mode(PARENT_DISCARD);
  bench_drain();
  for (int i = 0; i < 2; i++) {
    sqlite3_finalize(select[i]);
    bench_close(db[i]);
  }
}

void bench_reads(const Bench *bench) {
  bench_initialize();
  if (strcmp(bench->variant, "pages") == 0) {
    bench_pages(bench);
  } else {
    bench_rows(bench);
  }
}
