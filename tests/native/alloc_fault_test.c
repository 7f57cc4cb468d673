/*
** Memory runs out: the n-th allocation fails, once or for ever, in every scenario
** (scenario.h): one of the core's, the next chunk of a queue, or one of SQLite's own,
** after which its pager takes its error paths over this VFS.
**
** No stream fails for that.  Who needed the memory is told, and all that was committed
** reaches the disk.
**
** A full run makes all injections, but of SQLite's allocations every second one.
** Otherwise a sample is drawn, by the seed.
*/
#include "libfault.h"
#include "registry.h"
#include "scenario.h"
#include "script.h"
#include "sqlite3.h"
#include "writer.h"

#include <stdio.h>
#include <string.h>

/* Allocations in a run are fewer. */
#define CALLS_MAX 20000
/* Without a full run: one in so many of the ways, and in each all allocations of the core,
** but of SQLite's, and of the places where a queue needs a chunk, one in so many. */
#define WAYS 2
#define ROOMS 18
#define CALLS_OF_SQLITE 40

typedef struct Injection {
  const Scenario *scenario;
  unsigned set;
  int n;
  int times;
  int room;
} Injection;

static int injections;

/* ---- Chunks ---- */

/*
** A queue takes a chunk of 256 KiB at a time, which is more than a scenario needs, and
** the system is asked for it only if no other one is spare.  So before a transaction
** the chunk being filled is used up but for some room, and the spares are taken: by
** that room it is decided in which op the queue needs more.
*/
#define CHUNK_ROOM (256 * 1024 - 64)
#define PIECES_MAX 64
/* What a transaction of a scenario may need, and ops that are at least so large. */
#define ROOM_MAX 24000
#define ROOM_STEP 120

static struct {
  AsyncStream *stream; /* which does not end as long as its database is open */
  AsyncChunk *chunk;
} pieces[PIECES_MAX];
static int piece_count;

static void take_piece(AsyncStream *stream, size_t n) {
  AsyncArena *arena = &stream->queue.arena;
  CHECK(piece_count < PIECES_MAX && async_arena_take(arena, n) != NULL);
  pieces[piece_count].stream = stream;
  pieces[piece_count++].chunk = async_arena_chunk(arena);
}

static void leave_room(const char *path, size_t room) {
  AsyncStream *stream = async_registry_find(path);
  if (stream == NULL) return;
  async_mutex_enter(&stream->mutex);
  AsyncChunk *before = async_arena_chunk(&stream->queue.arena);
  do {
    take_piece(stream, ASYNC_ARENA_PIECE_MAX);
  } while (async_arena_chunk(&stream->queue.arena) == before);
  size_t left = CHUNK_ROOM - ASYNC_ARENA_PIECE_MAX;
  while (left > room) {
    size_t n = left - room < 65536 ? (left - room + 15) & ~(size_t)15 : 65536;
    take_piece(stream, n);
    left -= n < left ? n : left;
  }
  async_mutex_leave(&stream->mutex);
  async_registry_unref(stream);
}

static void before_transaction(void *arg) {
  const Injection *injection = arg;
  if (injection->set != OF_PAGES) return;
  libfault_suspend(true);
  leave_room(script_path("x.db"), (size_t)injection->room);
  leave_room(script_path("y.db"), (size_t)injection->room);
  libfault_give_spares();
  libfault_take_spares();
  libfault_suspend(false);
}

static void after_transaction(void *arg) {
  (void)arg;
  while (piece_count > 0) {
    AsyncStream *stream = pieces[--piece_count].stream;
    async_mutex_enter(&stream->mutex);
    async_arena_give(&stream->queue.arena, pieces[piece_count].chunk);
    async_mutex_leave(&stream->mutex);
  }
}

/* ---- Injections ---- */

static void begin(void *arg) {
  const Injection *injection = arg;
  if (injection->set == OF_PAGES) libfault_take_spares();
  libfault_fail(injection->set, injection->n, injection->times);
}

static int end(void *arg) {
  const Injection *injection = arg;
  int count = libfault_stop();
  if (injection->set == OF_PAGES) libfault_give_spares();
  return count;
}

static const char *name_of(unsigned set) {
  if (set == OF_SQLITE) return "SQLite's";
  return set == OF_PAGES ? "pages" : "the core's";
}

