/*
** Corrupted databases, journals, WALs and super-journals, through plain SQLite and then
** through us, at the same path: the same script must give the same rows and codes, and
** leave the same files with the same bytes, in the folder and beside it.
*/
#include "corrupt_images.h"
#include "corrupt_patch.h"
#include "fuzz.h"

#include "database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const FuzzTarget fuzz_target = {"corrupt", 1200};

#define CHANGES_MAX 12
/* Instructions of SQLite's machine: a corrupted tree may be a ring. */
#define INSTRUCTIONS_MAX 60000
/* A database that a journal makes so long is left alone after that. */
#define DATABASE_SIZE_MAX (8 << 20)

/* How a script goes; from the input. */
typedef struct Script {
  bool read_only;
  bool attach;
  bool two; /* connections */
  const char *first;
  const char *write;
  const char *last;
  int steps; /* of the writer between statements */
} Script;

static char folder[400];
static char outside[400];

/* The first bytes of each file. */
static void tell(const char *when, const Image *image) {
  for (int i = 0; i < IMAGE_FILES; i++) {
    const ImageFile *file = &image->files[i];
    if (file->name[0] == '\0') continue;
    char text[200] = "";
    for (size_t at = 0; at < file->size && at < 64; at++) {
      snprintf(text + strlen(text), 4, "%s%02x", at % 4 == 0 ? " " : "", file->bytes[at]);
    }
    fuzz_tell("%s: %s, %zu bytes:%s", when, file->name, file->size, text);
  }
}

/* ---- Running ---- */

static int too_long(void *arg) {
  (void)arg;
  return 1;
}

static int64_t database_size(void) {
  char path[500];
  struct stat stat_of;
  snprintf(path, sizeof path, "%s/x.db", folder);
  return stat(path, &stat_of) == 0 ? stat_of.st_size : 0;
}

static sqlite3 *open_one(const Script *script, bool async, sqlite3_str *results) {
  char path[500];
  snprintf(path, sizeof path, "%s/x.db", folder);
  int flags = script->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  sqlite3 *db = NULL;
  int rc = sqlite3_open_v2(path, &db, flags, async ? SQLITEASYNC_VFSNAME : "unix");
  sqlite3_str_appendf(results, "open %d\n", rc);
  CHECK(db != NULL);
  sqlite3_extended_result_codes(db, 1);
  sqlite3_progress_handler(db, INSTRUCTIONS_MAX, too_long, NULL);
  return db;
}

static void run_one(const Script *script, sqlite3 *db, const char *sql, sqlite3_str *results) {
  char *result = query_text(db, sql);
  sqlite3_str_appendf(results, "%s\n%s\n", sql, result);
  sqlite3_free(result);
  step_some(script->steps);
}

/* The rest, of a database of a sensible size. */
static void run_rest(const Script *script, sqlite3 *db, bool async, sqlite3_str *results) {
  run_one(script, db, "SELECT count(*), total(length(b)) FROM t; SELECT b FROM t WHERE a = 5",
          results);
  run_one(script, db, script->write, results);
  sqlite3 *two = script->two ? open_one(script, async, results) : NULL;
  run_one(script, db, "BEGIN; INSERT INTO t(b) VALUES ('new'); DELETE FROM t WHERE a = 3", results);
  if (two != NULL) run_one(script, two, "SELECT count(*) FROM t", results);
  run_one(script, db, "COMMIT", results);
  run_one(script, db, "ROLLBACK", results);
  run_one(script, db, "PRAGMA integrity_check(3)", results);
  if (two != NULL) run_one(script, two, "UPDATE t SET b = 'two' WHERE a = 2", results);
  run_one(script, db, script->last, results);
  if (two != NULL) CHECK_EQ(sqlite3_close(two), SQLITE_OK);
}

/* What the script says, to be freed by sqlite3_free(), and what it leaves. */
static char *run_script(const Script *script, const Image *image, bool async, Image *left) {
  corrupt_image_write(image, folder);
  FILE *file = fopen(outside, "w");
  CHECK(file != NULL && fputs("not yours", file) >= 0);
  fclose(file);
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, 99, NULL);

  sqlite3_str *results = sqlite3_str_new(NULL);
  sqlite3 *db = open_one(script, async, results);
  char attach[500];
  snprintf(attach, sizeof attach, "ATTACH '%s/y.db' AS other; SELECT count(*) FROM other.t",
           folder);
  if (script->attach) run_one(script, db, attach, results);
  run_one(script, db, script->first, results);
  if (async) step_all();
  if (database_size() <= DATABASE_SIZE_MAX) run_rest(script, db, async, results);
  CHECK_EQ(sqlite3_close(db), SQLITE_OK);
  if (async) fuzz_drain();
  corrupt_image_read(left, folder);
  tell(async ? "left by us" : "left by plain SQLite", left);
  struct stat stat_of;
  sqlite3_str_appendf(results, "outside: %d\n", stat(outside, &stat_of) == 0);
  return sqlite3_str_finish(results);
}

