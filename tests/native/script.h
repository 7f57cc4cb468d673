/*
** What the scripts of scenarios are written with.  Every call notes the code that it
** was given; none but the checks of scenario.c says that it should be another.
*/
#ifndef TEST_SCRIPT_H
#define TEST_SCRIPT_H

#include "scenario.h"
#include "sqlite3.h"

/* The databases of the scenario: the second one is there if `two` is set. */
const char *script_path(const char *name);

/* The connection to x.db, or NULL as long as it could not be opened. */
sqlite3 *script_db(void);

/* Open it, with y.db attached if there are two.  False if that failed twice. */
bool script_open(int flags);
/* The same by a plain path, with no VFS named. */
bool script_open_routed(void);
void script_close(void);
/* Close it as a driver does that leaves a statement to its garbage collector; the statement, or
** NULL. */
sqlite3_stmt *script_close_but_statement(void);

/* Has no stream failed so far?  What is committed to its successor would not be the model's. */
bool script_goes_on(void);

void script_note(int code);

/* Run SQL that changes no content. */
void script_sql(const char *sql);
/* Read all. */
void script_read(void);

/* A transaction.  "@" stands for the schema's name: with two databases it is done in
** both. */
void script_commit(const char *body);
/* One that changes, and adds, a few rows. */
void script_transaction(int rows);

/* Apply all that is queued; or only what the scenario has asked for so far, if the run
** is not an eager one. */
void script_settle(void);
void script_settle_if_eager(void);

/* Make all durable that is committed so far, and remember that it must be there. */
void script_flush(void);

#endif /* TEST_SCRIPT_H */
