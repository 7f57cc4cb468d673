/*
** Never silently plain: who asks for a promise about a database that is plain SQLite's gets an
** error, and a URI that was taken for the name of a file is refused.  And what is meant to be
** plain SQLite's, though our VFS is the default, is.
*/
#include "database.h"
#include "known.h"
#include "router.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *words(void) {
  static char text[2000];
  sqlite3async_errmsg(text, sizeof text);
  return text;
}

static void check_has(const char *text, const char *part) {
  if (strstr(text, part) == NULL) FAIL("no \"%s\" in \"%s\"", part, text);
}

static void check_flush(const char *path, int wanted) {
  CHECK_EQ(sqlite3async_flush(path, 10000), wanted);
  int count = sqlite3async_flush_begin(path, NULL, 0);
  CHECK_EQ(count < 0 ? -count : SQLITE_OK, wanted);
}

static sqlite3 *open_default(const char *name) {
  sqlite3 *db = NULL;
  int rc = sqlite3_open(name, &db);
  if (rc != SQLITE_OK) FAIL("%s: %s", name, sqlite3_errmsg(db));
  return db;
}

static bool is_ours(const char *path) { return sqlite3async_is_open(path) == 1; }

static bool exists(const char *path) { return access(path, F_OK) == 0; }

static void use(sqlite3 *db) {
  exec(db, "CREATE TABLE IF NOT EXISTS t(a); INSERT INTO t VALUES (1)");
}

static void start(void) {
  async_setup();
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
}

/* ---- Which paths are known ---- */

static void a_set_of_paths_grows_to_its_bound_and_then_knows_all(void) {
  start();
  char name[40];
  for (int i = 0; i < 1 << 20; i++) {
    snprintf(name, sizeof name, "/known/%d", i);
    async_known_note_open(name);
    if (i % 1000 == 7) {
      CHECK(async_known_was_open(name));
      snprintf(name, sizeof name, "/unknown/%d", i);
      CHECK(!async_known_was_open(name));
    }
  }
  CHECK(async_known_was_open("/known/0") && !async_known_was_open("/unknown/0"));
  async_known_note_open("/known/0"); /* needs no room */
  CHECK(!async_known_was_open("/unknown/0"));
  async_known_note_open("/one/more");
  CHECK(async_known_was_open("/unknown/0"));
}

/* ---- Flush ---- */

static void flush_of_what_was_never_open_is_an_error(void) {
  start();
  const char *path = test_path("a.db");
  check_flush(path, SQLITE_NOTFOUND);
  sqlite3async_flush(path, 0);
  char wanted[700];
  snprintf(wanted, sizeof wanted, "Cannot flush \"%s\": it was never open through sqlite3async",
           path);
  check_has(words(), wanted);
  /* To be refused is not to be open. */
  sqlite3 *db = NULL;
  CHECK_EQ(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, SQLITEASYNC_VFSNAME), SQLITE_CANTOPEN);
  sqlite3_close(db);
  check_flush(path, SQLITE_NOTFOUND);

  db = open_async(path);
  use(db);
  check_flush(path, SQLITE_OK);
  close_database(db);
  check_flush(path, SQLITE_OK);
  check_flush(test_path("./a.db"), SQLITE_OK);
  check_flush(test_path("b.db"), SQLITE_NOTFOUND);
  CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
  start();
  check_flush(path, SQLITE_OK); /* it was, in this process */
}

static void what_plain_sqlite_has_open_is_named(void) {
  start();
  sqlite3 *plain = open_plain(test_path("a.db"));
  use(plain);
  check_flush(test_path("a.db"), SQLITE_NOTFOUND);
  sqlite3async_flush(test_path("a.db"), 0);
  check_has(words(), "it is open outside of sqlite3async, by a second copy of a driver");
  check_has(words(), "install({ host })");
  CHECK_EQ(sqlite3async_status(test_path("a.db"), NULL, 0), -SQLITE_NOTFOUND);
  check_has(words(), "Cannot tell the status of");
  check_has(words(), "it is open outside of sqlite3async");
  CHECK_EQ(sqlite3async_release(test_path("a.db"), 0), SQLITE_NOTFOUND);
  check_has(words(), "Cannot release");
  check_has(words(), "it is open outside of sqlite3async");
  close_database(plain);
  CHECK_EQ(sqlite3async_status(test_path("a.db"), NULL, 0), -SQLITE_NOTFOUND);
  check_has(words(), "it is not open through sqlite3async;");
}

