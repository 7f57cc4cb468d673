/*
** The VFS under sqlite3async in the native benchmarks: the system's, except
** that it can note what is done to files, or leave writes undone.
**
** What was noted can be done again without any VFS, by plain system calls:
** the measure of how fast a queue can be applied at best.
*/
#ifndef BENCH_PARENT_H
#define BENCH_PARENT_H

#include <stdbool.h>
#include <stdint.h>

#define PARENT_VFS_NAME "bench-parent"

typedef enum ParentMode {
  PARENT_PASS,     /* hand everything on */
  PARENT_RECORD,   /* and note it */
  PARENT_UNSYNCED, /* hand on all but syncs, which are forgotten */
  PARENT_DISCARD,  /* hand on all but writes, truncations and syncs, which are forgotten */
} ParentMode;

void parent_register(void);

/* Set it while no writer is at work. */
void parent_set_mode(ParentMode mode);

/* What was noted, and the bytes written among it. */
typedef struct ParentRecord {
  int64_t ops;
  int64_t bytes;
  int64_t syncs;
} ParentRecord;
ParentRecord parent_record(void);
void parent_forget_record(void);

/*
** Do what was noted once more, to the database at path: it must be as the
** recorded one was at first.
*/
void parent_replay(const char *path);

#endif /* BENCH_PARENT_H */
