/*
** Permissions: the files that the writer makes, later and on its own thread, have
** the mode and the owner that plain SQLite gives them; and what a user may not do,
** ours refuses where plain SQLite does, and not elsewhere.
*/
#define _GNU_SOURCE 1

#include "folder.h"
#include "testvfs.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_WRITE (SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)

static void add_listing(Scene *scene) {
  char *listing = folder_text(scene->folder);
  sqlite3_str_appendf(scene->text, "%s\n", listing);
  sqlite3_free(listing);
}

static void make_database(const Scene *scene, const char *name, const char *mode) {
  sqlite3 *db = open_plain(in_folder(scene, name));
  exec(db, "PRAGMA journal_mode = %s; CREATE TABLE t(a); INSERT INTO t VALUES (1)", mode);
  close_database(db);
}

/* ---- What is made ---- */

typedef struct Made {
  const char *journal_mode;
  mode_t mode;
  mode_t mask;
  bool given; /* the database belongs to another user */
} Made;

/* A transaction under way: its journal, or WAL, is there. */
static void make_journal(Scene *scene) {
  const Made *made = scene->arg;
  make_database(scene, "a.db", made->journal_mode);
  const char *path = in_folder(scene, "a.db");
  CHECK_EQ(chmod(path, made->mode), 0);
  if (made->given) CHECK_EQ(chown(path, 1234, 2345), 0);
  mode_t before = umask(made->mask);
  sqlite3 *db = scene_open(scene, "a.db", READ_WRITE);
  if (made->journal_mode[0] != 'W') { /* or DELETE is what it is */
    char sql[60];
    snprintf(sql, sizeof sql, "PRAGMA journal_mode = %s", made->journal_mode);
    scene_exec(scene, db, sql);
  }
  scene_exec(scene, db, "BEGIN; INSERT INTO t VALUES (2)");
  add_listing(scene);
  scene_exec(scene, db, "COMMIT");
  add_listing(scene);
  scene_exec(scene, db, "INSERT INTO t VALUES (3)");
  CHECK_EQ(sqlite3_close(db), SQLITE_OK);
  if (scene->is_async) step_all();
  add_listing(scene);
  umask(before);
}

static void journals_have_the_databases_mode_and_owner(void) {
  async_setup();
  static const char *const journal_modes[] = {"DELETE", "TRUNCATE", "PERSIST", "WAL"};
  static const mode_t modes[] = {0600, 0640, 0666};
  for (int j = 0; j < 4; j++) {
    for (int m = 0; m < 3; m++) {
      for (int mask = 0; mask < 2; mask++) {
        for (int given = 0; given <= (is_root() ? 1 : 0); given++) {
          Made made = {journal_modes[j], modes[m], mask == 0 ? 0 : 077, given != 0};
          compare(made.journal_mode, make_journal, &made);
        }
      }
    }
  }
}

/* The super-journal is there only within a commit. */
static char super_mode[40];

static void note_super(void *folder) {
  char *listing = folder_text(folder);
  const char *super = strstr(listing, "-mj");
  if (super != NULL) sscanf(super, "%*s %39s", super_mode);
  sqlite3_free(listing);
}

static void make_super_journal(Scene *scene) {
  make_database(scene, "a.db", "DELETE");
  make_database(scene, "b.db", "DELETE");
  CHECK_EQ(chmod(in_folder(scene, "a.db"), 0600), 0);
  mode_t before = umask(027);
  sqlite3 *db = scene_open(scene, "a.db", READ_WRITE);
  exec(db, "ATTACH '%s' AS b", in_folder(scene, "b.db"));
  super_mode[0] = '\0';
  testvfs_on_change(note_super, (void *)(uintptr_t)scene->folder);
  scene_exec(scene, db, "BEGIN; INSERT INTO main.t VALUES (2); INSERT INTO b.t VALUES (2); COMMIT");
  testvfs_on_change(NULL, NULL);
  sqlite3_str_appendf(scene->text, "super-journal: %s\n", super_mode);
  CHECK(super_mode[0] != '\0');
  CHECK_EQ(sqlite3_close(db), SQLITE_OK);
  if (scene->is_async) step_all();
  add_listing(scene);
  umask(before);
}

