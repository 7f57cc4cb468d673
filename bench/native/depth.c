/*
** What a commit takes, by the number of those that are queued; the reads are in
** depth_reads.c.
**
** "WAL": the depth is of commits, since the queue merges their frames into
** few large ops.  "DELETE": of ops; one commit with a rollback journal has
** several, which do not merge.  They pile up while no writer runs: real commits
** of one row each, with nothing in between.
**
** To be at depth 0 or 1,000 for more than a few commits, all is applied and the
** queue filled again, several times.
*/
#include "depth.h"

#include "parent.h"

#include <stdio.h>
#include <string.h>

#define SAMPLES 200
#define SHALLOW 1000
#define SHALLOW_TIMES 10
#define WARM_UP_ROWS 2000
/* Of commits between two looks at the status. */
#define LOOK_EVERY 16

const Depth bench_depths[DEPTH_COUNT] = {
    {0, "0"}, {1000, "1,000"}, {10000, "10,000"}, {100000, "100,000"}, {1000000, "1,000,000"}};

typedef struct Committer {
  sqlite3 *db;
  sqlite3_stmt *insert;
  bool wal;
  int64_t rows;
  int64_t drained_rows; /* the rows when all was applied last */
} Committer;

void bench_print_at(const char *what, const Depth *at, int round, const int64_t *samples,
                    size_t count) {
  char series[64];
  sqlite3_snprintf(sizeof series, series, "%s, depth %s", what, at->name);
  bench_print(series, round, samples, count);
}

void bench_print_queued(const Depth *at, int round, int64_t ops, int64_t bytes) {
  bench_print_at("queued ops", at, round, &ops, 1);
  bench_print_at("queued bytes", at, round, &bytes, 1);
}

static void commit(Committer *committer) { bench_step(committer->insert, committer->rows++); }

static int64_t depth_of(const Committer *committer) {
  return committer->wal ? committer->rows - committer->drained_rows : bench_status("queuedOps");
}

static void drain(Committer *committer) {
  bench_drain();
  committer->drained_rows = committer->rows;
}

/* Begin with nothing queued, commit until the queue is so deep, and time the next ones. */
static void time_at(Committer *committer, const Depth *at, int64_t *samples, int count) {
  while (depth_of(committer) < at->depth) {
    int64_t missing = at->depth - depth_of(committer);
    for (int i = 0; i < LOOK_EVERY && (i < missing || i == 0); i++) commit(committer);
  }
  for (int i = 0; i < count; i++) {
    int64_t start_ns = bench_now_ns();
    commit(committer);
    samples[i] = bench_now_ns() - start_ns;
  }
}

static Committer committer_open(const Bench *bench, bool wal) {
  Committer committer = {.wal = wal};
  committer.db = bench_open(bench_path(bench, "depth.db"), SQLITEASYNC_VFSNAME);
  bench_exec(committer.db, "PRAGMA page_size = 512");
  /* SQLite would checkpoint in the middle of a commit. */
  if (wal) bench_exec(committer.db, "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0");
  bench_exec(committer.db, wal ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL");
  bench_exec(committer.db, "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT)");
  committer.insert = bench_prepare(committer.db, BENCH_INSERT);
  for (int i = 0; i < WARM_UP_ROWS; i++) commit(&committer);
  drain(&committer);
  return committer;
}

static void check(const Committer *committer) {
  char rows[32];
  sqlite3_snprintf(sizeof rows, rows, "%lld", (long long)committer->rows);
  bench_check_value(committer->db, "SELECT count(*) FROM t", rows);
  bench_check_value(committer->db, "PRAGMA journal_mode", committer->wal ? "wal" : "delete");
  bench_check_value(committer->db, "PRAGMA synchronous", committer->wal ? "1" : "2");
  bench_check_value(committer->db, "PRAGMA page_size", "512");
}

static void bench_commits(const Bench *bench) {
  static int64_t samples[SAMPLES];
  bench_check(sqlite3async_set(SQLITEASYNC_MAX_WAL_BYTES, 0), "no bound of the WAL");
  parent_set_mode(PARENT_UNSYNCED);
  Committer committer = committer_open(bench, strcmp(bench->variant, "WAL") == 0);
  for (const Depth *at = bench_depths; at < bench_depths + DEPTH_COUNT; at++) {
    int times = at->depth <= SHALLOW ? SHALLOW_TIMES : 1;
    for (int i = 0; i < times; i++) {
      if (at->depth <= SHALLOW) drain(&committer);
      int64_t *of_turn = samples + i * (SAMPLES / times);
      time_at(&committer, at, of_turn, SAMPLES / times);
    }
    bench_print_at("commit", at, 0, samples, SAMPLES);
    bench_print_queued(at, 0, bench_status("queuedOps"), bench_status("queuedBytes"));
  }
  check(&committer);
  parent_set_mode(PARENT_DISCARD);
  bench_drain();
  sqlite3_finalize(committer.insert);
  /* What SQLite would do at the end needs the file as it wrote it; so leave it open. */
}

void bench_depth(const Bench *bench) {
  bench_initialize();
  bench_check(sqlite3async_set(SQLITEASYNC_DRAIN_ON_EXIT, 0), "no drain"); /* of what is no file */
  if (strcmp(bench->variant, "pages") == 0) {
    bench_depth_pages(bench);
  } else if (strcmp(bench->variant, "rows") == 0) {
    bench_depth_rows(bench);
  } else {
    bench_commits(bench);
  }
}
