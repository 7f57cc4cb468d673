/*
** The writer.  See writer.h.
*/
#include "writer.h"

#include "apply.h"
#include "arena.h"
#include "config.h"
#include "registry.h"

#include <stddef.h>

/* Ops a stream may have applied before it is another one's turn. */
#define STEPS_PER_TURN 256
/* Of a helper: what comes after what it waits for is not its work. */
#define HELP_STEPS 16
#define DRAIN_POLL_US 200
/* Without work for so long, the queues' spare memory goes back to the system. */
#define REST_US 100000

static AsyncOsThread own_thread; /* while async_scheduler.started */
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

static AsyncOutcome run_task(AsyncTask *task, int max_steps) {
  AsyncStream *stream = (AsyncStream *)task; /* its first member */
  int64_t due_us;
  AsyncOutcome outcome = async_stream_run(stream, max_steps, &due_us);
  end_run(stream, outcome, due_us);
  return outcome;
}

static bool is_durable(AsyncStream *stream, int64_t seq) {
  async_mutex_enter(&stream->mutex);
  bool durable = stream->durable.seq >= seq;
  async_mutex_leave(&stream->mutex);
  return durable;
}

void async_writer_help(AsyncStream *stream, int64_t seq) {
  if (async_config.delay_ms > 0 || !async_scheduler_has_runner()) return;
  if (!async_scheduler_claim(&stream->task)) return;
  AsyncOutcome outcome;
  int64_t due_us;
  do {
    outcome = async_stream_run(stream, HELP_STEPS, &due_us);
  } while (outcome == ASYNC_RUN_MORE && !is_durable(stream, seq) && !async_scheduler.interrupt);
  end_run(stream, outcome, due_us);
}

bool async_writer_step(int max_steps) {
  enter();
  AsyncTask *task = async_scheduler_take();
  leave();
  if (task == NULL) return false;
  run_task(task, max_steps);
  return true;
}

/* ---- The loop; under the scheduler's mutex ---- */

static bool shall_return(bool own) {
  return async_scheduler.halt == SQLITEASYNC_HALT_NOW || (own && async_scheduler.stopping);
}

static void pause_after_op(bool own) {
  int64_t until_us = async_os_now_us() + async_config.delay_ms * 1000;
  while (!shall_return(own) && !in_a_hurry) {
    int64_t left_us = until_us - async_os_now_us();
    if (left_us <= 0) return;
    async_scheduler_pause(left_us);
  }
}

/* Nothing is ready; is the queue empty, which no lock of ours can tell? */
static bool is_idle(void) {
  leave();
  bool queued = async_registry_has_queued();
  enter();
  return !queued && async_scheduler.ready.first == NULL;
}

/* Nothing is to be done; after a while without work give memory back. */
static void rest(void) {
  bool surplus = async_arena_has_surplus();
  bool woken = async_scheduler_wait(surplus ? REST_US : -1);
  if (surplus && !woken) async_arena_trim_spares();
}

static void loop(bool own) {
  while (async_scheduler.looping && !(own && async_scheduler.stopping)) {
    async_scheduler_pause(-1);
  }
  if (own && async_scheduler.stopping) return;
  async_scheduler.looping = true;
  while (!shall_return(own)) {
    AsyncTask *task = async_scheduler_take();
    if (task != NULL) {
      bool slow = async_config.delay_ms > 0 && !in_a_hurry;
      leave();
      AsyncOutcome outcome = run_task(task, slow ? 1 : STEPS_PER_TURN);
      enter();
      if (slow && outcome == ASYNC_RUN_MORE) pause_after_op(own);
      continue;
    }
    if (async_scheduler.halt == SQLITEASYNC_HALT_IDLE && is_idle()) break;
    if (async_scheduler.ready.first == NULL) rest();
  }
  async_arena_trim_spares();
  async_scheduler.looping = false;
  async_scheduler_changed();
}

void async_writer_run(void) {
  enter();
  loop(false);
  leave();
}

static void thread_main(void *arg) {
  (void)arg;
  enter();
  while (!async_scheduler.stopping) {
    loop(true);
    while (!async_scheduler.stopping && async_scheduler.halt != SQLITEASYNC_HALT_NEVER) {
      async_scheduler.parked = true;
      async_scheduler_pause(-1);
    }
    async_scheduler.parked = false;
  }
  leave();
}

/* ---- Control ---- */

static void update_interrupt(void) {
  bool stopping = async_scheduler.started && async_scheduler.stopping;
  async_scheduler.interrupt = stopping || async_scheduler.halt == SQLITEASYNC_HALT_NOW;
}

bool async_writer_start(void) {
  enter();
  bool ok = async_scheduler.started;
  if (!ok) {
    async_scheduler.stopping = false;
    update_interrupt();
    async_scheduler.parked = false;
    ok = async_os_thread_start(&own_thread, thread_main, NULL);
    async_scheduler.started = ok;
  }
  leave();
  return ok;
}

void async_writer_stop(void) {
  enter();
  bool started = async_scheduler.started;
  async_scheduler.stopping = true;
  update_interrupt();
  async_scheduler_changed();
  leave();
  if (!started) return;
  async_os_thread_join(&own_thread);
  enter();
  async_scheduler.started = false;
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
  return drain(async_registry_has_queued, timeout_us, false);
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
  bool drained = drain(async_registry_has_noted, timeout_us, true);
  hurry(false);
  return drained;
}
