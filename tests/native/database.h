/*
** Databases in tests: opening, asking, copying.
*/
#ifndef TEST_DATABASE_H
#define TEST_DATABASE_H

#include "harness.h"
#include "sqlite3.h"
#include "sqlite3async.h"

/* Register the test VFS and, over it, sqlite3async. */
void async_setup(void);

/* A connection through us, or by plain SQLite, that must open. */
sqlite3 *open_async(const char *path);
sqlite3 *open_plain(const char *path);
void close_database(sqlite3 *db);

/* Run SQL that must work, or, exec_code, give its extended code. */
#define exec(db, ...) exec_at(__FILE__, __LINE__, (db), __VA_ARGS__)
void exec_at(const char *file, int line, sqlite3 *db, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int exec_code(sqlite3 *db, const char *sql);

/* The first column of the first row; it must be there. */
#define query_int(db, sql) query_int_at(__FILE__, __LINE__, (db), (sql))
int64_t query_int_at(const char *file, int line, sqlite3 *db, const char *sql);
/* All rows as text, the code of the end last; to be freed by sqlite3_free(). */
char *query_text(sqlite3 *db, const char *sql);

/* Everything in a database: its schema and the rows of all tables. */
char *dump_text(sqlite3 *db);

/* integrity_check must find nothing. */
#define check_integrity(db) check_integrity_at(__FILE__, __LINE__, (db))
void check_integrity_at(const char *file, int line, sqlite3 *db);

/* Apply what is queued, step by step with no thread; or at most `steps`. */
void step_all(void);

/* Is the header of its WAL valid, or void?  An AsyncWalHeader (wal.h). */
int wal_header(const char *path);

/* As if this thread were a writer that is always there, and the checkpointer: who has to wait for
** the writer does the work itself. */
void play_writer(bool on);
int step_some(int steps);

/* A number of the status: sqlite3async_status()'s `name` for path, NULL: all. */
int64_t status_number(const char *path, const char *name);

/* Copy the files of a folder into another one, which is made or emptied before. */
void copy_folder(const char *from, const char *to);

/*
** See the databases as another process would after a crash now: the folder
** is put aside and a copy put in its place, so that names in super-journals
** mean the copies; `check` looks at the copy; then the folder comes back.
** Nothing may be working on the files meanwhile.
*/
void with_copy(const char *folder, void (*check)(void *arg), void *arg);

#endif /* TEST_DATABASE_H */
