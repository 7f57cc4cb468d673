/*
** The native benchmarks: one program, of which each workload is a command.
** bench/run.ts starts it, often several times, and does the statistics.
**
** A workload prints series, one JSON object a line:
**
**     {"series":"read, queued","round":0,"samples":[512,498]}
**
** Whatever goes wrong ends the program with a message and exit code 1.
*/
#ifndef BENCH_H
#define BENCH_H

#include "sqlite3.h"
#include "sqlite3async.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_PAGE_SIZE 4096

typedef struct Bench {
  const char *folder;  /* an empty one, on the disk to measure */
  const char *variant; /* of the workload */
  bool quick;
} Bench;

/* The workloads. */
void bench_depth(const Bench *bench);
void bench_enqueue(const Bench *bench);
void bench_memory(const Bench *bench);
void bench_bound(const Bench *bench);
void bench_backlog(const Bench *bench);
void bench_bare(const Bench *bench);   /* the programs of bench/durable.ts and */
void bench_load(const Bench *bench);   /* bench/http.ts start these */
void bench_commit(const Bench *bench); /* to be run under callgrind or strace */

/* ---- Results ---- */

void bench_print(const char *series, int round, const int64_t *samples, size_t count);
void bench_print_one(const char *series, int round, int64_t value);

/* ---- Failing ---- */

_Noreturn void bench_fail(const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 1, 2)))
#endif
    ;
void bench_check(int rc, const char *what);
void *bench_alloc(size_t n);

/* ---- Time and chance ---- */

int64_t bench_now_ns(void);

/* A number below n, from a sequence that is the same in every run. */
uint32_t bench_random(uint64_t *state, uint32_t n);

/* The numbers first, first + step, ... in an order of chance. */
int64_t *bench_shuffled(int64_t first, int64_t step, size_t count, uint64_t seed);

/* ---- Databases ---- */

/* FOLDER/name, until the program ends. */
char *bench_path(const Bench *bench, const char *name);

/* Open a database on the VFS of that name; NULL: the system's. */
sqlite3 *bench_open(const char *path, const char *vfs);
void bench_close(sqlite3 *db);
void bench_exec(sqlite3 *db, const char *sql);
sqlite3_stmt *bench_prepare(sqlite3 *db, const char *sql);
/* Run the statement with its first parameter bound to value. */
void bench_step(sqlite3_stmt *statement, int64_t value);
sqlite3_file *bench_file(sqlite3 *db);
/* Fail unless the query's value, as a text, is this one. */
void bench_check_value(sqlite3 *db, const char *sql, const char *wanted);

/* The table of the commit workloads: an integer primary key and an index. */
#define BENCH_CREATE "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); CREATE INDEX i ON t(name);"
#define BENCH_INSERT "INSERT INTO t(name) VALUES ('a row to commit, number ' || ?1)"

/* Copy a file, and sync the copy. */
void bench_copy(const char *from, const char *to);
/* A file of so many zero pages, none of which is allocated on disk. */
void bench_make_sparse(const char *path, int64_t pages);

/* ---- The VFS ---- */

/* Register sqlite3async over the parent of parent.h, without a bound or a writer. */
void bench_initialize(void);

/* Apply all that is queued, on this thread. */
void bench_drain(void);

/* A number of the status of all databases. */
int64_t bench_status(const char *name);

/* Bytes of memory that the process has resident. */
int64_t bench_resident(void);

#endif /* BENCH_H */
