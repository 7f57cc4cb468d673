/*
** Running scenarios.  See scenario.h, and script.h for what the scripts call.
*/
#include "scenario.h"

#include "arena.h"
#include "sync.h"
#include "database.h"
#include "flush.h"
#include "libfault.h"
#include "model.h"
#include "registry.h"
#include "script.h"
#include "testvfs.h"
#include "writer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 20000
#define STEPS_MAX 20000
#define SQL_MAX 4000
#define SPARE_CHUNKS_MAX (ASYNC_ARENA_SPARES_MAX + 8)

/* The run that is under way. */
static const Scenario *scenario;
static const Hooks *hooks;
static Outcome *outcome;
static bool eager;
static int number;           /* of transactions tried */
static int durable_at_least; /* what a flush has promised */
static sqlite3 *db;
static sqlite3 *other;
static int other_rows;

/* A check of a run. */
#define RUN_CHECK(condition)                                                                       \
  do {                                                                                             \
    if (!(condition)) SCENARIO_FAIL("%s", #condition);                                             \
  } while (0)

/* ---- Paths ---- */

const char *script_path(const char *name) {
  char path[100];
  snprintf(path, sizeof path, "%s/%s", SCENARIO_FOLDER, name);
  return test_path(path);
}

static const char *const names[] = {"x.db", "y.db"};

static int database_count(void) { return scenario->two ? 2 : 1; }

/* ---- Streams ---- */

static int code_of_stream(const char *path) {
  AsyncStream *stream = async_registry_find(path);
  if (stream == NULL) return SQLITE_OK;
  async_mutex_enter(&stream->mutex);
  int code = stream->error.code;
  async_mutex_leave(&stream->mutex);
  async_registry_unref(stream);
  return code;
}

static void note_failed_streams(void) {
  for (int i = 0; i < database_count(); i++) {
    int code = code_of_stream(script_path(names[i]));
    if (outcome->stream_code == SQLITE_OK) outcome->stream_code = code;
  }
}

/* ---- Applying ---- */

void script_settle(void) {
  if (scenario->has_thread) {
    /* A stream whose op is held for want of space is as settled as it gets. */
    WAIT_FOR(WAIT_MS, !async_registry_wake_if_queued());
  } else {
    RUN_CHECK(step_some(STEPS_MAX) < STEPS_MAX);
  }
  if (hooks->settle != NULL) hooks->settle(hooks->arg);
}

void script_settle_if_eager(void) {
  if (eager) script_settle();
}

static void look_at_closed(void);

/* ---- Calls that note their codes ---- */

void script_note(int code) {
  if (code == SQLITE_OK) return;
  if (outcome->code_count < SCENARIO_CODES_MAX) outcome->codes[outcome->code_count++] = code;
}

sqlite3 *script_db(void) { return db; }

static int open_at(const char *vfs, int flags) {
  RUN_CHECK(db == NULL);
  flags |= SQLITE_OPEN_EXRESCODE;
  int rc = sqlite3_open_v2(script_path("x.db"), &db, flags, vfs);
  if (rc != SQLITE_OK) {
    sqlite3_close(db);
    db = NULL;
    return rc;
  }
  if (scenario->two) {
    char sql[SQL_MAX];
    snprintf(sql, sizeof sql, "ATTACH '%s' AS y", script_path("y.db"));
    rc = exec_code(db, sql);
  }
  if (rc != SQLITE_OK) {
    CHECK_EQ(sqlite3_close(db), SQLITE_OK);
    db = NULL;
  }
  return rc;
}

static bool open_twice(const char *vfs, int flags) {
  for (int i = 0; i < 2 && db == NULL; i++) script_note(open_at(vfs, flags));
  return db != NULL;
}

bool script_open(int flags) { return open_twice(SQLITEASYNC_VFSNAME, flags); }
bool script_open_routed(void) {
  return open_twice(NULL, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
}

void script_close(void) {
  note_failed_streams();
  if (db != NULL) CHECK_EQ(sqlite3_close(db), SQLITE_OK);
  db = NULL;
  if (scenario->leaves_files) look_at_closed();
  script_settle_if_eager();
}

sqlite3_stmt *script_close_but_statement(void) {
  sqlite3_stmt *statement = NULL;
  if (db == NULL) return NULL;
  script_note(sqlite3_prepare_v2(db, MODEL_CONTENT, -1, &statement, NULL));
  CHECK_EQ(sqlite3_close_v2(db), SQLITE_OK);
  db = NULL;
  script_settle();
  note_failed_streams();
  return statement;
}

static void roll_back_if_open(void) {
  if (!sqlite3_get_autocommit(db)) script_note(exec_code(db, "ROLLBACK"));
  libfault_suspend(true); /* without memory not even that can be said */
  if (!sqlite3_get_autocommit(db)) exec(db, "ROLLBACK");
  libfault_suspend(false);
}

void script_sql(const char *sql) {
  if (db == NULL) return;
  if (hooks->before != NULL) hooks->before(hooks->arg);
  script_note(exec_code(db, sql));
  roll_back_if_open();
  if (hooks->after != NULL) hooks->after(hooks->arg);
  script_settle_if_eager();
}

bool script_goes_on(void) { return outcome->stream_code == SQLITE_OK; }

void script_read(void) { script_sql(MODEL_CONTENT); }

/* ---- Transactions ---- */

static void replace_schema(char *out, const char *body, const char *schema) {
  size_t length = strlen(out);
  for (const char *c = body; *c != '\0'; c++) {
    if (*c == '@') {
      length += (size_t)snprintf(out + length, SQL_MAX - length, "%s", schema);
    } else {
      out[length++] = *c;
    }
    CHECK(length < SQL_MAX - 100);
    out[length] = '\0';
  }
}

/* The other database takes part in the time, not in the faults. */
static void write_other(void) {
  int rc = exec_code(other, "INSERT INTO t VALUES (zeroblob(500))");
  if (rc == SQLITE_OK) other_rows++;
  if (rc != SQLITE_OK && outcome->other_code == SQLITE_OK) outcome->other_code = rc;
}

/*
** A commit that fails when all that was left to do was to sync the end of the journal
** has happened.  SQLite does not tell, in plain mode either; but it shows.
*/
static bool is_done_all_the_same(void) {
  char *text = query_text(db, MODEL_CONTENT);
  bool done = model_has_tried(text);
  sqlite3_free(text);
  return done;
}

void script_commit(const char *body) {
  if (db == NULL) return;
  if (hooks->before != NULL) hooks->before(hooks->arg);
  char model_sql[SQL_MAX] = "";
  char sql[SQL_MAX] = "BEGIN; ";
  replace_schema(model_sql, body, "main");
  replace_schema(sql, body, "main");
  if (scenario->two) replace_schema(sql, body, "y");
  libfault_suspend(true);
  model_try(model_sql);
  libfault_suspend(false);
  int rc = exec_code(db, sql);
  script_note(rc);
  script_settle_if_eager();
  bool commits = rc == SQLITE_OK;
  if (commits) {
    rc = exec_code(db, "COMMIT");
    script_note(rc);
  }
  roll_back_if_open();
  libfault_suspend(true);
  model_decide(rc == SQLITE_OK || (commits && rc == SQLITE_NOMEM && is_done_all_the_same()));
  libfault_suspend(false);
  if (hooks->after != NULL) hooks->after(hooks->arg);
  write_other();
  script_settle_if_eager();
}

void script_transaction(int rows) {
  char body[SQL_MAX];
  int k = ++number;
  snprintf(body, sizeof body,
           "UPDATE @.meta SET k = %d;"
           "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
           " INSERT INTO @.t(b) SELECT substr(replace(hex(zeroblob(600)), '00',"
           " printf('%%04d', %d)), 1, 700 + i * 131) FROM n;"
           "UPDATE @.t SET b = substr(b, 7) || 'k%d' WHERE a %% 3 = %d;",
           k, rows, k, k, k % 3);
  script_commit(body);
}

/* ---- Flush ---- */

/* Stepped, as sqlite3async_flush() does it with a thread. */
static int flush_stepped(const char *path) {
  AsyncStream *stream = async_registry_find(path);
  AsyncFailure failure;
  if (stream == NULL) return async_registry_take_failure(path, &failure) ? failure.code : SQLITE_OK;
  int64_t ticket = async_flush_request(stream);
  int rc = ticket < 0 ? (int)-ticket : SQLITE_OK;
  script_settle();
  if (ticket > 0) {
    int64_t now = sqlite3async_durable(stream->id);
    if (now < 0) rc = (int)-now;
    if (now >= 0 && now < ticket) rc = SQLITE_BUSY;
  }
  async_registry_unref(stream);
  return rc;
}

static int flush_one(const char *path) {
  return scenario->has_thread ? sqlite3async_flush(path, WAIT_MS) : flush_stepped(path);
}

void script_flush(void) {
  int committed = model_committed();
  bool failed_before = outcome->code_count > 0 && script_db() == NULL;
  int rc = SQLITE_OK;
  for (int i = 0; i < database_count(); i++) {
    int one = flush_one(script_path(names[i]));
    script_note(one);
    if (rc == SQLITE_OK) rc = one;
  }
  /* A database that failed and was closed has nothing to wait for any more. */
  outcome->flushed = rc == SQLITE_OK && !failed_before;
  if (outcome->flushed) durable_at_least = committed;
}

/* ---- What is on disk ---- */

static int seen; /* by look_at_disk() */

static void look_at_disk(void *unused) {
  (void)unused;
  seen = -1;
  for (int i = 0; i < database_count(); i++) {
    sqlite3 *plain = open_plain(script_path(names[i]));
    exec(plain, "PRAGMA synchronous = OFF");
    check_integrity(plain);
    char *text = query_text(plain, MODEL_CONTENT);
    bool failed = false;
    int found = model_find(text, &failed);
    if (found < 0) SCENARIO_FAIL("on disk is no transaction's content:\n%s", text);
    sqlite3_free(text);
    close_database(plain);
    if (found < durable_at_least) {
      SCENARIO_FAIL("%s has %d transactions, and %d were durable", names[i], found,
                    durable_at_least);
    }
    int state = 2 * found + (failed ? 1 : 0);
    if (seen >= 0 && state != seen) SCENARIO_FAIL("%s has another transaction than x.db", names[i]);
    seen = state;
  }
}

static void look(void) {
  libfault_suspend(true);
  with_copy(test_path(SCENARIO_FOLDER), look_at_disk, NULL);
  libfault_suspend(false);
}

/* The last close has returned: a file is left, as sound as ever, that others can have.  If the
** writer failed meanwhile, nobody but the registry knows. */
static void look_at_closed(void) {
  if (hooks->begin == NULL) return; /* afterwards the thread may be stopped */
  look();
  scenario_look_as_other();
  WAIT_FOR(WAIT_MS, async_registry_count() <= 1);
  for (int i = 0; i < database_count(); i++) {
    AsyncFailure failure;
    if (!async_registry_take_failure(script_path(names[i]), &failure)) continue;
    script_note(failure.code);
    outcome->stream_code = failure.code;
  }
}

/* ---- Checks ---- */

/* A stream that failed says so to everybody. */
static void check_failed_stream(const char *path) {
  AsyncStream *stream = async_registry_find(path);
  if (stream == NULL) return;
  int code = stream->error.code;
  if (code != SQLITE_OK) {
    RUN_CHECK(stream->queue.head == NULL && stream->queue.bytes == 0);
    CHECK_EQ(async_flush_request(stream), -code);
    CHECK_EQ(sqlite3async_durable(stream->id), -code);
    CHECK_EQ(status_number(path, "code"), code);
  }
  bool is_main = strcmp(path, script_path("x.db")) == 0;
  async_registry_unref(stream);
  if (code == SQLITE_OK || db == NULL || !is_main) return;
  int reads = exec_code(db, "SELECT count(*) FROM main.t");
  int writes = exec_code(db, "UPDATE main.meta SET k = 99");
  if (reads != code || writes != code) {
    SCENARIO_FAIL("the stream failed with %d; reading gives %d, writing %d", code, reads, writes);
  }
}

static bool is_registry_empty(void) {
  AsyncStream **streams = async_registry_all();
  bool empty = streams[0] == NULL;
  async_registry_unref_all(streams);
  return empty;
}

/* Streams that failed after the last call on them are remembered. */
static void take_failures(void) {
  outcome->told = outcome->code_count > 0;
  AsyncFailure failure;
  while (async_registry_take_failure(NULL, &failure)) {
    outcome->told = true;
    if (outcome->stream_code == SQLITE_OK) outcome->stream_code = failure.code;
  }
}

static void finish_other(void) {
  if (outcome->other_code != SQLITE_OK && !hooks->may_hit_other) {
    SCENARIO_FAIL("the other database got %d", outcome->other_code);
  }
  exec(other, "INSERT INTO t VALUES (1)");
  other_rows++;
  int rc = flush_one(test_path("other/other.db"));
  if (rc != SQLITE_OK) SCENARIO_FAIL("flush of the other database: %d", rc);
  close_database(other);
  other = NULL;
  script_settle();
  sqlite3 *plain = open_plain(test_path("other/other.db"));
  check_integrity(plain);
  if (query_int(plain, "SELECT count(*) FROM t") != other_rows) {
    SCENARIO_FAIL("the other database has not all of its rows");
  }
  close_database(plain);
}

/* Everything is closed and no fault comes any more. */
static void check_ended(int faults) {
  look();
  int last = 2 * model_committed();
  take_failures();
  if (faults == 0 && (outcome->code_count > 0 || seen != last)) {
    SCENARIO_FAIL("without a fault: state %d of %d, first code %d", seen, last, outcome->codes[0]);
  }
  if (seen < last && !outcome->told) SCENARIO_FAIL("transactions were lost and nobody was told");
  if (seen < last && outcome->stream_code == SQLITE_OK) {
    SCENARIO_FAIL("no stream failed, and of %d transactions %d are there", last / 2, seen / 2);
  }
  if (scenario->has_thread) {
    WAIT_FOR(WAIT_MS, is_registry_empty());
  } else if (!is_registry_empty()) {
    SCENARIO_FAIL("streams are left");
  }
}

/* What follows works as if nothing had been. */
static void check_usable(void) {
  int before = seen;
  static const Hooks no_hooks;
  Outcome again = {0};
  outcome = &again;
  hooks = &no_hooks;
  if (!script_open(SQLITE_OPEN_READWRITE)) SCENARIO_FAIL("opening again: %d", again.codes[0]);
  char *text = query_text(db, MODEL_CONTENT);
  bool failed = false;
  int found = model_find(text, &failed);
  if (2 * found + (failed ? 1 : 0) != before)
    SCENARIO_FAIL("read again it is %d, not %d", found, before);
  sqlite3_free(text);
  script_sql(scenario->two ? "BEGIN; UPDATE main.meta SET k = -1; UPDATE y.meta SET k = -1; COMMIT"
                           : "UPDATE meta SET k = -1");
  script_flush();
  script_close();
  script_settle();
  if (again.code_count > 0) SCENARIO_FAIL("after opening again: %d", again.codes[0]);
  WAIT_FOR(WAIT_MS, is_registry_empty()); /* then the database's lock has been given back, too */
  for (int i = 0; i < database_count(); i++) {
    sqlite3 *plain = open_plain(script_path(names[i]));
    check_integrity(plain);
    if (query_int(plain, "SELECT k FROM meta") != -1) SCENARIO_FAIL("a later commit is not there");
    close_database(plain);
  }
}

/* ---- A run ---- */

static void begin_run(void) {
  number = durable_at_least = 0;
  *outcome = (Outcome){0};
  copy_folder(test_path("template"), test_path(SCENARIO_FOLDER));
  copy_folder(test_path("other-template"), test_path("other"));
  testvfs_reset();
  model_open(test_path("start.db"));
  other = open_async(test_path("other/other.db"));
  exec(other, "INSERT INTO t VALUES (0)");
  other_rows = 1;
  if (scenario->has_thread) CHECK(async_writer_start());
}

int scenario_run(const Scenario *which, bool is_eager, const Hooks *with, Outcome *out) {
  scenario = which;
  hooks = with;
  outcome = out;
  eager = is_eager;
  int64_t blocks = libfault_live_blocks();
  int64_t sqlite_bytes = sqlite3_memory_used();
  begin_run();
  hooks->begin(hooks->arg);
  scenario->script();
  script_flush();
  script_settle();
  look();
  libfault_suspend(true);
  note_failed_streams();
  for (int i = 0; i < database_count(); i++) check_failed_stream(script_path(names[i]));
  libfault_suspend(false);
  script_close();
  script_settle();
  int faults = hooks->end(hooks->arg);
  testvfs_reset();
  script_settle();
  finish_other();
  check_ended(faults);
  check_usable();
  outcome = out;
  if (scenario->has_thread) async_writer_stop();
  model_close();
  async_arena_trim_spares();
  if (libfault_live_blocks() != blocks) {
    SCENARIO_FAIL("%lld blocks leaked", (long long)(libfault_live_blocks() - blocks));
  }
  if (sqlite3_memory_used() != sqlite_bytes) {
    SCENARIO_FAIL("%lld bytes of SQLite's leaked",
                  (long long)(sqlite3_memory_used() - sqlite_bytes));
  }
  RUN_CHECK(testvfs_open_files() == 0);
  RUN_CHECK(libfault_live_pages() <= SPARE_CHUNKS_MAX);
  return faults;
}
