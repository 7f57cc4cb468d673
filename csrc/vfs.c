/*
** The VFS "sqlite3async": opens databases, journals, WALs and super-journals
** as files of a stream.
**
** Temporary files go straight to the parent, which writes its own methods
** into SQLite's handle: they need no order, and a sort must not fill the
** queue.  So does a journal whose database is not open here, which is all
** on disk by then.
**
** The interesting methods come first; those that only hand on come last.
*/
#include "vfs.h"

#include "closing.h"
#include "config.h"
#include "exclude.h"
#include "flush.h"
#include "known.h"
#include "methods.h"
#include "moved.h"
#include "parent.h"
#include "registry.h"
#include "super.h"
#include "uriname.h"
#include "writer.h"

#include <string.h>

#define STREAM_FILES                                                                               \
  (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL | SQLITE_OPEN_SUPER_JOURNAL)

/* How often a path may get another file just while it is opened. */
#define OPEN_TRIES 4
/* The longest wait for descriptors that databases being closed still have. */
#define DESCRIPTORS_WAIT_US 1000000

static sqlite3_vfs *parent_of(sqlite3_vfs *vfs) { return vfs->pAppData; }

/* ---- What is ours ---- */

/*
** A super-journal on disk, which anybody may have written, names a database where a
** journal's name should be, and SQLite looks into it as if it were one.  It gets the
** handle that all have: one of its own would not lock, or drop the locks of the others
** when it is closed.  The name has no URI parameters behind it, but the next name.
*/
static int open_database_for_journal(AsyncStream *stream, const char *name, int flags,
                                     AsyncFile **file, int *out_flags) {
  char *copy = async_path_copy(name, false);
  if (copy == NULL) return SQLITE_NOMEM;
  flags = (flags & ~STREAM_FILES) | SQLITE_OPEN_MAIN_DB;
  int rc = async_file_open_database(stream, copy, flags, file, out_flags);
  async_path_free(copy);
  return rc;
}

/*
** The transaction that made this a database in WAL mode had a rollback journal, and further ones
** may have come before it.  Their syncs would hold up all the commits that come now; so who
** changes the mode waits, as in plain SQLite.
*/
static void await_rollback_journal(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  int64_t seq = stream->files.wal == NULL ? stream->pushed.seq : 0;
  async_mutex_leave(&stream->mutex);
  /* Without a writer it stays in order; and an error is told by the next call. */
  (void)async_flush_await_applied(stream, seq, NULL);
}

static int open_file(AsyncStream *stream, const char *name, int flags, AsyncFile **file,
                     int *out_flags) {
  if (flags & SQLITE_OPEN_MAIN_DB) {
    return async_file_open_database(stream, name, flags, file, out_flags);
  }
  if (async_path_role(stream->path, name) == ASYNC_ROLE_DATABASE) {
    return open_database_for_journal(stream, name, flags, file, out_flags);
  }
  if (async_path_role(stream->path, name) == ASYNC_ROLE_WAL) await_rollback_journal(stream);
  return async_file_open_journal(stream, name, flags, file, out_flags);
}

static int open_in_stream(AsyncStream *stream, const char *name, sqlite3_file *base, int flags,
                          int *out_flags) {
  AsyncFile *file = NULL;
  int opened = 0;
  int rc = open_file(stream, name, flags, &file, &opened);
  if (rc != SQLITE_OK) {
    if (rc == SQLITE_READONLY_DBMOVED) async_moved_leave_path(stream);
    async_registry_unref(stream);
    return rc;
  }
  AsyncHandle *handle = (AsyncHandle *)base;
  async_methods_open(handle, stream, file, opened, flags & SQLITE_OPEN_MAIN_DB ? name : NULL);
  handle->is_shared_cache = (flags & SQLITE_OPEN_SHAREDCACHE) != 0;
  if (out_flags != NULL) *out_flags = opened;
  return SQLITE_OK;
}

/* The journal of a transaction that is about to write to a database, which so is open
** here.  If that is not to be found by the journal's name (SQLite can be compiled to
** use names of 8+3 letters), the two would not be in order. */
static bool is_made_for_transaction(int flags) {
  return (flags & SQLITE_OPEN_CREATE) && (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL));
}

