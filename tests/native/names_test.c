/*
** Names: what lies under a journal's name, or comes to lie there before the writer
** opens it; several names of one file; names that look like another file's journal;
** and the checkpointer, which opens a database by its name.
*/
#define _GNU_SOURCE 1

#include "folder.h"
#include "checkpoint.h"
#include "registry.h"
#include "testvfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_WRITE (SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)

static void make_database(const char *path, const char *mode) {
  sqlite3 *db = open_plain(path);
  exec(db, "PRAGMA journal_mode = %s; CREATE TABLE t(a); INSERT INTO t VALUES (1)", mode);
  close_database(db);
}

static void add_dump(Scene *scene, const char *name) {
  sqlite3 *db = NULL;
  int rc = sqlite3_open_v2(in_folder(scene, name), &db, SQLITE_OPEN_READONLY, "unix");
  char *dump = rc == SQLITE_OK ? query_text(db, "SELECT * FROM t ORDER BY a") : NULL;
  sqlite3_str_appendf(scene->text, "%s: %s\n", name, dump == NULL ? "(none)" : dump);
  sqlite3_free(dump);
  sqlite3_close(db);
}

static void add_listing(Scene *scene) {
  char *listing = folder_text(scene->folder);
  sqlite3_str_appendf(scene->text, "%s\n", listing);
  sqlite3_free(listing);
}

/* ---- What lies under a journal's name ---- */

typedef enum Thing {
  THING_EMPTY_FILE, /* that nobody may open */
  THING_JUNK,
  THING_FOLDER,
  THING_LINK_TO_FILE,
  THING_LINK_TO_NOTHING,
  THING_COUNT,
} Thing;

typedef struct Obstacle {
  const char *journal_mode;
  Thing thing;
} Obstacle;

/* Whatever it is, "victim" or "nothing" is the file that must not be followed to. */
static void put(const Scene *scene, Thing thing, const char *name) {
  static const char junk[600] = "no journal";
  const char *path = in_folder(scene, name);
  switch (thing) {
  case THING_EMPTY_FILE:
    write_file(path, "", 0);
    CHECK_EQ(chmod(path, 0), 0);
    break;
  case THING_JUNK:
    write_file(path, junk, sizeof junk);
    break;
  case THING_FOLDER:
    CHECK_EQ(mkdir(path, 0700), 0);
    break;
  case THING_LINK_TO_FILE:
    CHECK_EQ(symlink(in_folder(scene, "victim"), path), 0);
    break;
  default:
    CHECK_EQ(symlink(in_folder(scene, "nothing"), path), 0);
  }
}

static const char *journal_of(const Obstacle *obstacle) {
  return obstacle->journal_mode[0] == 'W' ? "a.db-wal" : "a.db-journal";
}

static void commit_past_obstacle(Scene *scene) {
  const Obstacle *obstacle = scene->arg;
  make_database(in_folder(scene, "a.db"), obstacle->journal_mode);
  write_file(in_folder(scene, "victim"), "precious", 8);
  put(scene, obstacle->thing, journal_of(obstacle));
  sqlite3 *db = scene_open(scene, "a.db", READ_WRITE);
  scene_exec(scene, db, "SELECT * FROM t");
  scene_exec(scene, db, "INSERT INTO t VALUES (2)");
  scene_exec(scene, db, "INSERT INTO t VALUES (3)");
  CHECK_EQ(sqlite3_close(db), SQLITE_OK);
  if (scene->is_async) step_all();
  add_listing(scene);
  add_dump(scene, "a.db");
  char *victim = file_text(in_folder(scene, "victim"));
  CHECK_TEXT(victim, "precious");
  CHECK(!is_there(in_folder(scene, "nothing")));
  free(victim);
}

/* A commit that cannot have its journal must fail at once, not be lost later. */
static void what_lies_under_a_journals_name_is_met_as_by_plain_SQLite(void) {
  drop_privileges();
  async_setup();
  for (int thing = 0; thing < THING_COUNT; thing++) {
    for (int wal = 0; wal < 2; wal++) {
      Obstacle obstacle = {wal ? "WAL" : "DELETE", (Thing)thing};
      char title[60];
      snprintf(title, sizeof title, "%s, thing %d", obstacle.journal_mode, thing);
      compare(title, commit_past_obstacle, &obstacle);
    }
  }
}

