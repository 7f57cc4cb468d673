/*
** The shared library as others get it: loaded as an extension into the SQLite of a
** program, on whatever system that is.
**
**     extension_test LIBRARY           run all tests, each in a process of its own
**     extension_test LIBRARY TEST      run one of them in this process (for debuggers)
*/
#include "client.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define END_TIMEOUT_MS 60000
#define THREADS 4
#define ROWS 300
#define SHRINKS 40
/* Of which one or two meet the writer in the middle of a file's opening or deletion. */
#define SUDDEN_ENDS 16

typedef struct TestCase {
  const char *name;
  void (*run)(void);
} TestCase;
#define TEST(function) {#function, function}

/* ---- Databases ---- */

static void in_mode(const char *mode) {
  load();
  char *pragma = sqlite3_mprintf("PRAGMA journal_mode = %s", mode);
  sqlite3 *db = open_database(path_of("x.db"), VFS);
  query_is(db, pragma, mode);
  exec(db, "CREATE TABLE t(a)");
  insert(db, ROWS);
  CHECK_EQ(query_number(db, "SELECT count(*) FROM t"), ROWS);
  exec(db, "BEGIN; DELETE FROM t; ROLLBACK");
  CHECK_EQ(query_number(db, "SELECT count(*) FROM t"), ROWS);
  query_is(db, "PRAGMA integrity_check", "ok");
  CHECK(query_number(db, "PRAGMA async_flush") > ROWS);
  CHECK_EQ(status(db, "queuedOps"), 0);
  CHECK_EQ(status(db, "durable"), status(db, "committed"));
  exec(db, "DELETE FROM t WHERE rowid % 2; VACUUM");
  close_database(db);
  wait_until_closed();
  CHECK_EQ(plain_rows(path_of("x.db")), ROWS / 2);
  CHECK(remove_file(path_of("x.db")));
  sqlite3_free(pragma);
}

static void mode_wal(void) { in_mode("wal"); }
static void mode_delete(void) { in_mode("delete"); }
static void mode_truncate(void) { in_mode("truncate"); }
static void mode_persist(void) { in_mode("persist"); }
static void mode_memory(void) { in_mode("memory"); }

static void the_library_outlives_the_connection_that_loaded_it(void) {
  load();
  load();
  sqlite3 *db = open_database(path_of("x.db"), VFS);
  exec(db, "CREATE TABLE t(a)");
  load();
  insert(db, 10);
  close_database(db);
}

static void two_databases_in_one_transaction(void) {
  load();
  sqlite3 *db = open_database(path_of("x.db"), VFS);
  char *attach = sqlite3_mprintf("ATTACH %Q AS other", path_of("y.db"));
  exec(db, attach);
  exec(db, "CREATE TABLE t(a); CREATE TABLE other.u(a)");
  for (int i = 0; i < 50; i++) {
    exec(db, "BEGIN; INSERT INTO t VALUES (1); INSERT INTO other.u VALUES (1); COMMIT");
  }
  close_database(db);
  wait_until_closed();
  CHECK_EQ(plain_rows(path_of("x.db")), 50);
  sqlite3_free(attach);
}

static void write_rows(void *path) {
  sqlite3 *db = open_database(path, VFS);
  insert(db, ROWS);
  close_database(db);
}

static void several_threads(void) {
  load();
  const char *paths[2] = {path_of("x.db"), path_of("y.db")};
  for (int i = 0; i < 2; i++) {
    sqlite3 *db = open_database(paths[i], VFS);
    exec(db, i == 0 ? "PRAGMA journal_mode = wal" : "PRAGMA journal_mode = delete");
    exec(db, "CREATE TABLE t(a)");
    close_database(db);
  }
  Thread threads[THREADS];
  for (int i = 0; i < THREADS; i++) {
    threads[i] = thread_start(write_rows, (void *)(uintptr_t)paths[i % 2]);
  }
  for (int i = 0; i < THREADS; i++) thread_join(threads[i]);
  wait_until_closed();
  for (int i = 0; i < 2; i++) CHECK_EQ(plain_rows(paths[i]), ROWS * THREADS / 2);
}

#define KEPT_PAGES 2000

static void read_all(void *stop) {
  sqlite3 *db = open_database(path_of("x.db"), VFS);
  exec(db, "PRAGMA cache_size = 1");
  while (!*(atomic_bool *)stop) {
    CHECK_EQ(query_number(db, "SELECT sum(length(a)) FROM kept"), KEPT_PAGES * 3000);
  }
  close_database(db);
}

