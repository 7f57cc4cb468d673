/*
** Super-journals.  See super.h.
*/
#include "super.h"

#include "barrier.h"
#include "flush.h"
#include "gate.h"
#include "level.h"
#include "registry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Databases of one connection: SQLite's compile-time limit for
** SQLITE_MAX_ATTACHED is 125, and main and temp come on top. */
#define MEMBERS_MAX 128
/* More than their names can take; a larger file is no super-journal. */
#define NAMES_SIZE_MAX (1 << 20)

/*
** One transaction.  The list of them in the home stream is guarded by its
** mutex; the rest is the business of the connection whose transaction it is.
*/
typedef struct AsyncSuper AsyncSuper;
struct AsyncSuper {
  AsyncSuper *next;
  char *path;
  AsyncStream *members[MEMBERS_MAX]; /* all but the home, with a reference each */
  int count;
  bool foreign; /* a journal named is not one of ours */
  int level;    /* of the connection's commits */
};

static AsyncSuper *super_new(const char *path) {
  AsyncSuper *super = calloc(1, sizeof *super);
  char *copy = malloc(strlen(path) + 1);
  if (super == NULL || copy == NULL) {
    free(super);
    free(copy);
    return NULL;
  }
  super->path = strcpy(copy, path);
  return super;
}

static void super_free(AsyncSuper *super) {
  if (super == NULL) return;
  for (int i = 0; i < super->count; i++) async_registry_unref(super->members[i]);
  free(super->path);
  free(super);
}

/* Under the home's mutex. */
static AsyncSuper **find_super(AsyncStream *home, const char *path) {
  AsyncSuper **link = &home->supers;
  while (*link != NULL && strcmp((*link)->path, path) != 0) link = &(*link)->next;
  return link;
}

/* Take it from the home's list, or NULL. */
static AsyncSuper *take_super(AsyncStream *home, const char *path) {
  async_mutex_enter(&home->mutex);
  AsyncSuper **link = find_super(home, path);
  AsyncSuper *super = *link;
  if (super != NULL) *link = super->next;
  async_mutex_leave(&home->mutex);
  return super;
}

void async_super_forget_all(AsyncStream *home) {
  async_mutex_enter(&home->mutex);
  AsyncSuper *supers = home->handles == 0 ? home->supers : NULL;
  if (supers != NULL) home->supers = NULL;
  async_mutex_leave(&home->mutex);
  while (supers != NULL) {
    AsyncSuper *super = supers;
    supers = super->next;
    super_free(super);
  }
}

/* ---- Whose transaction it is ---- */

/* The journal of this stream is named.  Takes over the caller's reference. */
static void add_member(AsyncSuper *super, const AsyncStream *home, AsyncStream *stream) {
  bool known = stream == home;
  for (int i = 0; i < super->count && !known; i++) known = super->members[i] == stream;
  if (known) {
    async_registry_unref(stream);
  } else {
    super->members[super->count++] = stream;
  }
}

static void add_names(AsyncSuper *super, const AsyncStream *home, const char *names, size_t n) {
  const char *end = names + n;
  while (names < end) {
    const char *zero = memchr(names, '\0', (size_t)(end - names));
    AsyncStream *stream = NULL;
    if (zero != NULL && super->count < MEMBERS_MAX) stream = async_registry_find_owner(names);
    if (stream != NULL) {
      add_member(super, home, stream);
    } else {
      super->foreign = true;
    }
    if (zero == NULL) break;
    names = zero + 1;
  }
}

int async_super_note_names(AsyncFile *file, const char *names, int n) {
  AsyncStream *home = file->stream;
  async_mutex_enter(&home->mutex);
  AsyncSuper *super = *find_super(home, file->path);
  if (super == NULL) {
    super = super_new(file->path);
    if (super != NULL) {
      super->next = home->supers;
      home->supers = super;
    }
  }
  async_mutex_leave(&home->mutex);
  if (super == NULL) return SQLITE_IOERR_NOMEM;
  add_names(super, home, names, (size_t)n);
  return SQLITE_OK;
}

/* ---- Barriers ---- */

static int push_barrier(AsyncStream *home, const AsyncSuper *super, const AsyncBarrierOp *before) {
  AsyncStream *all[MEMBERS_MAX + 1];
  memcpy(all, super->members, (size_t)super->count * sizeof(AsyncStream *));
  all[super->count] = home;
  return async_barrier_push(all, super->count + 1, before);
}

int async_super_barrier_sync(AsyncFile *file) {
  AsyncStream *home = file->stream;
  async_mutex_enter(&home->mutex);
  AsyncSuper *super = *find_super(home, file->path);
  async_mutex_leave(&home->mutex);
  if (super == NULL) return SQLITE_OK;
  int rc = push_barrier(home, super, NULL);
  if (rc == SQLITE_OK && super->foreign) rc = async_flush_stream(home, -1);
  return rc;
}

int async_super_sync_child(AsyncStream *child, const char *super, int level) {
  AsyncStream *home = async_registry_find_owner(super);
  bool ours = false;
  if (home != NULL) {
    async_mutex_enter(&home->mutex);
    AsyncSuper *found = *find_super(home, super);
    ours = found != NULL;
    if (ours) found->level = level;
    async_mutex_leave(&home->mutex);
    async_registry_unref(home);
  }
  return ours ? SQLITE_OK : async_flush_stream(child, -1);
}

/* ---- Deletion ---- */

