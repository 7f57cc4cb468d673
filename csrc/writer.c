/*
** The writers.  See writer.h.
*/
#include "writer.h"

#include "arena.h"
#include "config.h"
#include "ending.h"
#include "registry.h"

#include <assert.h>
#include <stddef.h>

/* Ops a stream may have applied before it is another one's turn. */
#define STEPS_PER_TURN 256
/* Of a helper: what comes after what it waits for is not its work. */
#define HELP_STEPS 16
#define DRAIN_POLL_US 200
/* After this long without work a writer parks instead of polling: for rare commits, waking it is
** cheaper than polling. */
#define LINGER_US 5000
/* And so long, the queues' spare memory goes back to the system. */
#define REST_US 1000000

/* Threads that wait for the disk, and for nothing else: more than there are writers, so that one
** database's syncs hold up no other one's. */
#define SYNCERS_MAX 8

static AsyncOsThread writer_threads[ASYNC_WRITERS_MAX]; /* lanes[].threads of them */
static AsyncOsThread syncer_threads[SYNCERS_MAX];
static atomic_bool skips_delay;

static void enter(void) { async_mutex_enter(&async_scheduler.mutex); }
static void leave(void) { async_mutex_leave(&async_scheduler.mutex); }

/* ---- Runs ---- */

static bool is_sync(const AsyncTask *task) { return task->home == ASYNC_LANE_SYNC; }

static AsyncStream *stream_of(AsyncTask *task) {
  size_t offset = is_sync(task) ? offsetof(AsyncStream, sync_task) : offsetof(AsyncStream, task);
  return (AsyncStream *)((char *)task - offset);
}

/* What this thread's run of a task has come to. */
typedef struct Run {
  AsyncOutcome outcome;
  int64_t due_us;
} Run;

static Run run(AsyncTask *task, int max_steps, bool may_sync) {
  AsyncStream *stream = stream_of(task);
  Run done = {0};
  done.outcome = is_sync(task) ? async_sync_run(stream, &done.due_us)
                               : async_stream_run(stream, max_steps, may_sync, &done.due_us);
  return done;
}

/* The thread has the task no longer; true if there is more to do in its lane. */
static bool end_run(AsyncTask *task, Run done) {
  bool waits = done.outcome == ASYNC_RUN_STUCK || done.outcome == ASYNC_RUN_SYNC;
  if (!waits && async_registry_end_run(stream_of(task), task)) return false;
  enter();
  if (done.outcome == ASYNC_RUN_SYNC) {
    async_scheduler_move(task);
  } else {
    async_scheduler_finish(task, !waits, done.due_us);
  }
  leave();
  return !waits;
}

/* Who is no runner has left something behind, maybe. */
static void delegate(void) {
  enter();
  async_scheduler_delegate();
  leave();
}

static bool is_durable(AsyncStream *stream, int64_t seq) {
  async_mutex_enter(&stream->mutex);
  bool durable = stream->durable.seq >= seq;
  async_mutex_leave(&stream->mutex);
  return durable;
}

/* Run the task on this thread, unless somebody does, until it is dry or stuck, somebody stops
** it, or the stream is as wanted. */
static bool help_task(AsyncStream *stream, AsyncTask *task, bool (*is_done)(AsyncStream *, int64_t),
                      int64_t seq) {
  bool helped = false;
  bool more = true;
  while (more && !(helped && is_done(stream, seq)) && !(helped && async_scheduler.interrupt) &&
         async_scheduler_claim(task)) {
    more = end_run(task, run(task, HELP_STEPS, true));
    helped = true;
  }
  return helped;
}

/* The same of both: what is applied may be waiting for a sync, and the other way round. */
#define HELP_ROUNDS 3

static bool help(AsyncStream *stream, bool (*is_done)(AsyncStream *, int64_t), int64_t seq) {
  bool helped = false;
  bool goes_on = true;
  for (int i = 0; i < HELP_ROUNDS && goes_on && !(helped && is_done(stream, seq)); i++) {
    goes_on = help_task(stream, &stream->task, is_done, seq);
    if (!is_done(stream, seq)) {
      goes_on = help_task(stream, &stream->sync_task, is_done, seq) || goes_on;
    }
    helped = helped || goes_on;
  }
  if (helped) delegate();
  return helped;
}

