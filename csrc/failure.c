/*
** What becomes of a step that could not be done.  See failure.h.
*/
#include "failure.h"

#include "config.h"
#include "event.h"
#include "barrier.h"
#include "moved.h"
#include "parent.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Pause between two tries of what is stalled. */
#define HELD_RETRY_US 100000

const char *async_failure_operation(AsyncOpKind kind) {
  switch (kind) {
  case ASYNC_OP_CREATE:
    return "create";
  case ASYNC_OP_WRITE:
    return "write";
  case ASYNC_OP_TRUNCATE:
    return "truncate";
  case ASYNC_OP_SIZE_HINT:
    return "size hint";
  case ASYNC_OP_SYNC:
    return "sync";
  case ASYNC_OP_DELETE:
    return "delete";
  case ASYNC_OP_BARRIER:
    return "multi-database commit";
  }
  return "";
}

/* What SQLite calls a shortage. */
static int code_of_shortage(AsyncOsShortage shortage) {
  switch (shortage) {
  case ASYNC_OS_SHORTAGE_SPACE:
    return SQLITE_FULL;
  case ASYNC_OS_SHORTAGE_DESCRIPTORS:
    return SQLITE_CANTOPEN;
  case ASYNC_OS_SHORTAGE_MEMORY:
    return SQLITE_NOMEM;
  case ASYNC_OS_SHORTAGE_NONE:
    break;
  }
  return SQLITE_OK;
}

int async_failure_shortage(AsyncStream *stream, const AsyncOp *op, int rc, bool moved) {
  if (op->kind == ASYNC_OP_SYNC) return SQLITE_OK; /* see "Errors" in docs/design.md */
  int code = rc & 0xff;
  if (code == SQLITE_FULL) return SQLITE_FULL;
  if (code == SQLITE_NOMEM || rc == SQLITE_IOERR_NOMEM) return SQLITE_NOMEM;
  if (code != SQLITE_IOERR && code != SQLITE_CANTOPEN) return SQLITE_OK;
  AsyncOsShortage shortage = async_parent_shortage(stream->parent);
  if (shortage == ASYNC_OS_SHORTAGE_NONE && op->kind == ASYNC_OP_CREATE && !moved) {
    int error_number = async_file_why_not_created(op->file);
    if (error_number == 0) return rc; /* whatever it was is there again */
    shortage = async_os_shortage(error_number);
  }
  return code_of_shortage(shortage);
}

/* ---- Failing ---- */

/* Under the mutex, which it leaves meanwhile: nothing of a stream that fails, or waits for long,
** may lie beside the database that is at its path now. */
static bool look_whether_moved(AsyncStream *stream) {
  async_moved_begin_by_name(stream);
  async_moved_end_by_name(stream);
  return stream->moved;
}

/* Under the mutex, which it leaves meanwhile. */
static void drop_queue(AsyncStream *stream) {
  while (stream->queue.head != NULL) {
    AsyncOp *op = stream->queue.head;
    bool has_barrier = op->kind == ASYNC_OP_BARRIER || op->kind == ASYNC_OP_DELETE;
    AsyncBarrier *barrier = has_barrier ? op->barrier : NULL;
    async_file_drop(stream);
    if (barrier != NULL) {
      async_mutex_leave(&stream->mutex);
      async_barrier_leave(barrier, stream, stream->error.code);
      async_mutex_enter(&stream->mutex);
    }
  }
}

void async_failure_fail(AsyncStream *stream, int code, const char *operation, const char *path) {
  assert(stream->error.code == SQLITE_OK);
  stream->error.operation = operation;
  stream->error.path = malloc(strlen(path) + 1);
  if (stream->error.path != NULL) strcpy(stream->error.path, path);
  bool moved = look_whether_moved(stream);
  AsyncOsFileState database = stream->database_state;
  async_mutex_leave(&stream->mutex);
  bool deleted = moved && async_os_is_deleted(database);
  async_mutex_enter(&stream->mutex);
  stream->is_deleted = deleted;
  stream->error.code = code;
  stream->under_pressure = true;
  stream->op_stalled_since_us = stream->folder_stalled_since_us = 0;
  drop_queue(stream);
  /* Nothing waits to be synced any more. */
  AsyncFile *older;
  for (AsyncFile *file = stream->files.newest; file != NULL; file = older) {
    older = file->older;
    async_file_let_go(file);
  }
  async_stream_signal(&stream->durable_moved);
  async_stream_signal(&stream->applied_moved);
  async_stream_signal(&stream->room_made);
  /* Our own copy, which does not change any more: the file may be gone by now. */
  const char *failed_path = stream->error.path == NULL ? "?" : stream->error.path;
  /* What its owner has deleted has lost nothing, nor has what is cut off once all is durable. */
  bool quiet = deleted || stream->cut_off;
  async_mutex_leave(&stream->mutex);
  if (!quiet) {
    sqlite3_log(code,
                "sqlite3async: %s of %s failed; the database %s takes no more writes until all "
                "its connections are closed",
                operation, failed_path, stream->path);
    async_event_publish(ASYNC_EVENT_ERROR, code, operation, failed_path, stream->path);
  }
  async_mutex_enter(&stream->mutex);
}

void async_failure_note(AsyncStream *stream, int code, AsyncOpKind kind, const char *path) {
  AsyncSideError *error = &stream->side_error;
  if (error->code != SQLITE_OK) return;
  error->path = malloc(strlen(path) + 1);
  if (error->path != NULL) strcpy(error->path, path);
  error->operation = async_failure_operation(kind);
  error->code = code;
}

bool async_failure_is_closed_for_long(const AsyncStream *stream) {
  int64_t closing_us = async_os_now_us() - stream->closing_since_us;
  return stream->is_closing && closing_us >= async_config.exit_drain_ms * 1000;
}

/* Has what is stalled been tried for long enough?  Under the mutex. */
static bool is_hopeless(const AsyncStream *stream, int64_t since_us) {
  int64_t now_us = async_os_now_us();
  if (now_us - since_us >= async_config.disk_full_retry_ms * 1000) return true;
  if (!stream->is_closing) return false;
  /* Once it is closed it must be its owner's at some time: see closing.h. */
  if (since_us < stream->closing_since_us) since_us = stream->closing_since_us;
  return now_us - since_us >= async_config.exit_drain_ms * 1000;
}

bool async_failure_stall(AsyncStream *stream, int64_t *since_us, int code, const char *operation,
                         const char *path, int64_t *due_us) {
  int64_t now_us = async_os_now_us();
  bool is_new = *since_us == 0;
  if (is_new) *since_us = now_us;
  if (is_hopeless(stream, *since_us)) return false;
  async_moved_look(stream); /* as look_whether_moved(), but on any thread */
  *due_us = now_us + HELD_RETRY_US;
  if (is_new) {
    async_mutex_leave(&stream->mutex);
    async_event_publish(ASYNC_EVENT_DISK_FULL, code, operation, path, stream->path);
    async_mutex_enter(&stream->mutex);
  }
  return true;
}

void async_failure_resume(AsyncStream *stream, int64_t *since_us, const char *operation) {
  if (*since_us == 0) return;
  *since_us = 0;
  async_mutex_leave(&stream->mutex);
  async_event_publish(ASYNC_EVENT_RESUME, SQLITE_OK, operation, stream->path, stream->path);
  async_mutex_enter(&stream->mutex);
}
