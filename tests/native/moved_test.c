/*
** A database that its owner renames, deletes or replaces while it is open here, or
** so its folder, at every point of what is queued: nothing is done to what is at its
** path now, a renamed file gets every commit, nobody hears of an error but the
** connection that goes on writing, as by plain SQLite, and the path can be opened
** again at once.
*/
#include "database.h"
#include "testvfs.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROWS 30
#define FOREIGN_ROWS 60
#define WAIT_MS 10000

static char folder[400];
static char other_folder[400];
static char path[400];

typedef enum Move {
  MOVE_UNLINK,
  MOVE_RENAME,
  MOVE_REPLACE,       /* by renaming a database of somebody else's over it */
  MOVE_UNLINK_FOLDER, /* with all that is in it */
  MOVE_RENAME_FOLDER,
  MOVE_COUNT,
} Move;

static const char *in(const char *where, const char *name) {
  static char texts[8][500];
  static int next;
  char *text = texts[next++ % 8];
  snprintf(text, sizeof texts[0], "%s/%s", where, name);
  return text;
}

static bool is_there(const char *file) { return access(file, F_OK) == 0; }

static void make_foreign(const char *file) {
  sqlite3 *plain = open_plain(file);
  exec(plain, "CREATE TABLE f(y); WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c "
              "WHERE i < 60) INSERT INTO f SELECT hex(zeroblob(400)) FROM c");
  close_database(plain);
}

static void check_foreign(const char *file) {
  sqlite3 *plain = open_plain(file);
  check_integrity(plain);
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM f"), FOREIGN_ROWS);
  close_database(plain);
}

/* A folder for each round. */
static void make_room(void) {
  static int rounds;
  snprintf(folder, sizeof folder, "%s/%d", test_folder(), ++rounds);
  snprintf(other_folder, sizeof other_folder, "%s-renamed", folder);
  snprintf(path, sizeof path, "%s/x.db", folder);
  CHECK_EQ(mkdir(folder, 0700), 0);
}

static void transaction(sqlite3 *db, int n) {
  exec(db, "UPDATE t SET b = b || 'x' WHERE a %% 3 = %d", n % 3);
  exec(db,
       "BEGIN; INSERT INTO t(b) VALUES (hex(zeroblob(500))); DELETE FROM t WHERE a = %d; COMMIT",
       n);
}

static void fill(sqlite3 *db, const char *mode) {
  exec(db, "PRAGMA journal_mode = %s; PRAGMA synchronous = FULL; PRAGMA cache_size = 5", mode);
  exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t(b)");
  exec(db, "BEGIN");
  for (int i = 0; i < ROWS; i++) exec(db, "INSERT INTO t(b) VALUES (hex(zeroblob(200)) || %d)", i);
  exec(db, "COMMIT");
}

static sqlite3 *open_table(const char *mode) {
  sqlite3 *db = open_async(path);
  fill(db, mode);
  return db;
}

static void remove_folder(void) {
  static const char *const names[] = {"x.db", "x.db-journal", "x.db-wal", "x.db-shm", "foreign.db"};
  for (int i = 0; i < 5; i++) unlink(in(folder, names[i]));
  CHECK_EQ(rmdir(folder), 0);
}

static void move(Move how, bool with_wal) {
  switch (how) {
  case MOVE_UNLINK:
    CHECK_EQ(unlink(path), 0);
    break;
  case MOVE_RENAME:
    CHECK_EQ(rename(path, in(folder, "new.db")), 0);
    break;
  case MOVE_REPLACE:
    CHECK_EQ(rename(in(folder, "foreign.db"), path), 0);
    break;
  case MOVE_UNLINK_FOLDER:
    remove_folder();
    break;
  case MOVE_RENAME_FOLDER:
    CHECK_EQ(rename(folder, other_folder), 0);
    break;
  case MOVE_COUNT:
    break;
  }
  /* A WAL that stays would be the new one's by plain SQLite's rules, too. */
  if (with_wal) unlink(in(folder, "x.db-wal"));
}