/* The commit is queued; before its journal is made something else gets its name. */
static void lose_the_race(const char *journal_mode, Thing thing) {
  char name[60];
  snprintf(name, sizeof name, "%s%d", journal_mode, thing);
  Scene scene = {.folder = test_path(name)};
  CHECK_EQ(mkdir(scene.folder, 0700), 0);
  const char *path = in_folder(&scene, "a.db");
  make_database(path, journal_mode);
  write_file(in_folder(&scene, "victim"), "precious", 8);
  sqlite3 *db = open_async(path);
  exec(db, "INSERT INTO t VALUES (2)");
  Obstacle obstacle = {journal_mode, thing};
  put(&scene, thing, journal_of(&obstacle));
  step_all();
  int code = exec_code(db, "SELECT * FROM t");
  CHECK_EQ(code & 0xff, SQLITE_CANTOPEN);
  CHECK_EQ(sqlite3_close(db), SQLITE_OK);
  step_all();
  CHECK(is_there(in_folder(&scene, journal_of(&obstacle))));
  char *victim = file_text(in_folder(&scene, "victim"));
  CHECK_TEXT(victim, "precious");
  free(victim);
  CHECK(!is_there(in_folder(&scene, "nothing")));
  thing == THING_FOLDER ? rmdir(in_folder(&scene, journal_of(&obstacle)))
                        : unlink(in_folder(&scene, journal_of(&obstacle)));
  db = open_async(path); /* whole, and to be used again */
  check_integrity(db);
  CHECK_EQ(query_int(db, "SELECT count(*) FROM t"), 1);
  exec(db, "INSERT INTO t VALUES (2)");
  close_database(db);
  step_all();
}

static void the_writer_follows_no_link_that_took_a_journals_name(void) {
  async_setup();
  static const Thing things[] = {THING_FOLDER, THING_LINK_TO_FILE, THING_LINK_TO_NOTHING};
  for (int i = 0; i < 3; i++) {
    lose_the_race("DELETE", things[i]);
    lose_the_race("WAL", things[i]);
  }
}

/* ---- Several names of one file ---- */

static int stream_count(void) {
  AsyncStream **streams = async_registry_all();
  int n = 0;
  while (streams[n] != NULL) n++;
  async_registry_unref_all(streams);
  return n;
}

static void all_paths_of_a_file_are_one_stream(void) {
  async_setup();
  CHECK_EQ(mkdir(test_path("sub"), 0700), 0);
  CHECK_EQ(symlink("sub", test_path("way")), 0);
  CHECK_EQ(symlink("a.db", test_path("sub/link.db")), 0);
  make_database(test_path("sub/a.db"), "DELETE");
  CHECK_EQ(chdir(test_folder()), 0);
  const char *paths[] = {test_path("sub/a.db"),
                         "sub/a.db",
                         "./sub//a.db",
                         test_path("sub/../sub/a.db"),
                         test_path("way/a.db"),
                         "way/link.db",
                         test_path("sub/./link.db"),
                         test_path("way/../sub/a.db")};
  sqlite3 *dbs[8];
  for (int i = 0; i < 8; i++) {
    dbs[i] = open_async(paths[i]);
    sqlite3_busy_timeout(dbs[i], 0);
    char sql[60];
    snprintf(sql, sizeof sql, "INSERT INTO t VALUES (%d)", i + 2);
    exec(dbs[i], "%s", sql);
  }
  CHECK_EQ(stream_count(), 1);
  for (int i = 0; i < 8; i++) {
    CHECK_EQ(query_int(dbs[i], "SELECT count(*) FROM t"), 9);
    CHECK_EQ(status_number(paths[i], "committed"), 8);
    close_database(dbs[i]);
  }
  step_all();
  CHECK(!is_there(test_path("way/link.db-journal")));
}

