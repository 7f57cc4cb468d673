/*
** What the native benchmarks share.  See bench.h.
*/
#include "bench.h"

#include "parent.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- Results ---- */

void bench_print(const char *series, int round, const int64_t *samples, size_t count) {
  printf("{\"series\":\"%s\",\"round\":%d,\"samples\":[", series, round);
  for (size_t i = 0; i < count; i++) printf("%s%" PRId64, i == 0 ? "" : ",", samples[i]);
  puts("]}");
}

void bench_print_one(const char *series, int round, int64_t value) {
  bench_print(series, round, &value, 1);
}

/* ---- Failing ---- */

_Noreturn void bench_fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("native-bench: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

void bench_check(int rc, const char *what) {
  if (rc != SQLITE_OK) bench_fail("%s: %s", what, sqlite3_errstr(rc));
}

void *bench_alloc(size_t n) {
  void *memory = malloc(n);
  if (memory == NULL) bench_fail("out of memory");
  return memory;
}

/* ---- Time and chance ---- */

int64_t bench_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

uint32_t bench_random(uint64_t *state, uint32_t n) {
  *state += UINT64_C(0x9E3779B97F4A7C15); /* splitmix64 */
  uint64_t z = *state;
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return (uint32_t)(((z >> 32) * n) >> 32);
}

int64_t *bench_shuffled(int64_t first, int64_t step, size_t count, uint64_t seed) {
  int64_t *numbers = bench_alloc(count * sizeof *numbers);
  for (size_t i = 0; i < count; i++) numbers[i] = first + step * (int64_t)i;
  for (size_t i = count; i > 1; i--) {
    size_t other = bench_random(&seed, (uint32_t)i);
    int64_t number = numbers[i - 1];
    numbers[i - 1] = numbers[other];
    numbers[other] = number;
  }
  return numbers;
}

/* ---- Databases ---- */

char *bench_path(const Bench *bench, const char *name) {
  char *path = sqlite3_mprintf("%s/%s", bench->folder, name);
  if (path == NULL) bench_fail("out of memory");
  return path;
}

sqlite3 *bench_open(const char *path, const char *vfs) {
  sqlite3 *db = NULL;
  int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs);
  bench_check(rc, path);
  return db;
}

void bench_close(sqlite3 *db) { bench_check(sqlite3_close(db), "close"); }

void bench_exec(sqlite3 *db, const char *sql) {
  char *message = NULL;
  if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) bench_fail("%s: %s", sql, message);
}

sqlite3_stmt *bench_prepare(sqlite3 *db, const char *sql) {
  sqlite3_stmt *statement = NULL;
  bench_check(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), sql);
  return statement;
}

void bench_step(sqlite3_stmt *statement, int64_t value) {
  sqlite3_bind_int64(statement, 1, value);
  int rc = sqlite3_step(statement);
  if (rc != SQLITE_ROW && rc != SQLITE_DONE) bench_check(rc, sqlite3_sql(statement));
  sqlite3_reset(statement);
}

sqlite3_file *bench_file(sqlite3 *db) {
  sqlite3_file *file = NULL;
  bench_check(sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file), "file pointer");
  return file;
}

void bench_check_value(sqlite3 *db, const char *sql, const char *wanted) {
  sqlite3_stmt *statement = bench_prepare(db, sql);
  if (sqlite3_step(statement) != SQLITE_ROW) bench_fail("%s: %s", sql, sqlite3_errmsg(db));
  const char *found = (const char *)sqlite3_column_text(statement, 0);
  if (strcmp(found, wanted) != 0) bench_fail("%s: %s instead of %s", sql, found, wanted);
  sqlite3_finalize(statement);
}

void bench_copy(const char *from, const char *to) {
  static char buffer[1 << 20];
  int source = open(from, O_RDONLY);
  int copy = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (source < 0 || copy < 0) bench_fail("cannot copy %s to %s", from, to);
  ssize_t n;
  while ((n = read(source, buffer, sizeof buffer)) > 0) {
    if (write(copy, buffer, (size_t)n) != n) bench_fail("cannot write %s", to);
  }
  if (n < 0 || fsync(copy) != 0) bench_fail("cannot copy %s to %s", from, to);
  close(source);
  close(copy);
}

void bench_make_sparse(const char *path, int64_t pages) {
  int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
  if (file < 0 || ftruncate(file, pages * BENCH_PAGE_SIZE) != 0) bench_fail("cannot make %s", path);
  close(file);
}

/* ---- The VFS ---- */

void bench_initialize(void) {
  parent_register();
  bench_check(sqlite3async_initialize(PARENT_VFS_NAME, 0), "sqlite3async_initialize");
  bench_check(sqlite3async_set(SQLITEASYNC_MAX_QUEUE_BYTES, 0), "no bound");
  bench_check(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 0), "no delay bound");
  bench_check(sqlite3async_set(SQLITEASYNC_HALT, SQLITEASYNC_HALT_IDLE), "halt when idle");
}

void bench_drain(void) { sqlite3async_run(); }

int64_t bench_status(const char *name) {
  char text[2048];
  char key[64];
  int n = sqlite3async_status(NULL, text, sizeof text);
  if (n < 0 || n >= (int)sizeof text) bench_fail("no status");
  snprintf(key, sizeof key, "\"%s\":", name);
  const char *found = strstr(text, key);
  if (found == NULL) bench_fail("no %s in the status: %s", name, text);
  return strtoll(found + strlen(key), NULL, 10);
}

int64_t bench_resident(void) {
  FILE *file = fopen("/proc/self/statm", "r");
  long long pages = 0;
  if (file == NULL || fscanf(file, "%*s %lld", &pages) != 1) {
    bench_fail("/proc/self/statm, which has the resident size, cannot be read");
  }
  fclose(file);
  return pages * sysconf(_SC_PAGESIZE);
}