static void check_no_event(sqlite3_int64 *cursor) {
  char text[2000];
  if (sqlite3async_event(cursor, text, sizeof text) > 0) FAIL("%s", text);
}

/* Where the database's file is now; NULL if it has no name any more. */
static const char *moved_file(Move how) {
  if (how == MOVE_RENAME) return in(folder, "new.db");
  return how == MOVE_RENAME_FOLDER ? in(other_folder, "x.db") : NULL;
}

/* What a connection gets that goes on. */
typedef struct Codes {
  int read;
  int write;
} Codes;

static Codes codes_of(sqlite3 *db) {
  return (Codes){exec_code(db, "SELECT b FROM t"), exec_code(db, "INSERT INTO t(b) VALUES (1)")};
}

/* The same by plain SQLite, to which nothing is queued when it is moved. */
static Codes plain_codes(const char *mode, Move how) {
  make_room();
  make_foreign(in(folder, "foreign.db"));
  sqlite3 *db = open_plain(path);
  fill(db, mode);
  transaction(db, 1);
  move(how, strcmp(mode, "WAL") == 0);
  Codes codes = codes_of(db);
  sqlite3_close(db);
  return codes;
}

/* Plain SQLite cannot read if it meets a journal that was kept; ours is gone then. */
static void check_connection(sqlite3 *db, Codes plain) {
  Codes codes = codes_of(db);
  CHECK(codes.read == SQLITE_OK || codes.read == plain.read);
  if (codes.read == SQLITE_OK) check_integrity(db);
  bool kept_out = codes.read != SQLITE_OK || plain.read != SQLITE_OK;
  if (!kept_out) CHECK_EQ(codes.write, plain.write);
  CHECK(!kept_out || codes.write != SQLITE_OK);
}

/* False if there are not so many ops. */
static bool move_after(const char *mode, Move how, int steps, Codes wanted) {
  bool wal = strcmp(mode, "WAL") == 0;
  make_room();
  sqlite3_int64 cursor = 0;
  CHECK_EQ(sqlite3async_event(&cursor, NULL, 0), 0);
  make_foreign(in(folder, "foreign.db"));
  sqlite3 *db = open_table(mode);
  step_all();
  transaction(db, 1);
  transaction(db, 2);
  char *dump = dump_text(db);
  bool enough = step_some(steps) == steps;
  move(how, wal);
  step_all();
  check_no_event(&cursor);
  if (how == MOVE_REPLACE) check_foreign(path);
  const char *file = moved_file(how);
  if (file != NULL && !wal) {
    sqlite3 *plain = open_plain(file);
    check_integrity(plain);
    char *now = dump_text(plain);
    CHECK_TEXT(now, dump);
    sqlite3_free(now);
    close_database(plain);
  }
  sqlite3_free(dump);
  check_connection(db, wanted);
  step_all();
  CHECK_EQ(sqlite3_close(db), SQLITE_OK);
  step_all();
  CHECK_EQ(testvfs_open_files(), 0);
  if (how == MOVE_REPLACE) check_foreign(path);
  if (how != MOVE_REPLACE) CHECK(!is_there(path));
  if (how == MOVE_UNLINK_FOLDER) CHECK(!is_there(folder));
  CHECK(!is_there(in(folder, "x.db-wal")));
  check_no_event(&cursor);
  return enough;
}

static void at_every_op(const char *mode) {
  async_setup();
  for (int how = 0; how < MOVE_COUNT; how++) {
    int steps = 0;
    Codes plain = plain_codes(mode, (Move)how);
    while (move_after(mode, (Move)how, steps, plain)) steps++;
    CHECK(steps > 10);
  }
}

static void moved_at_every_op_with_DELETE(void) { at_every_op("DELETE"); }
static void moved_at_every_op_with_TRUNCATE(void) { at_every_op("TRUNCATE"); }
static void moved_at_every_op_with_PERSIST(void) { at_every_op("PERSIST"); }
static void moved_at_every_op_with_WAL(void) { at_every_op("WAL"); }

/* ---- The path again ---- */

