/*
** Power cuts after a close: the database is a file then, which plain SQLite goes on with.
** Whatever a cut leaves at any point, it is sound, holds a whole prefix of all
** transactions, ours and those of plain SQLite, and what plain SQLite's own syncs
** promise.  Plain SQLite in our place is held to the same.
**
** And journals that are kept: a process dies at every point of a transaction, also
** between what it did to the journal last and the sync of that; then a transaction of
** ours; then the power cut.
*/
#include "power_check.h"

#include "database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Bytes at a kept journal's beginning that SQLite clears. */
#define ZEROS 28

static const char *const modes[] = {"DELETE", "TRUNCATE", "PERSIST", "WAL"};
static States states;
static char folder[300];
static char path[400];
static int latest;

/* ---- Histories ---- */

static void begin_history(void) {
  static int folders;
  char name[20];
  snprintf(name, sizeof name, "live%d", folders++);
  snprintf(folder, sizeof folder, "%s", test_path(name));
  snprintf(path, sizeof path, "%s/x.db", folder);
  CHECK(mkdir(folder, 0700) == 0);
  memset(&states, 0, sizeof states);
  states.databases = 1;
  states.files[0] = "x.db";
  Image nothing = {0};
  Found found;
  image_find(&nothing, folder, "x.db", &found);
  image_free(&nothing);
  states.known[0][0] = true;
  states.hashes[0][0] = found.hash;
  latest = 0;
  recorder_begin(folder);
}

static sqlite3 *open_by(const char *vfs, const char *mode, const char *level) {
  sqlite3 *db = NULL;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  CHECK_EQ(sqlite3_open_v2(path, &db, flags, vfs), SQLITE_OK);
  exec(db, "PRAGMA page_size = 512; PRAGMA cache_size = 6");
  /* A WAL is begun with a rollback journal, which is not safe with NORMAL. */
  bool wal = strcmp(mode, "WAL") == 0;
  exec(db, "PRAGMA synchronous = %s", wal && strcmp(level, "NORMAL") == 0 ? "FULL" : level);
  exec(db, "PRAGMA journal_mode = %s; PRAGMA synchronous = %s", mode, level);
  return db;
}

static void commit(sqlite3 *db) {
  int k = ++latest;
  CHECK(k < STATES_MAX);
  exec(db, "BEGIN");
  if (query_int(db, "SELECT count(*) FROM sqlite_schema") == 0) {
    exec(db, "CREATE TABLE meta(k); INSERT INTO meta VALUES (0);"
             "CREATE TABLE t(a INTEGER PRIMARY KEY, k, b); CREATE INDEX t_k ON t(k, b)");
  }
  exec(db,
       "WITH n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n LIMIT 8) INSERT OR REPLACE INTO t "
       "SELECT i, %d, printf('%%.*c', 200, char(65 + (i + %d) %% 26)) FROM n",
       k % 5, k, k);
  exec(db, "UPDATE t SET k = %d WHERE a %% 3 = %d; UPDATE meta SET k = %d", k, k % 3, k);
  Found found;
  find_content(db, "main", false, &found);
  CHECK_TEXT(found.fault, "");
  states.known[0][k] = true;
  states.hashes[0][k] = found.hash;
  recorder_note(NOTE_COMMITTING, 0, k);
  exec(db, "COMMIT");
}

static void check(const char *title, int from, DiskKind disk, int points, int cuts, Tally *tally) {
  Check check = {.states = &states,
                 .folder = folder,
                 .title = title,
                 .from = from,
                 .points = points,
                 .cuts = cuts,
                 .disk = disk,
                 .seed = random_new((uint64_t)from).state,
                 .explained = tally->faults == 0};
  check_recording(&check, tally);
}

static void setup(void) {
  recorder_register();
  CHECK_EQ(sqlite3async_initialize(RECORDER_NAME, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 0), SQLITE_OK);
}

static void end(const Tally *ours, const Tally *plain) {
  printf("# %lld distinct images of %lld cuts, %lld faults; plain SQLite: %lld images, %lld "
         "faults\n",
         (long long)ours->distinct, (long long)ours->cuts, (long long)ours->faults,
         (long long)plain->distinct, (long long)plain->faults);
  check_free();
  CHECK_EQ(ours->faults, 0);
  CHECK_EQ(plain->faults, 0); /* else a cut is harder than SQLite bargains for */
}

/* ---- Closed, and used by plain SQLite ---- */

/* What a connection has committed and closed: with a WAL its last checkpoint syncs all; otherwise
** only EXTRA syncs the deletion of the last journal, and with FULL the one before is. */
static void note_closed(const char *mode, const char *level) {
  bool wal = strcmp(mode, "WAL") == 0;
  if (wal || strcmp(level, "EXTRA") == 0) recorder_note(NOTE_DURABLE, 0, latest);
  if (!wal && strcmp(level, "FULL") == 0) recorder_note(NOTE_DURABLE, 0, latest - 1);
}

static void use_by_plain(const char *mode) {
  sqlite3 *db = open_by(RECORDER_NAME, mode, "EXTRA");
  for (int i = 0; i < 2; i++) {
    commit(db);
    recorder_note(NOTE_DURABLE, 0, latest);
  }
  close_database(db);
}

static void use_by(const char *vfs, const char *mode, const char *level, bool flush) {
  sqlite3 *db = open_by(vfs, mode, level);
  for (int i = 0; i < 3; i++) commit(db);
  if (flush) {
    CHECK_EQ(sqlite3async_flush(path, -1), SQLITE_OK);
    recorder_note(NOTE_DURABLE, 0, latest);
    commit(db);
  }
  close_database(db);
  note_closed(mode, level);
}

