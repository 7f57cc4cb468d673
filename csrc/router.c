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

#include "closing.h"
#include "config.h"
#include "api.h"
#include "exclude.h"
#include "known.h"
#include "path.h"
#include "registry.h"
#include "uriname.h"
#include "vfs.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest wait for the end of a stream that is about to end, and how often to look. */
#define END_WAIT_US 1000000
#define END_POLL_US 200

/* How often to look for what is open outside of us, and for how many routes at a time. */
#define OUTSIDE_LOOK_US 1000000
#define OUTSIDE_ROUTES ASYNC_OS_FIND_MAX

typedef struct Route Route;
struct Route {
  Route *next;
  char *path;   /* in full */
  int users;    /* who just open a database by it, or look whether it can be taken back */
  bool leaving; /* somebody looks whether it can */
  bool gone;    /* from the list; the last user frees it */
  bool opened;  /* the database was opened through us at some time */
};

static AsyncMutex router_mutex;
static AsyncCond decided; /* a route that was leaving is gone, or stays */
static Route *routes;     /* guarded by router_mutex, all of them */
/* So that with no routes nothing is locked on behalf of others' files. */
static atomic_int route_count;

/*
** A router over each VFS that was the default when one was needed.  A second one only if a program
** makes another VFS the default after us; that one may hand on to ours, so a router never gets
** another VFS behind it.
*/
#define ROUTERS_MAX 4
static sqlite3_vfs routers[ROUTERS_MAX];
static bool registered[ROUTERS_MAX]; /* guarded by router_mutex */

/* Of what is open outside of us; guarded by router_mutex. */
static atomic_int unopened_count; /* routes whose database was not opened yet */
static int64_t outside_looked_us; /* 0: never */
static int outside_next;          /* the unopened route, by its place, where the next look begins */
static bool outside_found;        /* the last look found one: look each time, until it has gone */

void async_router_init(void) {
  async_mutex_init(&router_mutex, ASYNC_RANK_ROUTER);
  async_cond_init(&decided);
}

