/*
** Another process that uses a database by plain SQLite.  It is started before this
** one opens anything, since SQLite does not know of forks, and does what it is told
** by a pipe.
*/
#ifndef TEST_OTHER_H
#define TEST_OTHER_H

#include "database.h"

typedef struct Other {
  int pid;
  int to;
  int from;
} Other;

Other other_start(const char *path);

/* Let it run SQL, or "open" or "close" the database; the reply, see query_text(), lives until the
** next call. */
const char *tell(const Other *other, const char *what);

void other_end(const Other *other);

#endif /* TEST_OTHER_H */