/* The writer truncates while others read by the same handle. */
static void a_database_that_shrinks_beside_readers(void) {
  load();
  sqlite3 *db = open_database(path_of("x.db"), VFS);
  exec(db, "PRAGMA auto_vacuum = full; CREATE TABLE kept(a); CREATE TABLE t(a)");
  const char *fill = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT %d) "
                     "INSERT INTO %s SELECT zeroblob(3000) FROM n";
  char *fill_kept = sqlite3_mprintf(fill, KEPT_PAGES, "kept");
  char *fill_t = sqlite3_mprintf(fill, 200, "t");
  exec(db, fill_kept);
  atomic_bool stop = false;
  Thread readers[THREADS];
  for (int i = 0; i < THREADS; i++) readers[i] = thread_start(read_all, &stop);
  for (int i = 0; i < SHRINKS; i++) {
    exec(db, fill_t);
    exec(db, "DELETE FROM t");
    exec(db, "PRAGMA async_flush");
  }
  stop = true;
  for (int i = 0; i < THREADS; i++) thread_join(readers[i]);
  close_database(db);
  wait_until_closed();
  CHECK_EQ(plain_rows(path_of("x.db")), 0);
  sqlite3_free(fill_kept);
  sqlite3_free(fill_t);
}

static void a_commit_becomes_durable_by_itself(void) {
  load();
  sqlite3 *db = open_database(path_of("x.db"), VFS);
  exec(db, "PRAGMA journal_mode = wal; PRAGMA synchronous = normal; CREATE TABLE t(a)");
  int64_t start_ms = now_ms();
  insert(db, 1);
  while (status(db, "durable") < status(db, "committed")) {
    CHECK(now_ms() - start_ms < 20000);
    sleep_ms(20);
  }
  CHECK(now_ms() - start_ms > 500); /* maxDelayMs is 1000 */
  close_database(db);
}

/* ---- Names ---- */

static void write_and_reopen(const char *path) {
  sqlite3 *db = open_database(path, VFS);
  exec(db, "CREATE TABLE IF NOT EXISTS t(a)");
  int64_t before = query_number(db, "SELECT count(*) FROM t");
  insert(db, 20);
  CHECK(query_number(db, "PRAGMA async_flush") > 0);
  sqlite3 *second = open_database(path, VFS);
  CHECK_EQ(query_number(second, "SELECT count(*) FROM t"), before + 20);
  close_database(second);
  close_database(db);
}

/* The same file, by all the names it has. */
static void names_of_one_file(void) {
  load();
  const char *plain = path_of("with space.db");
  char *names[4] = {sqlite3_mprintf("%s", plain), sqlite3_mprintf("file:%s", plain)};
  int n = 2;
#if defined(_WIN32)
  names[n++] = sqlite3_mprintf("\\\\?\\%s", plain);
  char *slashes = sqlite3_mprintf("%s", plain);
  for (char *c = slashes; *c != '\0'; c++) *c = *c == '\\' ? '/' : *c;
  sqlite3_free(names[1]);
  names[1] = sqlite3_mprintf("file:///%s", slashes);
  names[n++] = slashes;
#endif
  for (int i = 0; i < n; i++) write_and_reopen(names[i]);
  wait_until_closed();
  CHECK_EQ(plain_rows(plain), 20 * n);
  for (int i = 0; i < n; i++) sqlite3_free(names[i]);
}

static void a_name_beyond_ascii(void) {
  load();
  const char *path = path_of("\xc3\xa4\xe2\x82\xac.db");
  write_and_reopen(path);
  wait_until_closed();
  CHECK_EQ(plain_rows(path), 20);
}

static void a_folder_that_is_not_there(void) {
  load();
  int rc;
  sqlite3 *db = try_open(path_of("nothing.here.at.all/x.db"), VFS, &rc);
  CHECK_EQ(rc & 0xff, SQLITE_CANTOPEN);
  sqlite3_close(db);
}

static int call_with_path(const char *name, const char *path) {
  int (*call)(const char *);
  void *function = library_function(library, name);
  CHECK(function != NULL);
  memcpy(&call, &function, sizeof function);
  return call(path);
}

