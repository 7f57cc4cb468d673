/*
** The last close of a database.  See closing.h.
*/
#include "closing.h"

#include "config.h"
#include "ending.h"
#include "flush.h"
#include "lock.h"
#include "loss.h"
#include "moved.h"
#include "registry.h"
#include "writer.h"

#include <assert.h>

/* How often to look again where nobody says that there is something to see: the writer was
** stopped, or is stuck. */
#define LOOK_US 20000
/* How often the lock of a database that only zombies have open is tried to be given back.  A try
** may meet the checkpointer, find that the WAL's header has to be restored, and that it was not
** synced, each more than once; and a statement in the middle of its rows keeps it anyway. */
#define RELEASE_TRIES 8
/* How often to look whether others have closed their databases. */
#define ANY_POLL_US 1000

void async_closing_note_open(AsyncStream *stream, AsyncNames *names) {
  assert(async_mutex_is_held(&stream->mutex));
  names->next = stream->names;
  stream->names = names;
  stream->connections++;
  stream->is_closing = stream->close_queued = false;
  stream->closing_since_us = 0;
}

/* Under the mutex: one connection less. */
static bool note_end(AsyncStream *stream) {
  assert(async_mutex_is_held(&stream->mutex));
  if (stream->connections > 0) return false;
  stream->is_closing = true;
  stream->closing_since_us = async_os_now_us();
  return true;
}

bool async_closing_note_close(AsyncStream *stream, AsyncNames *names, bool was_abandoned) {
  AsyncNames **link = &stream->names;
  while (*link != names) link = &(*link)->next;
  *link = names->next;
  int *count = was_abandoned ? &stream->abandoned : &stream->connections;
  assert(*count > 0);
  --*count;
  return note_end(stream);
}

bool async_closing_note_abandon(AsyncStream *stream) {
  assert(stream->connections > 0);
  stream->connections--;
  stream->abandoned++;
  return note_end(stream);
}

bool async_closing_is_a_file(const AsyncStream *stream) {
  const AsyncFiles *files = &stream->files;
  if (stream->abandoned > 0) return stream->queue.head == NULL;
  return stream->queue.head == NULL && files->newest == NULL && files->garbage == NULL &&
         files->closing == 0;
}

/* Under the mutex: is there more to come, and somebody who does it?  false also if the database
** was opened again meanwhile. */
static bool shall_wait(AsyncStream *stream) {
  if (stream->connections > 0) return false;
  bool is_written = async_scheduler_has_own_runner() && !async_ending_is_over();
  if (is_written) return !async_closing_is_a_file(stream);
  stream->close_queued = stream->awake = true;
  async_scheduler_wake(&stream->task, ASYNC_WAKE_SOON);
  return false;
}

/* Who closes gets no code from SQLite, and there is no later call on it. */
static void tell_of_loss(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  int code = stream->error.code;
  int64_t lost = async_stream_lost(stream);
  bool tell = code != SQLITE_OK && lost > 0 && !stream->error_told;
  if (tell) stream->lost_told = true;
  async_mutex_leave(&stream->mutex);
  if (tell) async_loss_tell("close", lost, stream->path, sqlite3_errstr(code));
}

/* Under the mutex: until some of its files have been closed; or, while zombies have them open, all
** has been applied. */
static void wait_for_change(AsyncStream *stream) {
  AsyncSignal *signal = &stream->files_closed;
  if (stream->abandoned > 0) {
    signal = &stream->applied_moved;
    if (stream->applied_wanted > stream->pushed.seq) stream->applied_wanted = stream->pushed.seq;
  }
  async_stream_wait(stream, signal, LOOK_US);
}

static void await(AsyncStream *stream) {
  if (async_forked) return;
  if (async_config.delay_ms > 0) async_writer_limits_changed(); /* it may be in a pause */
  async_mutex_enter(&stream->mutex);
  while (shall_wait(stream)) {
    async_mutex_leave(&stream->mutex);
    /* It holds the database open, and was told to make haste. */
    async_lock_await_checkpoint(stream, LOOK_US);
    /* A run that is about to end may not have seen that it is being closed. */
    if (!async_writer_help_close(stream)) async_scheduler_wake(&stream->task, ASYNC_WAKE_NOW);
    async_mutex_enter(&stream->mutex);
    if (shall_wait(stream)) wait_for_change(stream);
  }
  async_mutex_leave(&stream->mutex);
  tell_of_loss(stream);
}

