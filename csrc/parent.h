/*
** Reads and writes of the parent's files, whose handles several threads use at a time: whoever
** reads, a writer, the checkpointer.
**
** SQLite's VFS for unix allows that where it was compiled with pread() and pwrite(), as newer
** ones are.  Older ones (3.40 is, by default, one of them on Linux) move the position of the
** descriptor and then read or write there, and two threads would get each other's places.  That
** of Windows moves it to the new size and truncates there, and every read and write moves it, too.
** With such a parent one thread at a time is let in, a stream.  (Windows itself
** lets one thread at a time use a handle, so what is added is that handles wait for each other.)
**
** A parent of another kind must allow it.
*/
#ifndef ASYNC_PARENT_H
#define ASYNC_PARENT_H

#include "stream.h"

/* Does this VFS move a handle's position and then rely on it? */
bool async_parent_has_position(sqlite3_vfs *parent);

/* As xRead, xWrite and xTruncate of a handle of the stream's parent.  No mutex of the stream's
** but that of its locks may be held. */
int async_parent_read(AsyncStream *stream, sqlite3_file *file, void *buf, int n, int64_t offset);
int async_parent_write(AsyncStream *stream, sqlite3_file *file, const void *data, int n,
                       int64_t offset);
int async_parent_truncate(AsyncStream *stream, sqlite3_file *file, int64_t size);

/* What the parent's last error on this thread, as its xGetLastError tells it, says of shortages. */
AsyncOsShortage async_parent_shortage(sqlite3_vfs *parent);

/* SQLITE_FCNTL_SIZE_HINT: the parent may write, to make room. */
void async_parent_size_hint(AsyncStream *stream, sqlite3_file *file, int64_t size);

#endif /* ASYNC_PARENT_H */
