/*
** The process's end.  See exit.h.
**
** The writer's thread lives on while the exit handlers run, and drains; if
** there is none, or it was ended (on Windows), the thread that exits does it.
** Either way there is a
** deadline, and what was not written by then is told on stderr: that much of
** the latest commits is lost, and everything before them is there.
*/
#include "exit.h"

#include "checkpoint.h"
#include "config.h"
#include "ending.h"
#include "gate.h"
#include "loss.h"
#include "registry.h"
#include "router.h"
#include "writer.h"

#include <stdio.h>

/* What a signal may need to take its effect, at most. */
#define PASS_US 1000000

/* A thread that goes on committing while the process ends is not waited for:
** with drained, what it has just queued is no failure to tell of. */
static void report_lost(bool drained) {
  char deadline[64];
  snprintf(deadline, sizeof deadline, "it took longer than %lld ms",
           (long long)async_config.exit_drain_ms);
  AsyncStream **streams = async_registry_all();
  if (streams == NULL) return;
  for (AsyncStream **stream = streams; *stream != NULL; stream++) {
    async_mutex_enter(&(*stream)->mutex);
    int64_t lost = async_stream_lost(*stream);
    int code = (*stream)->error.code;
    async_mutex_leave(&(*stream)->mutex);
    if (lost > 0 && (code != SQLITE_OK || !drained)) {
      async_loss_tell("exit", lost, (*stream)->path,
                      code == SQLITE_OK ? deadline : sqlite3_errstr(code));
    }
  }
  async_registry_unref_all(streams);
  AsyncFailure failure;
  while (async_registry_take_failure(NULL, &failure)) {
    if (failure.lost > 0) {
      async_loss_tell("exit", failure.lost, failure.path, sqlite3_errstr(failure.code));
    }
  }
}

static void drain(void) {
  if (async_os_is_last_thread()) {
    async_writer_take_over();
  } else {
    async_checkpoint_pause(true); /* what it would still queue is in the WAL already */
  }
  bool drained = async_writer_finish(async_config.exit_drain_ms * 1000);
  report_lost(drained);
}

/* ---- Signals ---- */

/*
** If the process may live on, commits go on until what was queued at the signal is written, so
** the gate is closed only for as long as the remainder takes.  The queue is written twice: a thread
** may be about to queue what it looked at before the gate was closed.
*/
static void on_signal(bool may_live) {
  int64_t timeout_us = async_config.exit_drain_ms * 1000;
  int64_t until_us = async_os_now_us() + timeout_us;
  if (may_live) async_writer_finish(timeout_us);
  async_gate_close(timeout_us + PASS_US);
  async_checkpoint_pause(true);
  bool drained = async_writer_finish(until_us - async_os_now_us());
  if (drained) drained = async_writer_finish(until_us - async_os_now_us());
  report_lost(drained);
  async_gate_close(PASS_US);
}

/* The program has caught it, and lives on. */
static void on_signal_passed(void) {
  async_gate_open();
  async_checkpoint_pause(false);
}

static void on_exit_of_process(void) {
  if (!async_forked) async_ending_begin();
  if (!async_forked && async_config.drain_on_exit) drain();
}

/* The handlers of signals are the child's too, but not the thread behind them. */
static void in_child(void) {
  async_forked = true;
  async_os_unwatch_signals();
  async_router_after_fork();
}

void async_exit_init(void) {
  async_os_at_exit(on_exit_of_process);
  async_os_on_fork(async_router_before_fork, async_router_after_fork, in_child);
}

bool async_exit_watch_signals(bool on) {
  if (on) {
    bool over_handlers = async_config.cover_handlers != 0;
    return async_os_watch_signals(on_signal, on_signal_passed, over_handlers);
  }
  async_os_unwatch_signals();
  return true;
}
