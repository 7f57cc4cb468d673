/*
** Folders and what lies in them.  See folder.h.
*/
#define _GNU_SOURCE 1

#include "folder.h"

#include "testvfs.h"

#include <dirent.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool is_root(void) { return geteuid() == 0; }

void drop_privileges(void) {
  if (!is_root()) return;
  CHECK_EQ(chown(test_folder(), NOBODY, NOBODY), 0);
  CHECK_EQ(setgroups(0, NULL), 0);
  CHECK_EQ(setgid(NOBODY), 0);
  CHECK_EQ(setuid(NOBODY), 0);
  if (access(test_folder(), W_OK | X_OK) != 0) {
    FAIL("%s cannot be reached by a user without rights; set TMPDIR", test_folder());
  }
}

void write_file(const char *path, const void *data, size_t n) {
  FILE *file = fopen(path, "wb");
  if (file == NULL) FAIL("cannot write %s", path);
  CHECK(n == 0 || fwrite(data, 1, n, file) == n);
  CHECK_EQ(fclose(file), 0);
}

bool is_there(const char *path) {
  struct stat file;
  return lstat(path, &file) == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static bool ends_with(const char *text, const char *end) {
  size_t n = strlen(text);
  return n >= strlen(end) && strcmp(text + n - strlen(end), end) == 0;
}

char *folder_text(const char *folder) {
  struct dirent **entries = NULL;
  int n = scandir(folder, &entries, NULL, by_name);
  sqlite3_str *text = sqlite3_str_new(NULL);
  for (int i = 0; i < n; i++) {
    const char *name = entries[i]->d_name;
    char path[800];
    struct stat file;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    bool shown = name[0] != '.' && !ends_with(name, "-shm") && lstat(path, &file) == 0;
    if (shown) {
      sqlite3_str_appendf(text, "%s %o %d:%d\n", name, file.st_mode, (int)file.st_uid,
                          (int)file.st_gid);
    }
    free(entries[i]);
  }
  free(entries);
  if (n < 0) sqlite3_str_appendall(text, "(not to be read)\n");
  sqlite3_str_appendchar(text, 1, '.');
  return sqlite3_str_finish(text);
}

const char *in_folder(const Scene *scene, const char *name) {
  static _Thread_local char paths[8][700];
  static _Thread_local unsigned next;
  char *path = paths[next++ % 8];
  snprintf(path, sizeof paths[0], "%s/%s", scene->folder, name);
  return path;
}

sqlite3 *scene_open(Scene *scene, const char *name, int flags) {
  sqlite3 *db = NULL;
  int rc = sqlite3_open_v2(in_folder(scene, name), &db, flags, scene->vfs);
  if (db != NULL) sqlite3_extended_result_codes(db, 1);
  sqlite3_str_appendf(scene->text, "open %s: %d\n", name, rc);
  if (rc == SQLITE_OK) return db;
  sqlite3_close(db);
  return NULL;
}

int scene_exec(Scene *scene, sqlite3 *db, const char *sql) {
  int rc = db == NULL ? SQLITE_MISUSE : exec_code(db, sql);
  if (scene->is_async) step_all();
  sqlite3_str_appendf(scene->text, "%s: %d\n", sql, rc);
  return rc;
}

static char *play_in(const char *name, const char *vfs, void (*play)(Scene *scene),
                     const void *arg) {
  bool is_async = strcmp(vfs, SQLITEASYNC_VFSNAME) == 0;
  Scene scene = {.vfs = vfs,
                 .folder = test_path(name),
                 .is_async = is_async,
                 .text = sqlite3_str_new(NULL),
                 .arg = arg};
  CHECK_EQ(mkdir(scene.folder, 0700), 0);
  play(&scene);
  return sqlite3_str_finish(scene.text);
}

static void compare_to(const char *plain, const char *title, void (*play)(Scene *scene),
                       const void *arg) {
  static int number;
  char name[2][40];
  char *text[2];
  for (int i = 0; i < 2; i++) {
    snprintf(name[i], sizeof name[i], "%s%d", i == 0 ? "plain" : "async", number);
    text[i] = play_in(name[i], i == 0 ? plain : SQLITEASYNC_VFSNAME, play, arg);
  }
  number++;
  if (strcmp(text[0], text[1]) != 0) {
    FAIL("%s: with plain SQLite\n%s\nand with ours\n%s", title, text[0], text[1]);
  }
  sqlite3_free(text[0]);
  sqlite3_free(text[1]);
}

void compare(const char *title, void (*play)(Scene *scene), const void *arg) {
  compare_to("unix", title, play, arg);
}

void compare_seen(const char *title, void (*play)(Scene *scene), const void *arg) {
  compare_to(TESTVFS_NAME, title, play, arg);
}
