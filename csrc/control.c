/*
** Control.  See control.h and sqlite3async.h.
*/
#include "control.h"

#include "arena.h"
#include "checkpoint.h"
#include "config.h"
#include "doorbell.h"
#include "ending.h"
#include "event.h"
#include "exit.h"
#include "barrier.h"
#include "known.h"
#include "napi.h"
#include "notify.h"
#include "registry.h"
#include "router.h"
#include "vfs.h"
#include "writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 1024

/* What a program gets that only knows the original's four functions. */
AsyncConfig async_config = {
    .writers = 4,
    .poll_us = 500,
    .lock_files = 1,
    .max_lock_hold_ms = 1000,
    .disk_full_retry_ms = 30000,
    .checkpoint_bytes = 16 * 1024 * 1024,
    .checkpoint_idle_ms = 1000,
    .max_wal_bytes = 1024 * 1024 * 1024,
    .drain_on_exit = 1,
    .exit_drain_ms = 10000,
    .cover_handlers = 1,
};
atomic_bool async_forked;

/* Guarded by control_mutex: what sqlite3async_start() is not to change. */
static AsyncMutex control_mutex;
static bool max_queue_bytes_set;
static bool max_delay_ms_set;
static bool drain_on_signals_set; /* what SQLITEASYNC_UNLESS_SET is not to change */

static sqlite3_vfs *_Atomic parent_vfs; /* written under control_mutex */

static _Thread_local char message[MESSAGE_MAX];

static void init_once(void) {
  async_mutex_init(&control_mutex, ASYNC_RANK_CONTROL);
  async_registry_init();
  async_barrier_init();
  async_scheduler_init();
  async_doorbell_init();
  async_event_init();
  async_napi_init();
  async_notify_init();
  async_arena_init_spares();
  async_router_init();
  async_known_init();
  async_exit_init();
}

void async_control_init(void) { async_os_init_once(init_once); }

sqlite3_vfs *async_control_parent(void) { return parent_vfs; }

void async_control_enter(void) { async_mutex_enter(&control_mutex); }

void async_control_leave(void) { async_mutex_leave(&control_mutex); }

/* ---- Messages ---- */

int async_control_error(int code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  return code;
}

int sqlite3async_errmsg(char *buf, int n) {
  if (buf != NULL && n > 0) snprintf(buf, (size_t)n, "%s", message);
  return (int)strlen(message);
}

static int refuse_in_child(const char *operation) {
  if (!async_forked) return SQLITE_OK;
  return async_control_error(SQLITE_MISUSE,
                             "%s: this process was forked from the one whose "
                             "databases these are; it must open its own",
                             operation);
}

int async_control_ready(const char *operation) {
  if (async_forked) return refuse_in_child(operation);
  if (parent_vfs != NULL) return SQLITE_OK;
  return async_control_error(SQLITE_MISUSE, "%s: the VFS %s is not registered", operation,
                             SQLITEASYNC_VFSNAME);
}

int async_control_ready_for(const char *operation, const char *zPath) {
  int rc = async_control_ready(operation);
  if (rc != SQLITE_OK || (zPath != NULL && zPath[0] != '\0')) return rc;
  return async_control_error(SQLITE_MISUSE, "%s: a path is wanted", operation);
}

int sqlite3async_version(void) { return SQLITE3ASYNC_VERSION_NUMBER; }

/* ---- Paths ---- */

int async_control_full_path(const char *zPath, char **full) {
  sqlite3_vfs *vfs = parent_vfs;
  *full = NULL;
  if (vfs == NULL) return SQLITE_MISUSE; /* another thread has just closed all */
  size_t size = (size_t)vfs->mxPathname + 1;
  *full = calloc(1, size);
  if (*full == NULL) return SQLITE_NOMEM;
  int rc = vfs->xFullPathname(vfs, zPath, (int)size, *full);
  if ((rc & 0xff) == SQLITE_OK) return SQLITE_OK; /* SQLITE_OK_SYMLINK too */
  free(*full);
  *full = NULL;
  return rc;
}

/* Most give the path as SQLite has it; to look at each part of it on disk takes longer than
** all else. */
static AsyncStream *find_by_name(const char *zPath) {
  AsyncStream *stream = zPath[0] == '/' ? async_registry_find(zPath) : NULL;
  if (stream == NULL || !stream->is_link) return stream;
  async_registry_unref(stream);
  return NULL;
}

int async_control_find(const char *zPath, AsyncStream ***streams) {
  if (zPath == NULL || zPath[0] == '\0') {
    *streams = async_registry_all();
    return *streams == NULL ? SQLITE_NOMEM : SQLITE_OK;
  }
  *streams = calloc(2, sizeof(AsyncStream *));
  if (*streams == NULL) return SQLITE_NOMEM;
  (*streams)[0] = find_by_name(zPath);
  if ((*streams)[0] != NULL) return SQLITE_OK;
  char *full;
  int rc = async_control_full_path(zPath, &full);
  if (rc == SQLITE_OK) {
    (*streams)[0] = async_registry_find(full);
    free(full);
  } else {
    free(*streams);
    *streams = NULL;
  }
  return rc;
}

