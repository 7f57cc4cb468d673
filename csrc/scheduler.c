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

AsyncLane *async_scheduler_lane(AsyncLaneName name) { return &async_scheduler.lanes[name]; }

static AsyncLane *lane_of(const AsyncTask *task) { return async_scheduler_lane(task->lane); }

/* Where the task is to go: to a lane in which somebody is. */
static void choose_lane(AsyncTask *task, AsyncLaneName wanted) {
  bool nobody = async_scheduler_lane(ASYNC_LANE_SYNC)->looping == 0;
  task->lane = nobody ? ASYNC_LANE_WRITE : wanted;
}

static void make_ready(AsyncTask *task, AsyncLaneName wanted) {
  choose_lane(task, wanted);
  AsyncTaskList *ready = &lane_of(task)->ready;
  task->state = ASYNC_TASK_READY;
  list_insert(ready, ready->last, task);
}

/* Most are due after the same time, so the place is near the end. */
static void make_delayed(AsyncTask *task, int64_t due_us) {
  choose_lane(task, task->home);
  AsyncTaskList *delayed = &lane_of(task)->delayed;
  task->state = ASYNC_TASK_DELAYED;
  task->due_us = due_us;
  AsyncTask *before = delayed->last;
  while (before != NULL && before->due_us > due_us) before = before->prev;
  list_insert(delayed, before, task);
}

