/*
** A database that its owner deletes, renames or replaces while it is open here, in the
** middle of what is queued or behind it, with the n-th call of the parent failing, or the
** n-th allocation of the core, for every n.
**
** Whatever fails: what is at the path now is untouched, nothing is left open, nothing leaks,
** and the path can be used again.  And as long as the stream has not failed, a file that was
** renamed has every commit.
**
** Only a deletion does not fail here: a hot journal that cannot be removed stays.
*/
#include "database.h"
#include "libfault.h"
#include "registry.h"
#include "scenario.h"
#include "testvfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CALLS_MAX 2000
#define FOREIGN_ROWS 30
#define STEPS_IN_THE_MIDDLE 6
/* Without a full run, one in so many. */
#define CALLS 6

typedef enum Move { MOVE_UNLINK, MOVE_RENAME, MOVE_REPLACE, MOVE_COUNT } Move;

typedef struct Fault {
  const char *name;
  unsigned set; /* 0: an allocation */
  int code;
  int os_error;
} Fault;

static const Fault faults[] = {
    {"xOpen", ON_OPEN, SQLITE_CANTOPEN, 0},
    {"xRead", ON_READ, SQLITE_IOERR_READ, 0},
    {"xWrite", ON_WRITE, SQLITE_IOERR_WRITE, 0},
    {"xWrite, no space", ON_WRITE, SQLITE_FULL, ENOSPC},
    {"xTruncate", ON_TRUNCATE, SQLITE_IOERR_TRUNCATE, 0},
    {"xSync", ON_SYNC, SQLITE_IOERR_FSYNC, 0},
    {"xClose", ON_CLOSE, SQLITE_IOERR_CLOSE, 0},
    {"xAccess", ON_ACCESS, SQLITE_IOERR_ACCESS, 0},
    {"xFileSize", ON_FILE_SIZE, SQLITE_IOERR_FSTAT, 0},
    {"xUnlock", ON_UNLOCK, SQLITE_IOERR_UNLOCK, 0},
    {"xFileControl", ON_CONTROL, SQLITE_IOERR, 0},
    {"memory", 0, SQLITE_NOMEM, 0},
};
#define FAULT_COUNT ((int)(sizeof faults / sizeof faults[0]))

static const char *folder;
static int committed;
static bool failed; /* the stream has */
static int injections;

static const char *in(const char *name) {
  static char texts[8][500];
  static int next;
  char *text = texts[next++ % 8];
  snprintf(text, sizeof texts[0], "%s/%s", folder, name);
  return text;
}

/* ---- What is there ---- */

static void make_table(const char *path, const char *mode, int rows) {
  sqlite3 *plain = open_plain(path);
  exec(plain, "PRAGMA journal_mode = %s; CREATE TABLE t(a INTEGER PRIMARY KEY, b)", mode);
  for (int i = 0; i < rows; i++) exec(plain, "INSERT INTO t(b) VALUES (hex(zeroblob(300)))");
  close_database(plain);
}

static void make_room(const char *mode) {
  static const char *const names[] = {"x.db", "x.db-journal", "x.db-wal", "moved.db", "foreign.db"};
  for (int i = 0; i < 5; i++) unlink(in(names[i]));
  make_table(in("x.db"), mode, 0);
  make_table(in("foreign.db"), "DELETE", FOREIGN_ROWS);
}

static void check_rows(const char *path, int64_t rows) {
  sqlite3 *plain = open_plain(path);
  check_integrity(plain);
  int64_t found = query_int(plain, "SELECT count(*) FROM t");
  if (found != rows)
    SCENARIO_FAIL("%s has %lld rows, not %lld", path, (long long)found, (long long)rows);
  close_database(plain);
}

static void move(Move how, bool wal) {
  if (how == MOVE_UNLINK) CHECK(unlink(in("x.db")) == 0);
  if (how == MOVE_RENAME) CHECK(rename(in("x.db"), in("moved.db")) == 0);
  if (how == MOVE_REPLACE) CHECK(rename(in("foreign.db"), in("x.db")) == 0);
  if (wal) unlink(in("x.db-wal"));
}

/* ---- A run ---- */

static void insert_some(sqlite3 *db) {
  for (int i = 0; i < 2 && db != NULL; i++) {
    int rc = exec_code(db, "BEGIN; INSERT INTO t(b) VALUES (hex(zeroblob(300)));"
                           "UPDATE t SET b = b || 'x'; COMMIT");
    if (rc == SQLITE_OK) committed++;
    if (!sqlite3_get_autocommit(db)) exec_code(db, "ROLLBACK");
  }
}

static void note_failure(void) {
  AsyncStream *stream = async_registry_find(in("x.db"));
  if (stream == NULL) return;
  if (stream->error.code != SQLITE_OK) failed = true;
  async_registry_unref(stream);
}

