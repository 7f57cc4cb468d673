/*
** Histories of two connections to one database, with a table each row of which tells who
** inserted it.
*/
#ifndef TEST_EXPLORE_PAIR_H
#define TEST_EXPLORE_PAIR_H

#include "explore.h"

#define PAIR_COUNT "SELECT count(*) FROM t"

extern const char *pair_path;
extern const char *pair_other_path; /* of pair_make_two() */
extern sqlite3 *pair_first;
extern sqlite3 *pair_second;

/* For `prepare` of a History: the database. */
void pair_make(void);
void pair_make_wal(void);
/* And one more, with the same table. */
void pair_make_two(void);

/* The library, and the two connections. */
void pair_open(void);
/* Close the connections. */
void pair_close(void);
/* And the library; so many rows are there after a power cut. */
void pair_finish(int rows);

/* Run two threads, one for each connection, to their end. */
void pair_run(void (*one)(void *), void (*other)(void *));

void pair_insert(sqlite3 *db);

/* The connection has inserted so many rows, and they are durable: as they are, or once
** they have been flushed. */
void pair_look(sqlite3 *db, int rows);
void pair_flush_and_look(sqlite3 *db, int timeout_ms, int rows);

#endif /* TEST_EXPLORE_PAIR_H */
