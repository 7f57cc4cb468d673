/*
** sqlite3async: a SQLite VFS whose writes never wait for the disk.
**
** This is the whole public C interface.  The first part is the interface of
** SQLite's own, retired asynchronous I/O module: four functions and the
** constants' values are the same, so a program written for it compiles and
** runs on this one.  The second part is what this module adds.
**
** Two ways to use it:
**
**   Linked in      Compile every .c file of this folder with -DSQLITE_CORE
**                  next to any sqlite3.h from 3.37 on, link with the SQLite
**                  library and the system's threads, and call
**                  sqlite3async_initialize().
**
**   Loaded         Load the shared library into a SQLite as a run-time
**                  extension.  Its entry point registers the VFS and starts
**                  the writer.  The same file, opened by dlopen(), gives the
**                  functions below for the same instance.
**
** Thread rules: sqlite3async_initialize(), sqlite3async_shutdown() and
** sqlite3async_close() must not run at the same time as any other function
** here.  All others may be called by any thread
** at any time, but never from inside a SQLite callback.
**
** The checkpointer of sqlite3async_start() takes the place of SQLite's automatic
** checkpoints.  When a connection first uses a database in WAL mode, its hook for
** them is turned off if it is SQLite's default one; a hook of the program's own
** is to be set by sqlite3_wal_hook() after that, or it is lost.
**
** Result codes are SQLite's.  sqlite3async_errmsg() has the words for the
** last failure on the calling thread.
*/
#ifndef SQLITE3ASYNC_H
#define SQLITE3ASYNC_H

#ifndef SQLITE3_H
#include "sqlite3.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Only what is marked so leaves the shared library. */
#ifndef SQLITE3ASYNC_API
#if defined(_WIN32) && !defined(SQLITE_CORE)
#define SQLITE3ASYNC_API __declspec(dllexport)
#elif defined(__GNUC__)
#define SQLITE3ASYNC_API __attribute__((visibility("default")))
#else
#define SQLITE3ASYNC_API
#endif
#endif

/* ------------------------------------------------------------------------
** The original module's interface
** ---------------------------------------------------------------------- */

/* The name under which the VFS is registered. */
#define SQLITEASYNC_VFSNAME "sqlite3async"

/*
** Register the VFS.  It does its real I/O through the VFS called zParent, or
** through the current default VFS if zParent is NULL.  With isDefault it
** becomes the default VFS of the process.
**
** SQLITE_OK        registered, or it was already (then nothing changes)
** SQLITE_ERROR     there is no VFS of that name
** SQLITE_NOMEM and whatever sqlite3_vfs_register() returns
*/
SQLITE3ASYNC_API int sqlite3async_initialize(const char *zParent, int isDefault);

/*
** Take the VFS off SQLite's list.  Call it when no database is open through
** it.  Ops still queued stay queued: sqlite3async_run() applies them, and so
** does the drain at exit.
*/
SQLITE3ASYNC_API void sqlite3async_shutdown(void);

/*
** Apply queued ops on the calling thread.  When it returns is decided by the
** HALT parameter; with HALT_NEVER, the default, it does not.  Several threads
** may be in here at once, and beside those of sqlite3async_start(); a database
** is with one of them at a time.
*/
SQLITE3ASYNC_API void sqlite3async_run(void);

/*
** Set or get a parameter.  To set one, pass its verb and the new value as an
** int; to get one, pass its GET verb and an int* to receive it.
**
** SQLITE_OK        done
** SQLITE_ERROR     there is no such verb
** SQLITE_MISUSE    the value is out of range, or LOCKFILES was set while a
**                  database was open or an op queued; nothing was changed
*/
SQLITE3ASYNC_API int sqlite3async_control(int op, ...);

#define SQLITEASYNC_HALT 1 /* when sqlite3async_run() returns, below */
#define SQLITEASYNC_GET_HALT 2
#define SQLITEASYNC_DELAY 3 /* pause after each op, in ms, >= 0 */
#define SQLITEASYNC_GET_DELAY 4
#define SQLITEASYNC_LOCKFILES 5 /* 1: take the OS's file locks; 0: omit them */
#define SQLITEASYNC_GET_LOCKFILES 6