static void flush_of_all_notices_a_routed_database_that_is_open_outside(void) {
  start();
  CHECK_EQ(sqlite3async_route(test_path("a.db")), SQLITE_OK);
  check_flush(NULL, SQLITE_OK); /* nobody has it open */
  sqlite3 *plain = open_plain(test_path("a.db"));
  use(plain);
  WAIT_FOR(5000, sqlite3async_flush(NULL, 1000) == SQLITE_NOTFOUND);
  check_has(words(), test_path("a.db"));
  check_has(words(), "outside of sqlite3async");
  for (int i = 0; i < 10; i++) check_flush("", SQLITE_NOTFOUND); /* from now on at once */
  close_database(plain);
  check_flush(NULL, SQLITE_OK);

  plain = open_plain(test_path("a.db"));
  WAIT_FOR(5000, sqlite3async_flush(NULL, 1000) == SQLITE_NOTFOUND);
  sqlite3 *ours = open_default(test_path("a.db"));
  use(ours);
  close_database(plain);
  check_flush(NULL, SQLITE_OK);
  close_database(ours);
  check_flush(NULL, SQLITE_OK);
  CHECK_EQ(sqlite3async_unroute(test_path("a.db")), SQLITE_OK);

  /* A route that goes leaves nothing to complain about, and neither does the VFS. */
  CHECK_EQ(sqlite3async_route(test_path("b.db")), SQLITE_OK);
  plain = open_plain(test_path("b.db"));
  use(plain);
  WAIT_FOR(5000, sqlite3async_flush(NULL, 1000) == SQLITE_NOTFOUND);
  CHECK_EQ(sqlite3async_unroute(test_path("b.db")), SQLITE_OK);
  check_flush(NULL, SQLITE_OK);
  close_database(plain);
  CHECK_EQ(sqlite3async_route(test_path("b.db")), SQLITE_OK);
  plain = open_plain(test_path("b.db"));
  WAIT_FOR(5000, sqlite3async_flush(NULL, 1000) == SQLITE_NOTFOUND);
  CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
  close_database(plain);
}

static void of_many_routes_each_gets_its_turn(void) {
  start();
  char name[40];
  for (int i = 0; i < 200; i++) {
    snprintf(name, sizeof name, "%d.db", i);
    CHECK_EQ(sqlite3async_route(test_path(name)), SQLITE_OK);
  }
  for (int i = 0; i < 200; i += 199) { /* the first route and the last */
    snprintf(name, sizeof name, "%d.db", i);
    sqlite3 *plain = open_plain(test_path(name));
    use(plain);
    WAIT_FOR(10000, sqlite3async_flush(NULL, 1000) == SQLITE_NOTFOUND);
    check_has(words(), test_path(name));
    close_database(plain);
    check_flush(NULL, SQLITE_OK);
  }
}

/* ---- Names ---- */

/* What stderr gets while this runs. */
static char *complaints_of(void (*run)(const char *name), const char *name) {
  fflush(stderr);
  int kept = dup(2);
  int file = open(test_path("stderr"), O_CREAT | O_TRUNC | O_WRONLY, 0600);
  CHECK(kept >= 0 && file >= 0);
  dup2(file, 2);
  run(name);
  dup2(kept, 2);
  close(file);
  close(kept);
  return file_text(test_path("stderr"));
}

/* A driver that knows no URIs. */
static void open_by_name(const char *name) {
  const char *vfs_names[] = {NULL, SQLITEASYNC_VFSNAME};
  for (int i = 0; i < 4; i++) {
    sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    CHECK_EQ(sqlite3_open_v2(name, &db, flags, vfs_names[i % 2]), SQLITE_CANTOPEN);
    sqlite3_close(db);
  }
}

static void refuse(const char *name, const char *shown) {
  char *said = complaints_of(open_by_name, name);
  char wanted[700];
  snprintf(wanted, sizeof wanted, "sqlite3async: Cannot open \"%s\": a driver took this URI",
           shown);
  check_has(said, wanted);
  check_has(said, "0x46");
  check_has(said, "vfs.route(path)");
  if (strchr(said, '\n') != said + strlen(said) - 1) FAIL("more than a line: %s", said);
  free(said);
}

