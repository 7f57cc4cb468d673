/*
** Random histories.  See power_history.h.
*/
#include "power_history.h"

#include "checkpoint.h"
#include "database.h"
#include "flush.h"
#include "power_tickets.h"
#include "registry.h"
#include "sync.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct History {
  const Scenario *scenario;
  bool plain;
  const char *vfs;
  Random random; /* what to do: the same for both */
  Random steps;  /* when to apply what */
  int step_one_in;
  char folder[300];
  char paths[DATABASES_MAX][400];
  const char *mode;
  const char *level;
  sqlite3 *db, *other, *reader; /* other makes checkpoints, reader is in their way */
  States states;
  int latest; /* transaction */
  int now[DATABASES_MAX];
  Tickets tickets[DATABASES_MAX];
} History;

static const char *const schemas[DATABASES_MAX] = {"main", "y"};

static bool is_wal(const History *history) { return strcmp(history->mode, "WAL") == 0; }

/* ---- Durability ---- */

/* Note what is called durable from now on. */
static void note_durable(History *history) {
  for (int d = 0; d < history->states.databases; d++) {
    tickets_note_durable(&history->tickets[d], d);
  }
}

static void step(History *history, int steps_max) {
  if (history->plain) return;
  note_durable(history);
  for (int i = 0; i < steps_max && step_some(1) > 0; i++) note_durable(history);
}

/* Within a sync: of the writer, what is durable already. */
static void note_within(void *history) { note_durable(history); }

/* Some steps, often none; in some histories hardly ever any, so that much is queued. */
static void step_a_little(History *history) {
  if (!random_one_in(&history->steps, history->step_one_in)) return;
  step(history, random_below(&history->steps, 12));
}

/* What plain SQLite promises of a commit that has returned: of a rollback journal, that
** nothing is lost but the last commit, whose deletion of the journal only EXTRA syncs. */
static void note_plain_durable(const History *history, int d, int before) {
  bool full = strcmp(history->level, "NORMAL") != 0;
  bool extra = strcmp(history->level, "EXTRA") == 0;
  if (is_wal(history) ? full : extra) {
    recorder_note(NOTE_DURABLE, d, history->now[d]);
  } else if (!is_wal(history) && full) {
    recorder_note(NOTE_DURABLE, d, before);
  }
}

/* ---- Transactions ---- */

static void change_something(History *history, int d, int k) {
  Random *random = &history->random;
  const char *schema = schemas[d];
  int key = random_below(random, 50);
  int length = random_below(random, history->scenario->page_size > 600 ? 1500 : 500);
  switch (random_below(random, 6)) {
  case 0:
    exec(history->db, "DELETE FROM %s.t WHERE a BETWEEN %d AND %d", schema, key, key + 15);
    break;
  case 1:
    exec(history->db, "UPDATE %s.t SET k = %d, b = substr(b, 1, 300) || 'x' WHERE a >= %d", schema,
         k, key);
    break;
  default:
    exec(history->db,
         "WITH n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n LIMIT %d) INSERT OR REPLACE INTO "
         "%s.t SELECT i, %d, printf('%%.*c', %d, char(65 + (i + %d) %% 26)) FROM n",
         key, 1 + random_below(random, 12), schema, k, length, k);
    break;
  }
  step_a_little(history);
}

static void make_tables(const History *history, sqlite3 *db, int d) {
  if (history->now[d] != 0) return;
  exec(db, "CREATE TABLE %s.meta(k); INSERT INTO %s.meta VALUES (0)", schemas[d], schemas[d]);
  exec(db, "CREATE TABLE %s.t(a INTEGER PRIMARY KEY, k, b)", schemas[d]);
  exec(db, "CREATE INDEX %s.t_k ON t(k, b)", schemas[d]);
}