#define SQLITEASYNC_HALT_NEVER 0 /* never (the default) */
#define SQLITEASYNC_HALT_NOW 1   /* as soon as the op under way is done */
#define SQLITEASYNC_HALT_IDLE 2  /* once nothing is queued */

/* ------------------------------------------------------------------------
** What this module adds: parameters
** ---------------------------------------------------------------------- */

/*
** Further parameters.  sqlite3async_set() and sqlite3async_get() take these
** and the original's SQLITEASYNC_HALT, _DELAY and _LOCKFILES.
**
** The defaults are those of a program that uses the original's four
** functions alone: nothing there can starve or surprise such a program, so
** the queue's bound and the delay bound are off.  sqlite3async_start() is
** the sign of a program that knows this module: the first call turns on what
** was not set by then (64 MiB, 1000 ms).
*/
#define SQLITEASYNC_MAX_QUEUE_BYTES 16  /* payload a database may have queued; 0: no bound */
#define SQLITEASYNC_ON_QUEUE_FULL 17    /* SQLITEASYNC_FULL_BLOCK or SQLITEASYNC_FULL_BUSY */
#define SQLITEASYNC_MAX_DELAY_MS 18     /* a commit is made durable within this; 0: only on flush */
#define SQLITEASYNC_MAX_LOCK_HOLD_MS 19 /* let other processes in after this; 0: no bound */
#define SQLITEASYNC_DISK_FULL_RETRY_MS 20 /* so long what a full disk holds is tried */
#define SQLITEASYNC_DRAIN_ON_EXIT 21      /* 1 (default): drain at exit() and quick_exit() */
#define SQLITEASYNC_EXIT_DRAIN_MS 22      /* deadline of that drain (default 10000) */
#define SQLITEASYNC_DRAIN_ON_SIGNALS 23   /* 1: drain before a signal ends the process, see below */
#define SQLITEASYNC_CHECKPOINT_BYTES 24 /* checkpoint when the WAL grew by this; 0: not for that */
#define SQLITEASYNC_CHECKPOINT_IDLE_MS 25 /* checkpoint after this long without a write; 0: never */
#define SQLITEASYNC_MAX_WAL_BYTES 26      /* no transaction begins with a larger WAL; 0: no bound */
#define SQLITEASYNC_WRITERS 27            /* threads of sqlite3async_start(), 1 .. 16 (default 4) */
#define SQLITEASYNC_POLL_US 28            /* a writer looks for commits this often, see below */
#define SQLITEASYNC_COMMIT 29             /* what a commit waits for, see below */

#define SQLITEASYNC_IGNORED_SIGNALS 64 /* can be read only, see below */
#define SQLITEASYNC_COVER_HANDLERS 65  /* 1 (default): put ours over the program's handlers */

#define SQLITEASYNC_FULL_BLOCK                                                                     \
  0 /* a full queue makes the caller wait until it has some room again */
#define SQLITEASYNC_FULL_BUSY 1 /* a transaction that would start gets SQLITE_BUSY instead */

#define SQLITEASYNC_COMMIT_QUEUED 0  /* for nothing (the default) */
#define SQLITEASYNC_COMMIT_APPLIED 1 /* until the operating system has it: SIGKILL takes nothing */
#define SQLITEASYNC_COMMIT_DURABLE 2 /* until it is synced */

