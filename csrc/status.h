/*
** The status of a stream, or of all: what PRAGMA async_status and
** sqlite3async_status() give, under the names the TypeScript API uses.
*/
#ifndef ASYNC_STATUS_H
#define ASYNC_STATUS_H

#include "stream.h"

/* One JSON object; the result is the length of the whole text, as snprintf.  level: of the commits
** of who asks. */
int async_status_write(AsyncStream *stream, int level, char *buf, size_t n);

#endif /* ASYNC_STATUS_H */
