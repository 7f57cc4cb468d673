/*
** Commit levels.  See level.h.
*/
#include "level.h"

#include "barrier.h"
#include "config.h"
#include "ending.h"
#include "registry.h"
#include "writer.h"

#include <assert.h>

/* Ops in a row that are not all this thread's. */
#define HELP_STEPS 16
/* How often to look again where nobody tells: no writer runs. */
#define LOOK_US 1000

static const char *const names[] = {"queued", "applied", "durable"};
#define LEVELS ((int)(sizeof names / sizeof names[0]))

const char *async_level_name(int level) {
  assert(level >= 0 && level < LEVELS);
  return names[level];
}

int async_level_of_name(const char *name) {
  int level = LEVELS - 1;
  while (level >= 0 && sqlite3_stricmp(name, names[level]) != 0) level--;
  return level;
}

/* ---- What is to be done; under the stream's mutex ---- */

static bool is_reached(const AsyncStream *stream, AsyncCommit commit) {
  const AsyncWatermark *watermark =
      commit.level == SQLITEASYNC_COMMIT_DURABLE ? &stream->durable : &stream->applied;
  return watermark->seq >= commit.seq;
}

/* Is there nothing to be done before the writer tries again what is stalled? */
static bool is_left_to_writer(const AsyncStream *stream) {
  return async_stream_is_stalled(stream) && async_scheduler_has_runner();
}

/* Is nothing left to be done by who runs the ops: all of the commit, of what others wait for,
** and to fail the stream for a sync that failed? */
static bool is_applied(AsyncStream *stream, AsyncCommit commit) {
  async_mutex_enter(&stream->mutex);
  bool applied = stream->applied.seq >= commit.seq && stream->applied_wanted == INT64_MAX &&
                 stream->side_error.code == SQLITE_OK;
  async_mutex_leave(&stream->mutex);
  return applied;
}

/* Does the commit wait for a sync, or an op that is before it? */
static bool wants_sync(AsyncStream *stream, AsyncCommit commit) {
  async_mutex_enter(&stream->mutex);
  bool wants = !is_reached(stream, commit) &&
               (stream->applied.seq >= commit.seq || stream->ops_wait_for_flush);
  async_mutex_leave(&stream->mutex);
  return wants;
}

/* ---- Doing it ---- */

static bool run_those_before(AsyncStream *stream);

/* One run of the task of the syncs. */
static bool sync_once(AsyncStream *stream) {
  if (!async_writer_claim(&stream->sync_task)) return false;
  int64_t due_us;
  AsyncOutcome outcome = async_sync_run(stream, &due_us);
  async_writer_give_back(&stream->sync_task, outcome, due_us);
  return outcome == ASYNC_RUN_MORE;
}

static bool sync_if_ops_wait(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  bool wait = stream->ops_wait_for_flush;
  async_mutex_leave(&stream->mutex);
  return wait && sync_once(stream);
}

/* One that others wait for at a barrier.  False if nothing came of it. */
static bool run_other(AsyncStream *stream) {
  if (!async_writer_claim(&stream->task)) return false;
  int64_t due_us;
  AsyncOutcome outcome = async_stream_run(stream, HELP_STEPS, true, &due_us);
  bool went_on = outcome != ASYNC_RUN_STUCK || run_those_before(stream);
  async_writer_give_back(&stream->task, outcome, due_us);
  return sync_if_ops_wait(stream) || went_on;
}

/* This thread has the stream, which is stuck: if that is at a barrier, run those that have not
** come there.  While it has the stream the barrier stays. */
static bool run_those_before(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  const AsyncOp *op = stream->queue.head;
  bool has_barrier = op != NULL && (op->kind == ASYNC_OP_BARRIER || op->kind == ASYNC_OP_DELETE);
  AsyncBarrier *barrier = has_barrier ? op->barrier : NULL;
  async_mutex_leave(&stream->mutex);
  if (barrier == NULL) return false;
  bool went_on = false;
  AsyncStream **streams = async_registry_all();
  for (AsyncStream **other = streams; other != NULL && *other != NULL; other++) {
    if (async_barrier_waits_for(barrier, *other) && run_other(*other)) went_on = true;
  }
  async_registry_unref_all(streams);
  return went_on;
}

/* False if there is nothing to be done but to wait; the same below. */
static bool apply(AsyncStream *stream, AsyncCommit commit) {
  if (!async_writer_claim(&stream->task)) return false;
  AsyncOutcome outcome;
  int64_t due_us;
  int steps = 0;
  do {
    outcome = async_stream_run(stream, 1, true, &due_us);
    steps++;
  } while (outcome == ASYNC_RUN_MORE && steps < HELP_STEPS && !is_applied(stream, commit));
  bool went_on = outcome == ASYNC_RUN_MORE;
  if (outcome == ASYNC_RUN_STUCK) went_on = run_those_before(stream);
  async_writer_give_back(&stream->task, outcome, due_us);
  return went_on;
}