static void run_closed(const char *mode, const char *level, bool plain, Tally *tally) {
  const char *vfs = plain ? RECORDER_NAME : SQLITEASYNC_VFSNAME;
  begin_history();
  int rounds = test_scale() > 1 ? 6 : 2;
  for (int i = 0; i < rounds; i++) {
    use_by(vfs, mode, level, !plain && i % 2 == 1);
    use_by_plain(mode);
  }
  char title[100];
  snprintf(title, sizeof title, "%s, %s %s", plain ? "plain SQLite" : "sqlite3async", mode, level);
  /* A torn journal that is synced once only is harmful. */
  bool gentle = strcmp(level, "NORMAL") == 0 && strcmp(mode, "WAL") != 0;
  check(title, 0, gentle ? DISK_GENTLE : DISK_USUAL, test_scale() > 1 ? 300 : 30, 3, tally);
}

static void what_plain_SQLite_commits_after_a_close_is_there(void) {
  static const char *const levels[] = {"NORMAL", "FULL", "EXTRA"};
  Tally ours = {0};
  Tally plain = {0};
  setup();
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  for (int mode = 0; mode < 4; mode++) {
    for (int level = 0; level < 3; level++) {
      run_closed(modes[mode], levels[level], true, &plain);
      run_closed(modes[mode], levels[level], false, &ours);
    }
  }
  end(&ours, &plain);
}

/* Nothing is promised while SQLite syncs nothing; but a file that is closed is whole, once the
** folder has been synced, too. */
static void what_was_not_synced_is_when_it_is_closed(void) {
  Tally ours = {0};
  setup();
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  for (int mode = 0; mode < 4; mode++) {
    begin_history();
    use_by(SQLITEASYNC_VFSNAME, modes[mode], "OFF", false);
    CHECK_EQ(sqlite3async_flush(NULL, -1), SQLITE_OK);
    recorder_note(NOTE_DURABLE, 0, latest);
    int from = recorder_position();
    use_by_plain(modes[mode]);
    char title[100];
    snprintf(title, sizeof title, "sqlite3async, %s OFF", modes[mode]);
    check(title, from, DISK_USUAL, test_scale() > 1 ? 300 : 60, 6, &ours);
  }
  end(&ours, &(Tally){0});
}

/* ---- A process that dies, a transaction of ours, a power cut ---- */

/* With a cache for all: then there is one header for many records. */
static sqlite3 *open_with_cache(const char *vfs, const char *mode) {
  sqlite3 *db = open_by(vfs, mode, "FULL");
  exec(db, "PRAGMA cache_size = 100");
  return db;
}

/* Plain SQLite, as far as a position of the log; *count: how many there are. */
static void die_at(const char *mode, int position, int *count) {
  static Image image;
  begin_history();
  sqlite3 *db = open_with_cache(RECORDER_NAME, mode);
  for (int i = 0; i < 3; i++) commit(db);
  close_database(db);
  const Recording *recording = recorder_recording();
  *count = recording->count;
  if (position > *count) return;
  Disk *disk = disk_new(recording, DISK_USUAL);
  while (disk_position(disk) < position) disk_advance(disk);
  Found found;
  disk_cut(disk, CUT_NOTHING_LOST, 0, &image);
  image_find(&image, folder, "x.db", &found);
  CHECK_TEXT(found.fault, "");
  latest = found.k;
  disk_cut(disk, CUT_NOTHING_LOST, 0, &image);
  image_write(&image, folder);
  disk_free(disk);
  recorder_rewind(position);
  recorder_note(NOTE_COMMITTING, 0, latest);
  recorder_note(NOTE_RESTART, 0, 1);
}

/* Was the journal's end, by zeros or by truncation, the last thing before the death? */
static bool ends_journal(int position) {
  const Recording *recording = recorder_recording();
  const Record *record = &recording->records[position - 1];
  if (record->file < 0 || strcmp(recording->files[record->file].path, "x.db-journal") != 0) {
    return false;
  }
  return record->kind == RECORD_TRUNCATE || (record->kind == RECORD_WRITE && record->n == ZEROS);
}

static void check_deaths(const char *mode, Tally *tally) {
  int count = 1;
  for (int position = 1; position <= count; position++) {
    die_at(mode, position, &count);
    if (position > count) break;
    int from = recorder_position();
    sqlite3 *db = open_with_cache(SQLITEASYNC_VFSNAME, mode);
    commit(db);
    close_database(db);
    step_all();
    char title[100];
    snprintf(title, sizeof title, "sqlite3async, %s, after a death at %d", mode, position);
    int cuts = ends_journal(position) ? 150 : 2;
    check(title, from, DISK_USUAL, test_scale() > 1 ? 100 : 8, cuts, tally);
  }
}

static void a_journal_left_by_a_process_that_died_does_no_harm(void) {
  Tally ours = {0};
  setup();
  check_deaths("PERSIST", &ours);
  check_deaths("TRUNCATE", &ours);
  end(&ours, &(Tally){0});
}

int main(void) {
  return run_tests((TestCase[]){TEST(what_plain_SQLite_commits_after_a_close_is_there),
                                TEST(what_was_not_synced_is_when_it_is_closed),
                                TEST(a_journal_left_by_a_process_that_died_does_no_harm),
                                {0}});
}
