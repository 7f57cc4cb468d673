/*
** What the names of SQLite's files say.
*/
#ifndef ASYNC_PATH_H
#define ASYNC_PATH_H

#include <stdbool.h>
#include <stddef.h>

typedef enum AsyncRole {
  ASYNC_ROLE_DATABASE,
  ASYNC_ROLE_JOURNAL,       /* DATABASE-journal */
  ASYNC_ROLE_WAL,           /* DATABASE-wal */
  ASYNC_ROLE_SUPER_JOURNAL, /* DATABASE-mj and nine digits */
} AsyncRole;

/* On any system: what separates the parts of a path. */
static inline bool async_path_is_separator(char c) { return c == '/' || c == '\\'; }

/* How much of a journal's name is its database's; 0 if it is no journal's name. */
size_t async_path_owner_length(const char *path);

/* The role of a file among those of the database at `database`. */
AsyncRole async_path_role(const char *database, const char *path);

bool async_path_is_super_journal(const char *path);

/*
** A copy of a name for the parent, which keeps the pointer and looks for URI
** parameters around it: in the form of sqlite3_create_filename(), four zero
** bytes, the name, pairs of keys and values, an empty key.  with_parameters:
** the original has that form, too.  NULL if memory is out.
*/
char *async_path_copy(const char *path, bool with_parameters);
void async_path_free(char *path);

#endif /* ASYNC_PATH_H */