static bool help(AsyncStream *stream, AsyncCommit commit) {
  bool went_on = !is_applied(stream, commit) && apply(stream, commit);
  return wants_sync(stream, commit) ? sync_once(stream) || went_on : went_on;
}

/* Under the mutex. */
static void wait_for_change(AsyncStream *stream, AsyncCommit commit) {
  AsyncSignal *signal = &stream->durable_moved;
  if (commit.level == SQLITEASYNC_COMMIT_APPLIED) {
    signal = &stream->applied_moved;
    if (stream->applied_wanted > commit.seq) stream->applied_wanted = commit.seq;
  }
  bool told = async_scheduler_has_runner() || async_stream_is_stalled(stream);
  async_stream_arm_sync(stream);
  async_stream_wait(stream, signal, told ? ASYNC_STOPPED_POLL_US : LOOK_US);
}

/* Under the mutex, which it leaves meanwhile. */
static int await(AsyncStream *stream, AsyncCommit commit, bool past_end) {
  if (commit.level == SQLITEASYNC_COMMIT_DURABLE && stream->flush_wanted < commit.seq) {
    stream->flush_wanted = commit.seq;
  }
  while (!is_reached(stream, commit)) {
    if (stream->error.code != SQLITE_OK) return async_stream_report_error(stream);
    bool helps = !is_left_to_writer(stream);
    async_mutex_leave(&stream->mutex);
    bool went_on = helps && help(stream, commit);
    bool over = !past_end && async_ending_is_over();
    async_mutex_enter(&stream->mutex);
    if (is_reached(stream, commit) || stream->error.code != SQLITE_OK) continue;
    if (over) return SQLITE_IOERR_WRITE;
    if (!went_on) wait_for_change(stream, commit);
  }
  return SQLITE_OK;
}

/* It counts as committed already; or it is to be waited for at the process's end, too. */
typedef enum AwaitFlags { IS_COUNTED = 1, PAST_END = 2 } AwaitFlags;

static int await_level(AsyncStream *stream, AsyncCommit commit, unsigned flags) {
  if (commit.level == SQLITEASYNC_COMMIT_QUEUED) return SQLITE_OK;
  async_mutex_enter(&stream->mutex);
  async_writer_no_pause(stream, true);
  int rc = await(stream, commit, (flags & PAST_END) != 0);
  async_writer_no_pause(stream, false);
  bool is_lost = stream->error.code != SQLITE_OK && stream->applied.seq < commit.seq;
  if (is_lost && (flags & IS_COUNTED)) stream->refused++;
  async_mutex_leave(&stream->mutex);
  /* These would mean something else to SQLite. */
  bool misleads = (rc & 0xff) == SQLITE_BUSY || rc == SQLITE_NOTFOUND;
  return misleads ? SQLITE_IOERR : rc;
}

int async_level_await(AsyncStream *stream, AsyncCommit commit) {
  return await_level(stream, commit, IS_COUNTED);
}

static int await_all(AsyncStream *stream, int level, unsigned flags) {
  async_mutex_enter(&stream->mutex);
  AsyncCommit commit = {level, stream->pushed.seq};
  async_mutex_leave(&stream->mutex);
  return await_level(stream, commit, flags);
}

int async_level_await_all(AsyncStream *stream, int level) { return await_all(stream, level, 0); }

int async_level_await_applied(AsyncStream *stream) {
  return await_all(stream, SQLITEASYNC_COMMIT_APPLIED, PAST_END);
}

void async_level_give_up(AsyncStream *stream, AsyncCommit commit) {
  if (commit.level == SQLITEASYNC_COMMIT_QUEUED) return;
  async_mutex_enter(&stream->mutex);
  if (is_reached(stream, commit)) {
    async_mutex_leave(&stream->mutex);
  } else {
    async_stream_leave_and_wake(stream);
  }
}

bool async_level_make_room(AsyncStream *stream) {
  AsyncCommit commit = {.level = SQLITEASYNC_COMMIT_APPLIED};
  bool full = true;
  bool went_on = true;
  while (full && went_on) {
    async_mutex_enter(&stream->mutex);
    full = async_stream_is_full(stream);
    commit.seq = stream->pushed.seq;
    bool helps = full && !is_left_to_writer(stream);
    async_mutex_leave(&stream->mutex);
    went_on = helps && help(stream, commit);
  }
  return !full;
}
