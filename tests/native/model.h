/*
** What a database may hold: each transaction of a scenario is made in memory, too,
** and the content after it remembered, whether SQLite says that it is committed or
** that it failed.
*/
#ifndef TEST_MODEL_H
#define TEST_MODEL_H

#include "sqlite3.h"

#include <stdbool.h>

/* The statements that give all of the content. */
#define MODEL_CONTENT "SELECT k FROM meta; SELECT a, b FROM t ORDER BY a"

/* Begin with what the database at path has, or end. */
void model_open(const char *path);
void model_close(void);

/* SQL that is about to be tried; then, whether it was committed. */
void model_try(const char *sql);
void model_decide(bool committed);

/* Between these two: is this the content with the transaction that is being tried? */
bool model_has_tried(const char *content);

int model_committed(void);

/*
** Which content is this?  The number of transactions that were committed by then; or
** -1.  *failed: with one more upon it, of which SQLite said that it failed.
*/
int model_find(const char *content, bool *failed);

#endif /* TEST_MODEL_H */
