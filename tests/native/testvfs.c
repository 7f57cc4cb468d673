/*
** The parent VFS for tests.  See testvfs.h.
*/
#include "testvfs.h"

#include "folder_sync.h"
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RULES_MAX 16
#define HELD_WITHIN_S 10
#define NAME_MAX_LENGTH 300

typedef struct TestFile {
  sqlite3_file base;
  sqlite3_file *real;
  char path[NAME_MAX_LENGTH];
} TestFile;

typedef enum RuleKind { RULE_FAIL, RULE_DELAY, RULE_HOLD } RuleKind;

typedef struct Rule {
  RuleKind kind;
  unsigned set;
  const char *name;
  int after;
  int times;
  int code;
  int os_error;
  int ms;
  bool halfway;
} Rule;

typedef struct Counted {
  unsigned operation;
  char path[NAME_MAX_LENGTH];
} Counted;

static sqlite3_vfs *real_vfs;

/* Guarded by the mutex. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static Rule rules[RULES_MAX];
static int rule_count;
static int failures;
static bool held;
static unsigned releases;
static Counted *counted;
static size_t counted_count;
static size_t counted_room;
static char *log_text;
static size_t log_length;
static size_t log_room;
static void (*change_hook)(void *arg);
static void *change_arg;

static _Atomic int open_files;

static _Thread_local int last_error;
static _Thread_local bool fails_halfway; /* the operation that was just told to fail */

/* Held, while there is a hook, during what it must not see half done. */
static pthread_mutex_t one_by_one;
static _Atomic bool is_one_by_one;

static bool begin(void) {
  if (!is_one_by_one) return false;
  pthread_mutex_lock(&one_by_one);
  return true;
}

static void end(bool begun) {
  if (begun) pthread_mutex_unlock(&one_by_one);
}

/* ---- Rules ---- */

static void enter(void) { pthread_mutex_lock(&mutex); }
static void leave(void) { pthread_mutex_unlock(&mutex); }

/* Is the file meant by the name of a rule or a count? */
static bool is_meant(const char *path, const char *name) {
  if (name == NULL) return true;
  size_t length = strlen(name);
  if (length == 0 || name[length - 1] != '$') return strstr(path, name) != NULL;
  size_t path_length = strlen(path);
  if (path_length < length - 1) return false;
  return strncmp(path + path_length - (length - 1), name, length - 1) == 0;
}

static bool matches(const Rule *rule, unsigned operation, const char *path) {
  if ((rule->set & operation) == 0 || rule->times == 0) return false;
  return is_meant(path, rule->name);
}

/* Under the mutex. */
static void hold(void) {
  unsigned before = releases; /* another one may be held by the time that this one wakes */
  held = true;
  pthread_cond_broadcast(&changed);
  while (releases == before) pthread_cond_wait(&changed, &mutex);
}

/* What the rules say of an operation: the code it is to fail with, or SQLITE_OK. */
static int obey(unsigned operation, const char *path) {
  int code = SQLITE_OK;
  int ms = 0;
  fails_halfway = false;
  enter();
  for (int i = 0; i < rule_count && code == SQLITE_OK; i++) {
    Rule *rule = &rules[i];
    if (!matches(rule, operation, path)) continue;
    if (rule->kind == RULE_DELAY) {
      ms += rule->ms;
    } else if (rule->after > 0) {
      rule->after--;
    } else if (rule->kind == RULE_HOLD) {
      rule->times = 0;
      hold();
    } else {
      if (rule->times > 0) rule->times--;
      failures++;
      code = rule->code;
      last_error = rule->os_error;
      fails_halfway = rule->halfway;
    }
  }
  leave();
  if (ms > 0) sleep_ms(ms);
  return code;
}

static void add_rule(Rule rule) {
  enter();
  CHECK(rule_count < RULES_MAX);
  rules[rule_count++] = rule;
  leave();
}

void testvfs_fail(unsigned set, const char *name, int after, int times, int code, int os_error) {
  add_rule((Rule){.kind = RULE_FAIL,
                  .set = set,
                  .name = name,
                  .after = after,
                  .times = times,
                  .code = code,
                  .os_error = os_error});
}

void testvfs_fail_halfway(unsigned set, const char *name, int after, int times, int code,
                          int os_error) {
  testvfs_fail(set, name, after, times, code, os_error);
  enter();
  rules[rule_count - 1].halfway = true;
  leave();
}

void testvfs_delay(unsigned set, const char *name, int ms) {
  add_rule((Rule){.kind = RULE_DELAY, .set = set, .name = name, .times = -1, .ms = ms});
}

void testvfs_hold(unsigned set, const char *name) {
  add_rule((Rule){.kind = RULE_HOLD, .set = set, .name = name, .times = 1});
}

void testvfs_wait_held(void) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += HELD_WITHIN_S;
  int late = 0;
  enter();
  while (!held && late == 0) late = pthread_cond_timedwait(&changed, &mutex, &until);
  leave();
  if (late != 0) FAIL("there was nothing to hold");
}

void testvfs_release(void) {
  enter();
  held = false;
  releases++;
  pthread_cond_broadcast(&changed);
  leave();
}

