/*
** The router.  See router.h.
**
** Whatever is not routed is opened by the former default VFS in SQLite's own
** handle, with its own methods: after that we are not involved any more.
**
** A database and its journals must go the same way.  So a route is not taken back while a
** database is being opened by it, and a database is not opened by it, but waits, while it
** is being looked whether the route can be taken back.
*/
#include "router.h"

#include "config.h"
#include "control.h"
#include "path.h"
#include "registry.h"
#include "vfs.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* The longest wait for the end of a stream that is about to end, and how often to look. */
#define END_WAIT_US 1000000
#define END_POLL_US 200

typedef struct Route Route;
struct Route {
  Route *next;
  char *path;   /* in full */
  int users;    /* who just open a database by it, or look whether it can be taken back */
  bool leaving; /* somebody looks whether it can */
  bool gone;    /* from the list; the last user frees it */
};

static AsyncMutex router_mutex;
static AsyncCond decided; /* a route that was leaving is gone, or stays */
static Route *routes;     /* guarded by router_mutex, all of them */
/* So that with no routes nothing is locked on behalf of others' files. */
static atomic_int route_count;

static sqlite3_vfs router_vfs;
static bool router_registered; /* guarded by router_mutex */

void async_router_init(void) {
  async_mutex_init(&router_mutex, ASYNC_RANK_ROUTER);
  async_cond_init(&decided);
}

static Route **find_route(const char *path, size_t length) {
  Route **link = &routes;
  while (*link != NULL &&
         (strncmp((*link)->path, path, length) != 0 || (*link)->path[length] != '\0')) {
    link = &(*link)->next;
  }
  return link;
}

/* Of a database or one of its journals; or NULL. */
static Route *route_of(const char *name) {
  Route *route = *find_route(name, strlen(name));
  size_t owner = async_path_owner_length(name);
  if (route == NULL && owner > 0) route = *find_route(name, owner);
  return route;
}

static sqlite3_vfs *vfs_for(const char *name) {
  if (name == NULL || route_count == 0) return router_vfs.pAppData;
  async_mutex_enter(&router_mutex);
  bool routed = route_of(name) != NULL;
  async_mutex_leave(&router_mutex);
  return routed ? async_vfs() : router_vfs.pAppData;
}

static void free_if_gone(Route *route) {
  if (!route->gone || route->users > 0) return;
  free(route->path);
  free(route);
}

static void take_off(Route **link) {
  Route *route = *link;
  *link = route->next;
  route_count--;
  route->gone = true;
  free_if_gone(route);
}

/* The route by which a database is to be opened, which stays until that is done; or NULL. */
static Route *hold_route(const char *name) {
  if (name == NULL || route_count == 0) return NULL;
  async_mutex_enter(&router_mutex);
  Route *route = route_of(name);
  while (route != NULL && route->leaving && !async_forked) {
    async_cond_wait(&decided, &router_mutex, -1); /* in a child, nobody decides any more */
    route = route_of(name);
  }
  if (route != NULL) route->users++;
  async_mutex_leave(&router_mutex);
  return route;
}

static void let_route_go(Route *route) {
  async_mutex_enter(&router_mutex);
  route->users--;
  free_if_gone(route);
  async_mutex_leave(&router_mutex);
}

static int open_database(const char *name, sqlite3_file *base, int flags, int *out_flags) {
  Route *route = hold_route(name);
  sqlite3_vfs *target = route != NULL ? async_vfs() : router_vfs.pAppData;
  int rc = target->xOpen(target, name, base, flags, out_flags);
  if (route != NULL) let_route_go(route);
  return rc;
}

static int router_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                       int *out_flags) {
  (void)vfs;
  if (flags & SQLITE_OPEN_MAIN_DB) return open_database(name, base, flags, out_flags);
  sqlite3_vfs *target = vfs_for(name);
  return target->xOpen(target, name, base, flags, out_flags);
}

static int router_delete(sqlite3_vfs *vfs, const char *name, int sync_directory) {
  (void)vfs;
  sqlite3_vfs *target = vfs_for(name);
  return target->xDelete(target, name, sync_directory);
}

static int router_access(sqlite3_vfs *vfs, const char *name, int flags, int *result) {
  (void)vfs;
  sqlite3_vfs *target = vfs_for(name);
  return target->xAccess(target, name, flags, result);
}

/* Under router_mutex: become the default VFS, unless what is the default is ours. */
static int register_router(void) {
  sqlite3_vfs *before = sqlite3_vfs_find(NULL);
  if (router_registered || before == async_vfs()) return SQLITE_OK;
  router_vfs = (sqlite3_vfs){.zName = "sqlite3async-router",
                             .xOpen = router_open,
                             .xDelete = router_delete,
                             .xAccess = router_access};
  async_vfs_derive(&router_vfs, before);
  /* A routed file that is not ours after all is our VFS's parent's. */
  if (router_vfs.szOsFile < async_vfs()->szOsFile) router_vfs.szOsFile = async_vfs()->szOsFile;
  if (router_vfs.mxPathname < async_vfs()->mxPathname) {
    router_vfs.mxPathname = async_vfs()->mxPathname;
  }
  int rc = sqlite3_vfs_register(&router_vfs, 1);
  router_registered = rc == SQLITE_OK;
  return rc;
}

