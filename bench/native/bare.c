/*
** A bare loop of durable writes: each batch is one write and one fdatasync().
**
** The variant is "BYTES,END,MS": bytes of a batch; where in the file to begin
** anew at its start, as a WAL does, or 0 to append for ever; for how long.
*/
#include "bench.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_BYTES_MAX (1 << 28)

void bench_bare(const Bench *bench) {
  int64_t bytes;
  int64_t end;
  int64_t ms;
  if (sscanf(bench->variant, "%" SCNd64 ",%" SCNd64 ",%" SCNd64, &bytes, &end, &ms) != 3 ||
      bytes <= 0 || bytes > BATCH_BYTES_MAX) {
    bench_fail("the variant is to be BYTES,END,MS: \"%s\"", bench->variant);
  }
  unsigned char *batch = bench_alloc((size_t)bytes);
  memset(batch, 1, (size_t)bytes);
  char *path = bench_path(bench, "bare");
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0) bench_fail("cannot make %s", path);

  int64_t batches = 0;
  int64_t offset = 0;
  int64_t start_ns = bench_now_ns();
  int64_t took_ns;
  do {
    if (end > 0 && offset + bytes > end) offset = 0;
    if (pwrite(file, batch, (size_t)bytes, (off_t)offset) != bytes) bench_fail("write %s", path);
    if (fdatasync(file) != 0) bench_fail("sync %s", path);
    offset += bytes;
    batches++;
    took_ns = bench_now_ns() - start_ns;
  } while (took_ns < ms * 1000000);

  bench_print_one("batches", 0, batches);
  bench_print_one("took", 0, took_ns);
  close(file);
  unlink(path);
  free(batch);
}
