/*
** Crafted files: a hot journal, and the super-journal that it names, written by
** somebody else.  They must make ours open, change and delete nothing that plain
** SQLite would not, and do nothing to the other databases of the process.
*/
#define _GNU_SOURCE 1

#include "folder.h"
#include "registry.h"
#include "testvfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_WRITE (SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)
#define PAGE_SIZE 1024
#define SUPER "a.db-mj012345970"

static const unsigned char magic[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};

static void put_number(unsigned char *at, uint32_t number) {
  for (int i = 0; i < 4; i++) at[i] = (unsigned char)(number >> (24 - 8 * i));
}

static void make_database(const char *path) {
  sqlite3 *db = open_plain(path);
  exec(db, "PRAGMA page_size = %d; CREATE TABLE t(a); INSERT INTO t VALUES (1)", PAGE_SIZE);
  close_database(db);
}

/*
** A hot journal for a database of two pages, with no page to restore, that names a
** super-journal: https://sqlite.org/fileformat2.html#the_rollback_journal
*/
static void make_journal(const char *path, const char *super) {
  unsigned char bytes[PAGE_SIZE + 1200] = {0};
  memcpy(bytes, magic, 8);
  put_number(bytes + 12, 4711);
  put_number(bytes + 16, 2); /* pages */
  put_number(bytes + 20, 512);
  put_number(bytes + 24, PAGE_SIZE);
  uint32_t length = (uint32_t)strlen(super);
  uint32_t sum = 0;
  for (uint32_t i = 0; i < length; i++) sum += (uint32_t)(signed char)super[i];
  unsigned char *end = bytes + 512;
  put_number(end, 0x40000000 / PAGE_SIZE + 1);
  memcpy(end + 4, super, length);
  put_number(end + 4 + length, length);
  put_number(end + 8 + length, sum);
  memcpy(end + 12 + length, magic, 8);
  write_file(path, bytes, (size_t)(end - bytes) + 20 + length);
}

/* A super-journal that names these; NULL ends the list. */
static void make_super(const char *path, const char *const *names) {
  char bytes[4000];
  size_t n = 0;
  for (; *names != NULL; names++) {
    memcpy(bytes + n, *names, strlen(*names) + 1);
    n += strlen(*names) + 1;
  }
  write_file(path, bytes, n);
}

/* ---- One at a time, beside plain SQLite ---- */

typedef enum Trick {
  TRICK_NONE,
  NAME_OF_OTHER_KIND, /* what the journal names is no super-journal's name */
  NAME_WITH_DOTS,
  NAME_OF_LINK, /* it is a link to one that is in order */
  NAME_OF_FOLDER,
  NAME_OF_NOTHING,
  LIST_WITHOUT_OWN, /* the super-journal does not name our journal */
  LIST_WITH_VICTIM,
  LIST_WITH_LINK,
  LIST_WITH_FOLDER,
  LIST_WITH_DATABASE, /* which is open */
  LIST_WITH_ITSELF,
  LIST_WITHOUT_END, /* the last name is not ended by a zero */
  LIST_OF_MANY,
  LIST_EMPTY,
  TRICK_COUNT,
} Trick;

static void make_hostile_super(const Scene *scene, Trick trick, const char *path) {
  const char *own = in_folder(scene, "a.db-journal");
  const char *more = in_folder(scene, "victim");
  if (trick == LIST_WITH_LINK) more = in_folder(scene, "link");
  if (trick == LIST_WITH_FOLDER) more = scene->folder;
  if (trick == LIST_WITH_DATABASE) more = in_folder(scene, "b.db");
  if (trick == LIST_WITH_ITSELF) more = path;
  if (trick == LIST_WITHOUT_OWN) own = more;
  bool has_more = trick >= LIST_WITHOUT_OWN && trick <= LIST_WITH_ITSELF;
  make_super(path, (const char *[]){own, has_more ? more : NULL, NULL});
  if (trick == LIST_EMPTY) write_file(path, "", 0);
  if (trick == LIST_WITHOUT_END) {
    char text[1000];
    snprintf(text, sizeof text, "%s%cx%ckey", own, 0, 0);
    write_file(path, text, strlen(own) + 6);
  }
  if (trick != LIST_OF_MANY) return;
  size_t room = 100000;
  char *text = calloc(1, room);
  size_t n = strlen(own) + 1;
  memcpy(text, own, n);
  while (n + 10 < room) n += (size_t)snprintf(text + n, 10, "n%06zu", n) + 1;
  write_file(path, text, n);
  free(text);
}

