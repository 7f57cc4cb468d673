/*
** The process's end, in child processes: what is drained, what is said on
** stderr, and what a forked child must leave alone.
*/
#define _GNU_SOURCE 1

#include "database.h"
#include "testvfs.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROWS 200

typedef enum End { BY_EXIT, BY_QUICK_EXIT, BY_UNDERSCORE_EXIT, BY_SIGTERM } End;

typedef struct Scene {
  End end;
  bool has_writer;
  bool is_stuck;
  int drain;
  int deadline_ms;
  bool on_signals;
  bool goes_on;         /* commits further rows after the signal */
  void (*handler)(int); /* the program's own, from before */
  bool once;            /* which the system forgets when it calls it */
  bool twice;           /* the signal comes again, after further rows */
  const char *mode;     /* of the journal, if not DELETE */
  int queue_bytes;      /* the bound of the queue, if not the default one */
  bool drains_first;    /* by sqlite3async_drain(), which gives this: */
  int drain_code;
} Scene;

static atomic_int was_handled;

/* So many rows the process was told are committed; in memory that survives it. */
static atomic_int *told;

/* A program that has no handler of its own is not told of the signal. */
static void go_on(const Scene *scene, sqlite3 *db) {
  if (scene->twice) {
    while (!was_handled) sleep_ms(1);
    sleep_ms(100);
    for (int i = 0; i < ROWS; i++) exec(db, "INSERT INTO t VALUES (%d)", i);
    raise(SIGTERM);
  }
  while (!scene->goes_on) sleep_ms(1000);
  for (int i = ROWS;; i++) {
    exec(db, "INSERT INTO t VALUES (%d)", i);
    *told = i + 1;
  }
}

static void end_process(const Scene *scene, sqlite3 *db) {
  switch (scene->end) {
  case BY_EXIT:
    exit(7);
  case BY_QUICK_EXIT:
    quick_exit(7);
  case BY_UNDERSCORE_EXIT:
    _exit(7);
  case BY_SIGTERM:
    raise(SIGTERM);
    go_on(scene, db);
  }
}