/*
** WRITERS: there are as many as databases are open, and at most this many. A database
** has one at a time, so that one's slow disk does not hold up another one.
**
** POLL_US: a writer that has just had work looks again after so many microseconds
** (default 500, at most 1000000), and who commits meanwhile makes no system call to
** wake it. Who waits for it wakes it at once. After 5 ms without work it sleeps until
** a commit wakes it; with 0 it always does.
**
** COMMIT: the level of the commits of all connections that have none of their own, which a
** connection sets by `PRAGMA async_commit`, to queued, applied or durable. What holds at the
** commit counts. Above level queued the thread that commits does the writer's work itself, also
** with the writers halted or stopped, and with no pause; an error of that is the commit's.
**
** DRAIN_ON_SIGNALS: 0 (default), 1, or SQLITEASYNC_UNLESS_SET, which is 1 unless the parameter
** was set to 0 or 1 before, by anybody in the process. With 1, the library puts handlers
** of SIGTERM, SIGINT, SIGHUP, SIGQUIT and SIGUSR2 in place, but not of those that the process
** ignores. They write what is queued, for at most EXIT_DRAIN_MS, and then let the signal do
** what it did before: end the process, or call the program's handler. They stay in place with
** 0, and then only pass the signal on. A handler that is put over ours has the signal for
** itself; once it is taken off and the default is in force, ours comes back, within 10 ms
** of writing or at the next set to 1 or SQLITEASYNC_UNLESS_SET. On Windows: at
** console events, such as Ctrl+C.
**
** COVER_HANDLERS: with 0, a handler that the program has at that time has the signal for
** itself, but for one that the system forgets when it calls it (SA_RESETHAND). To be set before.
**
** IGNORED_SIGNALS: the bits 0 to 4 are set if the process ignores SIGTERM, SIGINT, SIGHUP,
** SIGQUIT, SIGUSR2 now.
*/
#define SQLITEASYNC_UNLESS_SET 2

/*
** Set parameter op to value, or read it into *value.  Result codes as for
** sqlite3async_control(); SQLITE_MISUSE also if value is NULL.
*/
SQLITE3ASYNC_API int sqlite3async_set(int op, sqlite3_int64 value);
SQLITE3ASYNC_API int sqlite3async_get(int op, sqlite3_int64 *value);

/* ------------------------------------------------------------------------
** What this module adds: life cycle
** ---------------------------------------------------------------------- */

/*
** Say, before the library is loaded into a SQLite, what its entry point
** shall pass to sqlite3async_initialize().  zParent may be NULL or "".
** Once the VFS is registered: SQLITE_OK if it agrees with what is, otherwise
** SQLITE_MISUSE.  Of several threads that prepare and load at the same time one
** is the first; the others find out by another call of this one after loading.
*/
SQLITE3ASYNC_API int sqlite3async_prepare(const char *zParent, int isDefault);

/*
** Start a native thread that applies the queue until sqlite3async_stop().
** SQLITE_OK also when it runs already.  SQLITE_MISUSE before the VFS is
** registered.  SQLITE_ERROR if the system gives no thread: then all is as
** before.
*/
SQLITE3ASYNC_API int sqlite3async_start(void);

/*
** Let the writer's thread drain the queue for at most timeoutMs (0: not at
** all), then end it.  SQLITE_OK; SQLITE_BUSY if ops were left: they stay
** queued, and sqlite3async_start() goes on with them.
*/
SQLITE3ASYNC_API int sqlite3async_stop(int timeoutMs);

/*
** Do what the drain at exit does, now, as the last thing before the process ends: write
** what is queued, for at most EXIT_DRAIN_MS, or nothing without DRAIN_ON_EXIT; and if that
** was done end what sqlite3async_start() has started.  For Windows, where a process whose
** exit() is not that of the C library's DLL has no threads left, and so no writer, when its
** libraries hear of the end.
**
** What it leaves is not told on stderr: that is done by the drain at exit, which takes up
** to EXIT_DRAIN_MS more to write it.
**
** SQLITE_OK        what was queued when it was called is written; or DRAIN_ON_EXIT is 0
** SQLITE_BUSY      not all of it
** SQLITE_MISUSE    before the VFS is registered
*/
SQLITE3ASYNC_API int sqlite3async_drain(void);

/*
** The process is ending: a last close waits from here on no longer than until EXIT_DRAIN_MS have
** passed, and not at all without DRAIN_ON_EXIT.  For runtimes that close databases before exit
** handlers are called.  Always SQLITE_OK.  If the end does not come, sqlite3async_start() says so.
*/
SQLITE3ASYNC_API int sqlite3async_ending(void);

