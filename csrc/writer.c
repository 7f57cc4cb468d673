/*
** The writers.  See writer.h.
*/
#include "writer.h"

#include "apply.h"
#include "arena.h"
#include "config.h"
#include "ending.h"
#include "registry.h"

#include <stddef.h>

/* Ops a stream may have applied before it is another one's turn. */
#define STEPS_PER_TURN 256
/* Of a helper: what comes after what it waits for is not its work. */
#define HELP_STEPS 16
#define DRAIN_POLL_US 200
/* Without work for so long, by anybody, a writer rests for good instead of napping: to look for a
** commit that comes seldom would take more than to be woken by it. */
#define LINGER_US 5000
/* And so long, the queues' spare memory goes back to the system. */
#define REST_US 1000000

static AsyncOsThread own_threads[ASYNC_WRITERS_MAX]; /* async_scheduler.threads of them */
static atomic_bool in_a_hurry;

static void enter(void) { async_mutex_enter(&async_scheduler.mutex); }
static void leave(void) { async_mutex_leave(&async_scheduler.mutex); }

/* A run has come to this. */
static void end_run(AsyncStream *stream, AsyncOutcome outcome, int64_t due_us) {
  if (outcome != ASYNC_RUN_STUCK && async_registry_rest(stream)) return;
  enter();
  async_scheduler_finish(&stream->task, outcome != ASYNC_RUN_STUCK, due_us);
  leave();
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

/* Run the stream on this thread until it is dry, somebody stops it, or it is as wanted. */
static bool help(AsyncStream *stream, bool (*is_done)(AsyncStream *, int64_t), int64_t seq) {
  if (!async_scheduler_claim(&stream->task)) return false;
  AsyncOutcome outcome;
  int64_t due_us;
  do {
    outcome = async_stream_run(stream, HELP_STEPS, &due_us);
  } while (outcome == ASYNC_RUN_MORE && !is_done(stream, seq) && !async_scheduler.interrupt);
  end_run(stream, outcome, due_us);
  delegate();
  return true;
}

bool async_writer_help(AsyncStream *stream, int64_t seq) {
  if (async_config.delay_ms > 0 || !async_scheduler_has_runner()) return false;
  return help(stream, is_durable, seq);
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

bool async_writer_step(int max_steps) {
  enter();
  AsyncTask *task = async_scheduler_take();
  leave();
  if (task == NULL) return false;
  AsyncStream *stream = (AsyncStream *)task; /* its first member */
  int64_t due_us;
  AsyncOutcome outcome = async_stream_run(stream, max_steps, &due_us);
  end_run(stream, outcome, due_us);
  delegate();
  return true;
}

/* ---- The loop; under the scheduler's mutex ---- */

/* A thread of ours has a number from 0 on; a caller's has none. */
#define NO_NUMBER (-1)

static bool is_surplus(int number) { return number >= async_config.writers; }

static bool shall_return(int number) {
  if (async_scheduler.halt == SQLITEASYNC_HALT_NOW) return true;
  return number != NO_NUMBER && (async_scheduler.stopping || is_surplus(number));
}

/* After an op; the stream is kept from other runners meanwhile. */
static void pause_after_op(const AsyncStream *stream, int number) {
  int64_t until_us = async_os_now_us() + async_config.delay_ms * 1000 * stream->last_op_writes;
  enter();
  while (!shall_return(number) && !in_a_hurry && !stream->is_closing) {
    int64_t left_us = until_us - async_os_now_us();
    if (left_us <= 0) break;
    async_scheduler_pause(left_us);
  }
  leave();
}

/* Leaves the mutex meanwhile. */
static void run_task(AsyncTask *task, int number) {
  AsyncStream *stream = (AsyncStream *)task; /* its first member */
  leave();
  async_os_keep_signals();
  bool slow = async_config.delay_ms > 0 && !in_a_hurry && !stream->is_closing;
  int64_t due_us;
  AsyncOutcome outcome = async_stream_run(stream, slow ? 1 : STEPS_PER_TURN, &due_us);
  if (slow && outcome == ASYNC_RUN_MORE) pause_after_op(stream, number);
  end_run(stream, outcome, due_us);
  enter();
}

/* Nothing is ready; does nobody run anything, and is nothing queued, which no lock of
** ours can tell? */
static bool is_idle(void) {
  leave();
  bool queued = async_registry_hurry();
  enter();
  return !queued && async_scheduler.ready.first == NULL && async_scheduler.running == 0;
}

/* Of those that did nothing themselves one is enough to look for what others commit. */
static bool shall_nap(const AsyncRunner *runner) {
  int64_t since_us = async_os_now_us() - LINGER_US;
  bool anybody_works = async_scheduler.worked_us > since_us;
  return anybody_works && (async_scheduler.napping == 0 || runner->worked_us > since_us);
}

/* Nothing is to be done.  Whatever leaves the mutex here must not rest: it has to look again. */
static void rest(AsyncRunner *runner) {
  int64_t poll_us = async_config.poll_us;
  bool surplus = async_arena_has_surplus();
  if (poll_us <= 0 || !shall_nap(runner)) {
    bool woken = async_scheduler_rest(runner, surplus ? REST_US : -1);
    if (surplus && !woken && async_scheduler.running == 0) async_arena_trim_spares();
  } else if (async_arena_wants_spare()) {
    leave();
    async_arena_prepare_spare(); /* if there is no memory it is tried for LINGER_US */
    enter();
  } else {
    async_scheduler_nap(runner, poll_us);
  }
}

static void loop(int number) {
  AsyncRunner runner = {.worked_us = INT64_MIN};
  async_cond_init(&runner.cond);
  async_scheduler.looping++;
  while (!shall_return(number)) {
    AsyncTask *task = async_scheduler_take();
    if (task != NULL) {
      run_task(task, number);
      runner.worked_us = async_scheduler.worked_us;
      continue;
    }
    int64_t ended = async_scheduler.ended;
    if (async_scheduler.halt == SQLITEASYNC_HALT_IDLE && is_idle()) break;
    /* Of a run that has ended while that was looked at, or of what was told, nobody will
    ** tell again. */
    bool missed = async_scheduler.ended != ended || shall_return(number);
    if (async_scheduler.ready.first == NULL && !missed) rest(&runner);
  }
  async_scheduler.looping--;
  if (async_scheduler.looping == 0) async_arena_trim_spares();
  async_scheduler_changed(); /* also: what it was woken for is another one's now */
  async_cond_free(&runner.cond);
}

void async_writer_run(void) {
  enter();
  loop(NO_NUMBER);
  leave();
}

static void thread_main(void *arg) {
  int number = (int)(intptr_t)arg;
  enter();
  while (!async_scheduler.stopping) {
    loop(number);
    async_scheduler.parked++;
    while (!async_scheduler.stopping &&
           (async_scheduler.halt != SQLITEASYNC_HALT_NEVER || is_surplus(number))) {
      async_scheduler_pause(-1);
    }
    async_scheduler.parked--;
  }
  leave();
}

/* ---- Control ---- */

static void update_interrupt(void) {
  bool stopping = async_scheduler.threads > 0 && async_scheduler.stopping;
  async_scheduler.interrupt = stopping || async_scheduler.halt == SQLITEASYNC_HALT_NOW;
}

/* Under the mutex: one more thread of ours. */
static bool start_thread(void) {
  int number = async_scheduler.threads;
  if (!async_os_thread_start(&own_threads[number], thread_main, (void *)(intptr_t)number)) {
    return false;
  }
  async_scheduler.threads++;
  return true;
}

bool async_writer_start(void) {
  enter();
  bool ok = async_scheduler.threads > 0;
  if (!ok) {
    async_scheduler.stopping = false;
    update_interrupt();
    ok = start_thread();
  }
  leave();
  return ok;
}

bool async_writer_has_threads(void) {
  enter();
  bool has = async_scheduler.threads > 0;
  leave();
  return has;
}

void async_writer_expect(int streams) {
  enter();
  int64_t wanted = streams < async_config.writers ? streams : async_config.writers;
  bool run = async_scheduler.threads > 0 && !async_scheduler.stopping;
  while (run && async_scheduler.threads < wanted && start_thread()) continue;
  leave();
}

void async_writer_tell(void) {
  enter();
  async_scheduler_changed();
  leave();
}

void async_writer_stop(void) {
  enter();
  int threads = async_scheduler.threads;
  async_scheduler.stopping = true;
  update_interrupt();
  async_scheduler_changed();
  leave();
  if (threads == 0) return;
  for (int i = 0; i < threads; i++) async_os_thread_join(&own_threads[i]);
  enter();
  async_scheduler.threads = 0;
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
  return drain(async_registry_hurry, timeout_us, false);
}

static void hurry(bool on) {
  enter();
  in_a_hurry = on;
  async_scheduler_changed();
  leave();
}

bool async_writer_finish(int64_t timeout_us) {
  async_registry_note_queued();
  hurry(true);
  bool drained = drain(async_registry_hurry_noted, timeout_us, true);
  hurry(false);
  return drained;
}

void async_writer_take_over(void) {
  async_scheduler_take_over();
  async_registry_take_over();
}