/* ---- Life cycle ---- */

static int initialize(const char *zParent, bool is_default) {
  if (parent_vfs != NULL) return SQLITE_OK;
  /* A flush of one would know nothing of what the other has queued. */
  if (sqlite3_vfs_find(SQLITEASYNC_VFSNAME) != NULL) {
    return async_control_error(SQLITE_MISUSE,
                               "initialize: another copy of sqlite3async is in use in this "
                               "process; all who use it must load the same file");
  }
  sqlite3_vfs *parent = sqlite3_vfs_find(zParent);
  if (parent == NULL) {
    return async_control_error(SQLITE_ERROR, "initialize: there is no VFS called \"%s\"",
                               zParent == NULL ? "" : zParent);
  }
  int rc = async_vfs_register(parent, is_default);
  if (rc != SQLITE_OK) return async_control_error(rc, "initialize: %s", sqlite3_errstr(rc));
  parent_vfs = parent;
  return SQLITE_OK;
}

int sqlite3async_initialize(const char *zParent, int isDefault) {
  if (async_forked) return refuse_in_child("initialize");
  async_control_init();
  async_mutex_enter(&control_mutex);
  int rc = initialize(zParent, isDefault != 0);
  async_mutex_leave(&control_mutex);
  return rc;
}

void sqlite3async_shutdown(void) {
  if (parent_vfs == NULL || async_forked) return;
  async_mutex_enter(&control_mutex);
  async_router_unregister();
  async_vfs_unregister();
  parent_vfs = NULL;
  async_mutex_leave(&control_mutex);
}

void sqlite3async_run(void) {
  if (async_forked) return;
  async_control_init();
  async_writer_run();
}

int sqlite3async_start(void) {
  int rc = async_control_ready("start");
  if (rc != SQLITE_OK) return rc;
  async_mutex_enter(&control_mutex);
  bool ran = async_writer_has_threads();
  bool started = async_writer_start() && async_checkpoint_start();
  if (!started && !ran) async_writer_stop();
  if (started) {
    async_checkpoint_pause(false); /* after a drain for an end that did not come */
    async_ending_cancel();
    async_writer_ensure_threads(async_registry_count());
    if (!max_queue_bytes_set) async_config.max_queue_bytes = 64 * 1024 * 1024;
    if (!max_delay_ms_set) async_config.max_delay_ms = 1000;
    max_queue_bytes_set = max_delay_ms_set = true;
  }
  async_mutex_leave(&control_mutex);
  if (started) return SQLITE_OK;
  return async_control_error(SQLITE_ERROR, "start: the system gives no thread");
}

/* ---- Parameters ---- */

typedef struct Parameter {
  int op;
  const char *name;
  _Atomic int64_t *value;
  int64_t min;
  int64_t max;
} Parameter;

#define MS_MAX INT32_MAX

static Parameter parameters[] = {
    {SQLITEASYNC_DELAY, "delay", &async_config.delay_ms, 0, MS_MAX},
    {SQLITEASYNC_LOCKFILES, "lockfiles", &async_config.lock_files, 0, 1},
    {SQLITEASYNC_MAX_QUEUE_BYTES, "max queue bytes", &async_config.max_queue_bytes, 0,
     INT64_MAX / 2},
    {SQLITEASYNC_ON_QUEUE_FULL, "on queue full", &async_config.on_queue_full, 0, 1},
    {SQLITEASYNC_MAX_DELAY_MS, "max delay", &async_config.max_delay_ms, 0, MS_MAX},
    {SQLITEASYNC_MAX_LOCK_HOLD_MS, "max lock hold", &async_config.max_lock_hold_ms, 0, MS_MAX},
    {SQLITEASYNC_DISK_FULL_RETRY_MS, "disk full retry", &async_config.disk_full_retry_ms, 0,
     MS_MAX},
    {SQLITEASYNC_CHECKPOINT_BYTES, "checkpoint bytes", &async_config.checkpoint_bytes, 0,
     INT64_MAX / 16},
    {SQLITEASYNC_CHECKPOINT_IDLE_MS, "checkpoint idle", &async_config.checkpoint_idle_ms, 0,
     MS_MAX},
    {SQLITEASYNC_MAX_WAL_BYTES, "max wal bytes", &async_config.max_wal_bytes, 0, INT64_MAX / 2},
    {SQLITEASYNC_DRAIN_ON_EXIT, "drain on exit", &async_config.drain_on_exit, 0, 1},
    {SQLITEASYNC_EXIT_DRAIN_MS, "exit drain", &async_config.exit_drain_ms, 0, MS_MAX},
    {SQLITEASYNC_DRAIN_ON_SIGNALS, "drain on signals", &async_config.drain_on_signals, 0,
     SQLITEASYNC_UNLESS_SET},
    {SQLITEASYNC_COVER_HANDLERS, "cover handlers", &async_config.cover_handlers, 0, 1},
    {SQLITEASYNC_WRITERS, "writers", &async_config.writers, 1, ASYNC_WRITERS_MAX},
    {SQLITEASYNC_POLL_US, "poll", &async_config.poll_us, 0, 1000000},
    {SQLITEASYNC_COMMIT, "commit", &async_config.commit, 0, SQLITEASYNC_COMMIT_DURABLE},
};