bool async_writer_help(AsyncStream *stream, int64_t seq) {
  if (async_config.delay_ms > 0 || !async_scheduler_has_runner()) return false;
  return help(stream, is_durable, seq) && is_durable(stream, seq);
}

static bool is_applied(AsyncStream *stream, int64_t seq) {
  async_mutex_enter(&stream->mutex);
  bool applied = stream->applied.seq >= seq;
  async_mutex_leave(&stream->mutex);
  return applied || async_ending_is_over();
}

bool async_writer_help_apply(AsyncStream *stream, int64_t seq) {
  if (async_config.delay_ms > 0 || !async_scheduler_has_runner()) return false;
  return help(stream, is_applied, seq);
}

/* Or opened again: then its ops are the writer's. */
static bool is_closed(AsyncStream *stream, int64_t unused) {
  (void)unused;
  async_mutex_enter(&stream->mutex);
  bool goes_on = stream->is_closing || stream->cut_off;
  async_mutex_leave(&stream->mutex);
  return !goes_on || async_ending_is_over();
}

bool async_writer_help_close(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  bool queued = stream->queue.head != NULL;
  async_mutex_leave(&stream->mutex);
  /* To see that nothing is left to do is no writing. */
  return (!queued || async_scheduler_has_runner()) && help(stream, is_closed, 0);
}

bool async_writer_claim(AsyncTask *task) {
  if (!async_scheduler_claim(task)) return false;
  task->is_callers = true;
  return true;
}

void async_writer_give_back(AsyncTask *task, AsyncOutcome outcome, int64_t due_us) {
  end_run(task, (Run){.outcome = outcome, .due_us = due_us});
  delegate();
}

bool async_writer_step(int max_steps) {
  enter();
  AsyncTask *task = async_scheduler_take(ASYNC_LANE_WRITE);
  bool may_sync = !async_scheduler_has_syncer();
  leave();
  if (task == NULL) return false;
  end_run(task, run(task, max_steps, may_sync));
  delegate();
  return true;
}

/* ---- The loop; under the scheduler's mutex ---- */

/* Who a runner is: a thread of ours has a number in its lane from 0 on; a caller's has none. */
#define NO_NUMBER (-1)

typedef struct Seat {
  AsyncLaneName lane;
  int number;
} Seat;

static bool is_surplus(Seat seat) {
  return seat.lane == ASYNC_LANE_WRITE && seat.number >= async_config.writers;
}

static bool shall_return(Seat seat) {
  if (async_scheduler.halt == SQLITEASYNC_HALT_NOW) return true;
  return seat.number != NO_NUMBER && (async_scheduler.stopping || is_surplus(seat));
}

void async_writer_no_pause(AsyncStream *stream, bool on) {
  assert(async_mutex_is_held(&stream->mutex));
  stream->awaiting += on ? 1 : -1;
  stream->is_awaited = stream->awaiting > 0;
  if (on && async_config.delay_ms > 0) async_writer_limits_changed(); /* it may be in a pause */
}

/* Does nobody wait for it? */
static bool takes_time(const AsyncStream *stream) {
  return !skips_delay && !stream->is_closing && !stream->is_awaited;
}

/* After an op; the stream is kept from other runners meanwhile. */
static void pause_after_op(const AsyncStream *stream, Seat seat) {
  int64_t until_us = async_os_now_us() + async_config.delay_ms * 1000 * stream->last_op_writes;
  enter();
  while (!shall_return(seat) && takes_time(stream)) {
    int64_t left_us = until_us - async_os_now_us();
    if (left_us <= 0) break;
    async_scheduler_pause(left_us);
  }
  leave();
}

/* Somebody waits until all is synced up to where nobody has applied yet: that saves him a change of
** threads.  This thread has the sync task. */
static void apply_for_sync(AsyncStream *stream) {
  int64_t seq = async_sync_waits_for(stream);
  if (seq == 0 || async_config.delay_ms > 0) return;
  if (help_task(stream, &stream->task, is_applied, seq)) delegate();
}

