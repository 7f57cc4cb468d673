/*
** Syncs of folders.  See folder_sync.h.
*/
#include "folder_sync.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

int test_fsync(int descriptor);

static FolderSync *_Atomic present;

void folder_sync_by(FolderSync *handler) { present = handler; }

int test_fsync(int descriptor) {
  FolderSync *handler = present;
  if (handler == NULL) return fsync(descriptor);
  char link[64];
  char path[600] = "";
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  path[length > 0 ? length : 0] = '\0';
  return handler(path, descriptor);
}
