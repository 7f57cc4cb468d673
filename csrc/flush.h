/*
** Flush: waiting until commits are durable.
**
** A request raises the position that somebody wants durable; the writer
** (apply.c) syncs once when it gets there, for all who wait.
*/
#ifndef ASYNC_FLUSH_H
#define ASYNC_FLUSH_H

#include "stream.h"

/* Request that all pushed so far becomes durable.  Returns the position to
** wait for, or 0 if it is durable already, or the negated error. */
int64_t async_flush_request(AsyncStream *stream);

/*
** Request it and wait, at most timeout_ms (< 0: without bound).  Codes as
** sqlite3async_flush().  No mutex held; the caller has a reference.
*/
int async_flush_stream(AsyncStream *stream, int timeout_ms);

/* The same up to a point of time, -1 being never; and which that is. */
int async_flush_until(AsyncStream *stream, int64_t until_us);
int64_t async_flush_deadline(int timeout_ms);

/*
** Wait until all up to seq has been applied, doing the writer's work meanwhile.  SQLITE_OK then;
** the
** stream's error; SQLITE_INTERRUPT if nobody applies it, or it waits for what others have used
** up, or *stop is set (NULL: nothing is).
*/
int async_flush_await_applied(AsyncStream *stream, int64_t seq, const atomic_bool *stop);

#endif /* ASYNC_FLUSH_H */
