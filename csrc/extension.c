/*
** The library as a run-time extension: the entry points SQLite calls.
**
** All state is the process's, so one SQLite library may load us, any number
** of times (each Worker of a runtime does).  A second, different SQLite in
** the same process has its own VFS list and its own locks; it is refused.
** So is one that is too old.  One with a known bug in WAL mode is warned about.
*/
#ifndef SQLITE_CORE

#include "sqlite3async.h"

#include "sqlite3ext.h"
SQLITE_EXTENSION_INIT1

#include "api.h"
#include "init.h"
#include "os.h"
#include "router.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* What sqlite3async_prepare() said; before that the extension's own choice.  Under the mutex of
** api.h. */
static char prepared_parent[256];
static bool prepared_default;

SQLITE3ASYNC_API int sqlite3_extension_init(sqlite3 *db, char **error,
                                            const sqlite3_api_routines *api);
SQLITE3ASYNC_API int sqlite3_sqlite3async_init(sqlite3 *db, char **error,
                                               const sqlite3_api_routines *api);

/* Under the mutex: it is registered already; as is wanted? */
static int compare(const char *parent, const char *wanted_parent, bool wanted_default) {
  bool same = wanted_parent[0] == '\0' || sqlite3_stricmp(wanted_parent, parent) == 0;
  if (same && (!wanted_default || prepared_default)) return SQLITE_OK;
  return async_api_error(SQLITE_MISUSE, "the VFS is registered already, with parent \"%s\"%s",
                         parent, prepared_default ? ", as the default" : ", not as the default");
}

/* Under the mutex. */
static int prepare(const char *parent, bool is_default) {
  const sqlite3_vfs *registered = async_api_parent();
  if (registered != NULL) return compare(registered->zName, parent, is_default);
  size_t length = strlen(parent);
  if (length >= sizeof prepared_parent) {
    return async_api_error(SQLITE_MISUSE, "the parent's name has %d bytes", (int)length);
  }
  memcpy(prepared_parent, parent, length + 1);
  prepared_default = is_default;
  return SQLITE_OK;
}

int sqlite3async_prepare(const char *zParent, int isDefault) {
  async_init();
  async_api_enter();
  int rc = prepare(zParent == NULL ? "" : zParent, isDefault != 0);
  async_api_leave();
  return rc;
}

/*
** WAL-reset corruption: a bug of SQLite's own, from 3.7.0 on, mended in 3.51.3, 3.50.7 and
** 3.44.6.  It takes a checkpoint beside a commit, and ours run beside commits.
*/
static bool has_wal_reset_bug(int version) {
  int branch = version / 1000;
  if (branch == 3044) return version < 3044006;
  if (branch == 3050) return version < 3050007;
  return version < 3051003;
}

/* On stderr as well: hardly a program sets SQLite's log. */
static void warn_of_wal_reset_bug(void) {
  static atomic_flag warned = ATOMIC_FLAG_INIT;
  if (atomic_flag_test_and_set(&warned)) return;
  char words[256];
  snprintf(words, sizeof words,
           "sqlite3async: SQLite %s has a bug that can, rarely, damage a database in WAL mode; "
           "3.51.3 and later are free of it\n",
           sqlite3_libversion());
  async_os_complain(words);
  sqlite3_log(SQLITE_WARNING, "%.*s", (int)strlen(words) - 1, words);
}

static int register_router(void) {
  int rc = async_router_register();
  return rc == SQLITE_OK ? rc : async_api_error(rc, "load: %s", sqlite3_errstr(rc));
}

static int load(char **error, const sqlite3_api_routines *api) {
  if (api->libversion_number() < ASYNC_HOST_OLDEST) {
    if (error != NULL) {
      *error = api->mprintf("sqlite3async needs SQLite 3.37 or a later one, and this is %s",
                            api->libversion());
    }
    return SQLITE_ERROR;
  }
  if (sqlite3_api != NULL && sqlite3_api != api) {
    if (error != NULL) {
      *error = api->mprintf("sqlite3async is in use already by another SQLite library of this "
                            "process (%s; this one is %s)",
                            sqlite3_api->libversion(), api->libversion());
    }
    return SQLITE_ERROR;
  }
  SQLITE_EXTENSION_INIT2(api);
  char parent[sizeof prepared_parent];
  async_init();
  async_api_enter();
  strcpy(parent, prepared_parent);
  bool is_default = prepared_default;
  async_api_leave();
  int rc = sqlite3async_initialize(parent[0] == '\0' ? NULL : parent, is_default);
  if (rc == SQLITE_OK) rc = register_router();
  if (rc == SQLITE_OK) rc = sqlite3async_start();
  if (rc != SQLITE_OK) {
    char words[512];
    sqlite3async_errmsg(words, (int)sizeof words);
    if (error != NULL) *error = sqlite3_mprintf("sqlite3async: %s", words);
    return rc;
  }
  if (has_wal_reset_bug(sqlite3_libversion_number())) warn_of_wal_reset_bug();
  return SQLITE_OK_LOAD_PERMANENTLY;
}

int sqlite3_extension_init(sqlite3 *db, char **error, const sqlite3_api_routines *api) {
  (void)db;
  return load(error, api);
}

int sqlite3_sqlite3async_init(sqlite3 *db, char **error, const sqlite3_api_routines *api) {
  return sqlite3_extension_init(db, error, api);
}

#else

#include "api.h"

/* Linked in, there is nothing to prepare: sqlite3async_initialize() has it all. */
int sqlite3async_prepare(const char *zParent, int isDefault) {
  (void)zParent;
  (void)isDefault;
  return async_api_error(SQLITE_MISUSE, "prepare: call sqlite3async_initialize()");
}

#endif /* SQLITE_CORE */