static char *copy_of(const char *path) {
  size_t size = strlen(path) + 1;
  char *copy = malloc(size);
  return copy == NULL ? NULL : memcpy(copy, path, size);
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

static sqlite3_vfs *vfs_for(sqlite3_vfs *router, const char *name) {
  if (name == NULL || route_count == 0) return router->pAppData;
  async_mutex_enter(&router_mutex);
  bool routed = route_of(name) != NULL;
  async_mutex_leave(&router_mutex);
  return routed ? async_vfs() : router->pAppData;
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
  if (!route->opened) unopened_count--;
  route->gone = true;
  free_if_gone(route);
}

/* The route by which a database is to be opened, which stays until that is done; or NULL. */
static Route *pin_route(const char *name) {
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

static int open_database(sqlite3_vfs *router, const char *name, sqlite3_file *base, int flags,
                         int *out_flags) {
  Route *route = pin_route(name);
  sqlite3_vfs *target = route != NULL ? async_vfs() : router->pAppData;
  int rc = target->xOpen(target, name, base, flags, out_flags);
  if (route != NULL) let_route_go(route);
  return rc;
}

static int router_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                       int *out_flags) {
  if (flags & SQLITE_OPEN_MAIN_DB) {
    base->pMethods = NULL;
    if (name != NULL && async_uriname_refuses(name)) return SQLITE_CANTOPEN;
    return open_database(vfs, name, base, flags, out_flags);
  }
  sqlite3_vfs *target = vfs_for(vfs, name);
  return target->xOpen(target, name, base, flags, out_flags);
}

static int router_delete(sqlite3_vfs *vfs, const char *name, int sync_directory) {
  sqlite3_vfs *target = vfs_for(vfs, name);
  return target->xDelete(target, name, sync_directory);
}

static int router_access(sqlite3_vfs *vfs, const char *name, int flags, int *result) {
  sqlite3_vfs *target = vfs_for(vfs, name);
  return target->xAccess(target, name, flags, result);
}

/* ---- Registration ---- */

static void fill_in(sqlite3_vfs *router, sqlite3_vfs *parent) {
  *router = (sqlite3_vfs){.zName = "sqlite3async-router",
                          .xOpen = router_open,
                          .xDelete = router_delete,
                          .xAccess = router_access};
  async_vfs_derive(router, parent);
  /* A routed file that is not ours after all is our VFS's parent's. */
  if (router->szOsFile < async_vfs()->szOsFile) router->szOsFile = async_vfs()->szOsFile;
  if (router->mxPathname < async_vfs()->mxPathname) router->mxPathname = async_vfs()->mxPathname;
}

/* Under router_mutex: become the default VFS, unless what is the default is ours. */
static int register_router(void) {
  sqlite3_vfs *before = sqlite3_vfs_find(NULL);
  if (before == async_vfs()) return SQLITE_OK;
  int i = 0;
  for (; i < ROUTERS_MAX; i++) {
    if (before == &routers[i]) return SQLITE_OK;
  }
  for (i = 0; i < ROUTERS_MAX && routers[i].zName != NULL; i++) {
    if (routers[i].pAppData == before && !registered[i]) break;
  }
  if (i == ROUTERS_MAX) return SQLITE_ERROR;
  fill_in(&routers[i], before);
  int rc = sqlite3_vfs_register(&routers[i], 1);
  registered[i] = rc == SQLITE_OK;
  return rc;
}

int async_router_register(void) {
  async_mutex_enter(&router_mutex);
  int rc = register_router();
  async_mutex_leave(&router_mutex);
  return rc;
}

void async_router_before_fork(void) { async_mutex_enter(&router_mutex); }
void async_router_after_fork(void) { async_mutex_leave(&router_mutex); }

void async_router_unregister(void) {
  async_mutex_enter(&router_mutex);
  for (int i = 0; i < ROUTERS_MAX; i++) {
    if (registered[i]) sqlite3_vfs_unregister(&routers[i]);
    registered[i] = false;
  }
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
  *route = (Route){.next = routes, .path = full, .opened = async_known_was_open(full)};
  routes = route;
  route_count++;
  if (!route->opened) unopened_count++;
  return SQLITE_OK;
}

/* ---- What is open outside of us ---- */

/* Under router_mutex: copies of the paths to look at now, at most OUTSIDE_ROUTES, with their
** number as the result; and where the next look begins if this one finds nothing. */
static int choose_unopened(char **paths, int *next) {
  int place = 0;
  int count = 0;
  *next = 0;
  for (Route *route = routes; route != NULL && *next == 0; route = route->next) {
    if (!route->opened && async_known_was_open(route->path)) {
      route->opened = true;
      unopened_count--;
    }
    if (route->opened || place++ < outside_next) continue;
    if (count == OUTSIDE_ROUTES) {
      *next = place - 1;
    } else {
      paths[count] = copy_of(route->path);
      if (paths[count] != NULL) count++;
    }
  }
  return count;
}

/* Under router_mutex. */
static bool is_time_to_look(void) {
  int64_t now_us = async_os_now_us();
  bool is_time =
      outside_found || outside_looked_us == 0 || now_us - outside_looked_us >= OUTSIDE_LOOK_US;
  if (is_time) outside_looked_us = now_us;
  return is_time;
}

bool async_router_find_outside(char *path, size_t n) {
  if (!ASYNC_OS_IS_OPEN_BY_US || unopened_count == 0) return false;
  char *paths[OUTSIDE_ROUTES];
  int next = 0;
  async_mutex_enter(&router_mutex);
  int count = is_time_to_look() ? choose_unopened(paths, &next) : 0;
  async_mutex_leave(&router_mutex);
  if (count == 0) return false;

  int open = async_os_find_open_here((const char *const *)paths, count);
  /* Somebody may be opening it through us. */
  bool found =
      open >= 0 && !async_registry_has_path(paths[open]) && !async_known_was_open(paths[open]);
  if (found) snprintf(path, n, "%s", paths[open]);
  for (int i = 0; i < count; i++) free(paths[i]);
  async_mutex_enter(&router_mutex);
  outside_found = found;
  if (!found) outside_next = next;
  async_mutex_leave(&router_mutex);
  return found;
}

/* ---- Routes ---- */

/* A database that is routed is not left to the parent, whatever its folder is. */
static int take_in(const char *full) {
  if (!async_exclude_has(full)) return SQLITE_OK;
  char *copy = copy_of(full);
  if (copy == NULL) return SQLITE_NOMEM;
  async_api_enter();
  bool done = async_exclude_all_but(copy);
  async_api_leave();
  return done ? SQLITE_OK : SQLITE_NOMEM;
}

int sqlite3async_route(const char *zPath) {
  int rc = async_api_ready_for("route", zPath);
  if (rc != SQLITE_OK) return rc;
  if (strcmp(zPath, ":memory:") == 0) {
    return async_api_error(SQLITE_MISUSE, "Cannot route \":memory:\": it names no file, and a "
                                          "database in memory never waits for a disk");
  }
  if (strncmp(zPath, "file:", 5) == 0) {
    return async_api_error(
        SQLITE_MISUSE, "Cannot route \"%.400s\": it is a URI; give the path of the file", zPath);
  }
  char *full;
  rc = async_api_full_path(zPath, &full);
  if (rc == SQLITE_NOMEM) return async_api_error(rc, "route: out of memory");
  if (rc != SQLITE_OK || async_os_is_directory(full)) {
    free(full);
    return async_api_error(SQLITE_CANTOPEN, "route: \"%s\" is a directory, or cannot be resolved",
                           zPath);
  }
  if (!async_registry_has_path(full) && async_os_is_open_here(full)) {
    free(full);
    return async_api_error(SQLITE_BUSY,
                           "route: \"%s\" is already open, outside of %s; "
                           "route it before it is opened",
                           zPath, SQLITEASYNC_VFSNAME);
  }
  rc = take_in(full);
  async_mutex_enter(&router_mutex);
  if (rc == SQLITE_OK) rc = register_router();
  if (rc == SQLITE_OK && *find_route(full, strlen(full)) == NULL) {
    rc = add_route(full);
  } else {
    free(full);
  }
  async_mutex_leave(&router_mutex);
  if (rc != SQLITE_OK) return async_api_error(rc, "route: %s", sqlite3_errstr(rc));
  return SQLITE_OK;
}

/* Under the mutex: is nothing left of it but a file, with nobody who has it open? */
static bool is_file_only(AsyncStream *stream) {
  return stream->handles == 0 && stream->error.code == SQLITE_OK && async_closing_is_a_file(stream);
}

/* Is the database closed, and all of it written?  A thread that has just closed its files may not
** have said so yet. */
static bool has_ended(const char *full) {
  int64_t until_us = async_os_now_us() + END_WAIT_US;
  for (;;) {
    AsyncStream *stream = async_registry_find(full);
    if (stream == NULL) return true;
    async_mutex_enter(&stream->mutex);
    bool ended = is_file_only(stream);
    bool ending = stream->handles == 0 && stream->queue.head == NULL;
    async_mutex_leave(&stream->mutex);
    async_registry_unref(stream);
    if (ended || !ending || !async_scheduler_has_runner() || async_os_now_us() >= until_us) {
      return ended;
    }
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
  int rc = async_api_ready_for("unroute", zPath);
  if (rc != SQLITE_OK) return rc;
  char *full;
  rc = async_api_full_path(zPath, &full);
  if (rc == SQLITE_NOMEM) return async_api_error(rc, "unroute: out of memory");
  rc = full == NULL ? SQLITE_NOTFOUND : take_route_back(full);
  free(full);
  if (rc == SQLITE_NOTFOUND) {
    return async_api_error(rc, "unroute: \"%s\" was not routed", zPath);
  }
  if (rc == SQLITE_BUSY) {
    return async_api_error(rc,
                           "unroute: \"%s\" is open, or not all of it is written yet; close "
                           "it and flush first",
                           zPath);
  }
  return SQLITE_OK;
}

/* ---- What is not routed even by being the default ---- */

int sqlite3async_exclude(const char *zPath) {
  int rc = async_api_ready_for("exclude", zPath);
  if (rc != SQLITE_OK) return rc;
  char *full;
  rc = async_api_full_path(zPath, &full);
  if (rc == SQLITE_OK && !async_exclude_has(full)) {
    async_api_enter();
    rc = async_exclude_add(full) ? SQLITE_OK : SQLITE_NOMEM;
    async_api_leave();
  } else {
    free(full);
  }
  if (rc == SQLITE_OK) return rc;
  return async_api_error(rc, "Cannot exclude \"%.400s\": %s", zPath, sqlite3_errstr(rc));
}
