/*
** The scheduler.  See scheduler.h.
*/
#include "scheduler.h"

#include <assert.h>
#include <stddef.h>

/* SQLITEASYNC_HALT_NEVER and _NOW, for which SQLite would have to be included. */
#define HALT_NEVER 0
#define HALT_NOW 1

AsyncScheduler async_scheduler;

void async_scheduler_init(void) {
  async_mutex_init(&async_scheduler.mutex, ASYNC_RANK_SCHEDULER);
  async_cond_init(&async_scheduler.changed);
}

/* ---- Lists ---- */

/* Behind that one; NULL: as the first. */
static void list_insert(AsyncTaskList *list, AsyncTask *before, AsyncTask *task) {
  task->prev = before;
  task->next = before == NULL ? list->first : before->next;
  if (before == NULL) {
    list->first = task;
  } else {
    before->next = task;
  }
  if (task->next == NULL) {
    list->last = task;
  } else {
    task->next->prev = task;
  }
  list->count++;
}

static void list_remove(AsyncTaskList *list, AsyncTask *task) {
  if (task->prev == NULL) {
    list->first = task->next;
  } else {
    task->prev->next = task->next;
  }
  if (task->next == NULL) {
    list->last = task->prev;
  } else {
    task->next->prev = task->prev;
  }
  list->count--;
}

static void make_ready(AsyncTask *task) {
  task->state = ASYNC_TASK_READY;
  list_insert(&async_scheduler.ready, async_scheduler.ready.last, task);
}

/* Most are due after the same time, so the place is near the end. */
static void make_delayed(AsyncTask *task, int64_t due_us) {
  task->state = ASYNC_TASK_DELAYED;
  task->due_us = due_us;
  AsyncTask *before = async_scheduler.delayed.last;
  while (before != NULL && before->due_us > due_us) before = before->prev;
  list_insert(&async_scheduler.delayed, before, task);
}

/* Off the list it is on; false if somebody runs it. */
static bool take_out(AsyncTask *task) {
  switch (task->state) {
  case ASYNC_TASK_READY:
    list_remove(&async_scheduler.ready, task);
    return true;
  case ASYNC_TASK_DELAYED:
    list_remove(&async_scheduler.delayed, task);
    return true;
  case ASYNC_TASK_IDLE:
    return true;
  case ASYNC_TASK_RUNNING:
  case ASYNC_TASK_RUNNING_WOKEN:
    break;
  }
  return false;
}

/* ---- Who is woken ---- */

static void end_rest(AsyncRunner *runner) {
  AsyncRunner **link = &async_scheduler.resting;
  while (*link != runner) link = &(*link)->next;
  *link = runner->next;
  runner->resting = false;
  if (runner->napping) async_scheduler.napping--;
}

static void wake_runner(AsyncRunner *runner) {
  end_rest(runner);
  async_scheduler.coming++;
  async_cond_broadcast(&runner->cond);
}

/* Will a runner that rests look by itself in time? */
static bool is_watched(int64_t due_us) {
  const AsyncRunner *runner = async_scheduler.resting;
  while (runner != NULL && runner->until_us > due_us) runner = runner->next;
  return runner != NULL;
}

void async_scheduler_delegate(void) {
  assert(async_mutex_is_held(&async_scheduler.mutex));
  if (async_scheduler.resting == NULL) return;
  const AsyncTask *next = async_scheduler.delayed.first;
  bool due = next != NULL && async_scheduler.coming == 0 && !is_watched(next->due_us);
  if (due || async_scheduler.ready.count > async_scheduler.coming) {
    wake_runner(async_scheduler.resting);
  }
}

void async_scheduler_changed(void) {
  assert(async_mutex_is_held(&async_scheduler.mutex));
  if (async_scheduler.waiting > 0) async_cond_broadcast(&async_scheduler.changed);
  while (async_scheduler.resting != NULL) wake_runner(async_scheduler.resting);
}

void async_scheduler_wake(AsyncTask *task, AsyncWake how) {
  async_mutex_enter(&async_scheduler.mutex);
  switch (task->state) {
  case ASYNC_TASK_RUNNING:
  case ASYNC_TASK_RUNNING_WOKEN:
    task->state = ASYNC_TASK_RUNNING_WOKEN;
    break;
  case ASYNC_TASK_READY:
    if (how == ASYNC_WAKE_NOW) async_scheduler_delegate();
    break;
  case ASYNC_TASK_IDLE:
  case ASYNC_TASK_DELAYED:
    take_out(task);
    make_ready(task);
    if (how == ASYNC_WAKE_NOW || async_scheduler.napping == 0) async_scheduler_delegate();
    break;
  }
  async_mutex_leave(&async_scheduler.mutex);
}

bool async_scheduler_forget(AsyncTask *task) {
  async_mutex_enter(&async_scheduler.mutex);
  bool can = take_out(task);
  if (can) task->state = ASYNC_TASK_IDLE;
  async_mutex_leave(&async_scheduler.mutex);
  return can;
}