static void a_uri_taken_for_a_name_is_refused_and_said_once(void) {
  start();
  CHECK_EQ(chdir(test_folder()), 0);
  CHECK_EQ(async_router_register(), SQLITE_OK);
  refuse("file:a.db?vfs=sqlite3async", "file:a.db?vfs=sqlite3async");
  refuse("file:b.db?mode=ro&vfs=sqlite3async", "file:b.db?mode=ro&vfs=sqlite3async");
  refuse("file:c.db?vfs=sqlite3async&mode=ro#x", "file:c.db?vfs=sqlite3async&mode=ro#x");
  refuse("file:///x/a%20b.db?vfs=sqlite3async", "file:/x/a%20b.db?vfs=sqlite3async");
  /* A driver may have made it absolute, and another one may have made such a file before. */
  refuse(test_path("file:d.db?vfs=sqlite3async"), "file:d.db?vfs=sqlite3async");
  /* One that knows "file:" may have taken it away. */
  refuse("f.db?vfs=sqlite3async", "f.db?vfs=sqlite3async");
  refuse(test_path("f.db?mode=rwc&vfs=sqlite3async"), "f.db?mode=rwc&vfs=sqlite3async");
  refuse("a?b/g.db?vfs=sqlite3async", "g.db?vfs=sqlite3async");
  CHECK(!exists("f.db?vfs=sqlite3async"));
  sqlite3 *plain = open_plain(test_path("file:e.db?vfs=sqlite3async")); /* to SQLite, no URI */
  use(plain);
  close_database(plain);
  refuse("file:e.db?vfs=sqlite3async", "file:e.db?vfs=sqlite3async");
  CHECK(exists("file:e.db?vfs=sqlite3async"));
  for (char c = 'a'; c <= 'd'; c++) {
    char name[60];
    snprintf(name, sizeof name, "file:%c.db?vfs=sqlite3async", c);
    CHECK(!exists(name));
  }
  /* Attached by a connection that knows no URIs. */
  sqlite3 *db = NULL;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  CHECK_EQ(sqlite3_open_v2("main.db", &db, flags, NULL), SQLITE_OK);
  CHECK_EQ(exec_code(db, "ATTACH 'file:a.db?vfs=sqlite3async' AS a") & 0xff, SQLITE_CANTOPEN);
  close_database(db);
}

static void other_odd_names_are_names(void) {
  start();
  CHECK_EQ(chdir(test_folder()), 0);
  CHECK_EQ(async_router_register(), SQLITE_OK);
  const char *names[] = {"file:a.db",
                         "file:a.db?mode=ro",
                         "file:a.db?vfs=sqlite3async-not",
                         "file:a.db?xvfs=sqlite3async",
                         "a.db?mode=ro",
                         "vfs=sqlite3async",
                         "a?vfs=sqlite3async-file:b"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    if (sqlite3_open_v2(names[i], &db, flags, NULL) != SQLITE_OK) FAIL("%s", names[i]);
    use(db);
    CHECK(!is_ours(names[i]));
    close_database(db);
    CHECK(exists(names[i]));
  }
}

static void what_names_no_file_has_no_route(void) {
  start();
  CHECK_EQ(sqlite3async_route(":memory:"), SQLITE_MISUSE);
  check_has(words(), "Cannot route \":memory:\": it names no file");
  CHECK_EQ(sqlite3async_route("file:a.db"), SQLITE_MISUSE);
  check_has(words(), "Cannot route \"file:a.db\": it is a URI");
  CHECK_EQ(sqlite3async_route(""), SQLITE_MISUSE);
  CHECK_EQ(chdir(test_folder()), 0);
  CHECK_EQ(sqlite3async_route("./file:a.db"), SQLITE_OK); /* a file can have that name */
  sqlite3 *db = open_default("./file:a.db");
  use(db);
  CHECK(is_ours("./file:a.db"));
  close_database(db);
}

/* ---- The router ---- */

static void a_program_that_routes_nothing_has_no_router(void) {
  sqlite3_vfs *before = sqlite3_vfs_find(NULL);
  start();
  CHECK(sqlite3_vfs_find(NULL) == before);
  sqlite3 *db = open_async(test_path("a.db"));
  use(db);
  close_database(db);
  CHECK(sqlite3_vfs_find(NULL) == before);
  CHECK_EQ(async_router_register(), SQLITE_OK);
  CHECK(sqlite3_vfs_find(NULL) != before);
  CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
  CHECK(sqlite3_vfs_find(NULL) == before);
}

static int other_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out) {
  sqlite3_vfs *behind = vfs->pAppData;
  return behind->xOpen(behind, name, file, flags, out);
}

