/*
** What a scenario begins with, and another process that looks at what it leaves.  See
** scenario.h.
*/
#include "scenario.h"

#include "database.h"
#include "other.h"
#include "script.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static Other other;

/* ---- Preparing ---- */

static void make_database(const char *path, const char *sql) {
  sqlite3 *plain = open_plain(path);
  exec(plain, "PRAGMA page_size = 1024; %s", sql);
  close_database(plain);
}

void scenario_prepare(const Scenario *which) {
  if (which->leaves_files) {
    other = other_start(script_path("x.db"));
    CHECK(freopen("/dev/null", "w", stderr) != NULL); /* where a close tells what was lost */
  }
  async_setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_DISK_FULL_RETRY_MS, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 0), SQLITE_OK);
  CHECK(mkdir(test_path(SCENARIO_FOLDER), 0700) == 0);
  CHECK(mkdir(test_path("other"), 0700) == 0);
  for (int i = 0; i < (which->two ? 2 : 1); i++) {
    make_database(script_path(i == 0 ? "x.db" : "y.db"),
                  "CREATE TABLE meta(k); INSERT INTO meta VALUES (0);"
                  "CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                  "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8)"
                  " INSERT INTO t SELECT i, hex(zeroblob(100 + i * 90)) FROM n");
  }
  make_database(test_path("other/other.db"), "CREATE TABLE t(a)");
  copy_folder(test_path("other"), test_path("other-template"));
  if (which->prepare != NULL) which->prepare();
  if (access(test_path("template"), F_OK) != 0) {
    copy_folder(test_path(SCENARIO_FOLDER), test_path("template"));
  }
  /* What plain SQLite finds there is what the model begins with. */
  copy_folder(test_path("template"), test_path(SCENARIO_FOLDER));
  sqlite3 *plain = open_plain(script_path("x.db"));
  exec(plain, "ATTACH '%s' AS start", test_path("start.db"));
  exec(plain, "CREATE TABLE start.meta AS SELECT * FROM main.meta;"
              "CREATE TABLE start.t AS SELECT * FROM main.t");
  close_database(plain);
}

/* ---- Another process ---- */

/* Descriptors of files of the scenario. */
static int open_descriptors(void) {
  int count = 0;
  DIR *dir = opendir("/proc/self/fd");
  if (dir == NULL) return 0;
  struct dirent *entry;
  while ((entry = readdir(dir)) != NULL) {
    char name[100];
    char path[600] = "";
    snprintf(name, sizeof name, "/proc/self/fd/%.20s", entry->d_name);
    ssize_t length = readlink(name, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    if (strstr(path, SCENARIO_PATHS "/") != NULL) count++;
  }
  closedir(dir);
  return count;
}

void scenario_look_as_other(void) {
  int open = open_descriptors();
  if (open > 0) SCENARIO_FAIL("%d files are open after the last close", open);
  static const char *const asked[][2] = {{"PRAGMA busy_timeout = 0", "0:0\n= 0"},
                                         {"BEGIN EXCLUSIVE; ROLLBACK", "= 0"},
                                         {"PRAGMA integrity_check", "3:ok\n= 0"}};
  tell(&other, "open");
  for (int i = 0; i < 3; i++) {
    const char *reply = tell(&other, asked[i][0]);
    if (i > 0 && strcmp(reply, asked[i][1]) != 0) SCENARIO_FAIL("%s: %s", asked[i][0], reply);
  }
  tell(&other, "close");
}
