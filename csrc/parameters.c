/*
** The parameters.  See parameters.h and sqlite3async.h.
*/
#include "parameters.h"

#include "api.h"
#include "config.h"
#include "doorbell.h"
#include "exit.h"
#include "init.h"
#include "registry.h"
#include "writer.h"

#include <stdarg.h>

/* Under the mutex of api.h: what async_parameters_use_defaults() may not change. */
static bool max_queue_bytes_set;
static bool max_delay_ms_set;
static bool drain_on_signals_set; /* what SQLITEASYNC_UNLESS_SET may not change */

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

void async_parameters_use_defaults(void) {
  if (!max_queue_bytes_set) async_config.max_queue_bytes = 64 * 1024 * 1024;
  if (!max_delay_ms_set) async_config.max_delay_ms = 1000;
  max_queue_bytes_set = max_delay_ms_set = true;
}

static Parameter *find_parameter(int op) {
  for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
    if (parameters[i].op == op) return &parameters[i];
  }
  return NULL;
}

static int unknown(int op) {
  return async_api_error(SQLITE_ERROR, "there is no parameter of number %d", op);
}

static int set_halt(int64_t value) {
  if (value < SQLITEASYNC_HALT_NEVER || value > SQLITEASYNC_HALT_IDLE) {
    return async_api_error(SQLITE_MISUSE, "halt: %lld is none of NEVER (0), NOW (1), IDLE (2)",
                           (long long)value);
  }
  async_writer_set_halt((int)value);
  return SQLITE_OK;
}

/* Under the mutex of api.h. */
static int set_drain_on_signals(int64_t value) {
  bool on = value != 0;
  if (value == SQLITEASYNC_UNLESS_SET && drain_on_signals_set) {
    on = async_config.drain_on_signals != 0;
  }
  if (!async_exit_watch_signals(on)) {
    return async_api_error(SQLITE_ERROR, "drain on signals: the system gives no thread for it");
  }
  async_config.drain_on_signals = on;
  if (value != SQLITEASYNC_UNLESS_SET) drain_on_signals_set = true;
  return SQLITE_OK;
}

/* Values that do more than to be read.  Under the mutex of api.h. */
static int set_parameter(Parameter *parameter, int64_t value) {
  if (parameter->op == SQLITEASYNC_LOCKFILES && async_registry_is_in_use()) {
    return async_api_error(SQLITE_MISUSE, "lockfiles: it cannot change while a database is "
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
  if (async_forked) return async_api_refuse_in_child("set");
  async_init();
  if (op == SQLITEASYNC_HALT) return set_halt(value);
  Parameter *parameter = find_parameter(op);
  if (parameter == NULL) return unknown(op);
  if (value < parameter->min || value > parameter->max) {
    return async_api_error(SQLITE_MISUSE, "%s: %lld is not in %lld .. %lld", parameter->name,
                           (long long)value, (long long)parameter->min, (long long)parameter->max);
  }
  async_api_enter();
  int rc = set_parameter(parameter, value);
  async_api_leave();
  return rc;
}

int sqlite3async_get(int op, sqlite3_int64 *value) {
  if (async_forked) return async_api_refuse_in_child("get");
  async_init();
  if (value == NULL) return async_api_error(SQLITE_MISUSE, "get: value must not be NULL");
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