static void change(History *history, int d, int k) {
  make_tables(history, history->db, d);
  for (int i = random_below(&history->random, 4); i >= 0; i--) {
    change_something(history, d, k);
    if (!random_one_in(&history->random, 6)) continue;
    exec(history->db, "SAVEPOINT s; DELETE FROM %s.t WHERE a %% 3 = 0", schemas[d]);
    step_a_little(history);
    exec(history->db, "ROLLBACK TO s; RELEASE s");
  }
}

/* The transaction is about to be committed: remember what that makes of the database. */
static void remember_state(History *history, sqlite3 *db, int d, int k) {
  exec(db, "UPDATE %s.meta SET k = %d", schemas[d], k);
  Found found;
  find_content(db, schemas[d], false, &found);
  CHECK_TEXT(found.fault, "");
  CHECK_EQ(found.k, k);
  history->states.hashes[d][k] = found.hash;
  history->states.known[d][k] = true;
}

/* What the transaction reads first is the newest, and is copied then: so it can only append. */
static void checkpoint_behind_reader(History *history) {
  if (!is_wal(history) || history->other == NULL) return;
  exec(history->db, "SELECT * FROM meta");
  exec(history->other, "PRAGMA wal_checkpoint(PASSIVE)");
}

static void run_transaction(History *history, bool checkpoints) {
  Random *random = &history->random;
  int k = history->latest + 1;
  CHECK(k < STATES_MAX);
  int databases = history->states.databases;
  bool joint = databases > 1 && !random_one_in(random, 3);
  int only = random_below(random, databases);
  exec(history->db, random_one_in(random, 2) ? "BEGIN" : "BEGIN IMMEDIATE");
  if (checkpoints && random_one_in(random, 3)) checkpoint_behind_reader(history);
  for (int d = 0; d < databases; d++) {
    if (joint || d == only) change(history, d, k);
  }
  if (random_one_in(random, 7)) {
    exec(history->db, "ROLLBACK");
    return;
  }
  for (int d = 0; d < databases; d++) {
    if (joint || d == only) remember_state(history, history->db, d, k);
  }
  history->latest = k;
  history->states.joint[k] = joint;
  recorder_note(NOTE_COMMITTING, 0, k);
  exec(history->db, "COMMIT");
  for (int d = 0; d < databases; d++) {
    if (!joint && d != only) continue;
    int before = history->now[d];
    history->now[d] = k;
    if (history->plain) note_plain_durable(history, d, before);
    if (!history->plain) tickets_add(&history->tickets[d], history->paths[d], k);
  }
}

/* ---- Connections ---- */

static sqlite3 *open_it(const char *path, const char *vfs) {
  sqlite3 *db = NULL;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  CHECK_EQ(sqlite3_open_v2(path, &db, flags, vfs), SQLITE_OK);
  sqlite3_extended_result_codes(db, 1);
  return db;
}

static void set_level(History *history, const char *level) {
  history->level = level;
  for (int d = 0; d < history->states.databases; d++) {
    exec(history->db, "PRAGMA %s.synchronous = %s", schemas[d], level);
  }
}

static void set_mode(History *history, const char *mode) {
  history->mode = mode;
  for (int d = 0; d < history->states.databases; d++) {
    char sql[100];
    snprintf(sql, sizeof sql, "PRAGMA %s.journal_mode = %s", schemas[d], mode);
    char *got = query_text(history->db, sql);
    char wanted[40];
    snprintf(wanted, sizeof wanted, "3:%s\n= 0", mode);
    if (sqlite3_stricmp(got, wanted) != 0) FAIL("%s: %s", sql, got);
    sqlite3_free(got);
    step_a_little(history);
  }
}