/* ---- Comparing ---- */

static void compare_left(const Image *plain, const Image *async, const char *results) {
  for (int i = 0; i < IMAGE_FILES; i++) {
    const ImageFile *wanted = &plain->files[i];
    const ImageFile *got = &async->files[i];
    if (strcmp(wanted->name, got->name) != 0) {
      FAIL("file \"%s\" is left, not \"%s\"\n%s", got->name, wanted->name, results);
    }
    if (wanted->size != got->size) {
      FAIL("%s has %zu bytes, not %zu\n%s", got->name, got->size, wanted->size, results);
    }
    if (wanted->bytes == NULL || wanted->size > DATABASE_SIZE_MAX) continue;
    size_t at = 0;
    size_t n = wanted->size < (1 << 20) ? wanted->size : (1 << 20);
    while (at < n && wanted->bytes[at] == got->bytes[at]) at++;
    if (at < n) {
      FAIL("byte %zu of %s is %d, not %d\n%s", at, got->name, got->bytes[at], wanted->bytes[at],
           results);
    }
  }
}

/* Show where two texts first differ. */
static void compare_results(const char *plain, const char *async) {
  size_t line = 0;
  size_t at = 0;
  while (plain[at] != '\0' && plain[at] == async[at]) {
    at++;
    if (plain[at - 1] == '\n') line = at;
  }
  if (plain[at] == async[at]) return;
  FAIL("plain: %.300s\n# async: %.300s\n# after: %.*s", plain + line, async + line,
       (int)(line < 1000 ? line : 1000), plain + (line < 1000 ? 0 : line - 1000));
}

/* ---- The input ---- */

static Script read_script(FuzzInput *input) {
  static const char *const firsts[] = {"PRAGMA schema_version; SELECT * FROM t",
                                       "PRAGMA integrity_check(3)",
                                       "SELECT * FROM t WHERE b > 'r'",
                                       "PRAGMA journal_mode",
                                       "PRAGMA wal_checkpoint(TRUNCATE)",
                                       "PRAGMA journal_mode = PERSIST; SELECT * FROM t",
                                       "PRAGMA locking_mode = EXCLUSIVE; SELECT count(*) FROM t",
                                       "BEGIN IMMEDIATE; COMMIT"};
  static const char *const writes[] = {
      "UPDATE t SET b = b || 'more' WHERE a % 2 = 0",
      "INSERT INTO t SELECT a + 100, b FROM t",
      "PRAGMA journal_mode = WAL",
      "PRAGMA journal_mode = DELETE",
      "PRAGMA journal_mode = TRUNCATE",
      "VACUUM",
      "DELETE FROM t; PRAGMA incremental_vacuum",
      "BEGIN; UPDATE t SET b = 'one'; UPDATE other.t SET b = 'other'; COMMIT"};
  static const char *const lasts[] = {"PRAGMA wal_checkpoint", "PRAGMA wal_checkpoint(TRUNCATE)",
                                      "REINDEX", "PRAGMA journal_mode = DELETE"};
  int flags = fuzz_byte(input);
  int words = fuzz_byte(input);
  return (Script){.read_only = flags % 8 == 7,
                  .attach = (flags & 8) != 0,
                  .two = (flags & 16) != 0,
                  .steps = flags / 32,
                  .first = firsts[words % 8],
                  .write = writes[words / 8 % 8],
                  .last = lasts[words / 64]};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  FuzzInput input = {data, size < FUZZ_INPUT_MAX ? size : FUZZ_INPUT_MAX};
  fuzz_setup();
  snprintf(folder, sizeof folder, "%s", test_path("work"));
  snprintf(outside, sizeof outside, "%s", test_path("o.db-mj000000900"));
  const Image *images = corrupt_images(folder);
  const Image *image = &images[fuzz_below(&input, IMAGES)];
  Script script = read_script(&input);
  Image corrupted;
  corrupt_copy(&corrupted, image, &input, CHANGES_MAX, folder, outside);

  tell("to begin with", &corrupted);

  Image plain_left;
  Image async_left;
  char *plain = run_script(&script, &corrupted, false, &plain_left);
  char *async = run_script(&script, &corrupted, true, &async_left);
  fuzz_tell("%s", plain);
  compare_results(plain, async);
  compare_left(&plain_left, &async_left, plain);
  sqlite3_free(plain);
  sqlite3_free(async);
  corrupt_image_free(&plain_left);
  corrupt_image_free(&async_left);
  corrupt_image_free(&corrupted);
  return 0;
}