/*
** The stream of a journal or WAL.  By its name; but if a database was opened at the path of one
** that had moved, the name may mean either's: then by the address of the name, which is each
** connection's own.
*/
static AsyncStream *find_owner(const char *name) {
  AsyncStream *stream = async_registry_find_owner(name);
  if (!async_moved_has_left_path()) return stream; /* only now: it may just have happened */
  AsyncStream *own = async_registry_find_by_names(name);
  if (own == NULL) return stream;
  if (stream != NULL) async_registry_unref(stream);
  return own;
}

/* True if a URI asked for our VFS, instead of getting it because it is the default. */
static bool is_asked_for(const char *name) {
  const char *vfs = sqlite3_uri_parameter(name, "vfs");
  return vfs != NULL && strcmp(vfs, SQLITEASYNC_VFSNAME) == 0;
}

static int open_database(sqlite3_vfs *parent, const char *name, sqlite3_file *base, int flags,
                         int *out_flags) {
  bool excluded = async_exclude_has(name);
  int rc = SQLITE_READONLY_DBMOVED;
  /* Each time the stream of a database that has moved has just left the path. */
  for (int i = 0; i < OPEN_TRIES && rc == SQLITE_READONLY_DBMOVED; i++) {
    AsyncStream *stream = excluded ? async_registry_find(name) : NULL;
    if (excluded && stream == NULL) {
      /* All its connections go the same way, for they have the journal's name in common. */
      if (!is_asked_for(name)) return parent->xOpen(parent, name, base, flags, out_flags);
      if (async_os_is_open_here(name)) return SQLITE_BUSY;
    }
    if (stream == NULL) stream = async_registry_create(name, parent);
    if (stream == NULL) return SQLITE_NOMEM;
    async_writer_ensure_threads(async_registry_count());
    rc = open_in_stream(stream, name, base, flags, out_flags);
  }
  if (rc == SQLITE_OK) async_known_note_open(name);
  return rc;
}

static bool lacks_descriptors(sqlite3_vfs *parent, int rc) {
  return (rc & 0xff) == SQLITE_CANTOPEN &&
         async_parent_shortage(parent) == ASYNC_OS_SHORTAGE_DESCRIPTORS;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                    int *out_flags) {
  sqlite3_vfs *parent = parent_of(vfs);
  base->pMethods = NULL;
  if (name == NULL || (flags & SQLITE_OPEN_DELETEONCLOSE) || !(flags & STREAM_FILES)) {
    return parent->xOpen(parent, name, base, flags, out_flags);
  }
  if (async_forked) return SQLITE_CANTOPEN;
  if (flags & SQLITE_OPEN_MAIN_DB) {
    if (async_uriname_refuses(name)) return SQLITE_CANTOPEN;
    int rc = open_database(parent, name, base, flags, out_flags);
    /* Databases that another thread is closing keep descriptors for a moment longer. */
    bool again = lacks_descriptors(parent, rc) && async_closing_await_any(DESCRIPTORS_WAIT_US);
    return again ? open_database(parent, name, base, flags, out_flags) : rc;
  }
  AsyncStream *stream = find_owner(name);
  if (stream != NULL) return open_in_stream(stream, name, base, flags, out_flags);
  if (is_made_for_transaction(flags) && !async_exclude_has(name)) return SQLITE_CANTOPEN;
  return parent->xOpen(parent, name, base, flags, out_flags);
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_directory) {
  sqlite3_vfs *parent = parent_of(vfs);
  if (async_forked) return SQLITE_IOERR_DELETE;
  if (async_path_is_super_journal(name)) return async_super_delete(parent, name, sync_directory);
  AsyncStream *stream = find_owner(name);
  if (stream == NULL) return parent->xDelete(parent, name, sync_directory);
  int rc = async_file_delete(stream, name, sync_directory);
  async_registry_unref(stream);
  return rc;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *result) {
  sqlite3_vfs *parent = parent_of(vfs);
  if (async_forked) return SQLITE_IOERR_ACCESS;
  AsyncStream *stream = find_owner(name);
  bool known = stream != NULL && async_file_knows(stream, name, result);
  if (stream != NULL) async_registry_unref(stream);
  return known ? SQLITE_OK : parent->xAccess(parent, name, flags, result);
}

static int vfs_full_pathname(sqlite3_vfs *vfs, const char *name, int n, char *out) {
  int rc = parent_of(vfs)->xFullPathname(parent_of(vfs), name, n, out);
  if (async_forked) return rc;
  bool found = (rc & 0xff) == SQLITE_OK; /* SQLITE_OK_SYMLINK too */
  if (found && strcmp(name, out) != 0) async_registry_note_link(name);
  return rc;
}

