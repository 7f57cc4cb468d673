/*
** The writer: a thread that applies what is queued; ours, or a caller's in
** sqlite3async_run().
**
** It is a loop over async_writer_step(), which a test can call without any
** thread.  Only one thread is in the loop at a time; a second one waits for
** its turn.
*/
#ifndef ASYNC_WRITER_H
#define ASYNC_WRITER_H

#include "stream.h"

/* Run one ready stream for at most max_steps ops.  False if none was ready. */
bool async_writer_step(int max_steps);

/* The loop: until the halt parameter says otherwise. */
void async_writer_run(void);

/*
** This thread would only wait until the stream is durable up to seq: if the
** writer is not at it, do its work meanwhile.  That saves two changes of threads,
** which matters for a single commit.  The
** caller has a reference, and holds no mutex.
*/
void async_writer_help(AsyncStream *stream, int64_t seq);

/* Start our own thread, or do nothing if it runs.  False if there is none to be had. */
bool async_writer_start(void);
/* End it after the op under way. */
void async_writer_stop(void);

/* SQLITEASYNC_HALT_NEVER, _NOW or _IDLE. */
void async_writer_set_halt(int halt);
int async_writer_halt(void);

/*
** Wait until nothing is queued, at most timeout_us; false if something is
** left, or no writer is running.
*/
bool async_writer_drain(int64_t timeout_us);

/*
** The process is about to end: wait, at most timeout_us, until what is queued now
** has been applied, without pauses between ops; false if something of it is left.
** What others queue meanwhile is not waited for.  With no writer running this
** thread applies it.
*/
bool async_writer_finish(int64_t timeout_us);

#endif /* ASYNC_WRITER_H */