static void begin(const Fault *fault, int n, int times) {
  if (fault->set == 0) {
    libfault_fail(OF_MEMORY, n, times);
  } else {
    testvfs_fail(fault->set, "/x.db", n, times, fault->code, fault->os_error);
  }
}

static int end(const Fault *fault) {
  int count = fault->set == 0 ? libfault_stop() : testvfs_failures();
  testvfs_reset();
  return count;
}

/* With faults from the first call on.  Returns how many there were. */
static int run(const char *mode, Move how, int steps, const Fault *fault, int n, int times) {
  make_room(mode);
  bool wal = strcmp(mode, "WAL") == 0;
  committed = 0;
  failed = false;
  int64_t blocks = libfault_live_blocks();
  begin(fault, n, times);
  sqlite3 *db = NULL;
  int rc = sqlite3_open_v2(in("x.db"), &db, SQLITE_OPEN_READWRITE, SQLITEASYNC_VFSNAME);
  if (rc == SQLITE_OK) insert_some(db);
  step_some(steps);
  move(how, wal);
  if (rc == SQLITE_OK) insert_some(db); /* is refused */
  step_some(CALLS_MAX);
  note_failure();
  CHECK_EQ(sqlite3_close(db), SQLITE_OK);
  step_some(CALLS_MAX);
  int count = end(fault);
  step_some(CALLS_MAX);
  if (testvfs_open_files() > 0) SCENARIO_FAIL("%d files are open", testvfs_open_files());
  AsyncFailure failure;
  while (async_registry_take_failure(NULL, &failure)) failed = true;
  if (async_registry_count() > 0) SCENARIO_FAIL("streams are left");
  if (how == MOVE_REPLACE) check_rows(in("x.db"), FOREIGN_ROWS);
  if (how != MOVE_REPLACE && access(in("x.db"), F_OK) == 0) SCENARIO_FAIL("x.db is there again");
  if (how == MOVE_RENAME && !failed && !wal) check_rows(in("moved.db"), committed);
  if (libfault_live_blocks() != blocks) {
    SCENARIO_FAIL("%lld blocks leaked", (long long)(libfault_live_blocks() - blocks));
  }
  return count;
}

/* The path is another one's: it can be used. */
static void check_usable(const char *mode) {
  sqlite3 *db = open_async(in("x.db"));
  exec(db, "PRAGMA journal_mode = %s; CREATE TABLE IF NOT EXISTS n(x)", mode);
  exec(db, "INSERT INTO n VALUES (1)");
  step_all();
  CHECK_EQ(query_int(db, "SELECT count(*) FROM n"), 1);
  close_database(db);
  step_all();
}

/* False if the call does not come. */
static bool inject(const char *mode, Move how, int steps, const Fault *fault, int n, int times) {
  scenario_note("%s, %s, after %d steps: %s, n = %d, %s", mode,
                how == MOVE_UNLINK   ? "unlinked"
                : how == MOVE_RENAME ? "renamed"
                                     : "replaced",
                steps, fault->name, n, times < 0 ? "for ever" : "once");
  int count = run(mode, how, steps, fault, n, times);
  if (count == 0 && failed) SCENARIO_FAIL("without a fault the stream failed");
  check_usable(mode);
  if (count > 0) injections++;
  return count > 0;
}

/* If it cannot be asked for ever whether it has moved, nobody knows. */
static bool has_meaning(const Fault *fault, int times) {
  return times > 0 || fault->set != ON_CONTROL;
}

static void every_call_fails(const char *mode) {
  folder = test_path("live");
  CHECK(mkdir(folder, 0700) == 0);
  async_setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_DISK_FULL_RETRY_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 0), SQLITE_OK);
  inject(mode, MOVE_RENAME, 0, &faults[0], CALLS_MAX, 1); /* what is made once */
  for (int how = 0; how < MOVE_COUNT; how++) {
    for (int way = 0; way < 4 * FAULT_COUNT; way++) {
      const Fault *fault = &faults[way / 4];
      int steps = way & 1 ? STEPS_IN_THE_MIDDLE : CALLS_MAX;
      int times = way & 2 ? -1 : 1;
      bool meets = has_meaning(fault, times);
      for (int n = 0; meets; n++) {
        CHECK(n < CALLS_MAX);
        if (scenario_chooses(CALLS)) meets = inject(mode, (Move)how, steps, fault, n, times);
      }
    }
  }
  printf("# %d injections\n", injections);
}

static void moved_with_DELETE(void) { every_call_fails("DELETE"); }
static void moved_with_TRUNCATE(void) { every_call_fails("TRUNCATE"); }
static void moved_with_PERSIST(void) { every_call_fails("PERSIST"); }
static void moved_with_WAL(void) { every_call_fails("WAL"); }

int main(void) {
  return run_tests((TestCase[]){TEST(moved_with_DELETE),
                                TEST(moved_with_TRUNCATE),
                                TEST(moved_with_PERSIST),
                                TEST(moved_with_WAL),
                                {0}});
}