/* False if the allocation is not made. */
static bool inject(Injection *injection, bool eager) {
  Hooks hooks = {.begin = begin,
                 .end = end,
                 .before = before_transaction,
                 .after = after_transaction,
                 .arg = injection,
                 .may_hit_other = true};
  Outcome outcome;
  scenario_note("%s: %s, n = %d, room %d, %s, %s", injection->scenario->name,
                name_of(injection->set), injection->n, injection->room,
                injection->times < 0 ? "for ever" : "once", eager ? "eager" : "late");
  int count = scenario_run(injection->scenario, eager, &hooks, &outcome);
  if (count > 0) injections++;
  for (int i = 0; i < outcome.code_count; i++) {
    int code = outcome.codes[i];
    bool words = injection->scenario->two && code == SQLITE_ERROR; /* of ATTACH */
    if ((code & 0xff) != SQLITE_NOMEM && code != SQLITE_IOERR_NOMEM && !words) {
      SCENARIO_FAIL("somebody got %d", code);
    }
  }
  if (outcome.stream_code != SQLITE_OK)
    SCENARIO_FAIL("a stream failed with %d", outcome.stream_code);
  return count > 0;
}

static void every_n(const Scenario *scenario, unsigned set, int times, bool eager) {
  bool meets = true;
  for (int n = 0; meets; n++) {
    CHECK(n < CALLS_MAX);
    int thinner = scenario_thins(scenario);
    bool chosen = set == OF_MEMORY ? scenario_chooses(thinner)
                                   : scenario_chooses(CALLS_OF_SQLITE * thinner) && n % 2 == 0;
    Injection injection = {scenario, set, n, times, 0};
    if (chosen) meets = inject(&injection, eager);
  }
}

static void every_room(const Scenario *scenario, int times, bool eager) {
  for (int room = 0; room < ROOM_MAX; room += ROOM_STEP) {
    Injection injection = {scenario, OF_PAGES, 0, times, room};
    if (scenario_chooses(ROOMS * scenario_thins(scenario))) inject(&injection, eager);
  }
}

static void every_allocation_fails(void) {
  libfault_wrap_sqlite();
  const Scenario *scenario = scenario_find(test_name());
  scenario_prepare(scenario);
  for (int way = 0; way < 4; way++) {
    int times = way & 1 ? -1 : 1;
    bool eager = (way & 2) != 0;
    if (scenario_chooses(WAYS)) every_n(scenario, OF_MEMORY, times, eager);
    if (scenario_chooses(WAYS)) every_n(scenario, OF_SQLITE, times, eager);
    if (scenario_chooses(WAYS)) every_room(scenario, times, eager);
  }
  printf("# %d injections\n", injections);
}

/* ---- What asks for nothing to be written ---- */

/* In vain once is no reason to say that all is well. */
static void a_flush_without_memory_does_not_say_that_all_is_durable(void) {
  scenario_prepare(scenario_find("commit_in_mode_wal"));
  CHECK(async_writer_start()); /* and no checkpointer, which needs memory for itself */
  sqlite3 *db = NULL;
  const char *path = script_path("x.db");
  CHECK_EQ(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, SQLITEASYNC_VFSNAME), SQLITE_OK);
  CHECK_EQ(sqlite3_exec(db, "UPDATE meta SET k = 1", NULL, NULL, NULL), SQLITE_OK);
  sqlite3_int64 pairs[4];
  char text[4096];
  /* Not as SQLite has it, so that memory is needed to find out what it means. */
  char detour[1024];
  snprintf(detour, sizeof detour, "%.*s/.%s", (int)(strrchr(path, '/') - path), path,
           strrchr(path, '/'));
  for (int n = 0; n < 2; n++) {
    libfault_fail(OF_MEMORY, n, 1);
    int flush = sqlite3async_flush(detour, 1000);
    CHECK_EQ(libfault_stop(), 1);
    CHECK_EQ(flush, SQLITE_NOMEM);
    libfault_fail(OF_MEMORY, n, 1);
    CHECK_EQ(sqlite3async_flush_begin(detour, pairs, 2), -SQLITE_NOMEM);
    libfault_fail(OF_MEMORY, n, 1);
    CHECK_EQ(sqlite3async_status(detour, text, sizeof text), -SQLITE_NOMEM);
    libfault_fail(OF_MEMORY, n, 1);
    CHECK_EQ(sqlite3async_release(detour, 0), SQLITE_NOMEM);
    libfault_fail(OF_MEMORY, n, 1);
    int route = sqlite3async_route(path);
    CHECK_EQ(route, n == 0 ? SQLITE_NOMEM : route);
    libfault_stop();
  }
  CHECK_EQ(sqlite3async_flush(path, 10000), SQLITE_OK);
  CHECK_EQ(sqlite3_close(db), SQLITE_OK);
  CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
}

int main(void) {
  return scenario_run_tests(
      every_allocation_fails,
      (TestCase[]){TEST(a_flush_without_memory_does_not_say_that_all_is_durable), {0}});
}