static void recover(Scene *scene) {
  Trick trick = *(const Trick *)scene->arg;
  make_database(in_folder(scene, "a.db"));
  make_database(in_folder(scene, "b.db"));
  write_file(in_folder(scene, "victim"), "precious", 8);
  CHECK_EQ(symlink("victim", in_folder(scene, "link")), 0);
  const char *super = in_folder(scene, SUPER);
  if (trick == NAME_OF_OTHER_KIND) super = in_folder(scene, "c.db-wal");
  if (trick == NAME_WITH_DOTS) super = in_folder(scene, "../evil-mj012345970");
  if (trick == NAME_OF_LINK) {
    make_hostile_super(scene, trick, in_folder(scene, "real"));
    CHECK_EQ(symlink("real", super), 0);
  } else if (trick == NAME_OF_FOLDER) {
    CHECK_EQ(mkdir(super, 0700), 0);
  } else if (trick != NAME_OF_NOTHING) {
    make_hostile_super(scene, trick, super);
  }
  make_journal(in_folder(scene, "a.db-journal"), super);
  sqlite3 *b = scene_open(scene, "b.db", READ_WRITE);
  scene_exec(scene, b, "BEGIN; INSERT INTO t VALUES (2)");
  sqlite3 *a = scene_open(scene, "a.db", READ_WRITE);
  scene_exec(scene, a, "SELECT * FROM t");
  scene_exec(scene, a, "INSERT INTO t VALUES (2)");
  scene_exec(scene, b, "COMMIT");
  CHECK_EQ(sqlite3_close(a), SQLITE_OK);
  CHECK_EQ(sqlite3_close(b), SQLITE_OK);
  if (scene->is_async) step_all();
  char *listing = folder_text(scene->folder);
  sqlite3_str_appendf(scene->text, "%s %d\n", listing, is_there(super));
  sqlite3_free(listing);
  unlink(in_folder(scene, "../evil-mj012345970"));
  char *victim = file_text(in_folder(scene, "victim"));
  CHECK_TEXT(victim, "precious");
  free(victim);
}

static void crafted_journals_do_what_they_do_in_plain_SQLite(void) {
  async_setup();
  for (int trick = 0; trick < TRICK_COUNT; trick++) {
    Trick one = (Trick)trick;
    char title[40];
    snprintf(title, sizeof title, "trick %d", trick);
    compare(title, recover, &one);
  }
}

/* ---- The other databases of the process ---- */

/* It may be called after any database: the one that is rolled back, or none. */
static const char *super_name;

/* A database with a hot journal, the super-journal of which names one that is open. */
static sqlite3 *open_beside_hostile(const char *super) {
  super_name = super;
  async_setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_DISK_FULL_RETRY_MS, 0), SQLITE_OK);
  make_database(test_path("a.db"));
  make_database(test_path("b.db"));
  make_super(test_path(super_name),
             (const char *[]){test_path("a.db-journal"), test_path("b.db-journal"), NULL});
  make_journal(test_path("a.db-journal"), test_path(super_name));
  sqlite3 *b = open_async(test_path("b.db"));
  exec(b, "INSERT INTO t VALUES (2)");
  step_all();
  testvfs_reset();
  return b;
}

static int event_count(void) {
  sqlite3_int64 cursor = 0;
  char text[2000];
  int n = 0;
  while (sqlite3async_event(&cursor, text, sizeof text) > 0) n++;
  return n;
}

/* The other one goes on: its commit is applied, and nobody is told of a failure. */
static void check_unharmed(sqlite3 *b) {
  exec(b, "INSERT INTO t VALUES (3)");
  step_all();
  CHECK_EQ(query_int(b, "SELECT count(*) FROM t"), 3);
  CHECK_EQ(status_number(test_path("b.db"), "queuedOps"), 0);
  close_database(b);
  step_all();
  sqlite3 *plain = open_plain(test_path("b.db"));
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM t"), 3);
  close_database(plain);
}

static void fail_to_delete(const char *super) {
  sqlite3 *b = open_beside_hostile(super);
  testvfs_fail(ON_DELETE, ".db-mj", 0, -1, SQLITE_IOERR_DELETE, 13);
  sqlite3 *a = open_async(test_path("a.db"));
  CHECK_EQ(query_int(a, "SELECT count(*) FROM t"), 1);
  exec(b, "UPDATE t SET a = a");
  step_all();
  CHECK(testvfs_failures() > 0);
  exec(a, "INSERT INTO t VALUES (2)");
  step_all();
  close_database(a);
  check_unharmed(b);
  CHECK_EQ(event_count(), 0);
  CHECK(is_there(test_path(super_name)));
}