/*
** Drain for at most timeoutMs, stop the writer and unregister the VFS.
**
** SQLITE_OK
** SQLITE_BUSY      nothing has changed: a database is open (the message names them), or the queue
**                  could not be drained in time
** SQLITE_LOCKED    nothing has changed: the program has closed all databases, but some of them with
**                  sqlite3_close_v2() and statements that are not finalized (the message names
**                  them); from SQLite 3.44 on, before that SQLITE_BUSY
** other            the code of a background error that nobody was told of: all is closed, but
**                  something was lost before
*/
SQLITE3ASYNC_API int sqlite3async_close(int timeoutMs);

/*
** A driver that keeps a connection until the last of its statements has been collected says
** `PRAGMA async_closing` on it when its program closes it, then does what it does, and calls
** this: databases that are open only for such connections are written completely, made durable
** and unlocked, as far as no statement is in the middle of its rows.  Waits for the disk as a
** last close does.
*/
SQLITE3ASYNC_API int sqlite3async_release_closed(void);

/*
** As sqlite3async_close(), though databases are open: all that is committed is made durable, and
** then the connections that are left are cut off.  They hold no lock of the operating system any
** more, and every call on them fails with SQLITE_IOERR_CLOSE until they are closed.
*/
SQLITE3ASYNC_API int sqlite3async_close_by_force(int timeoutMs);

/* ------------------------------------------------------------------------
** What this module adds: which databases
** ---------------------------------------------------------------------- */

/*
** Route a plain path: from now on the database of that name, opened with no
** VFS named by the SQLite that has this VFS, goes through sqlite3async.  The first
** call makes a router the default VFS (loading the library as an extension does so
** at once); whatever is not routed passes through it to the VFS that was the default,
** untouched.
**
** SQLITE_OK; SQLITE_BUSY if the file is already open in this process outside
** of sqlite3async, on Windows in any process; SQLITE_CANTOPEN if the path cannot
** be resolved or names a directory; SQLITE_NOMEM; SQLITE_MISUSE before the VFS is
** registered, or if zPath is NULL, "", ":memory:" or a "file:" URI.
*/
SQLITE3ASYNC_API int sqlite3async_route(const char *zPath);

/*
** Take a route back.  SQLITE_BUSY while the database is open through it, is being
** opened, or has ops queued; SQLITE_NOTFOUND if the path was not routed; SQLITE_MISUSE as above.
*/
SQLITE3ASYNC_API int sqlite3async_unroute(const char *zPath);

/*
** Leave what lies below a folder, or the one database of that path, to the parent
** although this VFS is the default: for databases that are the runtime's and not the
** program's.  A database that is routed, or opened by a URI that names this VFS, goes
** through sqlite3async all the same.  There is no way back.
**
** SQLITE_OK; SQLITE_NOMEM; SQLITE_MISUSE before the VFS is registered, or if zPath is
** NULL or ""; other: the parent cannot resolve the path.
*/
SQLITE3ASYNC_API int sqlite3async_exclude(const char *zPath);

/*
** A URI that names this VFS, but that a driver gives to SQLite as the name of a file, is
** refused by the VFS and the router: SQLITE_CANTOPEN, and a line on stderr and in SQLite's
** log, once a name.
*/

/* ------------------------------------------------------------------------
** What this module adds: durability
** ---------------------------------------------------------------------- */

/*
** Wait until every commit made before this call is durable: on the database
** zPath, or on all if zPath is NULL or "".  Callers that wait at the same
** time share one sync.
**
** timeoutMs < 0 waits without bound; the wait ends because the writer either
** makes progress or fails the stream.
**
** SQLITE_OK        durable (or nothing was left to be made so: a database that is closed)
** SQLITE_BUSY      not within timeoutMs; the request stands
** SQLITE_MISUSE    no writer is running, so it could never end
** SQLITE_NOTFOUND  zPath was never open through this VFS in this process, so that nothing is
**                  known of it; of all, a routed path that never was though the process has
**                  the file open: a second copy of SQLite has it, or a connection from before.
**                  All that is open through this VFS is durable.  For all, this is looked at
**                  once a second, and no more once each routed database has been opened;
**                  not on Windows
** SQLITE_NOMEM     it cannot be told which database is meant
** other            the parent cannot resolve the path; or the database's background
**                  error, also one that came after the database was closed, once,
**                  to whoever asks first
*/
SQLITE3ASYNC_API int sqlite3async_flush(const char *zPath, int timeoutMs);

