/*
** What is not open through us.  See outside.h.
*/
#include "outside.h"

#include "api.h"
#include "known.h"
#include "router.h"

#include <stdlib.h>

#define OUTSIDE_PATH_MAX 1024

static int error_of_open(const char *verb, const char *path) {
  return async_api_error(SQLITE_NOTFOUND,
                         "Cannot %s \"%.400s\": it is open outside of sqlite3async, by a "
                         "second copy of a driver or by a connection from before install() "
                         "or route(); open it by vfs.uri() or call vfs.route() before it is "
                         "opened, and install({ host }) for a driver that brings its own SQLite",
                         verb, path);
}

int async_outside_error(const char *verb, const char *zPath, bool never) {
  char *full;
  bool is_open = async_api_full_path(zPath, &full) == SQLITE_OK && async_os_is_open_here(full);
  free(full);
  if (is_open) return error_of_open(verb, zPath);
  return async_api_error(SQLITE_NOTFOUND,
                         "Cannot %s \"%.400s\": it %s open through sqlite3async%s; open it by "
                         "vfs.uri() or call vfs.route() before it is opened",
                         verb, zPath, never ? "was never" : "is not",
                         never ? " in this process" : "");
}

int async_outside_was_open(const char *zPath) {
  char *full;
  int rc = async_api_full_path(zPath, &full);
  if (rc == SQLITE_OK && !async_known_was_open(full)) rc = SQLITE_NOTFOUND;
  free(full);
  return rc;
}

int async_outside_check_routes(const char *verb) {
  char path[OUTSIDE_PATH_MAX];
  if (!async_router_find_outside(path, sizeof path)) return SQLITE_OK;
  return error_of_open(verb, path);
}
