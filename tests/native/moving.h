/*
** A database that is moved away from its path while it is open here, and a new one in its place.
*/
#ifndef TEST_MOVING_H
#define TEST_MOVING_H

#include "database.h"

#define MOVING_WAIT_MS 10000
#define MOVING_NEW_ROWS 60

/* "x.db", the path of the one, then of the other; and "old.db". */
extern char moving_path[400];
extern char moving_renamed[400];

/* Nothing is written but by steps; or by a thread. */
void moving_setup(void);
void moving_setup_with_writer(void);

/* In the test's folder. */
bool moving_has_file(const char *name);

/* Of all databases; it must work. */
void moving_flush(void);

/* The old one: a table t with one row, all of it on disk. */
sqlite3 *moving_open_old(const char *mode);

/* Rename it, with its WAL if it has one: its owner knows what belongs together. */
void moving_move_away(void);

/* The new one: a table n with MOVING_NEW_ROWS rows, renamed over what is at the path. */
void moving_put_new(const char *mode);

/* A transaction on the new one that its cache does not hold: so its journal has pages. */
#define MOVING_SPILL                                                                               \
  "PRAGMA cache_size = 2; BEGIN; UPDATE n SET x = 'y'; WITH RECURSIVE c(i) AS (SELECT 1 UNION "    \
  "ALL SELECT i + 1 FROM c WHERE i < 100) INSERT INTO n SELECT hex(zeroblob(2000)) FROM c"

/* By plain SQLite: so many rows, and sound. */
void moving_check_rows(const char *file, const char *table, int64_t rows);

#endif /* TEST_MOVING_H */
