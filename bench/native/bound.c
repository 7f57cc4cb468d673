/*
** Does the queue keep its bound, with a writer that is slow to a crawl?
**
** Small transactions until the queue was full, then one that alone is larger
** than the bound, once with each policy. A second thread looks all the time.
*/
#include "bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define BOUND_BYTES ((int64_t)16 << 20)
#define LARGE_ROWS 18000 /* of 1 KB */
#define DELAY_MS 1       /* after each op */
#define FULL_WAITS_MAX 20

static struct {
  atomic_bool stop;
  int64_t most; /* the rest: of the thread, until it was joined */
  int64_t looks;
} watch;

static void *watch_main(void *arg) {
  (void)arg;
  while (!watch.stop) {
    int64_t bytes = bench_status("queuedBytes");
    if (bytes > watch.most) watch.most = bytes;
    watch.looks++;
    usleep(20);
  }
  return NULL;
}

/* Commit until a transaction met a full queue: with one policy it waited, with
** the other, sooner or later, the next was refused. */
static int64_t fill(sqlite3 *db, sqlite3_stmt *insert, bool busy) {
  int64_t rows = 0;
  for (;;) {
    sqlite3_bind_int64(insert, 1, rows++);
    int rc = sqlite3_step(insert);
    sqlite3_reset(insert);
    if (rc == SQLITE_BUSY && busy) return rows;
    if (rc != SQLITE_DONE) bench_fail("%s", sqlite3_errmsg(db));
    if (!busy && bench_status("fullWaits") > 0) return rows;
    if (busy && bench_status("fullWaits") > FULL_WAITS_MAX)
      bench_fail("no transaction was refused");
  }
}

/* One that would start is refused until there is room; SQLite's busy handler sees to that. */
static void commit_large(sqlite3 *db) {
  char sql[256];
  sqlite3_busy_timeout(db, 60000);
  sqlite3_snprintf(sizeof sql, sql,
                   "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT %d)"
                   "INSERT INTO large SELECT randomblob(1000) FROM n",
                   LARGE_ROWS);
  bench_exec(db, sql);
}

void bench_bound(const Bench *bench) {
  bool busy = strcmp(bench->variant, "busy") == 0;
  int policy = busy ? SQLITEASYNC_FULL_BUSY : SQLITEASYNC_FULL_BLOCK;
  bench_initialize();
  bench_check(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER), "halt");
  bench_check(sqlite3async_set(SQLITEASYNC_MAX_QUEUE_BYTES, BOUND_BYTES), "the bound");
  bench_check(sqlite3async_set(SQLITEASYNC_ON_QUEUE_FULL, policy), "the policy");
  bench_check(sqlite3async_start(), "start");
  sqlite3 *db = bench_open(bench_path(bench, "bound.db"), SQLITEASYNC_VFSNAME);
  bench_exec(db, "PRAGMA synchronous = FULL; CREATE TABLE large(data);" BENCH_CREATE);
  sqlite3_stmt *insert = bench_prepare(db, BENCH_INSERT);
  bench_check(sqlite3async_flush(NULL, -1), "flush");
  bench_check(sqlite3async_set(SQLITEASYNC_DELAY, DELAY_MS), "delay");

  pthread_t thread;
  if (pthread_create(&thread, NULL, watch_main, NULL) != 0) bench_fail("no thread");
  int64_t rows = fill(db, insert, busy);
  commit_large(db);
  watch.stop = true;
  pthread_join(thread, NULL);

  bench_print_one("small transactions until full", 0, rows);
  bench_print_one("most bytes seen queued", 0, watch.most);
  bench_print_one("looks", 0, watch.looks);
  bench_print_one("peakQueuedBytes", 0, bench_status("peakQueuedBytes"));
  bench_print_one("full waits", 0, bench_status("fullWaits"));
  bench_check(sqlite3async_set(SQLITEASYNC_DELAY, 0), "delay");
  bench_check(sqlite3async_flush(NULL, -1), "flush");
  sqlite3_finalize(insert);
  bench_close(db);
}
