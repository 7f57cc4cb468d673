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
  int rc = sqlite3_file_control(handle->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
  return rc == SQLITE_OK && file == &handle->base;
}

void async_autocheckpoint_adopt(AsyncHandle *handle) {
  if (handle->db == NULL || handle->autocheckpoint_settled) return;
  if (handle->wal.is_checkpointer || !async_checkpoint_is_active() || !is_main(handle)) return;
  handle->autocheckpoint_settled = true;
  /* The argument of SQLite's own hook is the number of frames. */
  intptr_t frames = (intptr_t)sqlite3_wal_hook(handle->db, NULL, NULL);
  if (frames > 0 && frames <= INT32_MAX && frames != default_frames()) {
    sqlite3_wal_autocheckpoint(handle->db, (int)frames);
  }
}

void async_autocheckpoint_note_pragma(AsyncHandle *handle, const char *name, const char *value) {
  if (value == NULL) return;
  if (sqlite3_stricmp(name, "wal_autocheckpoint") == 0) handle->autocheckpoint_settled = true;
  /* Then nobody else gets in, the checkpointer included. */
  bool exclusive =
      sqlite3_stricmp(name, "locking_mode") == 0 && sqlite3_stricmp(value, "exclusive") == 0;
  if (exclusive && handle->db != NULL && is_main(handle)) {
    if (handle->autocheckpoint_settled) sqlite3_wal_autocheckpoint(handle->db, default_frames());
    handle->autocheckpoint_settled = true;
  }
}