/* Under the mutex: are there ops up to there, and somebody who applies them? */
static bool shall_wait_for(const AsyncStream *stream, int64_t seq) {
  return stream->applied.seq < seq && stream->error.code == SQLITE_OK &&
         !async_stream_is_stalled(stream) && async_scheduler_has_own_runner() &&
         !async_ending_is_over();
}

void async_closing_await_applied(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  int64_t seq = stream->pushed.seq;
  while (shall_wait_for(stream, seq)) {
    async_mutex_leave(&stream->mutex);
    async_writer_help_apply(stream, seq);
    async_mutex_enter(&stream->mutex);
    if (!shall_wait_for(stream, seq)) break;
    if (stream->applied_wanted > seq) stream->applied_wanted = seq;
    async_stream_wait(stream, &stream->applied_moved, LOOK_US);
  }
  async_mutex_leave(&stream->mutex);
}

/* Is it open still, by zombies? */
static bool is_abandoned(AsyncStream *stream) {
  async_mutex_enter(&stream->mutex);
  bool is = stream->abandoned > 0;
  async_mutex_leave(&stream->mutex);
  return is;
}

void async_closing_end(AsyncStream *stream) {
  if (is_abandoned(stream)) {
    async_closing_release(stream);
  } else {
    await(stream);
  }
}

void async_closing_release(AsyncStream *stream) {
  int64_t until_us = async_flush_deadline((int)async_config.exit_drain_ms);
  int rc = SQLITE_BUSY;
  for (int i = 0; i < RELEASE_TRIES && rc == SQLITE_BUSY; i++) {
    /* It has the lock in use, and may have been called once more when it ends. */
    async_lock_await_checkpoint(stream, until_us - async_os_now_us());
    await(stream);
    rc = async_flush_until(stream, until_us);
    if (rc == SQLITE_OK) rc = async_lock_hand_over(stream);
  }
  if (rc != SQLITE_OK && rc != SQLITE_BUSY) {
    sqlite3_log(rc, "sqlite3async: %s is closed, and could not be released", stream->path);
  }
}

/* Under the mutex: it shall be cut off, or not, if there was no time for it. */
static void set_cut_off(AsyncStream *stream, bool on) {
  stream->cut_off = on;
  stream->under_pressure = true; /* so that a transaction that begins looks */
}

/* Ends because whoever runs the stream fails it when all is durable; or with the time. */
static bool await_failed(AsyncStream *stream, int64_t until_us) {
  async_mutex_enter(&stream->mutex);
  bool in_time = true;
  while (stream->error.code == SQLITE_OK && in_time) {
    async_mutex_leave(&stream->mutex);
    /* An op has no bound, and the wait has one: so it is the writer's, if there is one. */
    if (async_scheduler_has_own_runner()) {
      async_scheduler_wake(&stream->task, ASYNC_WAKE_NOW);
    } else {
      async_writer_help_close(stream);
    }
    in_time = async_os_now_us() < until_us;
    async_mutex_enter(&stream->mutex);
    if (stream->error.code == SQLITE_OK && in_time) {
      async_stream_wait(stream, &stream->durable_moved, ANY_POLL_US);
    }
  }
  bool failed = stream->error.code != SQLITE_OK;
  if (!failed) set_cut_off(stream, false);
  async_mutex_leave(&stream->mutex);
  return failed;
}

int async_closing_cut_off(AsyncStream *stream, int64_t until_us) {
  async_mutex_enter(&stream->mutex);
  bool open = stream->handles > 0;
  if (open) set_cut_off(stream, true);
  async_mutex_leave(&stream->mutex);
  if (!open) return SQLITE_OK;
  if (!await_failed(stream, until_us)) return SQLITE_BUSY;
  async_lock_cut_off(stream);
  async_moved_forget_path(stream);
  return SQLITE_OK;
}

static bool is_under_way(AsyncStream *stream) {
  return stream->connections == 0 && !async_closing_is_a_file(stream);
}

bool async_closing_await_any(int64_t timeout_us) {
  int64_t until_us = async_os_now_us() + timeout_us;
  bool any = async_registry_any(is_under_way);
  bool waited = any;
  while (any && async_scheduler_has_runner() && async_os_now_us() < until_us) {
    async_os_sleep_us(ANY_POLL_US);
    any = async_registry_any(is_under_way);
  }
  return waited;
}
