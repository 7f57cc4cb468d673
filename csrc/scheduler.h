/*
** The scheduler: which streams have work, and which threads do it.
**
** A task is what the scheduler knows of a stream.  It is in one state at a
** time, and at most one runner has it:
**
**     IDLE -> READY -> RUNNING -> IDLE, READY or DELAYED (until due)
**
** A wake while RUNNING is remembered: the task becomes READY when its run
** ends, whatever the run's outcome.  So nothing is ever lost between a
** runner that finds a queue empty and a caller that fills it.
**
** A task runs on one of two lanes.  Runners of the lane WRITE never wait for a sync:
** what comes to one ends its run and goes on in the lane SYNC, until it has nothing to do.
** Each stream has a second task for the syncs that order nothing (sync.h), at home in that
** lane.  While no runner is in the lane SYNC, those of the other do its work.
**
** A runner is a thread in the loop of writer.c.  Without a task it parks on a
** condition variable of its own.  For a task that becomes ready one runner is woken,
** the one that parked last: its caches are the warmest.  A runner that
** takes a task sees to it that another one comes for what else is ready or will
** be due, for its own may wait for a disk.
**
** A runner that has just had work polls before it parks: it looks again by itself after
** pollUs.  So a commit needs no signal, a system call that takes longer than the commit
** itself.  A thread that waits for the work has a runner woken at once.
**
** One mutex guards all of it, and what runners are told (halt, stop).
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

typedef enum AsyncLaneName {
  ASYNC_LANE_WRITE,
  ASYNC_LANE_SYNC, /* its runners may wait for the disk */
} AsyncLaneName;
#define ASYNC_LANES 2

typedef struct AsyncTask AsyncTask;
struct AsyncTask {
  AsyncTask *next;
  AsyncTask *prev;
  AsyncTaskState state;
  AsyncLaneName home; /* constant: where it is woken */
  AsyncLaneName lane; /* where it is now */
  int64_t due_us;     /* of a delayed task */
  bool is_callers; /* who has it commits, and is no reason for runners to poll; cleared by finish */
};

/* In the order in which they became ready; or the delayed ones, the first due first. */
typedef struct AsyncTaskList {
  AsyncTask *first;
  AsyncTask *last;
  int count;
} AsyncTaskList;

/* A thread that runs tasks; on its stack. */
typedef struct AsyncRunner AsyncRunner;
struct AsyncRunner {
  AsyncRunner *next; /* of the parked ones: the one that parked before */
  AsyncLaneName lane;
  AsyncCond cond;
  bool parked;       /* on the list; who wakes it takes it off */
  bool polling;      /* and will look again by itself */
  int64_t until_us;  /* when it will look again by itself */
  int64_t worked_us; /* when it last had a task */
};

typedef struct AsyncLane {
  AsyncTaskList ready;
  AsyncTaskList delayed;

  AsyncRunner *parked; /* the last one first */
  int polling;         /* of them */
  int coming;          /* runners that were woken, and have not looked yet */

  int looping;   /* threads in the loop, or on their way to it */
  int threads;   /* of our own that were started */
  int suspended; /* of them that wait until halt becomes NEVER, or there are to be more */
} AsyncLane;

typedef struct AsyncScheduler {
  AsyncMutex mutex;
  AsyncLane lanes[ASYNC_LANES];
  int running; /* tasks that somebody has */

  AsyncCond changed; /* what runners are told; for those that wait for nothing else */
  int waiting;

  /* What writer.c knows of the threads that run tasks. */
  int halt;          /* SQLITEASYNC_HALT_... */
  bool stopping;     /* our own shall end */
  int64_t ended;     /* runs, so far; also those of threads that help */
  int64_t worked_us; /* when the last of them ended */

  /* No lock: whoever runs a task shall come back after the step under way. */
  atomic_bool interrupt;
} AsyncScheduler;

extern AsyncScheduler async_scheduler;

void async_scheduler_init(void);

/* The lane of this name, to be looked at under the mutex. */
AsyncLane *async_scheduler_lane(AsyncLaneName name);

/* How soon a runner is to look at a task. */
typedef enum AsyncWake {
  ASYNC_WAKE_SOON, /* one that polls needs no signal */
  ASYNC_WAKE_NOW,  /* somebody waits */
} AsyncWake;

/* There is work for the task.  The caller holds the task's stream in being. */
void async_scheduler_wake(AsyncTask *task, AsyncWake how);
/* There will be, at that time, unless it is woken before. */
void async_scheduler_delay(AsyncTask *task, int64_t due_us);

/* The task's stream wants to end, and has nothing to do: drop the task.  False if a
** runner has it: then the stream must stay, and can end when that run is over.  One
** that is only ready may never be run: the writers may be told to stop. */
bool async_scheduler_forget(AsyncTask *task);

/*
** This thread, which is no runner, wants to run the task itself: true if nobody does,
** and now it has it, as after async_scheduler_take().
*/
bool async_scheduler_claim(AsyncTask *task);

/*
** All threads but this one are gone: what they had, or were woken for, is nobody's.
** reclaim: so is this task, if one of them had it.
*/
void async_scheduler_take_over(void);
void async_scheduler_reclaim(AsyncTask *task);

/* Is there a thread that runs tasks, now and until further notice?  And one of ours, not a
** caller's in sqlite3async_run()? */
bool async_scheduler_has_runner(void);
bool async_scheduler_has_own_runner(void);

/* Under the mutex: a thread is about to enter a lane's loop, or has left it. */
void async_scheduler_note_looping(AsyncLaneName lane, int change);
/* Under the mutex: is anybody in the lane SYNC? */
bool async_scheduler_has_syncer(void);

/*
** The others want the scheduler's mutex held.
**
** take: the lane's next ready task, now running; NULL if there is none.  Delayed
** tasks that are due become ready first.
** finish: a run has ended; more: it has more to do now, in its lane; due_us > 0: at that
** time; otherwise nothing until it is woken.  move: more to do, in the lane SYNC.
** delegate: the caller is no runner, so that one has to be told.
*/
AsyncTask *async_scheduler_take(AsyncLaneName lane);
void async_scheduler_finish(AsyncTask *task, bool more, int64_t due_us);
void async_scheduler_move(AsyncTask *task);
void async_scheduler_delegate(void);

/*
** park: until the runner is woken, a delayed task is due, or the time is over; < 0: no
** bound.  False if nobody woke it.  poll: the same, and ASYNC_WAKE_SOON need not wake it.
*/
bool async_scheduler_park(AsyncRunner *runner, int64_t timeout_us);
void async_scheduler_poll(AsyncRunner *runner, int64_t timeout_us);

/* pause: until what runners are told has changed.  changed: it has. */
void async_scheduler_pause(int64_t timeout_us);
void async_scheduler_changed(void);

#endif /* ASYNC_SCHEDULER_H */
