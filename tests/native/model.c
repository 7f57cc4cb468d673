/*
** The model of a scenario's database.  See model.h.
*/
#include "model.h"

#include "database.h"

#include <string.h>

#define CONTENTS_MAX 64

typedef struct Content {
  char *text;
  int committed; /* transactions before it, it included if it was committed */
  bool failed;
} Content;

static sqlite3 *db;
static Content contents[CONTENTS_MAX];
static int count;
static int committed;
static bool is_trying;

static void remember(bool failed) {
  CHECK(count < CONTENTS_MAX);
  contents[count++] = (Content){query_text(db, MODEL_CONTENT), committed, failed};
}

void model_open(const char *path) {
  db = open_plain(":memory:");
  exec(db, "CREATE TABLE meta(k); CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  exec(db, "ATTACH '%s' AS start", path);
  exec(db, "INSERT INTO meta SELECT * FROM start.meta; INSERT INTO t SELECT * FROM start.t");
  exec(db, "DETACH start");
  committed = 0;
  remember(false);
}

void model_close(void) {
  close_database(db);
  while (count > 0) sqlite3_free(contents[--count].text);
}

void model_try(const char *sql) {
  exec(db, "BEGIN; %s", sql);
  is_trying = true;
}

bool model_has_tried(const char *content) {
  char *text = query_text(db, MODEL_CONTENT);
  bool same = strcmp(text, content) == 0;
  sqlite3_free(text);
  return same;
}

void model_decide(bool is_committed) {
  CHECK(is_trying);
  is_trying = false;
  if (is_committed) committed++;
  remember(!is_committed);
  exec(db, is_committed ? "COMMIT" : "ROLLBACK");
}

int model_committed(void) { return committed; }

int model_find(const char *content, bool *failed) {
  /* From the end: a transaction that changes nothing counts as done. */
  for (int i = count - 1; i >= 0; i--) {
    if (strcmp(contents[i].text, content) != 0) continue;
    *failed = contents[i].failed;
    return contents[i].committed;
  }
  return -1;
}