static void open_main(History *history) {
  history->db = open_it(history->paths[0], history->vfs);
  if (history->states.databases > 1) exec(history->db, "ATTACH '%s' AS y", history->paths[1]);
  for (int d = 0; d < history->states.databases; d++) {
    exec(history->db, "PRAGMA %s.page_size = %d; PRAGMA %s.cache_size = 6", schemas[d],
         history->scenario->page_size, schemas[d]);
    exec(history->db, "PRAGMA %s.auto_vacuum = %d", schemas[d], random_below(&history->random, 3));
  }
  /* A WAL is begun with a rollback journal, which is not safe with NORMAL. */
  const char *level = history->level;
  set_level(history, is_wal(history) ? "FULL" : level);
  set_mode(history, history->mode);
  set_level(history, level);
}

static void close_one(sqlite3 **db) {
  if (*db != NULL) close_database(*db);
  *db = NULL;
}

static void close_company(History *history) {
  close_one(&history->reader);
  close_one(&history->other);
}

static void open_company(History *history) {
  if (!history->scenario->company || history->now[0] == 0) return;
  if (history->reader == NULL) history->reader = open_it(history->paths[0], history->vfs);
  if (history->other != NULL) return;
  history->other = open_it(history->paths[0], history->vfs);
  exec(history->other, "PRAGMA synchronous = %s; SELECT * FROM meta", history->level);
}

static void reopen(History *history) {
  close_company(history);
  close_one(&history->db);
  if (random_one_in(&history->random, 2)) {
    step(history, random_below(&history->steps, 3) > 0 ? 100000 : 5);
  }
  open_main(history);
}

/* ---- What else happens ---- */

static void ask_for_flush(History *history) {
  for (int d = 0; d < history->states.databases && !history->plain; d++) {
    AsyncStream *stream = async_registry_find(history->paths[d]);
    if (stream == NULL) continue;
    CHECK(async_flush_request(stream) >= 0);
    async_registry_unref(stream);
  }
}

static void *commit_within(void *arg) {
  History *history = arg;
  Random kept = history->random;
  history->random = random_new(random_next(&history->steps));
  run_transaction(history, false);
  history->random = kept;
  return NULL;
}

/* Within a sync of another thread the writer goes on, and sometimes a connection commits: on a
** thread of its own, for this one is at a checkpoint. */
static void work_within(void *arg) {
  History *history = arg;
  step(history, 4);
  bool commits = is_voiding(history->paths[0]) && random_one_in(&history->steps, 2);
  if (!commits || !sqlite3_get_autocommit(history->db)) return;
  thread_join(thread_start(commit_within, history));
  step(history, 2);
}

/* What the checkpointer's thread does, while the writer goes on. */
static void work_beside(History *history) {
  AsyncStream *stream = async_registry_find(history->paths[0]);
  CHECK(stream != NULL);
  int kind = random_below(&history->steps, 4);
  recorder_on_sync(work_within, history);
  if (kind < 2) async_checkpoint_step();
  if (kind >= 2) async_sync_role(stream, kind == 2 ? ASYNC_ROLE_WAL : ASYNC_ROLE_DATABASE);
  recorder_on_sync(note_within, history);
  async_registry_unref(stream);
}

static void make_checkpoint(History *history) {
  static const char *const kinds[] = {"PASSIVE", "FULL", "RESTART", "TRUNCATE"};
  int kind = random_below(&history->random, 7);
  sqlite3 *db = history->other == NULL ? history->db : history->other;
  if (history->now[0] == 0) return;
  bool is_others = db == history->other && !history->plain;
  if (is_others) recorder_on_sync(work_within, history);
  if (kind < 4) exec(db, "PRAGMA wal_checkpoint(%s)", kinds[kind]);
  if (is_others) recorder_on_sync(note_within, history);
  if (kind >= 4 && history->plain) exec(db, "PRAGMA wal_checkpoint(PASSIVE)");
  if (kind >= 4 && !history->plain) work_beside(history);
}

static void begin_or_end_reading(History *history) {
  if (history->reader == NULL) return;
  bool reads = !sqlite3_get_autocommit(history->reader);
  exec(history->reader, reads ? "COMMIT" : "BEGIN; SELECT * FROM meta");
}

