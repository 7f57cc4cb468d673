/*
** What has become of WALs in a recording (csrc/wal.h): so that a test can tell whether its
** histories come to what they are for.
*/
#ifndef TEST_POWER_VOID_H
#define TEST_POWER_VOID_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Voids {
  int64_t voided;    /* zeros over a header were synced */
  int64_t restarted; /* and then a new header came */
  int64_t restored;  /* or the old one, for frames behind it */
  int64_t cancelled; /* the old one came before the zeros were synced */
} Voids;

/* Add what the records have from a position on. */
void count_voids(int from, Voids *voids);

/* Is the WAL of the database at this path being voided, so that a commit of another thread now
** would give it its header back, and wait for nothing? */
bool is_voiding(const char *path);

#endif /* TEST_POWER_VOID_H */