static void a_super_journal_has_the_mode_that_plain_SQLite_gives_it(void) {
  async_setup();
  compare_seen("super-journal", make_super_journal, NULL);
}

/* A process that gives up its rights takes them from the writer, too. */
static void the_writer_has_no_more_rights_than_the_process_has_left(void) {
  async_setup();
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  sqlite3 *db = open_async(test_path("a.db"));
  exec(db, "PRAGMA journal_mode = PERSIST");
  CHECK_EQ(chmod(test_path("a.db"), 0666), 0);
  drop_privileges();
  exec(db, "CREATE TABLE t(a)");
  CHECK_EQ(sqlite3async_flush(NULL, 10000), SQLITE_OK);
  struct stat journal;
  CHECK_EQ(stat(test_path("a.db-journal"), &journal), 0);
  CHECK_EQ(journal.st_uid, geteuid());
  close_database(db);
  CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
}

/* ---- What is refused ---- */

typedef struct Rights {
  const char *journal_mode;
  mode_t folder;
  mode_t file;
} Rights;

/* Commit and make it durable, as far as one may. */
static void use_database(Scene *scene) {
  const Rights *rights = scene->arg;
  make_database(scene, "a.db", rights->journal_mode);
  CHECK_EQ(chmod(in_folder(scene, "a.db"), rights->file), 0);
  CHECK_EQ(chmod(scene->folder, rights->folder), 0);
  sqlite3 *db = scene_open(scene, "a.db", READ_WRITE);
  if (db != NULL) {
    if (rights->journal_mode[0] == 'P') scene_exec(scene, db, "PRAGMA journal_mode = PERSIST");
    scene_exec(scene, db, "SELECT * FROM t");
    bool wrote = scene_exec(scene, db, "INSERT INTO t VALUES (2)") == SQLITE_OK;
    scene_exec(scene, db, "DELETE FROM t WHERE a = 2; INSERT INTO t VALUES (2)");
    int flushed = SQLITE_OK;
    if (scene->is_async && wrote) flushed = sqlite3async_flush(in_folder(scene, "a.db"), 10000);
    sqlite3_str_appendf(scene->text, "flush: %d\n", flushed);
    scene_exec(scene, db, "SELECT * FROM t");
    CHECK_EQ(sqlite3_close(db), SQLITE_OK);
    if (scene->is_async) WAIT_FOR(10000, status_number(NULL, "queuedOps") == 0);
  }
  CHECK_EQ(chmod(scene->folder, 0700), 0);
  add_listing(scene);
}

/* In 0300 SQLite can make and delete journals, but not open the folder to sync it. */
static void folders_and_files_with_few_rights_work_as_in_plain_SQLite(void) {
  drop_privileges();
  async_setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_IDLE_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  static const mode_t folders[] = {0700, 0300, 0500, 0100};
  static const mode_t files[] = {0600, 0400, 0200, 0};
  static const char *const journal_modes[] = {"DELETE", "PERSIST", "WAL"};
  for (int j = 0; j < 3; j++) {
    for (int d = 0; d < 4; d++) {
      for (int f = 0; f < 4; f++) {
        /* Plain SQLite reads a WAL database that it cannot write by an index in its
        ** heap; ours needs the file's lock for itself, and says so. */
        if (journal_modes[j][0] == 'W' && (files[f] == 0400 || !(folders[d] & 0200))) continue;
        Rights rights = {journal_modes[j], folders[d], files[f]};
        char title[80];
        snprintf(title, sizeof title, "%s, folder %o, file %o", rights.journal_mode, rights.folder,
                 rights.file);
        compare(title, use_database, &rights);
      }
    }
  }
}

int main(void) {
  return run_tests((TestCase[]){TEST(journals_have_the_databases_mode_and_owner),
                                TEST(a_super_journal_has_the_mode_that_plain_SQLite_gives_it),
                                TEST(the_writer_has_no_more_rights_than_the_process_has_left),
                                TEST(folders_and_files_with_few_rights_work_as_in_plain_SQLite),
                                {0}});
}