void async_router_before_fork(void) { async_mutex_enter(&router_mutex); }
void async_router_after_fork(void) { async_mutex_leave(&router_mutex); }

void async_router_unregister(void) {
  async_mutex_enter(&router_mutex);
  if (router_registered) sqlite3_vfs_unregister(&router_vfs);
  router_registered = false;
  while (routes != NULL) take_off(&routes);
  async_mutex_leave(&router_mutex);
}

/* Under router_mutex; takes over full. */
static int add_route(char *full) {
  Route *route = malloc(sizeof *route);
  if (route == NULL) {
    free(full);
    return SQLITE_NOMEM;
  }
  *route = (Route){.next = routes, .path = full};
  routes = route;
  route_count++;
  return SQLITE_OK;
}

int sqlite3async_route(const char *zPath) {
  int rc = async_control_ready_for("route", zPath);
  if (rc != SQLITE_OK) return rc;
  char *full;
  rc = async_control_full_path(zPath, &full);
  if (rc == SQLITE_NOMEM) return async_control_error(rc, "route: out of memory");
  if (rc != SQLITE_OK || async_os_is_directory(full)) {
    free(full);
    return async_control_error(SQLITE_CANTOPEN,
                               "route: \"%s\" is a directory, or cannot be resolved", zPath);
  }
  if (!async_registry_has_path(full) && async_os_is_open_here(full)) {
    free(full);
    return async_control_error(SQLITE_BUSY,
                               "route: \"%s\" is already open, outside of %s; "
                               "route it before it is opened",
                               zPath, SQLITEASYNC_VFSNAME);
  }
  async_mutex_enter(&router_mutex);
  rc = register_router();
  if (rc == SQLITE_OK && *find_route(full, strlen(full)) == NULL) {
    rc = add_route(full);
  } else {
    free(full);
  }
  async_mutex_leave(&router_mutex);
  if (rc != SQLITE_OK) return async_control_error(rc, "route: %s", sqlite3_errstr(rc));
  return SQLITE_OK;
}

/*
** Is the database closed, and all of it written?  Once that is so, its stream is there for a moment
** longer: until its writer has turned away from it.
*/
static bool has_ended(const char *full) {
  int64_t until_us = async_os_now_us() + END_WAIT_US;
  for (;;) {
    AsyncStream *stream = async_registry_find(full);
    if (stream == NULL) return true;
    async_mutex_enter(&stream->mutex);
    bool ending =
        stream->handles == 0 && stream->error.code == SQLITE_OK && async_stream_is_settled(stream);
    async_mutex_leave(&stream->mutex);
    async_registry_release(stream);
    if (!ending || !async_scheduler_has_runner() || async_os_now_us() >= until_us) return false;
    async_os_sleep_us(END_POLL_US);
  }
}

/* SQLITE_BUSY if it is in use, SQLITE_NOTFOUND if there is none. */
static int take_route_back(const char *full) {
  async_mutex_enter(&router_mutex);
  Route *route = *find_route(full, strlen(full));
  int rc = route == NULL ? SQLITE_NOTFOUND : SQLITE_OK;
  if (rc == SQLITE_OK && route->users > 0) rc = SQLITE_BUSY;
  if (rc == SQLITE_OK) {
    route->leaving = true;
    route->users++;
  }
  async_mutex_leave(&router_mutex);
  if (rc != SQLITE_OK) return rc;

  bool ended = has_ended(full); /* and nobody can open it */
  async_mutex_enter(&router_mutex);
  if (ended && !route->gone) take_off(find_route(full, strlen(full)));
  route->leaving = false;
  route->users--;
  free_if_gone(route);
  async_cond_broadcast(&decided);
  async_mutex_leave(&router_mutex);
  return ended ? SQLITE_OK : SQLITE_BUSY;
}

int sqlite3async_unroute(const char *zPath) {
  int rc = async_control_ready_for("unroute", zPath);
  if (rc != SQLITE_OK) return rc;
  char *full;
  rc = async_control_full_path(zPath, &full);
  if (rc == SQLITE_NOMEM) return async_control_error(rc, "unroute: out of memory");
  rc = full == NULL ? SQLITE_NOTFOUND : take_route_back(full);
  free(full);
  if (rc == SQLITE_NOTFOUND) {
    return async_control_error(rc, "unroute: \"%s\" was not routed", zPath);
  }
  if (rc == SQLITE_BUSY) {
    return async_control_error(rc,
                               "unroute: \"%s\" is open, or not all of it is written yet; close "
                               "it and flush first",
                               zPath);
  }
  return SQLITE_OK;
}