/* The old connection is open, and its ops queued; both go on. */
static bool reopen_after(const char *mode, Move how, int steps, Codes wanted) {
  bool wal = strcmp(mode, "WAL") == 0;
  make_room();
  make_foreign(in(folder, "foreign.db"));
  sqlite3 *old = open_table(mode);
  step_all();
  transaction(old, 1);
  bool enough = step_some(steps) == steps;
  move(how, wal);
  if (how == MOVE_UNLINK_FOLDER || how == MOVE_RENAME_FOLDER) CHECK_EQ(mkdir(folder, 0700), 0);
  int64_t start_ms = now_ms();
  sqlite3 *db = open_async(path);

  exec(db, "PRAGMA journal_mode = %s; CREATE TABLE n(x)", mode);
  exec(db, "INSERT INTO n VALUES (1)");
  CHECK(now_ms() - start_ms < 2000);
  check_connection(old, wanted);
  exec(db, "INSERT INTO n VALUES (2)");
  step_some(steps);
  CHECK_EQ(sqlite3_close(old), SQLITE_OK);
  exec(db, "INSERT INTO n VALUES (3)");
  step_all();
  CHECK_EQ(query_int(db, "SELECT count(*) FROM n"), 3);
  close_database(db);
  step_all();
  CHECK_EQ(testvfs_open_files(), 0);
  sqlite3 *plain = open_plain(path);
  check_integrity(plain);
  CHECK_EQ(query_int(plain, "SELECT count(*) FROM n"), 3);
  close_database(plain);
  if (how == MOVE_REPLACE) check_foreign(path);
  return enough;
}

static void the_path_can_be_opened_at_once(void) {
  static const char *const modes[] = {"DELETE", "TRUNCATE", "PERSIST", "WAL"};
  async_setup();
  for (int mode = 0; mode < 4; mode++) {
    for (int how = 0; how < MOVE_COUNT; how++) {
      int steps = 0;
      Codes plain = plain_codes(modes[mode], (Move)how);
      while (reopen_after(modes[mode], (Move)how, steps, plain)) steps += 1 + steps / 8;
    }
  }
}

/* Its name is its own again, unless another database has it by now. */
static void a_database_that_is_moved_back_can_be_written_to(void) {
  async_setup();
  for (int others_stay = 0; others_stay < 2; others_stay++) {
    make_room();
    sqlite3 *db = open_table("DELETE");
    step_all();
    CHECK_EQ(rename(path, in(folder, "away.db")), 0);
    CHECK_EQ(exec_code(db, "INSERT INTO t(b) VALUES (1)"), SQLITE_READONLY_DBMOVED);
    sqlite3 *other = open_async(path);
    exec(other, "CREATE TABLE n(x)");
    step_all();
    if (!others_stay) close_database(other);
    step_all();
    CHECK_EQ(rename(path, in(folder, "other.db")), 0);
    CHECK_EQ(rename(in(folder, "away.db"), path), 0);
    int code = exec_code(db, "INSERT INTO t(b) VALUES (1)");
    CHECK_EQ(code, others_stay ? SQLITE_READONLY_DBMOVED : SQLITE_OK);
    testvfs_reset();
    if (!others_stay) step_all();
    CHECK_EQ(testvfs_count(ON_DELETE, "x.db-journal"), others_stay ? 0 : 1);
    if (others_stay) close_database(other);
    close_database(db);
    step_all();
    CHECK_EQ(testvfs_open_files(), 0);
    sqlite3 *plain = open_plain(path);
    check_integrity(plain);
    CHECK_EQ(query_int(plain, "SELECT count(*) FROM t"), ROWS + (others_stay ? 0 : 1));
    close_database(plain);
  }
}

static void *open_and_say_so(void *is_open) {
  open_async(path);
  *(atomic_bool *)is_open = true;
  return NULL;
}

