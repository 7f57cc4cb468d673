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

/* What is told to be applied a crash leaves there, now, and what is told to be durable a power cut,
** too.  Each transaction is a row. */
void pair_look_at_marks(void);

/* For threads: two rows, durable in the end.  The first one flushes after each, and does so itself
** if the writer is not at it; the other one waits. */
void pair_insert_and_help(void *db);
void pair_insert_and_wait(void *db);

#endif /* TEST_EXPLORE_PAIR_H */
