/*
** The scheduler: which streams have work for a writer.
**
** A task is what the scheduler knows of a stream.  It is in one state at a
** time, and at most one writer runs it:
**
**     IDLE -> READY -> RUNNING -> IDLE, READY or DELAYED (until due)
**
** A wake while RUNNING is remembered: the task becomes READY when its run
** ends, whatever the run's outcome.  So nothing is ever lost between a
** writer that finds a queue empty and a caller that fills it.
**
** One mutex guards all of it, and what a runner is told (halt, stop).  The
** condition variable is signalled only when a runner waits.
*/
#ifndef ASYNC_SCHEDULER_H
#define ASYNC_SCHEDULER_H

#include "mutex.h"

#include <stdatomic.h>

typedef enum AsyncTaskState {
  ASYNC_TASK_IDLE,
  ASYNC_TASK_READY,
  ASYNC_TASK_RUNNING,
  ASYNC_TASK_RUNNING_WOKEN,
  ASYNC_TASK_DELAYED,
} AsyncTaskState;

typedef struct AsyncTask AsyncTask;
struct AsyncTask {
  AsyncTask *next;
  AsyncTask *prev;
  AsyncTaskState state;
  int64_t due_us; /* of a delayed task */
};

typedef struct AsyncTaskList {
  AsyncTask *first;
  AsyncTask *last;
} AsyncTaskList;

typedef struct AsyncScheduler {
  AsyncMutex mutex;
  AsyncCond changed;
  int waiting; /* threads in async_scheduler_wait */
  AsyncTaskList ready;
  AsyncTaskList delayed;

  /* What writer.c knows of the threads that run tasks. */
  bool looping;  /* a thread is in the loop */
  int halt;      /* SQLITEASYNC_HALT_... */
  bool started;  /* we have a thread of our own */
  bool stopping; /* which shall end */
  bool parked;   /* or waits for halt to become NEVER again */

  /* No lock: whoever runs a task shall come back after the step under way. */
  atomic_bool interrupt;
} AsyncScheduler;

extern AsyncScheduler async_scheduler;

void async_scheduler_init(void);

/* There is work for the task.  The caller holds the task's stream in being. */
void async_scheduler_wake(AsyncTask *task);

/* The task's stream wants to end, and has nothing to do: drop the task.  False if a
** writer has it: then the stream must stay, and can end when that run is over.  One
** that is only ready may never be run: the writer may be told to stop. */
bool async_scheduler_forget(AsyncTask *task);

/*
** This thread wants to run the task itself: true if nobody does, and now it has
** it, as after async_scheduler_take().
*/
bool async_scheduler_claim(AsyncTask *task);

/* Is there a thread that runs tasks, now and until further notice? */
bool async_scheduler_has_runner(void);

/*
** The next five want the scheduler's mutex held.
**
** take: the next ready task, now running; NULL if there is none.  Delayed
** tasks that are due become ready first.
** finish: a run has ended; more: it has more to do now; due_us > 0: at that
** time; otherwise nothing until it is woken.
** wait: until something changes or a delayed task is due; false if nothing did.
** pause: the same, whatever is due.
*/
AsyncTask *async_scheduler_take(void);
void async_scheduler_finish(AsyncTask *task, bool more, int64_t due_us);
bool async_scheduler_wait(int64_t timeout_us);
bool async_scheduler_pause(int64_t timeout_us);
void async_scheduler_changed(void);

#endif /* ASYNC_SCHEDULER_H */