int testvfs_open_files(void) { return open_files; }

int testvfs_failures(void) {
  enter();
  int count = failures;
  leave();
  return count;
}

void testvfs_reset(void) {
  enter();
  rule_count = 0;
  failures = 0;
  held = false;
  releases++;
  pthread_cond_broadcast(&changed);
  counted_count = 0;
  log_length = 0;
  change_hook = NULL;
  is_one_by_one = false;
  leave();
}

void testvfs_on_change(void (*hook)(void *arg), void *arg) {
  enter();
  change_hook = hook;
  change_arg = arg;
  leave();
  is_one_by_one = hook != NULL;
}

/* ---- Records ---- */

static void *grown(void *block, size_t *room, size_t needed, size_t size) {
  if (needed <= *room) return block;
  *room = needed * 2;
  block = realloc(block, *room * size);
  CHECK(block != NULL);
  return block;
}

static const char *last_part(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? path : slash + 1;
}

/* The operation was done; format is NULL if it is not for the log. */
__attribute__((format(printf, 3, 4))) static void note(unsigned operation, const char *path,
                                                       const char *format, ...) {
  char line[NAME_MAX_LENGTH + 100] = "";
  if (format != NULL) {
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
  }
  enter();
  counted = grown(counted, &counted_room, counted_count + 1, sizeof *counted);
  Counted *entry = &counted[counted_count++];
  entry->operation = operation;
  snprintf(entry->path, sizeof entry->path, "%s", path);
  size_t length = strlen(line);
  log_text = grown(log_text, &log_room, log_length + length + 1, 1);
  memcpy(log_text + log_length, line, length + 1);
  log_length += length;
  void (*hook)(void *) = (operation & ON_CHANGE) != 0 ? change_hook : NULL;
  void *arg = change_arg;
  leave();
  if (hook == NULL) return;
  hook(arg);
}

int testvfs_count(unsigned set, const char *name) {
  int count = 0;
  enter();
  for (size_t i = 0; i < counted_count; i++) {
    if ((counted[i].operation & set) == 0) continue;
    if (is_meant(counted[i].path, name)) count++;
  }
  leave();
  return count;
}

char *testvfs_log(void) {
  enter();
  char *copy = calloc(1, log_length + 1);
  CHECK(copy != NULL);
  if (log_length > 0) memcpy(copy, log_text, log_length);
  leave();
  return copy;
}

/* ---- Methods of files ---- */

static TestFile *test_file(sqlite3_file *base) { return (TestFile *)base; }

static int file_close(sqlite3_file *base) {
  TestFile *file = test_file(base);
  int rc = file->real->pMethods->xClose(file->real);
  int code = obey(ON_CLOSE, file->path);
  if (code != SQLITE_OK) rc = code;
  note(ON_CLOSE, file->path, "close %s\n", last_part(file->path));
  free(file->real);
  file->base.pMethods = NULL;
  open_files--;
  return rc;
}

static int file_read(sqlite3_file *base, void *buf, int n, sqlite3_int64 offset) {
  TestFile *file = test_file(base);
  int rc = file->real->pMethods->xRead(file->real, buf, n, offset);
  int code = obey(ON_READ, file->path);
  note(ON_READ, file->path, NULL);
  return code != SQLITE_OK ? code : rc;
}

static int file_write(sqlite3_file *base, const void *buf, int n, sqlite3_int64 offset) {
  TestFile *file = test_file(base);
  bool begun = begin();
  int rc = obey(ON_WRITE, file->path);
  if (rc != SQLITE_OK && fails_halfway) {
    file->real->pMethods->xWrite(file->real, buf, n / 2, offset);
  }
  if (rc == SQLITE_OK) rc = file->real->pMethods->xWrite(file->real, buf, n, offset);
  if (rc == SQLITE_OK) {
    note(ON_WRITE, file->path, "write %s %d @%lld\n", last_part(file->path), n, (long long)offset);
  }
  end(begun);
  return rc;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size) {
  TestFile *file = test_file(base);
  bool begun = begin();
  int rc = obey(ON_TRUNCATE, file->path);
  if (rc == SQLITE_OK) rc = file->real->pMethods->xTruncate(file->real, size);
  if (rc == SQLITE_OK) {
    note(ON_TRUNCATE, file->path, "truncate %s %lld\n", last_part(file->path), (long long)size);
  }
  end(begun);
  return rc;
}

static int file_sync(sqlite3_file *base, int flags) {
  TestFile *file = test_file(base);
  bool begun = begin();
  int rc = obey(ON_SYNC, file->path);
  if (rc == SQLITE_OK) rc = file->real->pMethods->xSync(file->real, flags);
  if (rc == SQLITE_OK) note(ON_SYNC, file->path, "sync %s\n", last_part(file->path));
  end(begun);
  return rc;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size) {
  TestFile *file = test_file(base);
  int rc = obey(ON_FILE_SIZE, file->path);
  if (rc == SQLITE_OK) rc = file->real->pMethods->xFileSize(file->real, size);
  note(ON_FILE_SIZE, file->path, NULL);
  return rc;
}