static void open_link(Scene *scene) {
  make_database(in_folder(scene, "a.db"), "DELETE");
  CHECK_EQ(symlink("a.db", in_folder(scene, "link.db")), 0);
  CHECK_EQ(symlink(".", in_folder(scene, "here")), 0);
  static const char *const names[] = {"a.db", "link.db", "here/a.db", "none.db"};
  for (int i = 0; i < 4; i++) {
    sqlite3_close(scene_open(scene, names[i], SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW));
  }
  if (scene->is_async) step_all();
}

static void NOFOLLOW_refuses_links(void) {
  async_setup();
  compare("nofollow", open_link, NULL);
}

static void a_routed_link_is_the_file_it_leads_to(void) {
  async_setup();
  make_database(test_path("a.db"), "DELETE");
  make_database(test_path("b.db"), "DELETE");
  CHECK_EQ(symlink("a.db", test_path("link.db")), 0);
  CHECK_EQ(sqlite3async_route(test_path("link.db")), SQLITE_OK);
  sqlite3 *by_name = NULL;
  CHECK_EQ(sqlite3_open(test_path("a.db"), &by_name), SQLITE_OK);
  exec(by_name, "INSERT INTO t VALUES (2)");
  CHECK_EQ(status_number(test_path("a.db"), "committed"), 1);
  /* The link leads elsewhere now; where, nobody has named. */
  CHECK_EQ(unlink(test_path("link.db")), 0);
  CHECK_EQ(symlink("b.db", test_path("link.db")), 0);
  sqlite3 *by_link = NULL;
  CHECK_EQ(sqlite3_open(test_path("link.db"), &by_link), SQLITE_OK);
  exec(by_link, "INSERT INTO t VALUES (2)");
  char text[4000];
  CHECK_EQ(sqlite3async_status(test_path("b.db"), text, sizeof text), -SQLITE_NOTFOUND);
  sqlite3 *refused = NULL;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW;
  CHECK_EQ(sqlite3_open_v2(test_path("link.db"), &refused, flags, NULL), SQLITE_CANTOPEN);
  sqlite3_close(refused);
  close_database(by_link);
  close_database(by_name);
  step_all();
}

/* SQLite would refuse to write to the one whose name was taken away; it was all written. */
static void a_name_that_has_become_a_link_means_what_it_leads_to(void) {
  async_setup();
  sqlite3 *was_there = open_async(test_path("x.db"));
  exec(was_there, "CREATE TABLE t(a)");
  step_all();
  CHECK_EQ(rename(test_path("x.db"), test_path("old.db")), 0);
  CHECK_EQ(symlink("new.db", test_path("x.db")), 0);
  sqlite3 *by_link = open_async(test_path("x.db"));
  exec(by_link, "CREATE TABLE t(a)");
  exec(by_link, "INSERT INTO t VALUES (1)");
  CHECK_EQ(status_number(test_path("x.db"), "committed"), 2);
  CHECK_EQ(status_number(test_path("new.db"), "committed"), 2);
  step_all();
  close_database(by_link);
  close_database(was_there);
  step_all();
}

static int try_to_write(void *path) {
  sqlite3 *db = open_plain(path);
  int rc = exec_code(db, "BEGIN IMMEDIATE");
  sqlite3_close(db);
  return rc;
}

/* Two streams on one file: as two processes, each with its lock until all is written. */
static void hard_links_keep_each_other_out_like_processes(void) {
  async_setup();
  static char path_a[400];
  snprintf(path_a, sizeof path_a, "%s", test_path("a.db"));
  make_database(path_a, "DELETE");
  CHECK_EQ(link(path_a, test_path("b.db")), 0);
  sqlite3 *a = open_async(path_a);
  sqlite3 *b = open_async(test_path("b.db"));
  exec(a, "BEGIN IMMEDIATE; INSERT INTO t VALUES (2)");
  CHECK_EQ(exec_code(b, "BEGIN IMMEDIATE"), SQLITE_BUSY);
  exec(a, "COMMIT"); /* is queued */
  CHECK_EQ(exec_code(b, "SELECT * FROM t"), SQLITE_BUSY);
  step_all();
  CHECK_EQ(query_int(b, "SELECT count(*) FROM t"), 2);
  exec(a, "BEGIN IMMEDIATE");
  close_database(b); /* and with it a descriptor of the file */
  step_all();
  CHECK_EQ(process_wait(process_start(try_to_write, path_a), 10000), SQLITE_BUSY);
  exec(a, "INSERT INTO t VALUES (3); COMMIT");
  close_database(a);
  step_all();
  sqlite3 *plain = open_plain(path_a);
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM t"), 3);
  close_database(plain);
}

