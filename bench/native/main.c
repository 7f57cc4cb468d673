/*
** The program: finds the workload by its name.
**
**     native-bench WORKLOAD VARIANT FOLDER [--quick]
*/
#include "bench.h"

#include <string.h>

static const struct {
  const char *name;
  void (*run)(const Bench *bench);
} workloads[] = {
    {"depth", bench_depth}, {"enqueue", bench_enqueue}, {"memory", bench_memory},
    {"bound", bench_bound}, {"backlog", bench_backlog}, {"bare", bench_bare},
    {"load", bench_load},   {"commit", bench_commit},
};

int main(int argc, char **argv) {
  if (argc < 4) bench_fail("usage: native-bench WORKLOAD VARIANT FOLDER [--quick]");
  Bench bench = {
      .variant = argv[2], .folder = argv[3], .quick = argc > 4 && strcmp(argv[4], "--quick") == 0};
  for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++) {
    if (strcmp(argv[1], workloads[i].name) != 0) continue;
    workloads[i].run(&bench);
    return 0;
  }
  bench_fail("no such workload: \"%s\"", argv[1]);
}