static void a_routed_path(void) {
  load();
  const char *path = path_of("x.db");
  sqlite3 *db = open_database(path, NULL);
  exec(db, "CREATE TABLE t(a)");
  CHECK_EQ(call_with_path("sqlite3async_route", path), SQLITE_BUSY);
  close_database(db);
  CHECK_EQ(call_with_path("sqlite3async_route", folder), SQLITE_CANTOPEN);
  CHECK_EQ(call_with_path("sqlite3async_route", path), SQLITE_OK);
  db = open_database(path, NULL);
  insert(db, 20);
  CHECK(query_number(db, "PRAGMA async_flush") > 0);
  close_database(db);
  CHECK_EQ(query_number(open_database(":memory:", NULL), "SELECT 1"), 1);
}

/* ---- Other processes ---- */

static int run_scene(const char *name) {
  const char *args[] = {library, name, folder, NULL};
  return run_again(args, path_of("stderr"), END_TIMEOUT_MS);
}

static void show_stderr(void) {
  char text[500];
  FILE *file = fopen(path_of("stderr"), "rb");
  while (file != NULL && fgets(text, sizeof text, file) != NULL) printf("# stderr: %s", text);
  if (file != NULL) fclose(file);
}

/* A process that commits ROWS and ends so, with everything open. */
static sqlite3 *commit_rows(const char *pragma) {
  load();
  sqlite3 *db = open_database(path_of("x.db"), VFS);
  exec(db, pragma);
  exec(db, "CREATE TABLE t(a)");
  exec(db, "PRAGMA async_flush"); /* the table is there, however the process ends */
  insert(db, ROWS);
  return db;
}

static void ends_by_exit(void) {
  commit_rows("PRAGMA journal_mode = wal");
  exit(7);
}

static void ends_by_exit_with_a_journal(void) {
  commit_rows("PRAGMA journal_mode = delete; PRAGMA synchronous = full");
  exit(7);
}

static void ends_quickly(void) {
  commit_rows("PRAGMA journal_mode = wal");
  end_quickly(7);
}

static void ends_without_handlers(void) {
  commit_rows("PRAGMA journal_mode = delete");
  end_without_handlers(7);
}

static void write_for_ever(void *path) {
  sqlite3 *db = open_database(path, VFS);
  for (;;) sqlite3_exec(db, "INSERT INTO u VALUES (hex(randomblob(500)))", NULL, NULL, NULL);
}

/* Other threads are in the middle of whatever it may be. */
static void start_writing(void) {
  sqlite3 *db = commit_rows("PRAGMA journal_mode = wal");
  exec(db, "CREATE TABLE u(a)");
  static char path[600];
  snprintf(path, sizeof path, "%s", path_of("x.db"));
  for (int i = 0; i < THREADS; i++) thread_start(write_for_ever, path);
  sleep_ms(200);
}

static void ends_by_exit_at_work(void) {
  start_writing();
  exit(7);
}

static void ends_without_handlers_at_work(void) {
  start_writing();
  end_without_handlers(7);
}

/* What it committed before it ended so; and it must end. */
static int64_t rows_after(const char *scene) {
  int64_t start_ms = now_ms();
  int code = run_scene(scene);
  printf("# %s: %lld ms\n", scene, (long long)(now_ms() - start_ms));
  if (code != 7) {
    show_stderr();
    fail(__LINE__, "%s: code %d", scene, code);
  }
  return plain_rows(path_of("x.db"));
}

static void exit_drains(void) { CHECK_EQ(rows_after("ends_by_exit"), ROWS); }

static void exit_drains_with_a_journal(void) {
  CHECK_EQ(rows_after("ends_by_exit_with_a_journal"), ROWS);
}

static void quick_exit_drains(void) { CHECK_EQ(rows_after("ends_quickly"), ROWS); }

static bool stderr_has(const char *part) {
  char text[500] = "";
  FILE *file = fopen(path_of("stderr"), "rb");
  CHECK(file != NULL);
  size_t n = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[n] = '\0';
  return strstr(text, part) != NULL;
}

/* POSIX: _exit() is as sudden as SIGKILL.  Windows: ExitProcess() tells the libraries, and
** all is there, at whatever the writer was killed; unless it was in a mutex, which is told. */
static void an_end_without_handlers(void) {
#if defined(_WIN32)
  for (int i = 0; i < SUDDEN_ENDS; i++) {
    int64_t rows = rows_after("ends_without_handlers");
    if (rows != ROWS && !stderr_has("in the middle of its work")) {
      show_stderr();
      fail(__LINE__, "end %d: %lld rows", i, (long long)rows);
    }
    CHECK(remove_file(path_of("x.db")));
  }
#else
  CHECK(rows_after("ends_without_handlers") <= ROWS);
  CHECK(!stderr_has("sqlite3async: exit:"));
#endif
}