/* Leaves the mutex meanwhile. */
static void run_task(AsyncTask *task, Seat seat) {
  AsyncStream *stream = stream_of(task);
  bool may_sync = seat.lane == ASYNC_LANE_SYNC || !async_scheduler_has_syncer();
  leave();
  async_os_keep_signals();
  bool slow = async_config.delay_ms > 0 && takes_time(stream) && !is_sync(task);
  if (is_sync(task) && seat.lane == ASYNC_LANE_SYNC) apply_for_sync(stream);
  Run done = run(task, slow ? 1 : STEPS_PER_TURN, may_sync);
  if (slow && done.outcome == ASYNC_RUN_MORE) pause_after_op(stream, seat);
  end_run(task, done);
  enter();
}

/* Nothing is ready; does nobody run anything, and is nothing queued, which no lock of
** ours can tell? */
static bool is_idle(void) {
  leave();
  bool queued = async_registry_wake_if_queued();
  enter();
  for (int i = 0; i < ASYNC_LANES; i++)
    queued = queued || async_scheduler_lane(i)->ready.first != NULL;
  return !queued && async_scheduler.running == 0;
}

/* Of those that did nothing themselves one is enough to look for what others commit. */
static bool shall_poll(const AsyncRunner *runner) {
  int64_t since_us = async_os_now_us() - LINGER_US;
  bool anybody_works = async_scheduler.worked_us > since_us;
  bool is_needed = async_scheduler_lane(runner->lane)->polling == 0 || runner->worked_us > since_us;
  return runner->lane == ASYNC_LANE_WRITE && anybody_works && is_needed;
}

/* Nothing is to be done.  Whatever leaves the mutex here must not park: it has to look again. */
static void park_or_poll(AsyncRunner *runner) {
  int64_t poll_us = async_config.poll_us;
  bool surplus = runner->lane == ASYNC_LANE_WRITE && async_arena_has_surplus();
  if (poll_us <= 0 || !shall_poll(runner)) {
    bool woken = async_scheduler_park(runner, surplus ? REST_US : -1);
    if (surplus && !woken && async_scheduler.running == 0) async_arena_trim_spares();
  } else if (async_arena_wants_spare()) {
    leave();
    async_arena_prepare_spare(); /* if there is no memory it is tried for LINGER_US */
    enter();
  } else {
    async_scheduler_poll(runner, poll_us);
  }
}

/* Whoever sent the thread here has counted it. */
static void loop(Seat seat) {
  AsyncLane *lane = async_scheduler_lane(seat.lane);
  AsyncRunner runner = {.worked_us = INT64_MIN, .lane = seat.lane};
  async_cond_init(&runner.cond);
  while (!shall_return(seat)) {
    AsyncTask *task = async_scheduler_take(seat.lane);
    if (task != NULL) {
      run_task(task, seat);
      runner.worked_us = async_scheduler.worked_us;
      continue;
    }
    int64_t ended = async_scheduler.ended;
    if (async_scheduler.halt == SQLITEASYNC_HALT_IDLE && is_idle()) break;
    /* Of a run that has ended while that was looked at, or of what was told, nobody will
    ** tell again. */
    bool missed = async_scheduler.ended != ended || shall_return(seat);
    if (lane->ready.first == NULL && !missed) park_or_poll(&runner);
  }
  async_scheduler_note_looping(seat.lane, -1);
  if (lane->looping == 0) async_arena_trim_spares();
  async_scheduler_changed(); /* also: what it was woken for is another one's now */
  async_cond_free(&runner.cond);
}

void async_writer_run(void) {
  enter();
  async_scheduler_note_looping(ASYNC_LANE_WRITE, 1);
  loop((Seat){.lane = ASYNC_LANE_WRITE, .number = NO_NUMBER});
  leave();
}

static void sit(Seat seat) {
  AsyncLane *lane = async_scheduler_lane(seat.lane);
  enter();
  loop(seat);
  while (!async_scheduler.stopping) {
    lane->suspended++;
    while (!async_scheduler.stopping &&
           (async_scheduler.halt != SQLITEASYNC_HALT_NEVER || is_surplus(seat))) {
      async_scheduler_pause(-1);
    }
    lane->suspended--;
    async_scheduler_note_looping(seat.lane, 1);
    loop(seat);
  }
  leave();
}

static void writer_main(void *number) {
  sit((Seat){.lane = ASYNC_LANE_WRITE, .number = (int)(intptr_t)number});
}

static void syncer_main(void *number) {
  sit((Seat){.lane = ASYNC_LANE_SYNC, .number = (int)(intptr_t)number});
}

/* ---- Control ---- */

