/*
** A database that has lost its name: while it is open here, its owner has
** renamed or deleted it, or put another file in its place, or done so to its
** folder.
**
** From then on the names of its journals belong to whatever is at the path
** now.  What is queued still reaches the file, through the descriptors that are
** open, so that a file that was renamed has every commit; but nothing is done
** by name any more:
**
**   - a journal that would be created is a temporary file without a name;
**   - a journal of ours that lies under the name is removed, if it still is the
**     file that we opened: SQLite would take it for the hot journal of the
**     database that is there now;
**   - a deletion closes the journal and deletes nothing.
**
** SQLite asks for HAS_MOVED itself before it opens a journal, and refuses a
** transaction with SQLITE_READONLY_DBMOVED.  So this is about what was
** committed before.
**
** INVARIANT  An op that works by name, or is applied while a journal lies there, is applied
** between begin_by_name and end_by_name, and another stream takes the path
** over only after async_moved_leave_path(), which waits for the end.  So no op
** of the old stream meets a journal of the new one.
**
** Windows lets nobody rename or delete what is open, so nothing moves there.
*/
#ifndef ASYNC_MOVED_H
#define ASYNC_MOVED_H

#include "file.h"

/* Under the mutex: does the op do something by name, or could a journal be hot meanwhile? */
bool async_moved_concerns(AsyncStream *stream, const AsyncOp *op);

/*
** Under the stream's mutex, which they leave meanwhile.  begin: the writer is about
** to apply such an op; stream->moved says how.
*/
void async_moved_begin_by_name(AsyncStream *stream);
void async_moved_end_by_name(AsyncStream *stream);

/* Under the stream's mutex, which it leaves meanwhile: look, and set stream->moved. */
bool async_moved_look(AsyncStream *stream);

/* The same, with no mutex of the stream held. */
bool async_moved_look_now(AsyncStream *stream);

/* The answer to SQLITE_FCNTL_HAS_MOVED.  A database that was moved back has its names again, unless
** another stream has the path. */
int async_moved_ask(AsyncStream *stream, int *moved);

/* The path is another stream's from here on; no mutex is held. */
void async_moved_leave_path(AsyncStream *stream);
/* The same of a stream that does nothing any more, though handles are open. */
void async_moved_forget_path(AsyncStream *stream);
/* Has any of that ever happened?  Then a journal's name may mean the journals of two streams. */
bool async_moved_has_left_path(void);

#endif /* ASYNC_MOVED_H */
