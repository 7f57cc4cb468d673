/*
** Reads and writes of the parent's files.  See parent.h.
*/
#include "parent.h"

static bool has_call(sqlite3_vfs *parent, const char *name) {
  return parent->xGetSystemCall(parent, name) != NULL;
}

bool async_parent_has_position(sqlite3_vfs *parent) {
  if (parent->iVersion < 3 || parent->xGetSystemCall == NULL) return false;
  /* What it was compiled with, on Windows and on unix. */
  if (has_call(parent, "SetEndOfFile")) return true;
  return has_call(parent, "read") && !has_call(parent, "pread") && !has_call(parent, "pread64");
}

static void begin(AsyncStream *stream) {
  if (stream->has_position) async_mutex_enter(&stream->position_mutex);
}

static void end(AsyncStream *stream) {
  if (stream->has_position) async_mutex_leave(&stream->position_mutex);
}

int async_parent_read(AsyncStream *stream, sqlite3_file *file, void *buf, int n, int64_t offset) {
  begin(stream);
  int rc = file->pMethods->xRead(file, buf, n, offset);
  end(stream);
  return rc;
}

int async_parent_write(AsyncStream *stream, sqlite3_file *file, const void *data, int n,
                       int64_t offset) {
  begin(stream);
  int rc = file->pMethods->xWrite(file, data, n, offset);
  end(stream);
  return rc;
}

int async_parent_truncate(AsyncStream *stream, sqlite3_file *file, int64_t size) {
  begin(stream);
  int rc = file->pMethods->xTruncate(file, size);
  end(stream);
  return rc;
}

void async_parent_size_hint(AsyncStream *stream, sqlite3_file *file, int64_t size) {
  sqlite3_int64 hint = size;
  begin(stream);
  file->pMethods->xFileControl(file, SQLITE_FCNTL_SIZE_HINT, &hint);
  end(stream);
}

AsyncOsShortage async_parent_shortage(sqlite3_vfs *parent) {
  if (parent->xGetLastError == NULL) return ASYNC_OS_SHORTAGE_NONE;
  return async_os_shortage(parent->xGetLastError(parent, 0, NULL));
}
