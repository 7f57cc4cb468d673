/*
** What the measurements over the depth of the queue share.
**
** Depth is what is queued for one database and not yet applied; no writer runs
** meanwhile.  A million pages of SQLite's usual 4096 bytes are 4 GiB, so pages
** have SQLite's least, 512 bytes, at every depth.
*/
#ifndef BENCH_DEPTH_H
#define BENCH_DEPTH_H

#include "bench.h"

#define DEPTH_COUNT 5
#define DEPTH_PAGE_SIZE 512

typedef struct Depth {
  int64_t depth;
  const char *name; /* "1,000" */
} Depth;
extern const Depth bench_depths[DEPTH_COUNT];

/* The samples of "WHAT, depth DEPTH"; and what is queued then. */
void bench_print_at(const char *what, const Depth *at, int round, const int64_t *samples,
                    size_t count);
void bench_print_queued(const Depth *at, int round, int64_t ops, int64_t bytes);

void bench_depth_pages(const Bench *bench);
void bench_depth_rows(const Bench *bench);

#endif /* BENCH_DEPTH_H */