/* ---- Running ---- */

static void make_running(AsyncTask *task) {
  task->state = ASYNC_TASK_RUNNING;
  async_scheduler.running++;
}

bool async_scheduler_claim(AsyncTask *task) {
  async_mutex_enter(&async_scheduler.mutex);
  bool can = take_out(task);
  if (can) make_running(task);
  async_mutex_leave(&async_scheduler.mutex);
  return can;
}

static void make_due_ready(void) {
  AsyncTask *task = async_scheduler.delayed.first;
  int64_t now_us = task == NULL ? 0 : async_os_now_us();
  while (task != NULL && task->due_us <= now_us) {
    list_remove(&async_scheduler.delayed, task);
    make_ready(task);
    task = async_scheduler.delayed.first;
  }
}

AsyncTask *async_scheduler_take(void) {
  assert(async_mutex_is_held(&async_scheduler.mutex));
  make_due_ready();
  AsyncTask *task = async_scheduler.ready.first;
  if (task == NULL) return NULL;
  list_remove(&async_scheduler.ready, task);
  make_running(task);
  async_scheduler_delegate();
  return task;
}

void async_scheduler_finish(AsyncTask *task, bool more, int64_t due_us) {
  assert(async_mutex_is_held(&async_scheduler.mutex));
  bool again = more || task->state == ASYNC_TASK_RUNNING_WOKEN;
  async_scheduler.running--;
  async_scheduler.ended++;
  async_scheduler.worked_us = async_os_now_us();
  if (again) {
    make_ready(task);
  } else if (due_us > 0) {
    make_delayed(task, due_us);
  } else {
    task->state = ASYNC_TASK_IDLE;
  }
  /* Those that return when all is done must hear of it. */
  if (async_scheduler.halt != HALT_NEVER) async_scheduler_changed();
}

void async_scheduler_take_over(void) {
  async_mutex_enter(&async_scheduler.mutex);
  async_scheduler.running = 0;
  async_scheduler.resting = NULL;
  async_scheduler.napping = async_scheduler.coming = async_scheduler.waiting = 0;
  async_scheduler.looping = async_scheduler.threads = async_scheduler.parked = 0;
  async_mutex_leave(&async_scheduler.mutex);
}

void async_scheduler_reclaim(AsyncTask *task) {
  async_mutex_enter(&async_scheduler.mutex);
  if (!take_out(task)) task->state = ASYNC_TASK_IDLE;
  make_ready(task);
  async_mutex_leave(&async_scheduler.mutex);
}

/* ---- Resting ---- */

static bool rest(AsyncRunner *runner, int64_t timeout_us, bool nap) {
  assert(async_mutex_is_held(&async_scheduler.mutex));
  const AsyncTask *next = async_scheduler.delayed.first;
  int64_t now_us = timeout_us >= 0 || next != NULL ? async_os_now_us() : 0;
  runner->until_us = timeout_us < 0 ? INT64_MAX : now_us + timeout_us;
  if (next != NULL && next->due_us < runner->until_us) runner->until_us = next->due_us;
  bool bounded = runner->until_us != INT64_MAX;
  if (bounded && runner->until_us <= now_us) return true; /* something is due */

  runner->resting = true;
  runner->napping = nap;
  if (nap) async_scheduler.napping++;
  runner->next = async_scheduler.resting;
  async_scheduler.resting = runner;
  async_cond_wait(&runner->cond, &async_scheduler.mutex, bounded ? runner->until_us - now_us : -1);
  bool woken = !runner->resting;
  if (woken) {
    async_scheduler.coming--;
  } else {
    end_rest(runner);
  }
  return woken;
}

bool async_scheduler_rest(AsyncRunner *runner, int64_t timeout_us) {
  return rest(runner, timeout_us, false);
}

void async_scheduler_nap(AsyncRunner *runner, int64_t timeout_us) {
  rest(runner, timeout_us, true);
}

void async_scheduler_pause(int64_t timeout_us) {
  async_scheduler.waiting++;
  async_cond_wait(&async_scheduler.changed, &async_scheduler.mutex, timeout_us);
  async_scheduler.waiting--;
}

/* Under the mutex: is there one of our own threads, now and until further notice? */
static bool has_own(void) {
  int idle = async_scheduler.halt == HALT_NEVER ? 0 : async_scheduler.parked;
  return async_scheduler.threads > idle && !async_scheduler.stopping;
}

bool async_scheduler_has_runner(void) {
  async_mutex_enter(&async_scheduler.mutex);
  bool has = (has_own() || async_scheduler.looping > 0) && async_scheduler.halt != HALT_NOW;
  async_mutex_leave(&async_scheduler.mutex);
  return has;
}

bool async_scheduler_has_own_runner(void) {
  async_mutex_enter(&async_scheduler.mutex);
  bool has = has_own() && async_scheduler.halt != HALT_NOW;
  async_mutex_leave(&async_scheduler.mutex);
  return has;
}