static void change_mode(History *history) {
  static const char *const modes[] = {"DELETE", "TRUNCATE", "PERSIST", "WAL"};
  static const char *const levels[] = {"FULL", "EXTRA"};
  /* With a WAL a transaction on several databases need not be whole. */
  int choices = history->states.databases > 1 ? 3 : 4;
  close_company(history);
  set_mode(history, modes[random_below(&history->random, choices)]);
  const char *level = levels[random_below(&history->random, 2)];
  if (strcmp(history->level, "NORMAL") != 0) set_level(history, level);
}

/* Another process has a turn, once we let it: it commits and closes. */
static void let_another_in(History *history) {
  if (history->now[0] == 0 || !is_wal(history)) return;
  close_one(&history->reader);
  if (!history->plain) {
    int rc = SQLITE_BUSY;
    for (int i = 0; i < 3 && rc == SQLITE_BUSY; i++) { /* a void WAL gets its header back first */
      ask_for_flush(history);
      step(history, 100000);
      rc = sqlite3async_release(history->paths[0], 0);
    }
    CHECK_EQ(rc, SQLITE_OK);
  }
  sqlite3 *db = open_it(history->paths[0], RECORDER_NAME);
  if (!random_one_in(&history->random, 3)) {
    int k = ++history->latest;
    exec(db, "PRAGMA synchronous = FULL; BEGIN; DELETE FROM t WHERE a %% 5 = %d", k % 5);
    remember_state(history, db, 0, k);
    recorder_note(NOTE_COMMITTING, 0, k);
    exec(db, "COMMIT");
    recorder_note(NOTE_DURABLE, 0, k);
    history->now[0] = k;
  }
  close_database(db);
}

static void act(History *history) {
  const Scenario *scenario = history->scenario;
  if (scenario->changes_modes && random_one_in(&history->random, 5)) change_mode(history);
  if (scenario->voids && random_one_in(&history->random, 2)) make_checkpoint(history);
  if (scenario->releases && random_one_in(&history->random, 5)) let_another_in(history);
  switch (random_below(&history->random, 20)) {
  case 0:
    reopen(history);
    break;
  case 1:
    exec(history->db,
         random_one_in(&history->random, 2) ? "VACUUM" : "PRAGMA incremental_vacuum(3)");
    break;
  case 2:
  case 3:
    ask_for_flush(history);
    break;
  case 4:
  case 5:
    begin_or_end_reading(history);
    break;
  case 6:
  case 7:
  case 8:
  case 9:
    if (is_wal(history)) make_checkpoint(history);
    break;
  default:
    run_transaction(history, true);
    break;
  }
  step_a_little(history);
  if (is_wal(history)) open_company(history);
}

/* ---- Parts ---- */

static void run_part(History *history, int actions) {
  recorder_on_sync(history->plain ? NULL : note_within, history);
  open_main(history);
  for (int i = 0; i < actions; i++) act(history);
  if (random_one_in(&history->random, 2)) ask_for_flush(history);
  step(history, random_below(&history->steps, 2) * 100000);
  close_company(history);
  close_one(&history->db);
  step(history, 100000);
  note_durable(history);
  recorder_on_sync(NULL, NULL);
  for (int d = 0; d < history->states.databases; d++) {
    tickets_end(&history->tickets[d]);
  }
}

static void check_part(const History *history, int from, uint64_t number, int explained,
                       Tally *tally) {
  char title[300];
  const Scenario *scenario = history->scenario;
  snprintf(title, sizeof title, "%s, %s %s, pages of %d, history %llu",
           history->plain ? "plain SQLite" : "sqlite3async", scenario->mode, scenario->level,
           scenario->page_size, (unsigned long long)number);
  Check check = {.states = &history->states,
                 .folder = history->folder,
                 .title = title,
                 .from = from,
                 .cuts = scenario->cuts,
                 .points = scenario->points,
                 .disk = scenario->disk,
                 .seed = random_new(number).state,
                 .explained = explained};
  if (!history->plain) count_voids(from, &tally->voids);
  check_recording(&check, tally);
}

