/*
** SQLite's automatic checkpoints.  See autocheckpoint.h.
*/
#include "autocheckpoint.h"

#include "checkpoint.h"

#include <stdlib.h>
#include <string.h>

/* Frames after which a connection checkpoints by default. */
#define DEFAULT_FRAMES 1000
#define OPTION "DEFAULT_WAL_AUTOCHECKPOINT="

/* The host may have been compiled with another default. */
static int default_frames(void) {
  const char *option;
  for (int i = 0; (option = sqlite3_compileoption_get(i)) != NULL; i++) {
    if (strncmp(option, OPTION, strlen(OPTION)) == 0) return atoi(option + strlen(OPTION));
  }
  return DEFAULT_FRAMES;
}

/* Is this the handle of the connection's main database? */
static bool is_main(AsyncHandle *handle) {
  sqlite3_file *file = NULL;
  int rc = sqlite3_file_control(*handle->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
  return rc == SQLITE_OK && file == &handle->base;
}

void async_autocheckpoint_adopt(AsyncHandle *handle) {
  if (handle->db == NULL || handle->autocheckpoint_decided) return;
  if (handle->shm.is_checkpointer || !async_checkpoint_is_active() || !is_main(handle)) return;
  handle->autocheckpoint_decided = true;
  /* The argument of SQLite's own hook is the number of frames. */
  intptr_t frames = (intptr_t)sqlite3_wal_hook(*handle->db, NULL, NULL);
  if (frames > 0 && frames == default_frames()) {
    handle->autocheckpoint_off = true;
  } else if (frames > 0 && frames <= INT32_MAX) {
    sqlite3_wal_autocheckpoint(*handle->db, (int)frames);
  } else if (frames != 0) {
    sqlite3_log(SQLITE_WARNING,
                "sqlite3async: the hook of sqlite3_wal_hook() was removed; it is to be set after "
                "the connection has used the database");
  }
}

/* The checkpointer does not take care of the connection's WAL. */
static void give_back(AsyncHandle *handle) {
  if (!handle->autocheckpoint_off) return;
  handle->autocheckpoint_off = false;
  sqlite3_wal_autocheckpoint(*handle->db, default_frames());
}

void async_autocheckpoint_note_commit(AsyncHandle *handle) {
  if (handle->stream->wal.cannot_checkpoint || !async_checkpoint_is_active()) give_back(handle);
}

void async_autocheckpoint_note_pragma(AsyncHandle *handle, const char *name, const char *value) {
  if (value == NULL) return;
  if (sqlite3_stricmp(name, "wal_autocheckpoint") == 0) {
    handle->autocheckpoint_decided = true;
    handle->autocheckpoint_off = false;
  }
  /* Then nobody else gets in, the checkpointer included. */
  bool exclusive =
      sqlite3_stricmp(name, "locking_mode") == 0 && sqlite3_stricmp(value, "exclusive") == 0;
  if (exclusive && handle->db != NULL && is_main(handle)) {
    give_back(handle);
    handle->autocheckpoint_decided = true;
  }
}
