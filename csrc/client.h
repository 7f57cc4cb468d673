/*
** A client: a connection of the program, with its handles on databases of ours.
**
** A driver may close a connection of which statements are not finalized: with
** sqlite3_close_v2() it then lives on as a zombie until a garbage collector
** finalizes them, and no file is closed before.  For the program it is closed.  So
** SQLite is asked to say when the connection is closed (its client data are
** destroyed then, from version 3.44 on), and a zombie's databases get what a last
** close gives, as far as the open handles allow: all is applied, and the OS lock is
** given back, so that other processes can read and write.
**
** Drivers that keep the connection themselves, and close it when the last statement
** has been collected (bun:sqlite, libsql), have it said by `PRAGMA async_closing`.
**
** A client also has the level of its commits (level.h), so that this is one for all its databases,
** whenever they are attached.  Where there is no client, before 3.44, the handle of the main
** database has it, if that is ours, or else each handle for itself; and with a shared cache the
** cache's handle.
**
** LOCKS  A client and its list belong to the connection: SQLite calls in here under
** the connection's mutex, or its program sees to it.
*/
#ifndef ASYNC_CLIENT_H
#define ASYNC_CLIENT_H

#include "handle.h"

/* SQLite has said whose the handle is (SQLITE_FCNTL_PDB). */
void async_client_note(AsyncHandle *handle);

/* The handle is closed. */
void async_client_forget(AsyncHandle *handle);

/* The level of the connection's commits now, its own or the process's; and set it: until then it
** has none of its own. */
int async_client_level(AsyncHandle *handle);
void async_client_set_level(AsyncHandle *handle, int level);

/* The program is about to close the connection, which may live on.  What is to be done then,
** async_client_release_abandoned() does. */
void async_client_abandon(AsyncHandle *handle);

/* Give a last close's result to all databases that no connection has open but those of zombies. */
void async_client_release_abandoned(void);

#endif /* ASYNC_CLIENT_H */