/* ---- Names that look like another file's journal ---- */

/* Somebody opens the file named like the other's journal as a database. */
static void use_both(Scene *scene) {
  const char *name = scene->arg;
  make_database(in_folder(scene, "a.db"), strstr(name, "-wal") != NULL ? "WAL" : "DELETE");
  sqlite3 *a = scene_open(scene, "a.db", READ_WRITE);
  scene_exec(scene, a, "INSERT INTO t VALUES (2)");
  sqlite3 *odd = scene_open(scene, name, READ_WRITE);
  scene_exec(scene, odd, "SELECT 1 FROM sqlite_schema");
  scene_exec(scene, a, "INSERT INTO t VALUES (3)");
  scene_exec(scene, a, "BEGIN; INSERT INTO t VALUES (4)");
  scene_exec(scene, a, "ROLLBACK");
  scene_exec(scene, a, "INSERT INTO t VALUES (5)");
  CHECK_EQ(sqlite3_close(odd), SQLITE_OK);
  if (scene->is_async) step_all();
  scene_exec(scene, a, "INSERT INTO t VALUES (6)");
  CHECK_EQ(sqlite3_close(a), SQLITE_OK);
  if (scene->is_async) step_all();
  add_listing(scene);
  add_dump(scene, "a.db");
}

static void a_database_named_like_a_journal_takes_nothing_from_the_other(void) {
  async_setup();
  static const char *const names[] = {"a.db-journal", "a.db-wal", "a.db-mj012345970",
                                      "a.db-journal-journal", "a.db-mj012345697"};
  for (int i = 0; i < 5; i++) compare(names[i], use_both, names[i]);
}

/* While it is open, the other's journal is still in order with the other's pages. */
static void a_journals_ops_stay_with_its_database(void) {
  async_setup();
  make_database(test_path("a.db"), "DELETE");
  sqlite3 *a = open_async(test_path("a.db"));
  sqlite3 *odd = open_async(test_path("a.db-journal"));
  exec(odd, "SELECT 1 FROM sqlite_schema");
  step_all();
  testvfs_reset();
  exec(a, "INSERT INTO t VALUES (2)");
  CHECK_EQ(testvfs_count(ON_CHANGE & ~ON_OPEN, NULL), 0);
  CHECK_EQ(status_number(test_path("a.db-journal"), "queuedOps"), 0);
  close_database(odd);
  close_database(a);
  step_all();
}

/* A journal that SQLite names as we don't know it would not be in order. */
static void a_journal_of_an_unknown_name_is_refused(void) {
  async_setup();
  sqlite3 *db = open_async(test_path("a.db"));
  exec(db, "CREATE TABLE t(a)");
  sqlite3_vfs *vfs = sqlite3_vfs_find(SQLITEASYNC_VFSNAME);
  sqlite3_file *file = calloc(1, (size_t)vfs->szOsFile);
  int flags = READ_WRITE | SQLITE_OPEN_MAIN_JOURNAL;
  const char *name = sqlite3_create_filename(test_path("a.nal"), "", "", 0, NULL);
  CHECK_EQ(vfs->xOpen(vfs, name, file, flags, NULL), SQLITE_CANTOPEN);
  CHECK(file->pMethods == NULL && !is_there(test_path("a.nal")));
  sqlite3_free_filename((char *)(uintptr_t)name);
  free(file);
  close_database(db);
  step_all();
}

