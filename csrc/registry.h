/*
** The registry: which streams there are, by path and by id, and who may still
** look at them.
**
** A reference keeps a stream in being: each handle of SQLite has one, and
** each function that looks one up has one until it is done.  Besides, a
** stream lives as long as its writer is awake or it has something left to
** do; async_registry_end_run() and async_registry_unref() end it under the
** registry's mutex, so that nobody can find it while it goes.
*/
#ifndef ASYNC_REGISTRY_H
#define ASYNC_REGISTRY_H

#include "stream.h"

void async_registry_init(void);

/*
** The stream of the database at path, with a reference for the caller; NULL
** if there is none.  create: make one if need be; then NULL means that
** memory is out.
*/
AsyncStream *async_registry_find(const char *path);
AsyncStream *async_registry_create(const char *path, sqlite3_vfs *parent);

/* Has any stream this path, also one that the path means no longer? */
bool async_registry_has_path(const char *path);

/* The path leads elsewhere now, by a link: it is no longer a name of the stream that has it. */
void async_registry_note_link(const char *path);

/*
** The stream a file belongs to by its name: the database itself, or
** DATABASE-journal, DATABASE-wal, DATABASE-mjXXXXXXXXX.  If somebody has opened
** such a file as a database, too, it still is the journal of the other.
*/
AsyncStream *async_registry_find_owner(const char *path_of_file);

/* The stream that has left its path, and a connection of which calls its journal or WAL by the name
** at this very address. */
AsyncStream *async_registry_find_by_names(const char *name);

/* The path means another file now: who opens it gets a new stream. */
void async_registry_forget_path(AsyncStream *stream);
/* Or this stream's again, which has given it up: false if another one has it.  Clears
** has_left_path. */
bool async_registry_regain_path(AsyncStream *stream);

void async_registry_unref(AsyncStream *stream);

/* How many streams there are. */
int async_registry_count(void);

/*
** A run of one of the stream's tasks ends.  If nothing is to be done now it is over, and the
** thread must not touch the stream from here on.  False if there is something: then the run is
** not over.
*/
bool async_registry_end_run(AsyncStream *stream, AsyncTask *task);

/*
** All streams, with a reference each, as an array that ends with NULL; give
** it back with async_registry_unref_all().  NULL if memory is out.
*/
AsyncStream **async_registry_all(void);
void async_registry_unref_all(AsyncStream **streams);

/* The state of a stream by its id, after it has gone as well: see
** sqlite3async_durable(). */
int64_t async_registry_durable(int64_t id);

/*
** A stream that failed and has gone before anybody was told: of the database at
** path, or of any if path is NULL.  Fills in *failure and forgets it; false if
** there is none.
*/
typedef struct AsyncFailure {
  int64_t id;
  int code;
  bool told;
  int64_t lost; /* committed transactions that are not on disk */
  char path[1024];
} AsyncFailure;
/* Is there any? */
bool async_registry_has_failure(void);
bool async_registry_take_failure(const char *path, AsyncFailure *failure);

/* What all streams that have gone had done, for the status of all. */
typedef struct AsyncPast {
  AsyncStats stats;
  AsyncWatermark pushed;
  AsyncWatermark applied;
  AsyncWatermark durable;
} AsyncPast;
AsyncPast async_registry_past(void);

/* Is it so for any stream?  Called under the registry's mutex and the stream's. */
bool async_registry_any(bool (*test)(AsyncStream *));

/* If anything is queued, wake a writer at once, for the caller waits.  False if nothing is. */
bool async_registry_wake_if_queued(void);
/* What is queued now is what async_registry_wake_if_noted() is about. */
void async_registry_note_queued(void);
/* The same, only for what was queued then: others may go on committing. */
bool async_registry_wake_if_noted(void);
/* All threads but this one are gone, some in the middle of a run or of a sync: what
** they were at is to be done anew. */
void async_registry_take_over(void);
/* maxDelayMs has changed: when syncs are due, too. */
void async_registry_rearm(void);
/* Is a database open, or any op queued? */
bool async_registry_is_in_use(void);

#endif /* ASYNC_REGISTRY_H */