/*
** Let other processes have the database zPath though connections of this one
** are open: make all commits durable, then give the OS's file lock back.  A
** database in WAL mode belongs to this process while anybody here has it open;
** in the other modes the lock comes back by itself, and this only hastens it.
** The next transaction here takes the database again, or gets SQLITE_BUSY while
** another process is in it.
**
** Waits at most timeoutMs for a moment at which nobody here has a transaction.
**
** SQLITE_OK        others can have it
** SQLITE_BUSY      there was no such moment; nothing has changed
** SQLITE_NOTFOUND  it is not open through this VFS
** SQLITE_MISUSE    no writer is running, or zPath is NULL or ""
** other            as for sqlite3async_flush()
*/
SQLITE3ASYNC_API int sqlite3async_release(const char *zPath, int timeoutMs);

/*
** As sqlite3async_flush(), without waiting.  For each database that has anything
** to make durable, request it and write a pair (stream id, ticket) to pairs,
** which has room for nPair pairs (or is NULL).  Returns the number of pairs there are, which
** may exceed nPair (then call again with more room), or a negated result
** code.  A database that is closed has nothing to wait for: 0.
*/
SQLITE3ASYNC_API int sqlite3async_flush_begin(const char *zPath, sqlite3_int64 *pairs, int nPair);

/*
** How far the stream is durable: a ticket is reached once this is >= it.
** A stream that failed gives its negated result code, also after it was
** closed (the latest 64 are remembered); one that was closed in good order
** gives the largest integer.
*/
SQLITE3ASYNC_API sqlite3_int64 sqlite3async_durable(sqlite3_int64 streamId);

/* ------------------------------------------------------------------------
** What this module adds: looking at it
** ---------------------------------------------------------------------- */

/*
** Write the status as one JSON object, for the database zPath or, with NULL
** or "", for all together.  Returns the length of the text; if that is >= n
** it was cut short and the call is to be repeated with more room; buf may be
** NULL.  A path that is not open gives -SQLITE_NOTFOUND, one that cannot be
** resolved the parent's negated code; -SQLITE_NOMEM.
*/
SQLITE3ASYNC_API int sqlite3async_status(const char *zPath, char *buf, int n);

/*
** Which databases are open through this VFS, or closed and not completely written yet: a
** JSON array of objects, each with "path", "connections" (how many have it open) and what
** sqlite3async_status() gives for it.  The result as there.
*/
SQLITE3ASYNC_API int sqlite3async_databases(char *buf, int n);

/*
** Has a connection the database zPath, or any database if zPath is NULL or "", open through
** this VFS?  1 or 0, or a negated result code, as for sqlite3async_status().
*/
SQLITE3ASYNC_API int sqlite3async_is_open(const char *zPath);

/*
** Events: "error", "diskfull", "resume".  "diskfull" tells by its code what the writer waits
** for: SQLITE_FULL, space on the disk; SQLITE_CANTOPEN, whatever is needed to open a journal or
** the folder, such as a free descriptor; SQLITE_NOMEM, memory.  *cursor is the number of events
** already seen (start with what a call with buf NULL puts there: all so
** far).  Writes the next one as a JSON object, moves *cursor past it and
** returns its length; 0 if there is none.  Only the latest 64 are kept.
*/
SQLITE3ASYNC_API int sqlite3async_event(sqlite3_int64 *cursor, char *buf, int n);

/*
** The words for the last failure of a function of this header on the calling
** thread.  Returns the length of the text, of which at most n - 1 bytes are
** written; buf may be NULL.
*/
SQLITE3ASYNC_API int sqlite3async_errmsg(char *buf, int n);

/* The version, of the header and of the library: major * 1000000 + minor * 1000
** + patch. */
#define SQLITE3ASYNC_VERSION_NUMBER 1000
SQLITE3ASYNC_API int sqlite3async_version(void);

#ifdef __cplusplus
}
#endif
#endif /* SQLITE3ASYNC_H */