static Parameter *find_parameter(int op) {
  for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
    if (parameters[i].op == op) return &parameters[i];
  }
  return NULL;
}

static int unknown(int op) {
  return async_control_error(SQLITE_ERROR, "there is no parameter of number %d", op);
}

static int set_halt(int64_t value) {
  if (value < SQLITEASYNC_HALT_NEVER || value > SQLITEASYNC_HALT_IDLE) {
    return async_control_error(SQLITE_MISUSE, "halt: %lld is none of NEVER (0), NOW (1), IDLE (2)",
                               (long long)value);
  }
  async_writer_set_halt((int)value);
  return SQLITE_OK;
}

/* Under control_mutex. */
static int set_drain_on_signals(int64_t value) {
  bool on = value != 0;
  if (value == SQLITEASYNC_UNLESS_SET && drain_on_signals_set) {
    on = async_config.drain_on_signals != 0;
  }
  if (!async_exit_watch_signals(on)) {
    return async_control_error(SQLITE_ERROR, "drain on signals: the system gives no thread for it");
  }
  async_config.drain_on_signals = on;
  if (value != SQLITEASYNC_UNLESS_SET) drain_on_signals_set = true;
  return SQLITE_OK;
}

/* Values that do more than to be read.  Under control_mutex. */
static int set_parameter(Parameter *parameter, int64_t value) {
  if (parameter->op == SQLITEASYNC_LOCKFILES && async_registry_is_in_use()) {
    return async_control_error(SQLITE_MISUSE, "lockfiles: it cannot change while a database is "
                                              "open or anything is queued");
  }
  if (parameter->op == SQLITEASYNC_DRAIN_ON_SIGNALS) return set_drain_on_signals(value);
  if (parameter->op == SQLITEASYNC_MAX_QUEUE_BYTES) max_queue_bytes_set = true;
  if (parameter->op == SQLITEASYNC_MAX_DELAY_MS) max_delay_ms_set = true;
  *parameter->value = value;
  if (parameter->op == SQLITEASYNC_MAX_DELAY_MS) async_registry_rearm();
  if (parameter->op == SQLITEASYNC_WRITERS) {
    async_writer_ensure_threads(async_registry_count());
    async_writer_limits_changed();
  }
  async_doorbell_ring(); /* the checkpointer may have something to do now */
  return SQLITE_OK;
}

int sqlite3async_set(int op, sqlite3_int64 value) {
  if (async_forked) return refuse_in_child("set");
  async_control_init();
  if (op == SQLITEASYNC_HALT) return set_halt(value);
  Parameter *parameter = find_parameter(op);
  if (parameter == NULL) return unknown(op);
  if (value < parameter->min || value > parameter->max) {
    return async_control_error(SQLITE_MISUSE, "%s: %lld is not in %lld .. %lld", parameter->name,
                               (long long)value, (long long)parameter->min,
                               (long long)parameter->max);
  }
  async_mutex_enter(&control_mutex);
  int rc = set_parameter(parameter, value);
  async_mutex_leave(&control_mutex);
  return rc;
}

int sqlite3async_get(int op, sqlite3_int64 *value) {
  if (async_forked) return refuse_in_child("get");
  async_control_init();
  if (value == NULL) return async_control_error(SQLITE_MISUSE, "get: value must not be NULL");
  if (op == SQLITEASYNC_HALT) {
    *value = async_writer_halt();
    return SQLITE_OK;
  }
  if (op == SQLITEASYNC_IGNORED_SIGNALS) {
    *value = async_os_ignored_signals();
    return SQLITE_OK;
  }
  Parameter *parameter = find_parameter(op);
  if (parameter == NULL) return unknown(op);
  *value = *parameter->value;
  return SQLITE_OK;
}

int sqlite3async_control(int op, ...) {
  int rc = SQLITE_ERROR;
  va_list args;
  va_start(args, op);
  switch (op) {
  case SQLITEASYNC_HALT:
  case SQLITEASYNC_DELAY:
  case SQLITEASYNC_LOCKFILES:
    rc = sqlite3async_set(op, va_arg(args, int));
    break;
  case SQLITEASYNC_GET_HALT:
  case SQLITEASYNC_GET_DELAY:
  case SQLITEASYNC_GET_LOCKFILES: {
    /* Each GET verb follows its verb. */
    sqlite3_int64 value = 0;
    rc = sqlite3async_get(op - 1, &value);
    *va_arg(args, int *) = (int)value;
    break;
  }
  default:
    rc = unknown(op);
    break;
  }
  va_end(args);
  return rc;
}
