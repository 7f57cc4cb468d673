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

static void list_append(AsyncTaskList *list, AsyncTask *task) {
  task->next = NULL;
  task->prev = list->last;
  if (list->last == NULL) {
    list->first = task;
  } else {
    list->last->next = task;
  }
  list->last = task;
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
}

static void make_ready(AsyncTask *task) {
  task->state = ASYNC_TASK_READY;
  list_append(&async_scheduler.ready, task);
}

void async_scheduler_changed(void) {
  assert(async_mutex_is_held(&async_scheduler.mutex));
  if (async_scheduler.waiting > 0) async_cond_broadcast(&async_scheduler.changed);
}

void async_scheduler_wake(AsyncTask *task) {
  async_mutex_enter(&async_scheduler.mutex);
  switch (task->state) {
  case ASYNC_TASK_DELAYED:
    list_remove(&async_scheduler.delayed, task);
    make_ready(task);
    async_scheduler_changed();
    break;
  case ASYNC_TASK_IDLE:
    make_ready(task);
    async_scheduler_changed();
    break;
  case ASYNC_TASK_RUNNING:
    task->state = ASYNC_TASK_RUNNING_WOKEN;
    break;
  case ASYNC_TASK_READY:
  case ASYNC_TASK_RUNNING_WOKEN:
    break;
  }
  async_mutex_leave(&async_scheduler.mutex);
}

bool async_scheduler_forget(AsyncTask *task) {
  async_mutex_enter(&async_scheduler.mutex);
  bool can = task->state != ASYNC_TASK_RUNNING && task->state != ASYNC_TASK_RUNNING_WOKEN;
  if (task->state == ASYNC_TASK_READY) list_remove(&async_scheduler.ready, task);
  if (task->state == ASYNC_TASK_DELAYED) list_remove(&async_scheduler.delayed, task);
  if (can) task->state = ASYNC_TASK_IDLE;
  async_mutex_leave(&async_scheduler.mutex);
  return can;
}

bool async_scheduler_claim(AsyncTask *task) {
  async_mutex_enter(&async_scheduler.mutex);
  bool can = task->state != ASYNC_TASK_RUNNING && task->state != ASYNC_TASK_RUNNING_WOKEN;
  if (task->state == ASYNC_TASK_READY) list_remove(&async_scheduler.ready, task);
  if (task->state == ASYNC_TASK_DELAYED) list_remove(&async_scheduler.delayed, task);
  if (can) task->state = ASYNC_TASK_RUNNING;
  async_mutex_leave(&async_scheduler.mutex);
  return can;
}

AsyncTask *async_scheduler_take(void) {
  assert(async_mutex_is_held(&async_scheduler.mutex));
  int64_t now_us = async_scheduler.delayed.first == NULL ? 0 : async_os_now_us();
  AsyncTask *next;
  for (AsyncTask *task = async_scheduler.delayed.first; task != NULL; task = next) {
    next = task->next;
    if (task->due_us > now_us) continue;
    list_remove(&async_scheduler.delayed, task);
    make_ready(task);
  }
  AsyncTask *task = async_scheduler.ready.first;
  if (task == NULL) return NULL;
  list_remove(&async_scheduler.ready, task);
  task->state = ASYNC_TASK_RUNNING;
  return task;
}

void async_scheduler_finish(AsyncTask *task, bool more, int64_t due_us) {
  assert(async_mutex_is_held(&async_scheduler.mutex));
  if (more || task->state == ASYNC_TASK_RUNNING_WOKEN) {
    make_ready(task);
  } else if (due_us > 0) {
    task->state = ASYNC_TASK_DELAYED;
    task->due_us = due_us;
    list_append(&async_scheduler.delayed, task);
  } else {
    task->state = ASYNC_TASK_IDLE;
  }
  /* The runner of this turn may be another thread than the writer, which sleeps: it
  ** must hear of what is to be done, and whether all is, if it is to return then. */
  bool idle = task->state == ASYNC_TASK_IDLE;
  if (!idle || async_scheduler.halt != HALT_NEVER) async_scheduler_changed();
}

bool async_scheduler_wait(int64_t timeout_us) {
  assert(async_mutex_is_held(&async_scheduler.mutex));
  int64_t now_us = async_os_now_us();
  for (AsyncTask *task = async_scheduler.delayed.first; task != NULL; task = task->next) {
    int64_t left_us = task->due_us > now_us ? task->due_us - now_us : 0;
    if (timeout_us < 0 || left_us < timeout_us) timeout_us = left_us;
  }
  return async_scheduler_pause(timeout_us);
}

bool async_scheduler_pause(int64_t timeout_us) {
  async_scheduler.waiting++;
  bool woken = async_cond_wait(&async_scheduler.changed, &async_scheduler.mutex, timeout_us);
  async_scheduler.waiting--;
  return woken;
}

bool async_scheduler_has_runner(void) {
  async_mutex_enter(&async_scheduler.mutex);
  bool parked = async_scheduler.parked && async_scheduler.halt != HALT_NEVER;
  bool own = async_scheduler.started && !async_scheduler.stopping && !parked;
  bool has = (own || async_scheduler.looping) && async_scheduler.halt != HALT_NOW;
  async_mutex_leave(&async_scheduler.mutex);
  return has;
}