/* Its rollback was not applied, so the super-journal must stay; the other goes on. */
static void fail_to_recover(const char *super) {
  sqlite3 *b = open_beside_hostile(super);
  testvfs_fail(ON_DELETE | ON_SYNC, "a.db-journal", 0, -1, SQLITE_IOERR_FSYNC, 0);
  testvfs_fail(ON_SYNC, "a.db$", 0, -1, SQLITE_IOERR_FSYNC, 0);
  sqlite3 *a = open_async(test_path("a.db"));
  CHECK_EQ(query_int(a, "SELECT count(*) FROM t"), 1);
  exec(b, "UPDATE t SET a = a");
  step_all();
  CHECK(exec_code(a, "SELECT * FROM t") != SQLITE_OK);
  sqlite3_close(a);
  check_unharmed(b);
  CHECK_EQ(event_count(), 1);
  CHECK(is_there(test_path(super_name)) && is_there(test_path("a.db-journal")));
}

/* So one that has failed before. */
static void name_failed(const char *super) {
  sqlite3 *b = open_beside_hostile(super);
  sqlite3 *c = open_async(test_path("c.db"));
  exec(c, "CREATE TABLE t(a)");
  testvfs_fail(ON_CHANGE, "c.db", 0, 1, SQLITE_IOERR_WRITE, 0);
  step_all();
  CHECK(exec_code(c, "SELECT 1 FROM t") != SQLITE_OK);
  make_super(test_path(super_name),
             (const char *[]){test_path("c.db-journal"), test_path("a.db-journal"),
                              test_path("b.db-journal"), NULL});
  sqlite3 *a = open_async(test_path("a.db"));
  CHECK_EQ(query_int(a, "SELECT count(*) FROM t"), 1);
  step_all();
  CHECK(is_there(test_path(super_name))); /* who knows what became of its journal */
  close_database(a);
  sqlite3_close(c);
  check_unharmed(b);
}

/* What it is all for: it is deleted when the rollbacks that it is about are done. */
static void delete_in_order(const char *super) {
  sqlite3 *b = open_beside_hostile(super);
  exec(b, "INSERT INTO t VALUES (8)"); /* queued before */
  sqlite3 *a = open_async(test_path("a.db"));
  CHECK_EQ(query_int(a, "SELECT count(*) FROM t"), 1);
  step_all();
  CHECK(!is_there(test_path(super_name)));
  char *log = testvfs_log();
  char line[60];
  snprintf(line, sizeof line, "delete %s", super_name);
  const char *deletion = strstr(log, line);
  CHECK(deletion != NULL);
  const char *before[] = {"sync a.db\n", "delete a.db-journal", "delete b.db-journal"};
  for (int i = 0; i < 3; i++) {
    const char *found = strstr(log, before[i]);
    if (found == NULL || found > deletion)
      FAIL("%s is not before the deletion in\n%s", before[i], log);
  }
  free(log);
  exec(b, "DELETE FROM t WHERE a = 8");
  close_database(a);
  check_unharmed(b);
}

#define OTHER "x.db-mj012345970"

static void a_super_journal_that_cannot_be_deleted_harms_nobody(void) { fail_to_delete(SUPER); }
static void nor_does_one_of_another_name(void) { fail_to_delete(OTHER); }
static void a_recovery_that_fails_takes_no_other_database_with_it(void) { fail_to_recover(SUPER); }
static void nor_by_a_super_journal_of_another_name(void) { fail_to_recover(OTHER); }
static void a_database_that_has_failed_is_named_in_vain(void) { name_failed(OTHER); }
static void a_super_journal_is_deleted_after_the_rollbacks(void) { delete_in_order(SUPER); }
static void so_is_one_of_another_name(void) { delete_in_order(OTHER); }

#define PAIRS 150

static void *commit_pairs(void *unused) {
  (void)unused;
  sqlite3 *db = open_async(test_path("b.db"));
  exec(db, "ATTACH '%s' AS c", test_path("c.db"));
  for (int i = 0; i < PAIRS; i++) {
    exec(db, "BEGIN; UPDATE main.t SET a = a + 1; UPDATE c.t SET a = a + 1; COMMIT");
  }
  close_database(db);
  return NULL;
}