/* Off the list it is on; false if somebody runs it. */
static bool take_out(AsyncTask *task) {
  switch (task->state) {
  case ASYNC_TASK_READY:
    list_remove(&lane_of(task)->ready, task);
    return true;
  case ASYNC_TASK_DELAYED:
    list_remove(&lane_of(task)->delayed, task);
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

static void end_park(AsyncRunner *runner) {
  AsyncLane *lane = async_scheduler_lane(runner->lane);
  AsyncRunner **link = &lane->parked;
  while (*link != runner) link = &(*link)->next;
  *link = runner->next;
  runner->parked = false;
  if (runner->polling) lane->polling--;
}

static void wake_runner(AsyncRunner *runner) {
  end_park(runner);
  async_scheduler_lane(runner->lane)->coming++;
  async_cond_broadcast(&runner->cond);
}

/* True if a parked runner will look by itself in time. */
static bool is_watched(const AsyncLane *lane, int64_t due_us) {
  const AsyncRunner *runner = lane->parked;
  while (runner != NULL && runner->until_us > due_us) runner = runner->next;
  return runner != NULL;
}

static void delegate(AsyncLane *lane) {
  if (lane->parked == NULL) return;
  const AsyncTask *next = lane->delayed.first;
  bool due = next != NULL && lane->coming == 0 && !is_watched(lane, next->due_us);
  if (due || lane->ready.count > lane->coming) wake_runner(lane->parked);
}

void async_scheduler_delegate(void) {
  assert(async_mutex_is_held(&async_scheduler.mutex));
  for (int i = 0; i < ASYNC_LANES; i++) delegate(async_scheduler_lane(i));
}

void async_scheduler_changed(void) {
  assert(async_mutex_is_held(&async_scheduler.mutex));
  if (async_scheduler.waiting > 0) async_cond_broadcast(&async_scheduler.changed);
  for (int i = 0; i < ASYNC_LANES; i++) {
    while (async_scheduler_lane(i)->parked != NULL) wake_runner(async_scheduler_lane(i)->parked);
  }
}

/* The first or the last runner has come or gone: every task goes where it is to be now. */
static void sort_into_lanes(void) {
  for (int i = 0; i < ASYNC_LANES; i++) {
    AsyncTaskList ready = async_scheduler_lane(i)->ready;
    AsyncTaskList delayed = async_scheduler_lane(i)->delayed;
    async_scheduler_lane(i)->ready = async_scheduler_lane(i)->delayed = (AsyncTaskList){0};
    for (AsyncTask *task = ready.first, *next; task != NULL; task = next) {
      next = task->next;
      make_ready(task, task->home);
    }
    for (AsyncTask *task = delayed.first, *next; task != NULL; task = next) {
      next = task->next;
      make_delayed(task, task->due_us);
    }
  }
}

void async_scheduler_note_looping(AsyncLaneName name, int change) {
  assert(async_mutex_is_held(&async_scheduler.mutex));
  AsyncLane *lane = async_scheduler_lane(name);
  bool was_there = lane->looping > 0;
  lane->looping += change;
  if (name != ASYNC_LANE_SYNC || was_there == (lane->looping > 0)) return;
  sort_into_lanes();
  async_scheduler_delegate();
}

bool async_scheduler_has_syncer(void) { return async_scheduler_lane(ASYNC_LANE_SYNC)->looping > 0; }

void async_scheduler_wake(AsyncTask *task, AsyncWake how) {
  async_mutex_enter(&async_scheduler.mutex);
  switch (task->state) {
  case ASYNC_TASK_RUNNING:
  case ASYNC_TASK_RUNNING_WOKEN:
    task->state = ASYNC_TASK_RUNNING_WOKEN;
    break;
  case ASYNC_TASK_READY:
    if (how == ASYNC_WAKE_NOW) delegate(lane_of(task));
    break;
  case ASYNC_TASK_IDLE:
  case ASYNC_TASK_DELAYED:
    take_out(task);
    make_ready(task, task->home);
    if (how == ASYNC_WAKE_NOW || lane_of(task)->polling == 0) delegate(lane_of(task));
    break;
  }
  async_mutex_leave(&async_scheduler.mutex);
}

void async_scheduler_delay(AsyncTask *task, int64_t due_us) {
  async_mutex_enter(&async_scheduler.mutex);
  bool later = task->state == ASYNC_TASK_DELAYED && task->due_us > due_us;
  if (task->state == ASYNC_TASK_IDLE || later) {
    take_out(task);
    make_delayed(task, due_us);
    delegate(lane_of(task));
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

static void make_due_ready(AsyncLane *lane) {
  AsyncTask *task = lane->delayed.first;
  int64_t now_us = task == NULL ? 0 : async_os_now_us();
  while (task != NULL && task->due_us <= now_us) {
    list_remove(&lane->delayed, task);
    make_ready(task, task->home);
    task = lane->delayed.first;
  }
}

AsyncTask *async_scheduler_take(AsyncLaneName name) {
  assert(async_mutex_is_held(&async_scheduler.mutex));
  AsyncLane *lane = async_scheduler_lane(name);
  make_due_ready(lane);
  AsyncTask *task = lane->ready.first;
  if (task == NULL) return NULL;
  list_remove(&lane->ready, task);
  make_running(task);
  delegate(lane);
  return task;
}

/* Somebody's run of the task has ended. */
static bool end_running(AsyncTask *task) {
  assert(async_mutex_is_held(&async_scheduler.mutex));
  bool woken = task->state == ASYNC_TASK_RUNNING_WOKEN;
  async_scheduler.running--;
  async_scheduler.ended++;
  if (!task->is_callers) async_scheduler.worked_us = async_os_now_us();
  task->is_callers = false;
  return woken;
}

void async_scheduler_move(AsyncTask *task) {
  end_running(task);
  make_ready(task, ASYNC_LANE_SYNC);
  delegate(lane_of(task));
}

void async_scheduler_finish(AsyncTask *task, bool more, int64_t due_us) {
  bool woken = end_running(task);
  AsyncLaneName before = task->lane;
  if (more) {
    make_ready(task, task->lane);
  } else if (woken) {
    make_ready(task, task->home);
  } else if (due_us > 0) {
    make_delayed(task, due_us);
  } else {
    task->state = ASYNC_TASK_IDLE;
  }
  if (task->lane != before) delegate(lane_of(task)); /* the caller will not look there */
  /* Those that return when all is done must hear of it. */
  if (async_scheduler.halt != HALT_NEVER) async_scheduler_changed();
}

void async_scheduler_take_over(void) {
  async_mutex_enter(&async_scheduler.mutex);
  async_scheduler.running = async_scheduler.waiting = 0;
  for (int i = 0; i < ASYNC_LANES; i++) {
    AsyncLane *lane = async_scheduler_lane(i);
    lane->parked = NULL;
    lane->polling = lane->coming = lane->looping = lane->threads = lane->suspended = 0;
  }
  sort_into_lanes();
  async_mutex_leave(&async_scheduler.mutex);
}

void async_scheduler_reclaim(AsyncTask *task) {
  async_mutex_enter(&async_scheduler.mutex);
  if (!take_out(task)) task->state = ASYNC_TASK_IDLE;
  make_ready(task, task->home);
  async_mutex_leave(&async_scheduler.mutex);
}

/* ---- Resting ---- */

static bool park(AsyncRunner *runner, int64_t timeout_us, bool polls) {
  assert(async_mutex_is_held(&async_scheduler.mutex));
  AsyncLane *lane = async_scheduler_lane(runner->lane);
  const AsyncTask *next = lane->delayed.first;
  int64_t now_us = timeout_us >= 0 || next != NULL ? async_os_now_us() : 0;
  runner->until_us = timeout_us < 0 ? INT64_MAX : now_us + timeout_us;
  if (next != NULL && next->due_us < runner->until_us) runner->until_us = next->due_us;
  bool bounded = runner->until_us != INT64_MAX;
  if (bounded && runner->until_us <= now_us) return true; /* something is due */

  runner->parked = true;
  runner->polling = polls;
  if (polls) lane->polling++;
  runner->next = lane->parked;
  lane->parked = runner;
  async_cond_wait(&runner->cond, &async_scheduler.mutex, bounded ? runner->until_us - now_us : -1);
  bool woken = !runner->parked;
  if (woken) {
    lane->coming--;
  } else {
    end_park(runner);
  }
  return woken;
}

bool async_scheduler_park(AsyncRunner *runner, int64_t timeout_us) {
  return park(runner, timeout_us, false);
}

void async_scheduler_poll(AsyncRunner *runner, int64_t timeout_us) {
  park(runner, timeout_us, true);
}

void async_scheduler_pause(int64_t timeout_us) {
  async_scheduler.waiting++;
  async_cond_wait(&async_scheduler.changed, &async_scheduler.mutex, timeout_us);
  async_scheduler.waiting--;
}

/* Under the mutex: is there one of our own threads, now and until further notice? */
static bool has_own(void) {
  const AsyncLane *lane = async_scheduler_lane(ASYNC_LANE_WRITE);
  int idle = async_scheduler.halt == HALT_NEVER ? 0 : lane->suspended;
  return lane->threads > idle && !async_scheduler.stopping;
}

bool async_scheduler_has_runner(void) {
  async_mutex_enter(&async_scheduler.mutex);
  bool has = (has_own() || async_scheduler_lane(ASYNC_LANE_WRITE)->looping > 0) &&
             async_scheduler.halt != HALT_NOW;
  async_mutex_leave(&async_scheduler.mutex);
  return has;
}

bool async_scheduler_has_own_runner(void) {
  async_mutex_enter(&async_scheduler.mutex);
  bool has = has_own() && async_scheduler.halt != HALT_NOW;
  async_mutex_leave(&async_scheduler.mutex);
  return has;
}
