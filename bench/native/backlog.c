/*
** How fast a backlog is applied, against a bare loop that does the same.
**
** A round stalls the writer, queues 64 MiB, starts the writer and takes the
** time until all is durable; then does the same writes and syncs in the same
** order on a copy of the database by plain system calls.  The bytes come
** from real commits, or are page writes, at random or in order.
**
** The first round notes what reaches the disk, and is not counted. At the
** end the two files must be the same.
*/
#include "bench.h"
#include "parent.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_PAGES 20000

typedef struct Backlog {
  const Bench *bench;
  int64_t bytes;
  char *start; /* the database that every round starts from */
  char *applied;
  char *replayed;
} Backlog;

static bool is_variant(const Backlog *backlog, const char *variant) {
  return strcmp(backlog->bench->variant, variant) == 0;
}

/* With all its pages on disk, so that writing them allocates none. */
static void make_start(const char *path) {
  sqlite3 *db = bench_open(path, NULL);
  bench_exec(db, "PRAGMA synchronous = OFF; CREATE TABLE filler(data);" BENCH_CREATE);
  char sql[128];
  sqlite3_snprintf(sizeof sql, sql, "INSERT INTO filler VALUES (randomblob(%d))",
                   FILE_PAGES * BENCH_PAGE_SIZE);
  bench_exec(db, sql);
  bench_close(db);
}

static void queue_commits(const Backlog *backlog, sqlite3 *db) {
  sqlite3_stmt *insert = bench_prepare(db, BENCH_INSERT);
  int64_t row = 0;
  while (bench_status("queuedBytes") < backlog->bytes) bench_step(insert, row++);
  sqlite3_finalize(insert);
}

static void queue_pages(const Backlog *backlog, sqlite3 *db) {
  static unsigned char page[BENCH_PAGE_SIZE];
  sqlite3_file *file = bench_file(db);
  size_t count = (size_t)(backlog->bytes / BENCH_PAGE_SIZE);
  int64_t *numbers = bench_shuffled(1, 1, count, 1);
  for (size_t i = 0; i < count; i++) {
    int64_t number = is_variant(backlog, "random") ? numbers[i] : 1 + (int64_t)i;
    memset(page, (int)number, sizeof page);
    int rc = file->pMethods->xWrite(file, page, BENCH_PAGE_SIZE, number * BENCH_PAGE_SIZE);
    bench_check(rc, "xWrite");
  }
  bench_check(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL), "xSync");
  free(numbers);
}

static int64_t apply(const Backlog *backlog, bool record) {
  bench_copy(backlog->start, backlog->applied);
  sqlite3 *db = bench_open(backlog->applied, SQLITEASYNC_VFSNAME);
  bench_exec(db, "PRAGMA synchronous = FULL; SELECT count(*) FROM t");
  if (is_variant(backlog, "commits")) {
    queue_commits(backlog, db);
  } else {
    queue_pages(backlog, db);
  }
  parent_set_mode(record ? PARENT_RECORD : PARENT_PASS);
  int64_t start_ns = bench_now_ns();
  bench_check(sqlite3async_start(), "start");
  bench_check(sqlite3async_flush(NULL, -1), "flush");
  int64_t took_ns = bench_now_ns() - start_ns;
  bench_check(sqlite3async_stop(0), "stop");
  parent_set_mode(PARENT_PASS);
  bench_close(db);
  return took_ns;
}

/* What was queued lies cold in memory by the time it is applied, and so does
** what the system knows of the file: push it out of the processor's caches. */
static void cool_down(int64_t bytes) {
  unsigned char *memory = bench_alloc((size_t)bytes);
  memset(memory, 1, (size_t)bytes);
  free(memory);
}

static void *replay_main(void *path) {
  parent_replay(path);
  return NULL;
}

/* On a new thread, as the writer is one. */
static int64_t replay(const Backlog *backlog) {
  bench_copy(backlog->start, backlog->replayed);
  cool_down(backlog->bytes);
  int64_t start_ns = bench_now_ns();
  pthread_t thread;
  if (pthread_create(&thread, NULL, replay_main, backlog->replayed) != 0) bench_fail("no thread");
  pthread_join(thread, NULL);
  return bench_now_ns() - start_ns;
}

static void compare(const Backlog *backlog) {
  static unsigned char pages[2][1 << 16];
  int one = open(backlog->applied, O_RDONLY);
  int other = open(backlog->replayed, O_RDONLY);
  if (one < 0 || other < 0) bench_fail("cannot open what was written");
  ssize_t n;
  while ((n = read(one, pages[0], sizeof pages[0])) > 0) {
    if (read(other, pages[1], sizeof pages[1]) != n || memcmp(pages[0], pages[1], (size_t)n) != 0) {
      bench_fail("the bare loop has not written the same");
    }
  }
  close(one);
  close(other);
}

void bench_backlog(const Bench *bench) {
  Backlog backlog = {.bench = bench,
                     .bytes = (int64_t)(bench->quick ? 16 : 64) << 20,
                     .start = bench_path(bench, "start.db"),
                     .applied = bench_path(bench, "applied.db"),
                     .replayed = bench_path(bench, "replayed.db")};
  bench_initialize();
  bench_check(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_NEVER), "halt");
  make_start(backlog.start);

  apply(&backlog, true);
  replay(&backlog);
  ParentRecord record = parent_record();
  bench_print_one("ops", 0, record.ops);
  bench_print_one("bytes", 0, record.bytes);
  bench_print_one("syncs", 0, record.syncs);
  int rounds = is_variant(&backlog, "commits") ? 4 : 8;
  for (int round = 0; round < (bench->quick ? rounds / 2 : rounds); round++) {
    /* Each goes first as often as the other. */
    int64_t bare_ns = round % 2 == 1 ? replay(&backlog) : 0;
    int64_t queue_ns = apply(&backlog, false);
    if (round % 2 == 0) bare_ns = replay(&backlog);
    bench_print_one("queue applied", round, queue_ns);
    bench_print_one("bare loop", round, bare_ns);
  }
  compare(&backlog);
}