/* Barriers of both kinds, in all orders: nobody waits in a circle, nobody fails. */
static void recoveries_beside_commits_on_the_databases_they_name_all_end(void) {
  sqlite3 *b = open_beside_hostile(OTHER);
  exec(b, "DELETE FROM t WHERE a = 2");
  close_database(b);
  step_all();
  make_database(test_path("c.db"));
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  Thread thread = thread_start(commit_pairs, NULL);
  static const char *const supers[] = {OTHER, SUPER, "b.db-mj012345970", "c.db-mj012345970"};
  for (int i = 0; i < 40; i++) {
    const char *super = test_path(supers[i % 4]);
    make_super(super, (const char *[]){test_path("c.db-journal"), test_path("a.db-journal"),
                                       test_path("b.db-journal"), NULL});
    make_journal(test_path("a.db-journal"), super);
    sqlite3 *a = open_async(test_path("a.db"));
    exec_code(a, "SELECT * FROM t"); /* it may meet a journal that is just going */
    close_database(a);
    CHECK_EQ(sqlite3async_flush(test_path("a.db"), 30000), SQLITE_OK);
  }
  thread_join(thread);
  CHECK_EQ(sqlite3async_close(30000), SQLITE_OK);
  CHECK_EQ(event_count(), 0);
  static const char *const names[] = {"a.db", "b.db", "c.db"};
  for (int i = 0; i < 3; i++) {
    sqlite3 *plain = open_plain(test_path(names[i]));
    check_integrity(plain);
    CHECK_EQ(query_int(plain, "SELECT a FROM t"), i == 0 ? 1 : 1 + PAIRS);
    close_database(plain);
  }
}

/* ---- A database where a journal should be named ---- */

static int try_to_write(void *path) {
  sqlite3 *db = open_plain(path);
  int rc = exec_code(db, "BEGIN IMMEDIATE");
  sqlite3_close(db);
  return rc;
}

/*
** SQLite looks into it.  Closing a descriptor of its own would drop the process's locks
** on the file; and a handle of its own, which does not lock, must not become the one
** that all have.
*/
static void looking_into_a_database_leaves_its_locks_in_force(void) {
  async_setup();
  static char path[400];
  snprintf(path, sizeof path, "%s", test_path("b.db"));
  make_database(path);
  sqlite3_vfs *vfs = sqlite3_vfs_find(SQLITEASYNC_VFSNAME);
  sqlite3_file *file = calloc(1, (size_t)vfs->szOsFile);
  int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_SUPER_JOURNAL;
  /* As it lies in a super-journal: the next name follows, and there it ends. */
  size_t length = strlen(path);
  char *names = malloc(length + 5);
  memcpy(names, path, length);
  memcpy(names + length, "\0key", 5);

  AsyncStream *stream = async_registry_create(path, sqlite3_vfs_find(TESTVFS_NAME));
  CHECK(stream != NULL); /* known, but not open: something of it was queued */
  CHECK_EQ(vfs->xOpen(vfs, names, file, flags, NULL), SQLITE_OK);
  sqlite3 *b = open_async(path);
  exec(b, "BEGIN IMMEDIATE");
  CHECK_EQ(process_wait(process_start(try_to_write, path), 10000), SQLITE_BUSY);
  file->pMethods->xClose(file);
  CHECK_EQ(vfs->xOpen(vfs, names, file, flags, NULL), SQLITE_OK);
  file->pMethods->xClose(file);
  CHECK_EQ(process_wait(process_start(try_to_write, path), 10000), SQLITE_BUSY);
  exec(b, "COMMIT");
  close_database(b);
  step_all();
  async_registry_unref(stream);
  free(names);
  free(file);
}

int main(void) {
  return run_tests((TestCase[]){TEST(crafted_journals_do_what_they_do_in_plain_SQLite),
                                TEST(a_super_journal_that_cannot_be_deleted_harms_nobody),
                                TEST(nor_does_one_of_another_name),
                                TEST(a_recovery_that_fails_takes_no_other_database_with_it),
                                TEST(nor_by_a_super_journal_of_another_name),
                                TEST(a_database_that_has_failed_is_named_in_vain),
                                TEST(a_super_journal_is_deleted_after_the_rollbacks),
                                TEST(so_is_one_of_another_name),
                                TEST(recoveries_beside_commits_on_the_databases_they_name_all_end),
                                TEST(looking_into_a_database_leaves_its_locks_in_force),
                                {0}});
}
