/*
** How much memory a queued byte takes.
**
** "pages": page writes that do not merge. "commits": real commits, with their
** journals.  Each is one growth in a new process, for memory that was used
** before and kept would not show.
*/
#include "bench.h"
#include "parent.h"

#include <string.h>

#define PAYLOAD_BYTES ((int64_t)64 << 20)
#define WARM_UP_ROWS 200

static void queue_pages(sqlite3 *db) {
  static unsigned char page[BENCH_PAGE_SIZE];
  sqlite3_file *file = bench_file(db);
  size_t count = (size_t)(PAYLOAD_BYTES / BENCH_PAGE_SIZE);
  for (size_t i = 0; i < count; i++) {
    int64_t number = 2 * (int64_t)i + 2; /* every other one: they have no neighbours */
    int rc = file->pMethods->xWrite(file, page, BENCH_PAGE_SIZE, number * BENCH_PAGE_SIZE);
    bench_check(rc, "xWrite");
  }
}

void bench_memory(const Bench *bench) {
  bench_initialize();
  sqlite3 *db = bench_open(bench_path(bench, "memory.db"), SQLITEASYNC_VFSNAME);
  bench_exec(db, "PRAGMA synchronous = FULL;" BENCH_CREATE);
  sqlite3_stmt *insert = bench_prepare(db, BENCH_INSERT);
  int64_t rows = 0;
  while (rows < WARM_UP_ROWS) bench_step(insert, rows++);
  bench_drain();

  int64_t before = bench_resident();
  if (strcmp(bench->variant, "pages") == 0) {
    queue_pages(db);
  } else {
    while (bench_status("queuedBytes") < PAYLOAD_BYTES) bench_step(insert, rows++);
  }
  int64_t growth = bench_resident() - before;
  bench_print_one("queued bytes", 0, bench_status("queuedBytes"));
  bench_print_one("queued ops", 0, bench_status("queuedOps"));
  bench_print_one("resident growth", 0, growth);

  parent_set_mode(PARENT_DISCARD);
  bench_drain();
  sqlite3_finalize(insert);
  /* What SQLite would do at the end needs the file as it wrote it; so leave it open. */
}
