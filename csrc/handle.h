/*
** A handle: what SQLite holds of a file it opened through us.
**
** One thread at a time uses a handle, as SQLite promises.
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
  AsyncShmUser shm;
  AsyncNames names;         /* of a database's journals; linked while it is open */
  bool is_shared_cache;     /* several connections may use it */
  sqlite3 **db;             /* where SQLite keeps the connection that uses it now; or NULL */
  AsyncClient *client;      /* that connection, see client.h; or NULL */
  AsyncHandle *client_next; /* of its handles */
  int level;                /* of the connection's commits, if no client has it, or: */
#define ASYNC_LEVEL_UNSET (-1)
  AsyncCommit commit;          /* a commit that SQLite is about to tell of */
  bool is_ending;              /* SQLite is closing the connection, and gives no code to anybody, */
  bool knew_error;             /* and the program knew of the stream's error by then */
  bool is_abandoned;           /* the program has closed the connection, SQLite not yet */
  bool autocheckpoint_decided; /* it is as it is to be */
  bool autocheckpoint_off;     /* we turned it off */
  bool persist_wal;
  bool powersafe_overwrite;
  bool has_chunks; /* SQLITE_FCNTL_CHUNK_SIZE was set: size hints mean something */
};

/* Is it the program's handle on a database? */
bool async_handle_is_connection(const AsyncHandle *handle);

#endif /* ASYNC_HANDLE_H */
