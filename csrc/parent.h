/*
** Reads and writes of the parent's files, whose handles several threads use at a time: whoever
** reads, a writer, the checkpointer.
**
** SQLite's VFS for unix bears that where it was compiled with pread() and pwrite(), as newer
** ones are.  Older ones (3.40 is, by default, one of them on Linux) move the position of the
** descriptor and then read or write there, and two threads would get each other's places.  With
** such a parent one thread at a time is let in, a stream.
**
** So with that for Windows.  It reads and writes by one call, but to truncate it moves the
** position, which every read moves, too, and then ends the file there: a reader meanwhile, and
** the file ends behind what was read.  Each checkpoint truncates.
**
** A parent of another kind must bear it.
*/
#ifndef ASYNC_PARENT_H
#define ASYNC_PARENT_H

#include "stream.h"

/* Does this VFS move a position before it reads, writes or truncates? */
bool async_parent_has_position(sqlite3_vfs *parent);

/* As xRead and xWrite of a handle of the stream's parent.  No mutex of the stream's but that
** of its locks may be held. */
int async_parent_read(AsyncStream *stream, sqlite3_file *file, void *buf, int n, int64_t offset);
int async_parent_write(AsyncStream *stream, sqlite3_file *file, const void *data, int n,
                       int64_t offset);

/* As xTruncate, likewise. */
int async_parent_truncate(AsyncStream *stream, sqlite3_file *file, int64_t size);

/* SQLITE_FCNTL_SIZE_HINT: the parent may write, to make room. */
void async_parent_size_hint(AsyncStream *stream, sqlite3_file *file, int64_t size);

#endif /* ASYNC_PARENT_H */
