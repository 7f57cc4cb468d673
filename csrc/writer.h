/*
** The writers: threads that apply what is queued; a few of ours, or a caller's in
** sqlite3async_run().
**
** Each is a loop over async_writer_step(), which a test can call without any
** thread.  A stream has one writer at a time, so a second one is of use only if
** there is a second stream: of ours there are as many as there are streams, and at
** most `writers`.
*/
#ifndef ASYNC_WRITER_H
#define ASYNC_WRITER_H

#include "apply.h"

/* Run one ready stream for at most max_steps ops.  False if none was ready. */
bool async_writer_step(int max_steps);

/* The loop, beside those of others: until the halt parameter says otherwise. */
void async_writer_run(void);

/*
** This thread would only wait until the stream is durable up to seq: if the
** writer is not at it, do its work meanwhile.  That saves two changes of threads,
** which matters for a single commit.  The caller has a reference, and holds no mutex.
** False if it could not, and a writer has to be woken.
*/
bool async_writer_help(AsyncStream *stream, int64_t seq);

/* The same until the stream is applied up to seq. */
bool async_writer_help_apply(AsyncStream *stream, int64_t seq);
/* The same until all of a database that is being closed, or cut off, is applied; also with a
** delay. */
bool async_writer_help_close(AsyncStream *stream);

/* For a commit above level queued (level.h): take a task of a stream, if nobody has it, to run
** it on this thread whoever else runs or may; and give it back after the last run. */
bool async_writer_claim(AsyncTask *task);
void async_writer_give_back(AsyncTask *task, AsyncOutcome outcome, int64_t due_us);

/* Under the mutex: somebody waits for the stream, so that nobody is to pause after its ops; or no
** longer. */
void async_writer_no_pause(AsyncStream *stream, bool on);

/* Start the first thread of our own, or do nothing if it runs.  False if there is none to
** be had. */
bool async_writer_start(void);
/* There are so many streams: start the threads that are missing, if ours run.  If the system
** gives none, those that run do all. */
void async_writer_ensure_threads(int streams);
/* `writers` was set: some may be one too many now, or no longer. */
void async_writer_limits_changed(void);
/* Has it any? */
bool async_writer_has_threads(void);
/* End them after the ops under way. */
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

/* At the process's end, if it has killed all other threads: do their work from here on. */
void async_writer_take_over(void);

#endif /* ASYNC_WRITER_H */