/* What an open file has. */
static int read_names_of(sqlite3_file *file, const AsyncStream *home, AsyncSuper *super) {
  sqlite3_int64 size = 0;
  int rc = file->pMethods->xFileSize(file, &size);
  if (rc != SQLITE_OK || size <= 0 || size > NAMES_SIZE_MAX) return rc;
  char *names = malloc((size_t)size);
  if (names == NULL) return SQLITE_IOERR_NOMEM;
  rc = file->pMethods->xRead(file, names, (int)size, 0);
  if (rc == SQLITE_OK) add_names(super, home, names, (size_t)size);
  free(names);
  return rc;
}

/* Read the names from the disk.  A file that is not there names nobody. */
static int read_names(sqlite3_vfs *parent, const AsyncStream *home, AsyncSuper *super) {
  char *path = async_path_copy(super->path, false);
  sqlite3_file *file = calloc(1, (size_t)parent->szOsFile);
  int there = 0;
  int rc = path == NULL || file == NULL ? SQLITE_IOERR_NOMEM : SQLITE_OK;
  if (rc == SQLITE_OK) rc = parent->xAccess(parent, path, SQLITE_ACCESS_EXISTS, &there);
  if (rc == SQLITE_OK && there) {
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_SUPER_JOURNAL;
    rc = parent->xOpen(parent, path, file, flags, NULL);
    if (rc == SQLITE_OK) rc = read_names_of(file, home, super);
    if (file->pMethods != NULL) file->pMethods->xClose(file);
  }
  free(file);
  async_path_free(path);
  return rc;
}

typedef struct Deletion {
  const char *path;
  int sync_directory;
} Deletion;

static int push_deletion(AsyncStream *home, void *arg) {
  const Deletion *deletion = arg;
  return async_file_push_delete(home, deletion->path, deletion->sync_directory, NULL);
}

/* The deletion and the barrier behind it are one: if only it could be queued, it would
** commit what SQLite, which is told that it failed, rolls back. */
static int delete_barrierd(AsyncStream *home, const AsyncSuper *super, int sync_directory) {
  Deletion deletion = {super->path, sync_directory};
  AsyncBarrierOp op = {push_deletion, &deletion};
  int rc = push_barrier(home, super, NULL);
  return rc == SQLITE_OK ? push_barrier(home, super, &op) : rc;
}

/* The databases of a transaction have come to its level. */
static int await_members(AsyncStream *home, const AsyncSuper *super) {
  int rc = async_level_await_all(home, super->level);
  for (int i = 0; i < super->count && rc == SQLITE_OK; i++) {
    rc = async_level_await_all(super->members[i], super->level);
  }
  return rc;
}

/*
** The same above level queued, for which the commit waits here: of what comes later SQLite tells
** nobody.  What can fail comes before the deletion, also syncs that SQLite has not asked for (WAL,
** synchronous=OFF): then all is still rolled back.  Once the deletion is queued it must not be,
** for the journals are worth nothing without the super-journal: so for this one op it waits
** until it is applied, which makes it durable, or all the databases fail.
*/
static int delete_at_level(AsyncStream *home, const AsyncSuper *super, int sync_directory) {
  if (super->level == SQLITEASYNC_COMMIT_QUEUED)
    return delete_barrierd(home, super, sync_directory);
  int rc = await_members(home, super);
  if (rc == SQLITE_OK) rc = delete_barrierd(home, super, sync_directory);
  return rc == SQLITE_OK ? async_level_await_applied(home) : rc;
}

/* The stream of the database that the super-journal is named after, made if
** nobody has it open: there is an order to be kept. */
static AsyncStream *make_home(sqlite3_vfs *parent, const char *path) {
  char *owner = async_path_copy(path, false);
  if (owner == NULL) return NULL;
  owner[async_path_owner_length(path)] = '\0';
  AsyncStream *home = async_registry_create(owner, parent);
  async_path_free(owner);
  return home;
}

/* Left behind by another process: see super.h. */
static int delete_found(sqlite3_vfs *parent, const char *path, int sync_directory) {
  AsyncSuper *super = super_new(path);
  AsyncStream *home = super == NULL ? NULL : make_home(parent, path);
  int rc = SQLITE_IOERR_NOMEM;
  if (home != NULL) {
    rc = read_names(parent, home, super);
    AsyncBarrier *barrier = NULL;
    if (rc == SQLITE_OK) {
      rc = async_barrier_push_before(home, super->members, super->count, &barrier);
    }
    if (rc == SQLITE_OK) {
      rc = async_file_delete_behind(home, path, sync_directory, barrier);
      if (rc != SQLITE_OK) async_barrier_leave(barrier, home, SQLITE_OK);
    }
    async_registry_unref(home);
  }
  super_free(super);
  return rc;
}

int async_super_delete(sqlite3_vfs *parent, const char *path, int sync_directory) {
  AsyncStream *home = async_registry_find_owner(path);
  if (home != NULL) {
    async_mutex_enter(&home->mutex);
    async_gate_wait(&home->mutex);
    async_mutex_leave(&home->mutex);
  }
  AsyncSuper *super = home == NULL ? NULL : take_super(home, path);
  int rc;
  if (super == NULL) {
    rc = delete_found(parent, path, sync_directory);
  } else {
    rc = delete_at_level(home, super, sync_directory);
    if (rc == SQLITE_OK && super->foreign) rc = async_flush_stream(home, -1);
    super_free(super);
  }
  if (home != NULL) async_registry_unref(home);
  return rc;
}
