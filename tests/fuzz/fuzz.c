/*
** What the fuzz targets share.  See fuzz.h.
*/
#include "fuzz.h"

#include "database.h"
#include "mutex.h"
#include "registry.h"
#include "writer.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- The input ---- */

int fuzz_byte(FuzzInput *input) {
  if (input->left == 0) return 0;
  input->left--;
  return *input->data++;
}

int fuzz_below(FuzzInput *input, int n) {
  int number = fuzz_byte(input);
  if (n > 0x100) number |= fuzz_byte(input) << 8;
  if (n > 0x10000) number |= fuzz_byte(input) << 16;
  return number % n;
}

void fuzz_tell(const char *format, ...) {
  if (getenv("VERBOSE") == NULL) return;
  va_list args;
  va_start(args, format);
  printf("# ");
  vprintf(format, args);
  printf("\n");
  va_end(args);
}

/* ---- The parent: "unix", in whose calls the writer gets a turn ---- */

static int io_calls;
static int io_steps;

void fuzz_step_during_io(int calls, int steps) {
  io_calls = calls;
  io_steps = steps;
}

static bool holds_a_mutex(void) {
  for (int rank = ASYNC_RANK_API; rank <= ASYNC_RANK_ARENA; rank++) {
    AsyncMutex of_rank = {.rank = (AsyncRank)rank};
    if (async_mutex_is_held(&of_rank)) return true;
  }
  return false;
}

static void give_a_turn(void) {
  if (io_calls == 0 || holds_a_mutex()) return;
  int steps = io_steps;
  io_calls--;
  io_steps = 0; /* not in the calls of the writer itself */
  step_some(steps);
  io_steps = steps;
}

/* A copy of the methods of one kind of file, with ours in place of two of them. */
typedef struct Methods {
  sqlite3_io_methods changed;
  const sqlite3_io_methods *original;
} Methods;

static const sqlite3_io_methods *original_of(sqlite3_file *file) {
  return ((const Methods *)file->pMethods)->original;
}

static int turning_read(sqlite3_file *file, void *buf, int n, sqlite3_int64 offset) {
  int rc = original_of(file)->xRead(file, buf, n, offset);
  give_a_turn();
  return rc;
}

static int turning_size(sqlite3_file *file, sqlite3_int64 *size) {
  int rc = original_of(file)->xFileSize(file, size);
  give_a_turn();
  return rc;
}

static void change_methods(sqlite3_file *file) {
  static Methods kinds[8];
  Methods *kind = kinds;
  while (kind->original != NULL && kind->original != file->pMethods) kind++;
  CHECK(kind < kinds + 7);
  if (kind->original == NULL) {
    kind->changed = *file->pMethods;
    kind->original = file->pMethods;
    kind->changed.xRead = turning_read;
    kind->changed.xFileSize = turning_size;
  }
  file->pMethods = &kind->changed;
}

static int turning_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                        int *out_flags) {
  sqlite3_vfs *unix_vfs = vfs->pAppData;
  int rc = unix_vfs->xOpen(unix_vfs, name, file, flags, out_flags);
  if (rc == SQLITE_OK) change_methods(file);
  return rc;
}

/* ---- The life of the VFS ---- */

void fuzz_setup(void) {
  static sqlite3_vfs parent;
  if (parent.zName != NULL) return;
  CHECK_EQ(sqlite3_initialize(), SQLITE_OK);
  sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix");
  CHECK(unix_vfs != NULL);
  parent = *unix_vfs;
  parent.pNext = NULL;
  parent.zName = "turning";
  parent.xOpen = turning_open;
  parent.pAppData = unix_vfs; /* "unix" finds its kind of locking by what is in there */
  CHECK_EQ(sqlite3_vfs_register(&parent, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_initialize("turning", 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_LOCK_HOLD_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_QUEUE_BYTES, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 0), SQLITE_OK);
}

void fuzz_drain(void) {
  fuzz_step_during_io(0, 0);
  step_all();
  CHECK(!async_registry_is_in_use());
  AsyncStream **streams = async_registry_all();
  CHECK(streams != NULL && streams[0] == NULL);
  async_registry_unref_all(streams);
  AsyncFailure failure;
  if (async_registry_take_failure(NULL, &failure)) FAIL("%s: %d", failure.path, failure.code);
}

/* ---- Files ---- */

void fuzz_empty_folder(const char *folder) {
  if (mkdir(folder, 0700) == 0) return;
  DIR *dir = opendir(folder);
  CHECK(dir != NULL);
  struct dirent *entry;
  while ((entry = readdir(dir)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    CHECK(unlink(path) == 0);
  }
  closedir(dir);
}
