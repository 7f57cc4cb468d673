/*
** The shared library in a SQLite of some version: `zig build hosts -Dhost=FOLDER` links this with
** the amalgamation in that folder.  It loads the library that SQLITE3ASYNC_LIBRARY names, as any
** program would; what it leaves is then read by that SQLite without us.
*/
#include "harness.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sqlite3.h"
#include "sqlite3ext.h"

#define OLDEST 3037000

static const char *library(void) {
  const char *path = getenv("SQLITE3ASYNC_LIBRARY");
  if (path == NULL) FAIL("SQLITE3ASYNC_LIBRARY is not set");
  return path;
}

/* ---- SQL ---- */

static sqlite3 *open_file(const char *path, const char *query) {
  char uri[600];
  sqlite3 *db;
  snprintf(uri, sizeof uri, "file:%s%s", path, query);
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI;
  int rc = sqlite3_open_v2(uri, &db, flags, NULL);
  if (rc != SQLITE_OK) FAIL("%s: %s", uri, sqlite3_errmsg(db));
  sqlite3_busy_timeout(db, 20000);
  return db;
}

static void exec(sqlite3 *db, const char *sql) {
  char *words = NULL;
  if (sqlite3_exec(db, sql, NULL, NULL, &words) != SQLITE_OK) FAIL("%s: %s", sql, words);
}

/* The first column of the first row, as text that lives until the next call. */
static const char *text_of(sqlite3 *db, const char *sql) {
  static _Thread_local char text[2000];
  sqlite3_stmt *statement;
  text[0] = '\0';
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK ||
      sqlite3_step(statement) != SQLITE_ROW) {
    FAIL("%s: %s", sql, sqlite3_errmsg(db));
  }
  snprintf(text, sizeof text, "%s", (const char *)sqlite3_column_text(statement, 0));
  sqlite3_finalize(statement);
  return text;
}

static int number_of(sqlite3 *db, const char *sql) { return atoi(text_of(db, sql)); }

static void close_all(sqlite3 *db) { CHECK_EQ(sqlite3_close(db), SQLITE_OK); }

/* ---- Loading ---- */

/* The result; the words, if there are any, are to be freed. */
static int try_to_load(char **words) {
  sqlite3 *db;
  CHECK_EQ(sqlite3_open(":memory:", &db), SQLITE_OK);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, (int *)NULL);
  int rc = sqlite3_load_extension(db, library(), NULL, words);
  close_all(db);
  return rc;
}

static void load(void) {
  char *words = NULL;
  if (try_to_load(&words) != SQLITE_OK) FAIL("%s", words);
}

static void *function(const char *name) {
  void *handle = dlopen(library(), RTLD_NOW);
  if (handle == NULL) FAIL("%s", dlerror());
  return dlsym(handle, name);
}

/* Write what is queued and take the VFS away, so that the files are nobody's. */
static void leave(void) {
  int (*close_vfs)(int);
  *(void **)&close_vfs = function("sqlite3async_close");
  CHECK_EQ(close_vfs(20000), SQLITE_OK);
}

/* A database as plain SQLite finds it. */
static sqlite3 *open_plain(const char *name) {
  sqlite3 *db = open_file(test_path(name), "");
  CHECK_TEXT(text_of(db, "PRAGMA integrity_check"), "ok");
  return db;
}

static sqlite3 *open_async(const char *name, const char *mode) {
  char sql[100];
  sqlite3 *db = open_file(test_path(name), "?vfs=sqlite3async");
  snprintf(sql, sizeof sql, "PRAGMA journal_mode = %s", mode);
  CHECK_TEXT(text_of(db, sql), mode);
  return db;
}

/* ---- Use ---- */

static bool has(const char *text, const char *part) { return strstr(text, part) != NULL; }

