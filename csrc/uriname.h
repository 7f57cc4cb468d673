/*
** A URI that a driver took for the name of a file.
**
** SQLite reads "file:app.db?vfs=sqlite3async" as a URI only if it is told to.  A driver that does
** not tell it gets a database in a file of that name, and it is plain SQLite's; so does one that
** takes "file:" away first.  Nobody means that, so a name with such a query is refused.
*/
#ifndef ASYNC_URINAME_H
#define ASYNC_URINAME_H

#include <stdbool.h>

/*
** True if the name of a database, which SQLite may have made absolute, is such a URI.  Then it
** says so on stderr and in SQLite's log, once a name.
*/
bool async_uriname_refuses(const char *name);

#endif /* ASYNC_URINAME_H */