/*
** Make the files what a cut at some point would leave, or what a process that dies
** there leaves to the next one.  False if that is not a sound database, which was
** counted already.  *from: where to go on.
*/
static bool go_back(History *history, int from, int *now_from) {
  static Image image;
  const Recording *recording = recorder_recording();
  bool dies = random_one_in(&history->steps, 2);
  int position = from + random_below(&history->steps, recording->count - from + 1);
  position = disk_behind_call(recording, position);
  int cut = dies ? CUT_NOTHING_LOST : random_below(&history->steps, 12);
  uint64_t seed = random_next(&history->steps);
  Disk *disk = disk_new(recording, history->scenario->disk);
  while (disk_position(disk) < position) disk_advance(disk);
  bool sound = true;
  int latest = 0;
  for (int d = 0; d < history->states.databases; d++) {
    Found found;
    disk_cut(disk, cut, seed, &image);
    image_find(&image, history->folder, history->states.files[d], &found);
    sound = sound && found.fault[0] == '\0';
    history->now[d] = found.k;
    if (found.k > latest) latest = found.k;
  }
  for (int k = latest + 1; k < STATES_MAX; k++) history->states.joint[k] = false;
  disk_cut(disk, cut, seed, &image);
  image_write(&image, history->folder);
  disk_free(disk);
  *now_from = (dies ? position : 0) + 1; /* with the first note below */
  if (dies) recorder_rewind(position);
  if (!dies) recorder_begin(history->folder);
  recorder_note(NOTE_COMMITTING, 0, latest);
  recorder_note(NOTE_RESTART, 0, dies);
  return sound;
}

static void make_folder(History *history) {
  static int folders;
  char name[40];
  snprintf(name, sizeof name, "live%d", folders++);
  snprintf(history->folder, sizeof history->folder, "%s", test_path(name));
  CHECK(mkdir(history->folder, 0700) == 0);
  States *states = &history->states;
  states->files[0] = "x.db";
  states->files[1] = history->scenario->attached == ATTACHED_BELOW ? "below/y.db" : "y.db";
  for (int d = 0; d < DATABASES_MAX; d++) {
    snprintf(history->paths[d], sizeof history->paths[d], "%s/%s", history->folder,
             states->files[d]);
  }
  char below[400];
  snprintf(below, sizeof below, "%s/below", history->folder);
  if (history->scenario->attached == ATTACHED_BELOW) CHECK(mkdir(below, 0700) == 0);
}

void run_power_history(const Scenario *scenario, bool plain, uint64_t number, int explained,
                       Tally *tally) {
  History *history = calloc(1, sizeof *history);
  CHECK(history != NULL);
  history->scenario = scenario;
  history->plain = plain;
  history->vfs = plain ? RECORDER_NAME : SQLITEASYNC_VFSNAME;
  history->random = random_new(number * 7919);
  history->steps = random_new(number * 104729 + 1);
  history->step_one_in = random_one_in(&history->steps, 2) ? 2 : 40;
  history->states.databases = scenario->attached == ATTACHED_NOTHING ? 1 : 2;
  history->states.atomic = strcmp(scenario->mode, "WAL") != 0;
  history->mode = scenario->mode;
  history->level = scenario->level;
  recorder_set_powersafe(!scenario->raw);
  if (scenario->beside) play_writer(true);
  make_folder(history);
  states_begin(&history->states, history->folder);
  recorder_begin(history->folder);
  run_part(history, scenario->actions);
  int from = 0;
  check_part(history, from, number, explained, tally);
  for (int part = 0; part < scenario->later_parts; part++) {
    if (!go_back(history, from, &from)) break;
    run_part(history, scenario->actions / 2);
    check_part(history, from, number, explained, tally);
  }
  recorder_begin("");
  if (scenario->beside) play_writer(false);
  free(history);
}