static void use(const char *mode) {
  load();
  sqlite3 *db = open_async("a.db", mode);
  exec(db, "CREATE TABLE t(n INTEGER PRIMARY KEY, text TEXT); CREATE INDEX i ON t(text)");
  for (int n = 1; n <= 200; n++) {
    char sql[100];
    snprintf(sql, sizeof sql, "INSERT INTO t VALUES (%d, hex(randomblob(200)))", n);
    exec(db, sql);
  }
  exec(db, "BEGIN; DELETE FROM t; ROLLBACK");
  exec(db, "DELETE FROM t WHERE n > 100; UPDATE t SET text = 'x' || n; VACUUM");
  sqlite3 *second = open_file(test_path("a.db"), "?vfs=sqlite3async");
  CHECK_EQ(number_of(second, "SELECT count(*) FROM t WHERE text = 'x' || n"), 100);
  close_all(second);

  CHECK(number_of(db, "PRAGMA async_flush") > 200);
  const char *status = text_of(db, "PRAGMA async_status");
  CHECK(has(status, "\"state\":\"running\"") && has(status, "\"error\":null"));
  CHECK(has(status, "\"queuedOps\":0") && !has(status, "\"durable\":0"));
  exec(db, "INSERT INTO t VALUES (101, 'x101')");
  close_all(db);
  leave();

  sqlite3 *plain = open_plain("a.db");
  CHECK_EQ(number_of(plain, "SELECT count(*) FROM t WHERE text = 'x' || n"), 101);
  CHECK_TEXT(text_of(plain, "PRAGMA journal_mode"), mode);
  close_all(plain);
}

static void with_a_journal_that_is_deleted(void) { use("delete"); }
static void with_a_wal(void) { use("wal"); }