static int writer_count(void) { return async_scheduler_lane(ASYNC_LANE_WRITE)->threads; }

static void update_interrupt(void) {
  bool stopping = writer_count() > 0 && async_scheduler.stopping;
  async_scheduler.interrupt = stopping || async_scheduler.halt == SQLITEASYNC_HALT_NOW;
}

/* Under the mutex: one more thread of ours in a lane, of which these are. */
static bool start_thread(AsyncLaneName name, AsyncOsThread *threads, void (*thread_main)(void *)) {
  AsyncLane *lane = async_scheduler_lane(name);
  intptr_t number = lane->threads;
  if (!async_os_thread_start(&threads[number], thread_main, (void *)number)) return false;
  lane->threads++;
  async_scheduler_note_looping(name, 1); /* from now on its work can wait for it */
  return true;
}

static bool start_writer(void) {
  return start_thread(ASYNC_LANE_WRITE, writer_threads, writer_main);
}

static bool start_syncer(void) {
  return start_thread(ASYNC_LANE_SYNC, syncer_threads, syncer_main);
}

bool async_writer_start(void) {
  enter();
  bool ok = writer_count() > 0;
  if (!ok) {
    async_scheduler.stopping = false;
    update_interrupt();
    ok = start_writer();
  }
  leave();
  return ok;
}

bool async_writer_has_threads(void) {
  enter();
  bool has = writer_count() > 0;
  leave();
  return has;
}

void async_writer_ensure_threads(int streams) {
  enter();
  int64_t writers = streams < async_config.writers ? streams : async_config.writers;
  /* A stream can wait for a sync of its ops and for another one that somebody asked for. */
  int syncers = streams < SYNCERS_MAX / 2 ? 2 * streams : SYNCERS_MAX;
  bool go_on = writer_count() > 0 && !async_scheduler.stopping;
  while (go_on && writer_count() < writers && start_writer()) continue;
  while (go_on && async_scheduler_lane(ASYNC_LANE_SYNC)->threads < syncers && start_syncer())
    continue;
  leave();
}

void async_writer_limits_changed(void) {
  enter();
  async_scheduler_changed();
  leave();
}

static void join_all(AsyncOsThread *threads, int count) {
  for (int i = 0; i < count; i++) async_os_thread_join(&threads[i]);
}

void async_writer_stop(void) {
  enter();
  int writers = writer_count();
  int syncers = async_scheduler_lane(ASYNC_LANE_SYNC)->threads;
  async_scheduler.stopping = true;
  update_interrupt();
  async_scheduler_changed();
  leave();
  if (writers == 0) return;
  join_all(writer_threads, writers);
  join_all(syncer_threads, syncers);
  enter();
  async_scheduler_lane(ASYNC_LANE_WRITE)->threads = async_scheduler_lane(ASYNC_LANE_SYNC)->threads =
      0;
  update_interrupt();
  leave();
}

void async_writer_set_halt(int halt) {
  enter();
  async_scheduler.halt = halt;
  update_interrupt();
  async_scheduler_changed();
  leave();
}

int async_writer_halt(void) {
  enter();
  int halt = async_scheduler.halt;
  leave();
  return halt;
}

static bool drain(bool (*is_left)(void), int64_t timeout_us, bool help) {
  int64_t until_us = async_os_now_us() + timeout_us;
  while (is_left()) {
    if (async_os_now_us() >= until_us) return false;
    if (async_scheduler_has_runner()) {
      async_os_sleep_us(DRAIN_POLL_US);
    } else if (!help) {
      return false;
    } else if (!async_writer_step(1)) {
      /* What is left is stuck, or another thread is at it. */
      async_os_sleep_us(DRAIN_POLL_US);
    }
  }
  return true;
}

bool async_writer_drain(int64_t timeout_us) {
  return drain(async_registry_wake_if_queued, timeout_us, false);
}

static void skip_delay(bool on) {
  enter();
  skips_delay = on;
  async_scheduler_changed();
  leave();
}

bool async_writer_finish(int64_t timeout_us) {
  async_registry_note_queued();
  skip_delay(true);
  bool drained = drain(async_registry_wake_if_noted, timeout_us, true);
  skip_delay(false);
  return drained;
}

void async_writer_take_over(void) {
  async_scheduler_take_over();
  async_registry_take_over();
}