/* The writer is in the middle of making, or deleting, a journal by its name. */
static void an_op_by_name_ends_before_the_path_is_opened_again(void) {
  static const unsigned operations[] = {ON_OPEN, ON_DELETE};
  async_setup();
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  for (int i = 0; i < 2; i++) {
    make_room();
    sqlite3 *old = open_table("DELETE");
    CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
    testvfs_hold(operations[i], "x.db-journal");
    exec(old, "INSERT INTO t(b) VALUES (1)");
    testvfs_wait_held();
    CHECK_EQ(unlink(path), 0);
    atomic_bool is_open = false;
    Thread thread = thread_start(open_and_say_so, &is_open);
    sleep_ms(100);
    CHECK(!is_open);
    testvfs_release();
    thread_join(thread);
    testvfs_reset();
    sqlite3 *db = open_async(path);
    exec(db, "BEGIN; CREATE TABLE n(x)");
    exec(db, "COMMIT");
    CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
    CHECK_EQ(query_int(db, "SELECT count(*) FROM n"), 0);
  }
}

static void *open_path(void *db) {
  *(sqlite3 **)db = open_async(path);
  return NULL;
}

/* The writer has looked; then the database moves, and who opens the path sees that, and is about
** to remove the journal that was kept when the writer goes on. */
static void a_late_look_hides_no_move(void) {
  async_setup();
  make_room();
  make_foreign(in(folder, "new.db"));
  sqlite3 *old = open_table("PERSIST");
  step_all();
  exec(old, "INSERT INTO t(b) VALUES (1)");
  testvfs_hold(ON_CONTROL, "x.db$");
  testvfs_delay(ON_DELETE, "x.db-journal", 200);
  testvfs_delay(ON_WRITE, "x.db-journal", 500); /* so that it does not look again so soon */
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  testvfs_wait_held();
  CHECK_EQ(rename(in(folder, "new.db"), path), 0);
  sqlite3 *db = NULL;
  Thread thread = thread_start(open_path, &db);
  sleep_ms(100);
  testvfs_release();
  thread_join(thread);
  testvfs_reset();
  CHECK_EQ(query_int(db, "SELECT count(*) FROM f"), FOREIGN_ROWS);
  close_database(db);
  close_database(old);
  CHECK_EQ(sqlite3async_flush(NULL, WAIT_MS), SQLITE_OK);
  check_foreign(path);
}

/* ---- A transaction that is under way ---- */

/* Its journal is read again from where it was written to, if it is rolled back. */
static void a_transaction_under_way_can_be_rolled_back(void) {
  static const char *const modes[] = {"DELETE", "TRUNCATE", "PERSIST"};
  async_setup();
  for (int mode = 0; mode < 3; mode++) {
    for (int steps = 0; steps < 40; steps++) {
      make_room();
      sqlite3 *db = open_table(modes[mode]);
      step_all();
      char *before = dump_text(db);
      exec(db, "BEGIN; UPDATE t SET b = b || hex(zeroblob(300))"); /* more than its cache takes */
      step_some(steps);
      CHECK_EQ(rename(path, in(folder, "new.db")), 0);
      step_all();
      exec(db, "ROLLBACK");
      char *after = dump_text(db);
      CHECK_TEXT(after, before);
      step_all();
      CHECK_EQ(sqlite3_close(db), SQLITE_OK);
      step_all();
      sqlite3 *plain = open_plain(in(folder, "new.db"));
      char *there = dump_text(plain);
      CHECK_TEXT(there, before);
      close_database(plain);
      sqlite3_free(before);
      sqlite3_free(after);
      sqlite3_free(there);
    }
  }
}

int main(void) {
  return run_tests((TestCase[]){TEST(moved_at_every_op_with_DELETE),
                                TEST(moved_at_every_op_with_TRUNCATE),
                                TEST(moved_at_every_op_with_PERSIST),
                                TEST(moved_at_every_op_with_WAL),
                                TEST(the_path_can_be_opened_at_once),
                                TEST(a_database_that_is_moved_back_can_be_written_to),
                                TEST(an_op_by_name_ends_before_the_path_is_opened_again),
                                TEST(a_late_look_hides_no_move),
                                TEST(a_transaction_under_way_can_be_rolled_back),
                                {0}});
}