/* ---- What is the parent's ---- */

static void *pass_dl_open(sqlite3_vfs *vfs, const char *name) {
  return parent_of(vfs)->xDlOpen(parent_of(vfs), name);
}
static void pass_dl_error(sqlite3_vfs *vfs, int n, char *out) {
  parent_of(vfs)->xDlError(parent_of(vfs), n, out);
}
static void (*pass_dl_sym(sqlite3_vfs *vfs, void *library, const char *name))(void) {
  return parent_of(vfs)->xDlSym(parent_of(vfs), library, name);
}
static void pass_dl_close(sqlite3_vfs *vfs, void *library) {
  parent_of(vfs)->xDlClose(parent_of(vfs), library);
}
static int pass_randomness(sqlite3_vfs *vfs, int n, char *out) {
  return parent_of(vfs)->xRandomness(parent_of(vfs), n, out);
}
static int pass_sleep(sqlite3_vfs *vfs, int us) {
  return parent_of(vfs)->xSleep(parent_of(vfs), us);
}
static int pass_current_time(sqlite3_vfs *vfs, double *out) {
  return parent_of(vfs)->xCurrentTime(parent_of(vfs), out);
}
static int pass_get_last_error(sqlite3_vfs *vfs, int n, char *out) {
  return parent_of(vfs)->xGetLastError(parent_of(vfs), n, out);
}
static int pass_current_time_int64(sqlite3_vfs *vfs, sqlite3_int64 *out) {
  return parent_of(vfs)->xCurrentTimeInt64(parent_of(vfs), out);
}
static int pass_set_system_call(sqlite3_vfs *vfs, const char *name, sqlite3_syscall_ptr call) {
  return parent_of(vfs)->xSetSystemCall(parent_of(vfs), name, call);
}
static sqlite3_syscall_ptr pass_get_system_call(sqlite3_vfs *vfs, const char *name) {
  return parent_of(vfs)->xGetSystemCall(parent_of(vfs), name);
}
static const char *pass_next_system_call(sqlite3_vfs *vfs, const char *name) {
  return parent_of(vfs)->xNextSystemCall(parent_of(vfs), name);
}

/* A method the parent does not have, we don't have either. */
#define PASS(method, function) vfs->method = parent->method == NULL ? NULL : (function)

void async_vfs_derive(sqlite3_vfs *vfs, sqlite3_vfs *parent) {
  vfs->iVersion = parent->iVersion > 3 ? 3 : parent->iVersion;
  vfs->mxPathname = parent->mxPathname;
  vfs->szOsFile = parent->szOsFile;
  if (vfs->szOsFile < (int)sizeof(AsyncHandle)) vfs->szOsFile = (int)sizeof(AsyncHandle);
  vfs->pAppData = parent;
  PASS(xFullPathname, vfs_full_pathname);
  PASS(xDlOpen, pass_dl_open);
  PASS(xDlError, pass_dl_error);
  PASS(xDlSym, pass_dl_sym);
  PASS(xDlClose, pass_dl_close);
  PASS(xRandomness, pass_randomness);
  PASS(xSleep, pass_sleep);
  PASS(xCurrentTime, pass_current_time);
  PASS(xGetLastError, pass_get_last_error);
  if (vfs->iVersion >= 2) PASS(xCurrentTimeInt64, pass_current_time_int64);
  if (vfs->iVersion >= 3) {
    PASS(xSetSystemCall, pass_set_system_call);
    PASS(xGetSystemCall, pass_get_system_call);
    PASS(xNextSystemCall, pass_next_system_call);
  }
}

/* ---- Registration ---- */

static sqlite3_vfs the_vfs;

sqlite3_vfs *async_vfs(void) { return &the_vfs; }

int async_vfs_register(sqlite3_vfs *parent, bool is_default) {
  the_vfs = (sqlite3_vfs){.zName = SQLITEASYNC_VFSNAME,
                          .xOpen = vfs_open,
                          .xDelete = vfs_delete,
                          .xAccess = vfs_access};
  async_vfs_derive(&the_vfs, parent);
  return sqlite3_vfs_register(&the_vfs, is_default);
}

void async_vfs_unregister(void) { sqlite3_vfs_unregister(&the_vfs); }
