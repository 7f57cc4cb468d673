/*
** Databases that have lost their name.  See moved.h.
*/
#include "moved.h"

#include "registry.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_bool has_left_path;

/* More than any VFS of SQLite's takes. */
#define NAME_LENGTH_MAX 4096
/* How often to look whether the writer has done what it does by name: one system call. */
#define BY_NAME_POLL_US 100

/* Under the mutex, which it leaves meanwhile. */
static bool has_moved(AsyncStream *stream) {
  AsyncFile *database = stream->files.database;
  if (database == NULL || database->parent == NULL) return false;
  int moved = 0;
  async_file_pin(database);
  async_mutex_leave(&stream->mutex);
  sqlite3_file *parent = database->parent;
  int rc = parent->pMethods->xFileControl(parent, SQLITE_FCNTL_HAS_MOVED, &moved);
  async_mutex_enter(&stream->mutex);
  async_file_unpin(database);
  return rc == SQLITE_OK && moved != 0;
}

static bool is_same(AsyncOsFileState a, AsyncOsFileState b) {
  return a.inode != 0 && a.inode == b.inode && a.device == b.device;
}

/* Under the mutex: a journal that may lie under the name.  There can be one for each transaction
** that is queued. */
static AsyncFile *find_journal(AsyncStream *stream) {
  AsyncFile *file = stream->files.newest;
  while (file != NULL && (file->state.inode == 0 || file->gone || file->is_left))
    file = file->older;
  return file;
}

static bool works_by_name(const AsyncOp *op) {
  switch (op->kind) {
  case ASYNC_OP_CREATE:
  case ASYNC_OP_DELETE:
    return true;
  case ASYNC_OP_WRITE:
    /* A journal that was kept: its header makes it hot. */
    return op->file->role == ASYNC_ROLE_JOURNAL && op->offset == 0;
  case ASYNC_OP_TRUNCATE:
  case ASYNC_OP_SIZE_HINT:
  case ASYNC_OP_SYNC:
  case ASYNC_OP_BARRIER:
    break;
  }
  return false;
}

bool async_moved_concerns(AsyncStream *stream, const AsyncOp *op) {
  return works_by_name(op) || find_journal(stream) != NULL;
}

/* Under the mutex, which it leaves meanwhile: a journal that lies under the name goes, if it
** still is the one that we opened. */
static void remove_journals(AsyncStream *stream) {
  sqlite3_vfs *vfs = stream->parent;
  AsyncFile *journal;
  while ((journal = find_journal(stream)) != NULL) {
    AsyncOsFileState state = journal->state;
    journal->is_left = true;
    async_file_pin(journal);
    async_mutex_leave(&stream->mutex);
    if (is_same(async_os_file_state(journal->path), state)) vfs->xDelete(vfs, journal->path, 0);
    async_mutex_enter(&stream->mutex);
    async_file_unpin(journal);
  }
}

/* The same of a journal that SQLite has closed, and of which all that was applied was applied. */
static void remove_closed_journal(AsyncStream *stream) {
  AsyncOsFileState state = stream->closed_journal;
  if (state.inode == 0) return;
  stream->closed_journal = (AsyncOsFileState){0};
  async_mutex_leave(&stream->mutex);
  char name[NAME_LENGTH_MAX]; /* there may be no memory */
  int length = snprintf(name, sizeof name, "%s-journal", stream->path);
  bool fits = length > 0 && length < (int)sizeof name;
  if (fits && is_same(async_os_file_state(name), state)) {
    stream->parent->xDelete(stream->parent, name, 0);
  }
  async_mutex_enter(&stream->mutex);
}

/* Under the mutex, which it leaves meanwhile: nothing of ours may lie there that could be hot. */
static void leave_nothing(AsyncStream *stream) {
  stream->removing++;
  remove_journals(stream);
  remove_closed_journal(stream);
  stream->removing--;
}

bool async_moved_look(AsyncStream *stream) {
  assert(async_mutex_is_held(&stream->mutex));
  if (!stream->has_left_path) {
    int64_t seen = stream->moves_seen;
    if (has_moved(stream)) stream->moves_seen++;
    /* What this look saw is old, if another one has seen a move meanwhile. */
    stream->moved = stream->has_left_path || stream->moves_seen != seen;
  }
  bool moved = stream->moved;
  /* Each time: a journal may just have been created, by an op that was under way. */
  if (moved) leave_nothing(stream);
  return moved;
}

bool async_moved_look_now(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  bool moved = async_moved_look(stream);
  async_mutex_leave(&stream->mutex);
  return moved;
}

int async_moved_ask(AsyncStream *stream, int *moved) {
  async_mutex_enter(&stream->mutex);
  int rc = async_stream_report_error(stream);
  bool left = stream->has_left_path;
  if (rc == SQLITE_OK) {
    *moved = left ? has_moved(stream) : async_moved_look(stream);
    rc = async_stream_report_error(stream); /* it may have failed, or been cut off, meanwhile */
  }
  async_mutex_leave(&stream->mutex);
  if (rc != SQLITE_OK || !left || *moved) return rc;
  /* It is back in its place.  Is that still free? */
  *moved = !async_registry_regain_path(stream);
  return SQLITE_OK;
}

void async_moved_begin_by_name(AsyncStream *stream) {
  assert(!stream->by_name && "a stream has one writer");
  /* First: whoever finds it moved from here on waits.  Nobody else will, once it has been left. */
  stream->by_name = !stream->has_left_path;
  async_moved_look(stream);
}

void async_moved_end_by_name(AsyncStream *stream) { stream->by_name = false; }

void async_moved_leave_path(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  stream->moved = stream->has_left_path = true;
  /* Ends because the writer has one op under way, and begins no other one by name; and of who
  ** removes something each file is removed once. */
  while (stream->by_name || stream->removing > 0) {
    async_mutex_leave(&stream->mutex);
    async_os_sleep_us(BY_NAME_POLL_US);
    async_mutex_enter(&stream->mutex);
  }
  leave_nothing(stream);
  async_mutex_leave(&stream->mutex);
  async_file_collect(stream);
  async_moved_forget_path(stream);
}

void async_moved_forget_path(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  stream->has_left_path = true;
  async_mutex_leave(&stream->mutex);
  has_left_path = true; /* before anybody else can have the path */
  async_registry_forget_path(stream);
}

bool async_moved_has_left_path(void) { return has_left_path; }
