/*
** A bare loop of durable writes: each batch is one write and one fdatasync().
**
** SQLite's unix VFS calls fsync(), which does no less, unless it was compiled with
** HAVE_FDATASYNC, as neither Deno's nor Bun's SQLite is.  The ceiling is what a disk can do.
**
** The variant is "BYTES,END,MS,THREADS,FILES": bytes of a batch; where in a file to begin
** anew at its start, as a WAL does, or 0 to append for ever; for how long; how many threads
** do it at once; and how many files they go round, each thread its own.
*/
#include "bench.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_BYTES_MAX (1 << 28)
#define FILES_MAX 1024

typedef struct File {
  char *path;
  int file;
  int64_t offset;
} File;

typedef struct Worker {
  pthread_t thread;
  const unsigned char *batch;
  int64_t bytes;
  int64_t end;
  int64_t until_ns;
  File *files; /* its own */
  int count;
  int64_t batches;
} Worker;

static void write_batch(const Worker *worker, File *file) {
  if (worker->end > 0 && file->offset + worker->bytes > worker->end) file->offset = 0;
  ssize_t n = pwrite(file->file, worker->batch, (size_t)worker->bytes, (off_t)file->offset);
  if (n != worker->bytes) bench_fail("write %s", file->path);
  if (fdatasync(file->file) != 0) bench_fail("sync %s", file->path);
  file->offset += worker->bytes;
}

static void *work(void *arg) {
  Worker *worker = arg;
  do {
    write_batch(worker, &worker->files[worker->batches % worker->count]);
    worker->batches++;
  } while (bench_now_ns() < worker->until_ns);
  return NULL;
}

static File *make_files(const Bench *bench, int count) {
  File *files = bench_alloc((size_t)count * sizeof *files);
  for (int i = 0; i < count; i++) {
    char name[32];
    snprintf(name, sizeof name, "bare-%d", i);
    char *path = bench_path(bench, name);
    files[i] = (File){.path = path, .file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644)};
    if (files[i].file < 0) bench_fail("cannot make %s", path);
  }
  return files;
}

void bench_bare(const Bench *bench) {
  int64_t bytes;
  int64_t end;
  int64_t ms;
  int threads;
  int count;
  if (sscanf(bench->variant, "%" SCNd64 ",%" SCNd64 ",%" SCNd64 ",%d,%d", &bytes, &end, &ms,
             &threads, &count) != 5 ||
      bytes <= 0 || bytes > BATCH_BYTES_MAX || threads < 1 || count < threads ||
      count > FILES_MAX) {
    bench_fail("the variant is to be BYTES,END,MS,THREADS,FILES: \"%s\"", bench->variant);
  }
  unsigned char *batch = bench_alloc((size_t)bytes);
  memset(batch, 1, (size_t)bytes);
  File *files = make_files(bench, count);
  Worker *workers = bench_alloc((size_t)threads * sizeof *workers);
  int64_t start_ns = bench_now_ns();
  for (int i = 0; i < threads; i++) {
    int first = i * count / threads;
    workers[i] = (Worker){.batch = batch,
                          .bytes = bytes,
                          .end = end,
                          .until_ns = start_ns + ms * 1000000,
                          .files = &files[first],
                          .count = (i + 1) * count / threads - first};
    if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) bench_fail("no thread");
  }
  int64_t batches = 0;
  for (int i = 0; i < threads; i++) {
    pthread_join(workers[i].thread, NULL);
    batches += workers[i].batches;
  }
  bench_print_one("batches", 0, batches);
  bench_print_one("took", 0, bench_now_ns() - start_ns);
  for (int i = 0; i < count; i++) {
    close(files[i].file);
    unlink(files[i].path);
  }
  free(workers);
  free(files);
  free(batch);
}