static int file_lock(sqlite3_file *base, int level) {
  TestFile *file = test_file(base);
  int rc = obey(ON_LOCK, file->path);
  if (rc == SQLITE_OK) rc = file->real->pMethods->xLock(file->real, level);
  if (rc == SQLITE_OK) note(ON_LOCK, file->path, NULL);
  return rc;
}

static int file_unlock(sqlite3_file *base, int level) {
  TestFile *file = test_file(base);
  int rc = obey(ON_UNLOCK, file->path);
  if (rc == SQLITE_OK) rc = file->real->pMethods->xUnlock(file->real, level);
  if (rc == SQLITE_OK) note(ON_UNLOCK, file->path, NULL);
  return rc;
}

static int file_check_reserved_lock(sqlite3_file *base, int *reserved) {
  TestFile *file = test_file(base);
  int rc = obey(ON_CHECK_RESERVED, file->path);
  if (rc == SQLITE_OK) rc = file->real->pMethods->xCheckReservedLock(file->real, reserved);
  note(ON_CHECK_RESERVED, file->path, NULL);
  return rc;
}

static int file_control(sqlite3_file *base, int op, void *arg) {
  TestFile *file = test_file(base);
  bool begun = begin(); /* HAS_MOVED looks at the name */
  bool asks = op == SQLITE_FCNTL_HAS_MOVED;
  int rc = asks ? file->real->pMethods->xFileControl(file->real, op, arg) : SQLITE_OK;
  if (rc == SQLITE_OK) rc = obey(ON_CONTROL, file->path);
  if (rc == SQLITE_OK && !asks) rc = file->real->pMethods->xFileControl(file->real, op, arg);
  note(ON_CONTROL, file->path, NULL);
  end(begun);
  return rc;
}

static int file_sector_size(sqlite3_file *base) {
  TestFile *file = test_file(base);
  return file->real->pMethods->xSectorSize(file->real);
}

static int file_device_characteristics(sqlite3_file *base) {
  TestFile *file = test_file(base);
  return file->real->pMethods->xDeviceCharacteristics(file->real);
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_device_characteristics,
};

/* ---- Methods of the VFS ---- */

static int open_real(TestFile *file, const char *path, int flags, int *out) {
  file->real = calloc(1, (size_t)real_vfs->szOsFile);
  if (file->real == NULL) return SQLITE_NOMEM;
  int rc = real_vfs->xOpen(real_vfs, path, file->real, flags, out);
  if (rc != SQLITE_OK) {
    free(file->real);
    return rc;
  }
  file->base.pMethods = &file_methods;
  open_files++;
  note(ON_OPEN, file->path, "open %s\n", last_part(file->path));
  return SQLITE_OK;
}

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *out) {
  (void)vfs;
  TestFile *file = test_file(base);
  memset(file, 0, sizeof *file);
  snprintf(file->path, sizeof file->path, "%s", path == NULL ? "" : path);
  bool begun = begin();
  int rc = obey(ON_OPEN, file->path);
  if (rc == SQLITE_OK) rc = open_real(file, path, flags, out);
  end(begun);
  return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_directory) {
  (void)vfs;
  bool begun = begin();
  int rc = obey(ON_DELETE, path);
  if (rc == SQLITE_OK) rc = real_vfs->xDelete(real_vfs, path, sync_directory);
  if (rc == SQLITE_OK) note(ON_DELETE, path, "delete %s\n", last_part(path));
  end(begun);
  return rc;
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *result) {
  (void)vfs;
  bool begun = begin();
  int rc = obey(ON_ACCESS, path);
  if (rc == SQLITE_OK) rc = real_vfs->xAccess(real_vfs, path, flags, result);
  note(ON_ACCESS, path, NULL);
  end(begun);
  return rc;
}

static int vfs_get_last_error(sqlite3_vfs *vfs, int n, char *out) {
  (void)vfs;
  if (n > 0) out[0] = '\0';
  int number = last_error;
  last_error = 0;
  return number;
}

static int sync_folder(const char *folder, int descriptor) {
  if (obey(ON_SYNC_DIRECTORY, folder) == SQLITE_OK) return fsync(descriptor);
  errno = EIO;
  return -1;
}

void testvfs_register(void) {
  static sqlite3_vfs test_vfs;
  if (real_vfs != NULL) return;
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&one_by_one, &attributes);
  pthread_mutexattr_destroy(&attributes);
  real_vfs = sqlite3_vfs_find("unix");
  CHECK(real_vfs != NULL);
  test_vfs = *real_vfs; /* whose other methods need nothing of their own */
  test_vfs.szOsFile = (int)sizeof(TestFile);
  test_vfs.pNext = NULL;
  test_vfs.zName = TESTVFS_NAME;
  test_vfs.xOpen = vfs_open;
  test_vfs.xDelete = vfs_delete;
  test_vfs.xAccess = vfs_access;
  test_vfs.xGetLastError = vfs_get_last_error;
  CHECK_EQ(sqlite3_vfs_register(&test_vfs, 0), SQLITE_OK);
  folder_sync_by(sync_folder);
}
