/*
** What the tests of the shared library do with databases.  A check that fails ends the
** process.
*/
#ifndef TEST_CLIENT_H
#define TEST_CLIENT_H

#define SQLITE_CORE 1

#include "platform.h"
#include "sqlite3.h"

#define VFS "sqlite3async"

/* The library's file, and the test's own folder. */
extern const char *library;
extern const char *folder;

#define CHECK(condition)                                                                           \
  do {                                                                                             \
    if (!(condition)) fail(__LINE__, "%s", #condition);                                            \
  } while (0)
#define CHECK_EQ(got, wanted) check_equal(__LINE__, #got, (got), (wanted))

_Noreturn void fail(int line, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check_equal(int line, const char *what, int64_t got, int64_t wanted);

/* A path in the folder, as the system writes it.  The text lives until 16 further calls. */
const char *path_of(const char *name);

sqlite3 *try_open(const char *path, const char *vfs, int *rc);
sqlite3 *open_database(const char *path, const char *vfs);
void close_database(sqlite3 *db);
void exec(sqlite3 *db, const char *sql);
int64_t query_number(sqlite3 *db, const char *sql);
void query_is(sqlite3 *db, const char *sql, const char *wanted);
void insert(sqlite3 *db, int rows);

/* Number `name` of the status. */
int64_t status(sqlite3 *db, const char *name);

/* Load the library into SQLite; any number of times. */
void load(void);
/* Everything is applied, and nobody has the file open any more. */
void wait_until_closed(void);

/* Without the module: is the database sound, and how many rows are in its table t? */
int64_t plain_rows(const char *path);

#endif /* TEST_CLIENT_H */