static void checkpoints_by_hand_and_by_itself(void) {
  load();
  sqlite3 *db = open_async("a.db", "wal");
  exec(db, "CREATE TABLE t(x); INSERT INTO t VALUES (randomblob(500000))");
  CHECK_EQ(number_of(db, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
  exec(db, "PRAGMA async_flush");
  struct stat wal;
  CHECK_EQ(stat(test_path("a.db-wal"), &wal), 0);
  CHECK_EQ(wal.st_size, 0);
  for (int n = 0; n < 40; n++) exec(db, "INSERT INTO t VALUES (randomblob(1000000))"); /* 16 MiB */
  int waits = 0;
  while (has(text_of(db, "PRAGMA async_status"), "\"checkpoints\":0,")) {
    CHECK(waits++ < 2000);
    usleep(10000);
  }
  close_all(db);
  leave();
  sqlite3 *plain = open_plain("a.db");
  CHECK_EQ(number_of(plain, "SELECT count(*) FROM t"), 41);
  close_all(plain);
}

static void several_databases_in_one_transaction(void) {
  load();
  char sql[600];
  sqlite3 *db = open_async("a.db", "delete");
  snprintf(sql, sizeof sql, "ATTACH 'file:%s?vfs=sqlite3async' AS other", test_path("b.db"));
  exec(db, sql);
  exec(db, "CREATE TABLE main.t(n); CREATE TABLE other.t(n)");
  for (int n = 0; n < 20; n++) {
    exec(db, "BEGIN; INSERT INTO main.t VALUES (1); INSERT INTO other.t VALUES (1)");
    exec(db, n % 4 == 0 ? "ROLLBACK" : "COMMIT");
  }
  close_all(db);
  leave();
  for (int i = 0; i < 2; i++) {
    sqlite3 *plain = open_plain(i == 0 ? "a.db" : "b.db");
    CHECK_EQ(number_of(plain, "SELECT count(*) FROM t"), 15);
    close_all(plain);
  }
}

static void check_status(sqlite3 *db, const char *schema, const char *part) {
  char sql[100];
  snprintf(sql, sizeof sql, "PRAGMA %s.async_status", schema);
  const char *text = text_of(db, sql);
  if (strstr(text, part) == NULL) FAIL("%s: no %s in %s", sql, part, text);
}

/* Also before 3.44, when SQLite does not tell us when a connection ends. */
static void a_level_for_all_databases_of_a_connection(void) {
  load();
  char sql[600];
  sqlite3 *db = open_async("a.db", "wal");
  sqlite3 *second = open_async("a.db", "wal");
  snprintf(sql, sizeof sql, "ATTACH 'file:%s?vfs=sqlite3async' AS before", test_path("b.db"));
  exec(db, sql);
  exec(db, "PRAGMA before.journal_mode = WAL; CREATE TABLE main.t(n); CREATE TABLE before.u(n)");
  CHECK_TEXT(text_of(db, "PRAGMA before.async_commit = applied"), "applied");
  snprintf(sql, sizeof sql, "ATTACH 'file:%s?vfs=sqlite3async' AS after", test_path("c.db"));
  exec(db, sql);
  exec(db, "CREATE TABLE after.v(n)");
  const char *schemas[] = {"main", "before", "after"};
  const char *tables[] = {"t", "u", "v"};
  for (int n = 0; n < 30; n++) {
    snprintf(sql, sizeof sql, "INSERT INTO %s VALUES (1)", tables[n % 3]);
    exec(db, sql);
    check_status(db, schemas[n % 3], "\"commit\":\"applied\"");
    check_status(db, schemas[n % 3], "\"queuedOps\":0");
  }
  CHECK_TEXT(text_of(second, "PRAGMA async_commit"), "queued");
  close_all(second);
  close_all(db);
  leave();
}

#define COMMITS 300

static void *commit_many(void *name) {
  sqlite3 *db = open_async(name, "wal");
  for (int n = 0; n < COMMITS; n++) exec(db, "INSERT INTO t VALUES (randomblob(300))");
  exec(db, "PRAGMA async_flush");
  close_all(db);
  return NULL;
}

static void threads(void) {
  load();
  sqlite3 *db = open_async("a.db", "wal");
  exec(db, "CREATE TABLE t(x)");
  pthread_t others[3];
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(pthread_create(&others[i], NULL, commit_many, (void *)"a.db"), 0);
  }
  for (int i = 0; i < 3; i++) CHECK_EQ(pthread_join(others[i], NULL), 0);
  CHECK_EQ(number_of(db, "SELECT count(*) FROM t"), 3 * COMMITS);
  close_all(db);
  leave();
  sqlite3 *plain = open_plain("a.db");
  CHECK_EQ(number_of(plain, "SELECT count(*) FROM t"), 3 * COMMITS);
  close_all(plain);
}

#define ROWS 2000

/* Scan the database again and again, from the disk. */
static void *read_all(void *name) {
  sqlite3 *db = open_file(test_path(name), "?vfs=sqlite3async");
  exec(db, "PRAGMA cache_size = 5");
  for (int i = 0; i < 3; i++) {
    const char *sql = "SELECT count(*) FROM t WHERE text = printf('%01000d', n)";
    CHECK_EQ(number_of(db, sql), ROWS);
  }
  close_all(db);
  return NULL;
}

static ssize_t read_slowly(int file, void *buf, size_t n) {
  usleep(1); /* so that others come between lseek() and this */
  return read(file, buf, n);
}

/* They share the parent's handle, whose descriptor has one position. */
static void several_that_read_the_disk(void) {
  sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
  CHECK_EQ(vfs->xSetSystemCall(vfs, "read", (sqlite3_syscall_ptr)read_slowly), SQLITE_OK);
  load();
  sqlite3 *db = open_async("a.db", "wal");
  exec(db, "CREATE TABLE t(n INTEGER PRIMARY KEY, text TEXT)");
  char sql[300];
  snprintf(sql, sizeof sql,
           "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %d) "
           "INSERT INTO t SELECT n, printf('%%01000d', n) FROM c",
           ROWS);
  exec(db, sql);
  CHECK_EQ(number_of(db, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
  pthread_t others[3];
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(pthread_create(&others[i], NULL, read_all, (void *)"a.db"), 0);
  }
  exec(db, "CREATE TABLE other(x)");
  for (int n = 0; n < 200; n++) exec(db, "INSERT INTO other VALUES (randomblob(3000))");
  for (int i = 0; i < 3; i++) CHECK_EQ(pthread_join(others[i], NULL), 0);
  close_all(db);
  leave();
  close_all(open_plain("a.db"));
}

static void an_exit_writes_what_is_queued(void) {
  pid_t child = fork();
  if (child == 0) {
    load();
    sqlite3 *db = open_async("a.db", "wal");
    exec(db, "CREATE TABLE t(n)");
    for (int n = 0; n < 500; n++) exec(db, "INSERT INTO t VALUES (1)");
    exit(0);
  }
  int status;
  CHECK_EQ(waitpid(child, &status, 0), child);
  CHECK_EQ(status, 0);
  sqlite3 *plain = open_plain("a.db");
  CHECK_EQ(number_of(plain, "SELECT count(*) FROM t"), 500);
  close_all(plain);
}

/* ---- Versions ---- */

static sqlite3_api_routines pretended;
static int pretended_version;
static int logged; /* warnings of the bug, in SQLite's log */

static int pretend_version(void) { return pretended_version; }

static void count_log(void *unused, int code, const char *words) {
  (void)unused;
  if (code == SQLITE_WARNING && has(words, "can, rarely, damage a database in WAL mode")) logged++;
}

/* SQLite gives its API to extensions only. */
static int take_api(sqlite3 *db, char **words, const sqlite3_api_routines *api) {
  (void)db;
  (void)words;
  pretended = *api;
  pretended.libversion_number = pretend_version;
  return SQLITE_OK;
}

/* Load twice into this SQLite, which pretends to be of that version: how often is stderr warned? */
static int warnings_of(int version, int wanted_rc) {
  pretended_version = version;
  int file = open(test_path("stderr"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(file >= 0 && dup2(file, STDERR_FILENO) >= 0);
  sqlite3_config(SQLITE_CONFIG_LOG, count_log, NULL);
  sqlite3 *db;
  sqlite3_auto_extension((void (*)(void))take_api);
  CHECK_EQ(sqlite3_open(":memory:", &db), SQLITE_OK);
  int (*init)(sqlite3 *, char **, const sqlite3_api_routines *);
  *(void **)&init = function("sqlite3_extension_init");
  char *words = NULL;
  for (int i = 0; i < 2; i++) CHECK_EQ(init(db, &words, &pretended), wanted_rc);
  if (wanted_rc == SQLITE_ERROR) CHECK(has(words, "sqlite3async needs SQLite 3.37 or a later one"));

  char told[2000];
  ssize_t length = pread(file, told, sizeof told - 1, 0);
  CHECK(length >= 0);
  told[length] = '\0';
  int count = 0;
  const char *warning = "can, rarely, damage a database in WAL mode";
  for (const char *at = told; (at = strstr(at, warning)) != NULL; at++) count++;
  CHECK_EQ(logged, count);
  return count;
}

static void known_bad_versions_are_warned_of_once(void) {
  static const struct {
    int version, rc, warnings;
  } cases[] = {
      {3036999, SQLITE_ERROR, 0},
      {3037000, SQLITE_OK_LOAD_PERMANENTLY, 1},
      {3044005, SQLITE_OK_LOAD_PERMANENTLY, 1},
      {3044006, SQLITE_OK_LOAD_PERMANENTLY, 0},
      {3045000, SQLITE_OK_LOAD_PERMANENTLY, 1},
      {3050006, SQLITE_OK_LOAD_PERMANENTLY, 1},
      {3050007, SQLITE_OK_LOAD_PERMANENTLY, 0},
      {3051002, SQLITE_OK_LOAD_PERMANENTLY, 1},
      {3051003, SQLITE_OK_LOAD_PERMANENTLY, 0},
      {3054001, SQLITE_OK_LOAD_PERMANENTLY, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fflush(stdout);
    pid_t child = fork(); /* a process has one host */
    if (child == 0) {
      CHECK_EQ(warnings_of(cases[i].version, cases[i].rc), cases[i].warnings);
      _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (status != 0) FAIL("pretending to be %d", cases[i].version);
  }
}

static void it_is_too_old(void) {
  char *words = NULL;
  CHECK_EQ(try_to_load(&words), SQLITE_ERROR);
  if (!has(words, "sqlite3async needs SQLite 3.37 or a later one, and this is 3."))
    FAIL("%s", words);
}

int main(void) {
  static const TestCase fitting[] = {
      TEST(with_a_journal_that_is_deleted),
      TEST(with_a_wal),
      TEST(checkpoints_by_hand_and_by_itself),
      TEST(several_databases_in_one_transaction),
      TEST(a_level_for_all_databases_of_a_connection),
      TEST(threads),
      TEST(several_that_read_the_disk),
      TEST(an_exit_writes_what_is_queued),
      TEST(known_bad_versions_are_warned_of_once),
      {0},
  };
  static const TestCase old[] = {TEST(it_is_too_old), {0}};
  return run_tests(sqlite3_libversion_number() < OLDEST ? old : fitting);
}
