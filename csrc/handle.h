/*
** A handle: what SQLite holds of a file it opened through us.
**
** One thread at a time uses a handle, as SQLite promises.  The methods do
** little: they hand on to file.h and lock.h.
*/
#ifndef ASYNC_HANDLE_H
#define ASYNC_HANDLE_H

#include "file.h"

typedef struct AsyncClient AsyncClient;

typedef struct AsyncHandle AsyncHandle;
struct AsyncHandle {
  sqlite3_file base;
  AsyncStream *stream; /* with a reference */
  AsyncFile *file;
  AsyncHolder lock;
  AsyncWalUser wal;
  sqlite3 **db;                /* where SQLite keeps the connection that uses it now; or NULL */
  AsyncClient *client;         /* that connection, see client.h; or NULL */
  AsyncHandle *client_next;    /* of its handles */
  const char *name;            /* of a database, with those of its journals behind it; or NULL */
  AsyncHandle *named_next;     /* of the stream's, under its mutex */
  bool is_closing;             /* SQLite is closing the connection, and gives no code to anybody, */
  bool knew_error;             /* and the program knew of the stream's error by then */
  bool is_abandoned;           /* the program has closed the connection, SQLite not yet */
  bool autocheckpoint_settled; /* it is as it is to be */
  bool autocheckpoint_off;     /* we turned it off */
  bool persist_wal;
  bool powersafe_overwrite;
  bool has_chunks; /* SQLITE_FCNTL_CHUNK_SIZE was set: size hints mean something */
};

/* Make *handle a handle on the file, opened with these flags; it takes over the reference. */
void async_handle_init(AsyncHandle *handle, AsyncStream *stream, AsyncFile *file, int flags);

/* SQLite has opened the database by this name, and keeps it as long as the handle is open. */
void async_handle_note_name(AsyncHandle *handle, const char *name);

/*
** The stream of the connection whose name of a journal this is, not only one that reads the same;
** with a reference, or NULL.
*/
int async_handle_find_stream(const char *journal, AsyncStream **stream);

/* Is it the program's handle on a database? */
bool async_handle_is_connection(const AsyncHandle *handle);

/* The stream of an open file, with a reference for the caller; NULL if the file is not ours. */
AsyncStream *async_handle_stream(sqlite3_file *base);

/* As xFileControl; in filecontrol.c. */
int async_handle_file_control(sqlite3_file *base, int op, void *arg);

#endif /* ASYNC_HANDLE_H */
