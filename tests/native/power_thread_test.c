/*
** Power cuts while the writer and the checkpointer are at work: as in power_test.c, but
** with their threads, which sync and copy past each other all the while.
*/
#include "power_check.h"

#include "database.h"
#include "registry.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define COMMITS 150

static States states;
static char folder[300];
static char path[400];

/* Of each commit the position in the stream; `committed` says how many there are. */
static int64_t positions[COMMITS + 1];
static atomic_int committed;
static int64_t stream_id;

static int64_t pushed_position(void) {
  AsyncStream *stream = async_registry_find(path);
  CHECK(stream != NULL);
  async_mutex_enter(&stream->mutex);
  int64_t position = stream->pushed.seq;
  stream_id = stream->id;
  async_mutex_leave(&stream->mutex);
  async_registry_unref(stream);
  return position;
}

static void remember_state(sqlite3 *db, int k) {
  Found found;
  find_content(db, "main", false, &found);
  CHECK_TEXT(found.fault, "");
  states.hashes[0][k] = found.hash;
  states.known[0][k] = true;
}

static void commit(sqlite3 *db, int k) {
  exec(db, "BEGIN IMMEDIATE; INSERT OR REPLACE INTO t VALUES (%d, %d, zeroblob(900))", k % 40, k);
  exec(db, "UPDATE t SET k = %d WHERE a %% 9 = %d; UPDATE meta SET k = %d", k, k % 9, k);
  remember_state(db, k);
  recorder_note(NOTE_COMMITTING, 0, k);
  exec(db, "COMMIT");
  positions[k] = pushed_position();
  committed = k;
}

static void *commit_all(void *arg) {
  sqlite3 *db = arg;
  for (int k = 2; k <= COMMITS; k++) {
    if (k % 20 == 0) exec(db, "PRAGMA synchronous = %s", k % 40 == 0 ? "NORMAL" : "FULL");
    commit(db, k);
    if (k % 3 == 0) sleep_ms(1);
  }
  return NULL;
}

/* Note what is durable, and ask for it now and then. */
static void watch(Random *random) {
  int durable = 0;
  while (durable < COMMITS) {
    while (durable < committed && async_registry_durable(stream_id) >= positions[durable + 1]) {
      recorder_note(NOTE_DURABLE, 0, ++durable);
    }
    if (random_one_in(random, 8)) CHECK_EQ(sqlite3async_flush(path, -1), SQLITE_OK);
    sleep_ms(1);
  }
}

static void run_round(int round, int page_size, Tally *tally) {
  char name[20];
  snprintf(name, sizeof name, "live%d", round);
  snprintf(folder, sizeof folder, "%s", test_path(name));
  snprintf(path, sizeof path, "%s/x.db", folder);
  CHECK(mkdir(folder, 0700) == 0);
  memset(&states, 0, sizeof states);
  states.databases = 1;
  states.files[0] = "x.db";
  committed = 0;
  recorder_begin(folder);
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA page_size = %d; PRAGMA journal_mode = WAL", page_size);
  exec(db, "CREATE TABLE meta(k); CREATE TABLE t(a INTEGER PRIMARY KEY, k, b)");
  exec(db, "INSERT INTO meta VALUES (0)");
  remember_state(db, 0);
  CHECK_EQ(sqlite3async_flush(path, -1), SQLITE_OK);
  int from = recorder_position();
  commit(db, 1);
  recorder_set_sync_ms(1);
  Random random = random_new((uint64_t)round);
  Thread thread = thread_start(commit_all, db);
  watch(&random);
  thread_join(thread);
  recorder_set_sync_ms(0);
  close_database(db);
  CHECK_EQ(sqlite3async_flush(NULL, -1), SQLITE_OK);
  Check check = {.states = &states,
                 .folder = folder,
                 .title = "with threads",
                 .from = from + 1,
                 .points = 100,
                 .cuts = 3,
                 .seed = random_new((uint64_t)round).state,
                 .explained = tally->faults == 0};
  check_recording(&check, tally);
}

static void the_writer_and_the_checkpointer_at_work(void) {
  static const int sizes[] = {4096, 512, 65536};
  recorder_register();
  CHECK_EQ(sqlite3async_initialize(RECORDER_NAME, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 30000), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 10), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_QUEUE_BYTES, 500000), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  Tally tally = {0};
  int rounds = test_scale() > 1 ? 12 : 1;
  for (int round = 0; round < rounds; round++) {
    run_round(round, sizes[round % 3], &tally);
  }
  int64_t checkpoints = status_number(NULL, "checkpoints");
  printf("# %lld distinct images of %lld cuts, %lld checkpoints\n", (long long)tally.distinct,
         (long long)tally.cuts, (long long)checkpoints);
  CHECK_EQ(tally.faults, 0);
  CHECK(checkpoints > 0);
  CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
  recorder_begin("");
  check_free();
}

int main(void) {
  return run_tests((TestCase[]){TEST(the_writer_and_the_checkpointer_at_work), {0}});
}