static void redirect_stderr(void) {
  int fd = open(test_path("stderr"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
  close(fd);
}

static int play(void *arg) {
  const Scene *scene = arg;
  redirect_stderr();
  async_setup();
  if (scene->handler != NULL) {
    struct sigaction action = {.sa_handler = scene->handler,
                               .sa_flags = scene->once ? (int)SA_RESETHAND : 0};
    sigaction(SIGTERM, &action, NULL);
  }
  sqlite3async_set(SQLITEASYNC_DRAIN_ON_EXIT, scene->drain);
  sqlite3async_set(SQLITEASYNC_EXIT_DRAIN_MS, scene->deadline_ms);
  sqlite3async_set(SQLITEASYNC_DRAIN_ON_SIGNALS, scene->on_signals);
  if (scene->queue_bytes > 0) sqlite3async_set(SQLITEASYNC_MAX_QUEUE_BYTES, scene->queue_bytes);
  if (scene->goes_on) sqlite3async_set(SQLITEASYNC_MAX_LOCK_HOLD_MS, 0); /* it never pauses */
  sqlite3 *db = open_async(test_path("x.db"));
  if (scene->mode != NULL) exec(db, "PRAGMA journal_mode = %s", scene->mode);
  exec(db, "CREATE TABLE t(a)");
  step_all();
  testvfs_delay(ON_WRITE, "x.db", 1); /* so that something is left at the end */
  if (scene->is_stuck) testvfs_hold(ON_WRITE, "x.db");
  if (scene->has_writer) CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  for (int i = 0; i < ROWS; i++) exec(db, "INSERT INTO t VALUES (%d)", i);
  if (scene->drains_first) CHECK_EQ(sqlite3async_drain(), scene->drain_code);
  end_process(scene, db);
  return 0;
}

/* The rows on disk afterwards. */
static int64_t rows_after(Scene scene, int wanted_code) {
  int code = process_wait(process_start(play, &scene), 30000);
  CHECK_EQ(code, wanted_code);
  sqlite3 *plain = open_plain(test_path("x.db"));
  check_integrity(plain);
  int64_t rows = query_int(plain, "SELECT count(*) FROM t");
  close_database(plain);
  return rows;
}

static void check_stderr_is(const char *part) {
  char *text = file_text(test_path("stderr"));
  if (part == NULL) CHECK_TEXT(text, "");
  if (part != NULL && strstr(text, part) == NULL) FAIL("stderr is \"%s\"", text);
  free(text);
}

static void exit_drains_the_queue(void) {
  CHECK_EQ(rows_after((Scene){BY_EXIT, true, .drain = 1, .deadline_ms = 20000}, 7), ROWS);
  check_stderr_is(NULL);
}

static void exit_drains_without_a_writer_too(void) {
  CHECK_EQ(rows_after((Scene){BY_EXIT, false, .drain = 1, .deadline_ms = 20000}, 7), ROWS);
  check_stderr_is(NULL);
}

static void quick_exit_drains_the_queue(void) {
  CHECK_EQ(rows_after((Scene){BY_QUICK_EXIT, true, .drain = 1, .deadline_ms = 20000}, 7), ROWS);
  check_stderr_is(NULL);
}

static void underscore_exit_drains_nothing(void) {
  Scene scene = {BY_UNDERSCORE_EXIT, true, .is_stuck = true, .drain = 1, .deadline_ms = 20000};
  CHECK_EQ(rows_after(scene, 7), 0);
  check_stderr_is(NULL);
}

static void without_drain_on_exit_nothing_is_drained(void) {
  Scene scene = {BY_EXIT, true, .is_stuck = true, .drain = 0, .deadline_ms = 20000};
  CHECK_EQ(rows_after(scene, 7), 0);
}

static void a_missed_deadline_is_told(void) {
  int64_t start_ms = now_ms();
  Scene scene = {BY_EXIT, true, .is_stuck = true, .drain = 1, .deadline_ms = 150};
  int64_t rows = rows_after(scene, 7);
  CHECK(now_ms() - start_ms >= 150 && now_ms() - start_ms < 15000);
  CHECK(rows < ROWS);
  char *text = file_text(test_path("stderr"));
  char wanted[100];
  snprintf(wanted, sizeof wanted, "exit: %d committed transactions", ROWS);
  CHECK(strstr(text, "sqlite3async: exit:") != NULL);
  CHECK(strstr(text, test_path("x.db")) != NULL);
  if (rows == 0 && strstr(text, wanted) == NULL) FAIL("stderr is \"%s\"", text);
  CHECK(strchr(text, '\n') == text + strlen(text) - 1); /* one line */
  free(text);
}

static void drain_does_what_exit_does(void) {
  for (int has_writer = 0; has_writer < 2; has_writer++) {
    Scene scene = {BY_UNDERSCORE_EXIT, has_writer, .drain = 1, .deadline_ms = 20000};
    scene.drains_first = true;
    CHECK_EQ(rows_after(scene, 7), ROWS);
    check_stderr_is(NULL);
    CHECK(remove(test_path("x.db")) == 0);
  }
}

static void drain_does_nothing_without_drain_on_exit(void) {
  Scene scene = {BY_UNDERSCORE_EXIT, false, .drain = 0, .deadline_ms = 20000, .drains_first = true};
  CHECK_EQ(rows_after(scene, 7), 0);
}

static void drain_has_a_deadline_and_exit_tells(void) {
  Scene scene = {BY_EXIT, true, .is_stuck = true, .drain = 1, .deadline_ms = 150};
  scene.drains_first = true;
  scene.drain_code = SQLITE_BUSY;
  int64_t start_ms = now_ms();
  CHECK(rows_after(scene, 7) < ROWS);
  CHECK(now_ms() - start_ms < 15000);
  check_stderr_is("sqlite3async: exit:");
}

static void SIGTERM_drains_if_asked_to(void) {
  Scene scene = {BY_SIGTERM, true, .drain = 1, .deadline_ms = 20000, .on_signals = true};
  CHECK_EQ(rows_after(scene, -SIGTERM), ROWS);
  check_stderr_is(NULL);
}

/* Of what it goes on committing all is there that it was told is committed. */
static void SIGTERM_ends_a_process_that_goes_on_committing(void) {
  const char *const modes[] = {"DELETE", "TRUNCATE", "PERSIST", "WAL"};
  told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(told != MAP_FAILED);
  for (int i = 0; i < 8; i++) {
    int64_t start_ms = now_ms();
    Scene scene = {BY_SIGTERM, true, .drain = 1, .deadline_ms = 15000, .on_signals = true};
    scene.goes_on = true;
    scene.mode = modes[i % 4];
    if (i >= 4) scene.queue_bytes = 100000; /* then it waits for room most of the time */
    *told = ROWS;
    int64_t rows = rows_after(scene, -SIGTERM);
    CHECK(now_ms() - start_ms < 15000);
    if (rows < *told) FAIL("%s: %lld rows of %d", scene.mode, (long long)rows, *told);
    check_stderr_is(NULL);
    unlink(test_path("x.db"));
  }
}

static void SIGTERM_drains_nothing_unasked(void) {
  Scene scene = {BY_SIGTERM, true, .is_stuck = true, .drain = 1, .deadline_ms = 20000};
  CHECK_EQ(rows_after(scene, -SIGTERM), 0);
}

/* ---- The program's own handlers ---- */

static void reset_and_raise(int number) {
  signal(number, SIG_DFL);
  raise(number);
}

static void raise_again(int number) { raise(number); }

static void leave(int number) { _exit(100 + number); }

static void SIGTERM_drains_before_the_programs_own_handler_ends_it(void) {
  const struct {
    void (*handler)(int);
    bool once;
    int code;
  } ways[] = {
      {reset_and_raise, false, -SIGTERM},
      {reset_and_raise, true, -SIGTERM},
      {raise_again, true, -SIGTERM},
      {leave, false, 100 + SIGTERM},
  };
  for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
    Scene scene = {BY_SIGTERM, true, .drain = 1, .deadline_ms = 20000, .on_signals = true};
    scene.handler = ways[i].handler;
    scene.once = ways[i].once;
    CHECK_EQ(rows_after(scene, ways[i].code), ROWS);
    check_stderr_is(NULL);
    unlink(test_path("x.db"));
  }
}

static void return_from_it(int number) {
  (void)number;
  was_handled = 1;
}

static void SIGTERM_drains_again_after_a_handler_for_one_time(void) {
  Scene scene = {BY_SIGTERM, true, .drain = 1, .deadline_ms = 20000, .on_signals = true};
  scene.handler = return_from_it;
  scene.once = true;
  scene.twice = true;
  CHECK_EQ(rows_after(scene, -SIGTERM), 2 * ROWS);
  check_stderr_is(NULL);
}

/* ---- Forks ---- */

static sqlite3 *forked_db;

/* In the child of a process with a queue, a connection and maybe a writer. */
static int use_the_module(void *unused) {
  (void)unused;
  alarm(10);
  CHECK(sqlite3async_flush(NULL, -1) != SQLITE_OK);
  CHECK(sqlite3async_flush(test_path("x.db"), 100) != SQLITE_OK);
  CHECK(sqlite3async_start() != SQLITE_OK);
  CHECK(sqlite3async_stop(100) != SQLITE_OK);
  CHECK(sqlite3async_close(100) != SQLITE_OK);
  return 0; /* and exit handlers run */
}

/* With no writer in the parent: it might hold a mutex of SQLite's at the fork. */
static int use_everything(void *unused) {
  CHECK_EQ(use_the_module(unused), 0);
  CHECK(exec_code(forked_db, "INSERT INTO t VALUES (1)") != SQLITE_OK);
  CHECK(exec_code(forked_db, "BEGIN IMMEDIATE") != SQLITE_OK);
  sqlite3 *db = NULL;
  CHECK(sqlite3_open_v2(test_path("x.db"), &db, SQLITE_OPEN_READWRITE, SQLITEASYNC_VFSNAME) !=
        SQLITE_OK);
  sqlite3_close(db);
  sqlite3_close(forked_db);
  return 0;
}

static void a_forked_child_leaves_everything_alone(void) {
  async_setup();
  forked_db = open_async(test_path("x.db"));
  exec(forked_db, "CREATE TABLE t(a)");
  step_all();
  for (int i = 0; i < 20; i++) exec(forked_db, "INSERT INTO t VALUES (%d)", i);
  int64_t queued = status_number(NULL, "queuedOps");
  CHECK_EQ(process_wait(process_start(use_everything, NULL), 15000), 0);
  /* The parent does not notice. */
  CHECK_EQ(status_number(NULL, "queuedOps"), queued);
  sqlite3 *plain = open_plain(test_path("x.db"));
  sqlite3_busy_timeout(plain, 0);
  CHECK_EQ(exec_code(plain, "SELECT * FROM t"), SQLITE_BUSY);
  step_all();
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM t"), 20);
  close_database(plain);
  close_database(forked_db);
  step_all();
}

/* What only the writer's stack knew of is lost to the child, which has no writer: the leak
** sanitizer asks this whether it shall look. */
int __lsan_is_turned_off(void);
static bool forked_beside_writer;
int __lsan_is_turned_off(void) { return forked_beside_writer; }

static int use_the_module_beside_writer(void *unused) {
  forked_beside_writer = true;
  return use_the_module(unused);
}

static void a_child_forked_while_the_writer_works_ends_in_time(void) {
  async_setup();
  forked_db = open_async(test_path("x.db"));
  exec(forked_db, "CREATE TABLE t(a)");
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  for (int i = 0; i < 30; i++) {
    for (int k = 0; k < 20; k++) exec(forked_db, "INSERT INTO t VALUES (%d)", k);
    CHECK_EQ(process_wait(process_start(use_the_module_beside_writer, NULL), 15000), 0);
  }
  CHECK_EQ(sqlite3async_flush(NULL, 20000), SQLITE_OK);
  CHECK_EQ(query_int(forked_db, "SELECT count(*) FROM t"), 600);
  close_database(forked_db);
  CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
}

/* ---- What is not ours, in a child ---- */

static atomic_bool forks_are_over;

static void *ask_for_status(void *unused) {
  char text[2000];
  while (!forks_are_over) CHECK(sqlite3async_status(NULL, text, sizeof text) > 0);
  return unused;
}

/* What SQLite would ask of the default VFS: our router. */
static void *look_for_files(void *vfs) {
  sqlite3_vfs *router = vfs;
  int there;
  while (!forks_are_over) {
    CHECK_EQ(router->xAccess(router, test_path("none"), SQLITE_ACCESS_EXISTS, &there), SQLITE_OK);
  }
  return NULL;
}

static int use_plain_sqlite(void *unused) {
  (void)unused;
  forked_beside_writer = true;
  alarm(10);
  sqlite3 *db = NULL;
  CHECK_EQ(sqlite3_open(test_path("link/plain.db"), &db), SQLITE_OK); /* no path in full */
  exec(db, "INSERT INTO t VALUES (1)");
  close_database(db);
  return 0;
}

/* Whatever of ours other threads have held when it was forked. */
static void a_child_uses_plain_sqlite_behind_the_router(void) {
  async_setup();
  forked_db = open_async(test_path("x.db"));
  CHECK_EQ(mkdir(test_path("real"), 0700), 0);
  CHECK_EQ(symlink("real", test_path("link")), 0);
  sqlite3 *plain = open_plain(test_path("real/plain.db"));
  exec(plain, "CREATE TABLE t(a)");
  CHECK_EQ(sqlite3async_route(test_path("routed.db")), SQLITE_OK);
  Thread threads[] = {thread_start(ask_for_status, NULL), thread_start(ask_for_status, NULL),
                      thread_start(look_for_files, sqlite3_vfs_find(NULL)),
                      thread_start(look_for_files, sqlite3_vfs_find(NULL))};
  int forks = test_is_sanitized() ? 5 : 100; /* each takes a second there */
  for (int i = 0; i < forks; i++) {
    CHECK_EQ(process_wait(process_start(use_plain_sqlite, NULL), 15000), 0);
  }
  forks_are_over = true;
  for (int i = 0; i < 4; i++) thread_join(threads[i]);
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM t"), forks);
  close_database(plain);
  close_database(forked_db);
  step_all();
}

int main(void) {
  return run_tests((TestCase[]){TEST(exit_drains_the_queue),
                                TEST(exit_drains_without_a_writer_too),
                                TEST(quick_exit_drains_the_queue),
                                TEST(underscore_exit_drains_nothing),
                                TEST(without_drain_on_exit_nothing_is_drained),
                                TEST(a_missed_deadline_is_told),
                                TEST(drain_does_what_exit_does),
                                TEST(drain_does_nothing_without_drain_on_exit),
                                TEST(drain_has_a_deadline_and_exit_tells),
                                TEST(SIGTERM_drains_if_asked_to),
                                TEST(SIGTERM_ends_a_process_that_goes_on_committing),
                                TEST(SIGTERM_drains_nothing_unasked),
                                TEST(SIGTERM_drains_before_the_programs_own_handler_ends_it),
                                TEST(SIGTERM_drains_again_after_a_handler_for_one_time),
                                TEST(a_forked_child_leaves_everything_alone),
                                TEST(a_child_forked_while_the_writer_works_ends_in_time),
                                TEST(a_child_uses_plain_sqlite_behind_the_router),
                                {0}});
}
