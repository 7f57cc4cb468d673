/*
** One-row commits from C, to be counted: instructions under callgrind, system
** calls under strace.
**
** The variant is "WAY,TABLE,ROWS".  WAY is "memory", "plain" or "async", the
** latter two in WAL mode with synchronous=NORMAL, and "async" with the writer
** and the checkpointer running; TABLE is "table", which makes a commit of one
** frame, or "index", which makes two.  All the rows are committed within
** bench_commit_rows(), after a warm-up outside of it:
**
**     valgrind --tool=callgrind --collect-atstart=no \
**       --toggle-collect=bench_commit_rows native-bench commit async,table,50000 FOLDER
**
** counts the committing thread and nothing else.
*/
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ROWS_WARM_UP 2000
#define ROWS_MAX 100000000

typedef struct Variant {
  char way[8];
  char table[8];
  int64_t rows;
} Variant;

/* Not static, and not to be inlined: it is by its name that callgrind knows when to count. */
void bench_commit_rows(sqlite3_stmt *insert, int64_t first, int64_t count);

__attribute__((noinline)) void bench_commit_rows(sqlite3_stmt *insert, int64_t first,
                                                 int64_t count) {
  for (int64_t row = first; row < first + count; row++) bench_step(insert, row);
}

/* What this thread has used of the processor. */
static int64_t cpu_ns(void) {
  struct timespec used;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) != 0) bench_fail("no clock for the thread");
  return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

static Variant parse(const char *text) {
  Variant variant;
  if (sscanf(text, "%7[a-z],%7[a-z],%" SCNd64, variant.way, variant.table, &variant.rows) != 3 ||
      variant.rows < 1 || variant.rows > ROWS_MAX) {
    bench_fail("the variant is to be WAY,TABLE,ROWS: \"%s\"", text);
  }
  return variant;
}

static sqlite3 *open_way(const Bench *bench, const char *way) {
  if (strcmp(way, "memory") == 0) return bench_open(":memory:", NULL);
  bool ours = strcmp(way, "async") == 0;
  if (!ours && strcmp(way, "plain") != 0) bench_fail("no such way: \"%s\"", way);
  if (ours) {
    bench_check(sqlite3async_initialize(NULL, 0), "sqlite3async_initialize");
    bench_check(sqlite3async_start(), "sqlite3async_start");
  }
  return bench_open(bench_path(bench, "commit.db"), ours ? SQLITEASYNC_VFSNAME : NULL);
}

void bench_commit(const Bench *bench) {
  Variant variant = parse(bench->variant);
  sqlite3 *db = open_way(bench, variant.way);
  bool in_memory = strcmp(variant.way, "memory") == 0;
  if (!in_memory) bench_exec(db, "PRAGMA journal_mode = WAL");
  bench_exec(db, "PRAGMA synchronous = NORMAL; CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT)");
  if (strcmp(variant.table, "index") == 0) bench_exec(db, "CREATE INDEX i ON t(name)");
  sqlite3_stmt *insert = bench_prepare(db, BENCH_INSERT);
  bench_commit_rows(insert, 0, ROWS_WARM_UP);

  int64_t start_ns = bench_now_ns();
  int64_t start_cpu_ns = cpu_ns();
  bench_commit_rows(insert, ROWS_WARM_UP, variant.rows);
  bench_print_one("cpu", 0, cpu_ns() - start_cpu_ns);
  bench_print_one("took", 0, bench_now_ns() - start_ns);

  char rows[32];
  sqlite3_snprintf(sizeof rows, rows, "%lld", (long long)(ROWS_WARM_UP + variant.rows));
  bench_check_value(db, "SELECT count(*) FROM t", rows);
  bench_check_value(db, "PRAGMA journal_mode", in_memory ? "memory" : "wal");
  bench_check_value(db, "PRAGMA synchronous", "1");
  sqlite3_finalize(insert);
  bench_close(db);
  if (strcmp(variant.way, "async") == 0) bench_check(sqlite3async_close(10000), "close");
}
