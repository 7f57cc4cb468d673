/*
** What the fuzz targets share.
**
** A target is one function, LLVMFuzzerTestOneInput() in NAME_fuzz.c.  It takes any
** bytes for a program, runs that against a model or plain SQLite, and ends by
** test_fail() where they differ.  Two programs are made of each:
**
**   NAME_fuzz_test   fuzz_driver.c: the kept corpus, then random inputs from a seed
**   NAME_fuzz        libFuzzer's main(), which follows coverage: ./run fuzz
**
** Nothing may depend on time, or on what an earlier input did.  There is no writer:
** a target steps through the queue, also in the midst of a read; see
** fuzz_step_during_io().
*/
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include "harness.h"
#include "sqlite3.h"

/* The longest input that is of use. */
#define FUZZ_INPUT_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct FuzzTarget {
  const char *name;
  int runs; /* how many random inputs a default run tries */
} FuzzTarget;
extern const FuzzTarget fuzz_target;

/* ---- The input, as numbers; zeros when it is over ---- */

typedef struct FuzzInput {
  const uint8_t *data;
  size_t left;
} FuzzInput;

int fuzz_byte(FuzzInput *input);
/* 0 .. n - 1, from one byte if that is enough, else from two, or three. */
int fuzz_below(FuzzInput *input, int n);

/* A line of what is being done, to be seen with VERBOSE=1 in the environment. */
void fuzz_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- The VFS ---- */

/* Once a process: register the VFS, over the parent below. */
void fuzz_setup(void);

/*
** After each of the next `calls` times that the parent reads or tells a size with no
** mutex of ours held, apply up to `steps` ops: as a writer would on its own thread.
*/
void fuzz_step_during_io(int calls, int steps);

/* Apply all that is queued; then nothing of any database may be left. */
void fuzz_drain(void);

/* ---- Files ---- */

/* Remove the files in a folder of the test's; make it if it is not there. */
void fuzz_empty_folder(const char *folder);

#endif /* TEST_FUZZ_H */