/* Another VFS became the default after our router. */
static void a_route_works_over_another_default_VFS(void) {
  static sqlite3_vfs other;
  sqlite3_vfs *behind = sqlite3_vfs_find(NULL);
  start();
  CHECK_EQ(async_router_register(), SQLITE_OK);
  other = *behind;
  other.zName = "other";
  other.pAppData = behind;
  other.xOpen = other_open;
  if (other.szOsFile < 4096) other.szOsFile = 4096;
  CHECK_EQ(sqlite3_vfs_register(&other, 1), SQLITE_OK);
  for (int i = 0; i < 3; i++) CHECK_EQ(sqlite3async_route(test_path("a.db")), SQLITE_OK);
  sqlite3 *routed = open_default(test_path("a.db"));
  sqlite3 *plain = open_default(test_path("b.db"));
  use(routed);
  use(plain);
  CHECK(is_ours(test_path("a.db")) && !is_ours(test_path("b.db")));
  close_database(routed);
  close_database(plain);
  CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
  CHECK(sqlite3_vfs_find(NULL) == &other);
  plain = open_default(test_path("b.db"));
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM t"), 1);
  close_database(plain);
}

/* ---- What is left to the parent ---- */

static void what_is_excluded_is_the_parents_though_ours_is_the_default(void) {
  CHECK_EQ(sqlite3async_initialize(NULL, 1), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  CHECK_EQ(mkdir(test_path("own"), 0700), 0);
  CHECK_EQ(mkdir(test_path("owner"), 0700), 0);
  CHECK_EQ(mkdir(test_path("own/deep"), 0700), 0);
  CHECK_EQ(symlink("own", test_path("link")), 0);
  CHECK_EQ(sqlite3async_exclude(test_path("link/")), SQLITE_OK);
  CHECK_EQ(sqlite3async_exclude(test_path("single.db")), SQLITE_OK);
  const char *plain[] = {"own/a.db", "own/deep/a.db", "link/b.db", "single.db"};
  const char *modes[] = {"DELETE", "PERSIST", "WAL"};
  for (int i = 0; i < 4; i++) {
    for (int k = 0; k < 3; k++) {
      sqlite3 *db = open_default(test_path(plain[i]));
      exec(db, "PRAGMA journal_mode = %s", modes[k]);
      use(db);
      CHECK(!is_ours(test_path(plain[i])));
      /* As another process would: in WAL mode it could not if the database were ours. */
      sqlite3 *other = open_plain(test_path(plain[i]));
      CHECK_EQ(query_int(other, "SELECT count(*) FROM t"), k + 1);
      close_database(other);
      close_database(db);
    }
  }
  const char *ours[] = {"owner/a.db", "a.db", "single.db2", "own.db"};
  for (int i = 0; i < 4; i++) {
    sqlite3 *db = open_default(test_path(ours[i]));
    use(db);
    CHECK(is_ours(test_path(ours[i])));
    close_database(db);
  }
}

static void what_is_asked_for_is_ours_though_it_is_excluded(void) {
  CHECK_EQ(sqlite3async_initialize(NULL, 1), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  CHECK_EQ(mkdir(test_path("own"), 0700), 0);
  CHECK_EQ(sqlite3async_exclude(test_path("own")), SQLITE_OK);
  char uri[700];
  snprintf(uri, sizeof uri, "file:%s?vfs=sqlite3async", test_path("own/a.db"));
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI;
  sqlite3 *db = NULL;
  CHECK_EQ(sqlite3_open_v2(uri, &db, flags, NULL), SQLITE_OK);
  use(db);
  CHECK(is_ours(test_path("own/a.db")));
  /* Its journals are ours now, so another connection's must be, too. */
  sqlite3 *second = open_default(test_path("own/a.db"));
  CHECK_EQ(sqlite3async_flush(NULL, 10000), SQLITE_OK);
  use(second);
  CHECK_EQ(status_number(test_path("own/a.db"), "committed"), 3);
  close_database(second);
  close_database(db);

  CHECK_EQ(sqlite3async_route(test_path("own/b.db")), SQLITE_OK);
  db = open_default(test_path("own/b.db"));
  use(db);
  CHECK(is_ours(test_path("own/b.db")));
  close_database(db);

  /* And not while a plain connection has its own. */
  sqlite3 *plain = open_default(test_path("own/c.db"));
  use(plain);
  snprintf(uri, sizeof uri, "file:%s?vfs=sqlite3async", test_path("own/c.db"));
  CHECK_EQ(sqlite3_open_v2(uri, &db, flags, NULL), SQLITE_BUSY);
  sqlite3_close(db);
  use(plain);
  close_database(plain);
  CHECK_EQ(sqlite3_open_v2(uri, &db, flags, NULL), SQLITE_OK);
  CHECK(is_ours(test_path("own/c.db")));
  close_database(db);
}

/* ---- Which databases ---- */

/* The list; it lives until the next call. */
static const char *databases(void) {
  static char text[20000];
  int length = sqlite3async_databases(text, sizeof text);
  CHECK(length >= 0 && (size_t)length < sizeof text && strlen(text) == (size_t)length);
  return text;
}

static int count_of(const char *text, const char *part) {
  int count = 0;
  for (; (text = strstr(text, part)) != NULL; text++) count++;
  return count;
}

static void the_list_has_each_database_that_is_open(void) {
  start();
  CHECK_TEXT(databases(), "[]");
  CHECK_EQ(sqlite3async_is_open(NULL), 0);
  sqlite3 *a = open_async(test_path("a.db"));
  sqlite3 *again = open_async(test_path("a.db"));
  sqlite3 *b = open_async(test_path("b\"\n.db"));
  sqlite3 *plain = open_plain(test_path("plain.db"));
  use(a);
  CHECK_EQ(sqlite3async_flush(NULL, 10000), SQLITE_OK);
  const char *list = databases(); /* nothing has an age now, so it does not change */
  CHECK_EQ(count_of(list, "{\"path\":\""), 2);
  char path[700];
  snprintf(path, sizeof path, "{\"path\":\"%s\",\"connections\":2,", test_path("a.db"));
  CHECK_EQ(count_of(list, path), 1);
  snprintf(path, sizeof path, "%s/b\\\"\\u000a.db\",\"connections\":1,", test_folder());
  CHECK_EQ(count_of(list, path), 1);
  CHECK_EQ(count_of(list, "\"committed\":2,"), 1);
  CHECK_EQ(count_of(list, "\"committed\":0,"), 1);
  CHECK_EQ(count_of(list, "\"error\":null},{"), 1);
  CHECK(list[0] == '[' && list[strlen(list) - 1] == ']');
  CHECK_EQ(sqlite3async_is_open(test_path("a.db")), 1);
  CHECK_EQ(sqlite3async_is_open(test_path("plain.db")), 0);
  CHECK_EQ(sqlite3async_is_open(""), 1);
  /* With too little room it is cut, and tells its length. */
  CHECK_EQ(sqlite3async_databases(NULL, 0), (int)strlen(list));
  for (int n = 1; n < 200; n++) {
    char some[200];
    memset(some, '#', sizeof some);
    CHECK_EQ(sqlite3async_databases(some, n), (int)strlen(list));
    CHECK(memchr(some, '\0', (size_t)n) != NULL && strncmp(some, list, (size_t)n - 1) == 0);
    CHECK(some[n] == '#');
  }
  close_database(plain);
  close_database(again);
  close_database(b);
  CHECK_EQ(sqlite3async_flush(NULL, 10000), SQLITE_OK);
  WAIT_FOR(5000, count_of(databases(), "\"path\"") == 1);
  check_has(databases(), "\"connections\":1,");
  close_database(a);
  WAIT_FOR(5000, strcmp(databases(), "[]") == 0);
  CHECK_EQ(sqlite3async_is_open(NULL), 0);
}

int main(void) {
  return run_tests((TestCase[]){TEST(a_set_of_paths_grows_to_its_bound_and_then_knows_all),
                                TEST(flush_of_what_was_never_open_is_an_error),
                                TEST(what_plain_sqlite_has_open_is_named),
                                TEST(flush_of_all_notices_a_routed_database_that_is_open_outside),
                                TEST(of_many_routes_each_gets_its_turn),
                                TEST(a_uri_taken_for_a_name_is_refused_and_said_once),
                                TEST(other_odd_names_are_names),
                                TEST(what_names_no_file_has_no_route),
                                TEST(a_program_that_routes_nothing_has_no_router),
                                TEST(a_route_works_over_another_default_VFS),
                                TEST(what_is_excluded_is_the_parents_though_ours_is_the_default),
                                TEST(what_is_asked_for_is_ours_though_it_is_excluded),
                                TEST(the_list_has_each_database_that_is_open),
                                {0}});
}