static void an_end_while_others_commit(void) { CHECK_EQ(rows_after("ends_by_exit_at_work"), ROWS); }

static void an_end_without_handlers_while_others_commit(void) {
  for (int i = 0; i < 10; i++) {
    CHECK_EQ(rows_after("ends_without_handlers_at_work"), ROWS);
    CHECK(remove_file(path_of("x.db")));
  }
}

static void is_another_process(void) {
  int rc;
  sqlite3 *db = try_open(path_of("x.db"), NULL, &rc);
  if (rc == SQLITE_OK) rc = sqlite3_exec(db, "SELECT * FROM t", NULL, NULL, NULL);
  sqlite3_close(db);
  exit(rc & 0xff);
}

static void holds_a_wal_database(void) {
  sqlite3 *db = commit_rows("PRAGMA journal_mode = wal");
  exec(db, "PRAGMA async_flush");
  FILE *file = fopen(path_of("held"), "wb");
  fclose(file);
  sleep_ms(1500);
  close_database(db);
  exit(7);
}

static void hold(void *code) { *(int *)code = run_scene("holds_a_wal_database"); }

static void a_wal_database_is_one_process_s(void) {
  int code = 0;
  Thread holder = thread_start(hold, &code);
  FILE *file = NULL;
  for (int i = 0; i < 2000 && file == NULL; i++) {
    sleep_ms(5);
    file = fopen(path_of("held"), "rb");
  }
  CHECK(file != NULL);
  fclose(file);
  const char *args[] = {library, "is_another_process", folder, NULL};
  CHECK_EQ(run_again(args, path_of("stderr2"), END_TIMEOUT_MS), SQLITE_BUSY);
  thread_join(holder);
  CHECK_EQ(code, 7);
  CHECK_EQ(run_again(args, path_of("stderr2"), END_TIMEOUT_MS), SQLITE_OK);
}

/* ---- Running ---- */

static const TestCase tests[] = {
    TEST(mode_wal),
    TEST(mode_delete),
    TEST(mode_truncate),
    TEST(mode_persist),
    TEST(mode_memory),
    TEST(the_library_outlives_the_connection_that_loaded_it),
    TEST(two_databases_in_one_transaction),
    TEST(several_threads),
    TEST(a_database_that_shrinks_beside_readers),
    TEST(a_commit_becomes_durable_by_itself),
    TEST(names_of_one_file),
    TEST(a_name_beyond_ascii),
    TEST(a_folder_that_is_not_there),
    TEST(a_routed_path),
    TEST(exit_drains),
    TEST(exit_drains_with_a_journal),
    TEST(quick_exit_drains),
    TEST(an_end_without_handlers),
    TEST(an_end_while_others_commit),
    TEST(an_end_without_handlers_while_others_commit),
    TEST(a_wal_database_is_one_process_s),
    {0},
};

/* What the tests have other processes do. */
static const TestCase scenes[] = {
    TEST(ends_by_exit),
    TEST(ends_by_exit_with_a_journal),
    TEST(ends_quickly),
    TEST(ends_without_handlers),
    TEST(ends_by_exit_at_work),
    TEST(ends_without_handlers_at_work),
    TEST(is_another_process),
    TEST(holds_a_wal_database),
    {0},
};

static void run_by_name(const TestCase *cases, const char *name) {
  for (; cases->name != NULL; cases++) {
    if (strcmp(cases->name, name) == 0) cases->run();
  }
}

static int run_all(void) {
  int passed = 0;
  int failed = 0;
  for (const TestCase *test = tests; test->name != NULL; test++) {
    folder = make_folder();
    int64_t start_ms = now_ms();
    const char *args[] = {library, test->name, folder, NULL};
    int code = run_again(args, path_of("stderr"), 4 * END_TIMEOUT_MS);
    if (code != 0) show_stderr();
    printf("%s - %s (%lld ms)\n", code == 0 ? "ok" : "not ok", test->name,
           (long long)(now_ms() - start_ms));
    fflush(stdout);
    *(code == 0 ? &passed : &failed) += 1;
    remove_folder();
  }
  printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "Usage: extension_test LIBRARY [TEST [FOLDER]]\n");
    return 2;
  }
  library = argv[1];
  if (argc == 2) return run_all();
  folder = argc > 3 ? argv[3] : make_folder();
  run_by_name(tests, argv[2]);
  run_by_name(scenes, argv[2]);
  return 0;
}