static void use_odd_name(Scene *scene) {
  const char *name = scene->arg;
  sqlite3 *db = scene_open(scene, name, READ_WRITE);
  if (db == NULL) return;
  scene_exec(scene, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  sqlite3 *other = scene_open(scene, "other.db", READ_WRITE);
  scene_exec(scene, other, "CREATE TABLE t(a)");
  char *attach = sqlite3_mprintf("ATTACH %Q AS odd", in_folder(scene, name));
  sqlite3_str_appendf(scene->text, "attach: %d\n", exec_code(other, attach));
  scene_exec(scene, other,
             "BEGIN; INSERT INTO main.t VALUES (7); INSERT INTO odd.t VALUES (7);"
             "COMMIT");
  sqlite3_free(attach);
  CHECK_EQ(sqlite3_close(other), SQLITE_OK);
  CHECK_EQ(sqlite3_close(db), SQLITE_OK);
  if (scene->is_async) step_all();
  add_listing(scene);
  add_dump(scene, name);
}

static void odd_names_work_as_in_plain_SQLite(void) {
  async_setup();
  static char deep[256];
  static char too_long[600];
  memset(deep, 'd', sizeof deep - 30);
  memset(too_long, 'l', sizeof too_long - 1);
  const char *const names[] = {"new\nline",
                               "quote'\"`\\",
                               "\x01\x1b]0;title\x07",
                               "latin\xe4\xff\xc0\x80",
                               "a?vfs=unix",
                               "a%00b",
                               "-journal",
                               "-wal",
                               "a-mj012345697",
                               "a-mj012345970",
                               "x-journal",
                               "x-wal",
                               "a&journal=b",
                               "no/such/folder",
                               "..",
                               "a.db-mj0123459ab",
                               deep,
                               too_long,
                               "-",
                               "file:a.db"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    char *title = sqlite3_mprintf("\"%s\" (%d)", names[i], (int)i);
    compare(title, use_odd_name, names[i]);
    sqlite3_free(title);
  }
}

/* ---- The checkpointer ---- */

/* It opens the database by its name, which may mean another one by then. */
static void the_checkpointer_follows_no_link_that_took_a_folders_place(void) {
  async_setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 1), SQLITE_OK);
  CHECK_EQ(mkdir(test_path("mine"), 0700), 0);
  CHECK_EQ(mkdir(test_path("other"), 0700), 0);
  make_database(test_path("mine/a.db"), "WAL");
  make_database(test_path("other/a.db"), "WAL");
  sqlite3 *db = open_async(test_path("mine/a.db"));
  exec(db, "INSERT INTO t VALUES (2)");
  step_all();
  CHECK_EQ(rename(test_path("mine"), test_path("moved")), 0);
  CHECK_EQ(symlink("other", test_path("mine")), 0);
  testvfs_reset();
  async_checkpoint_step();
  CHECK_EQ(testvfs_count(ON_OPEN | ON_READ | ON_CHANGE, "other/a.db"), 0);
  char text[4000];
  CHECK_EQ(sqlite3async_status(test_path("other/a.db"), text, sizeof text), -SQLITE_NOTFOUND);
  /* Back in its place, it is checkpointed. */
  CHECK_EQ(unlink(test_path("mine")), 0);
  CHECK_EQ(rename(test_path("moved"), test_path("mine")), 0);
  exec(db, "INSERT INTO t VALUES (3)");
  step_all();
  WAIT_FOR(10000, async_checkpoint_step() >= -1 &&
                      status_number(test_path("mine/a.db"), "checkpoints") > 0);
  close_database(db);
  step_all();
}

int main(void) {
  return run_tests((TestCase[]){TEST(what_lies_under_a_journals_name_is_met_as_by_plain_SQLite),
                                TEST(the_writer_follows_no_link_that_took_a_journals_name),
                                TEST(all_paths_of_a_file_are_one_stream),
                                TEST(NOFOLLOW_refuses_links),
                                TEST(a_routed_link_is_the_file_it_leads_to),
                                TEST(a_name_that_has_become_a_link_means_what_it_leads_to),
                                TEST(hard_links_keep_each_other_out_like_processes),
                                TEST(a_database_named_like_a_journal_takes_nothing_from_the_other),
                                TEST(a_journals_ops_stay_with_its_database),
                                TEST(a_journal_of_an_unknown_name_is_refused),
                                TEST(odd_names_work_as_in_plain_SQLite),
                                TEST(the_checkpointer_follows_no_link_that_took_a_folders_place),
                                {0}});
}
