/*
** The stepper: the threads of a process one at a time, in an order that is decided,
** not met.
**
** The core's porting layer makes all its threads, waits and clocks.  In the native
** tests its calls go through step_posix.c, which hands them to the system, or, once
** step_start() was called, to the stepper.  Then one thread has the baton and runs;
** the others wait for it.  Where another could go on as well, at a lock, a wait, a
** call of the parent VFS (memdisk.h), it is decided who does:
**
**   - by default the one that runs goes on, and if it cannot, the next in turn does;
**   - a plan says where to deviate from that: "take the k-th of those that could go on
**     at the n-th decision"; or draws it at random.
**
** So a schedule is a list of deviations, and the same list gives the same run.
**
** Time stands still while anybody can run.  When nobody can, it jumps to the end of the
** next timed wait or sleep; with none of these, that is a deadlock, and the run fails.
** So a wake-up that was lost shows as a deadlock or as virtual time gone by.
**
** C11 atomics that serve as flags are points, too: see step_atomics.c.
**
** All is kept by the thread that has the baton.
*/
#ifndef TEST_STEPPER_H
#define TEST_STEPPER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define STEP_THREADS_MAX 24
#define STEP_DECISIONS_MAX 60000
#define STEP_DEVIATIONS_MAX 1000

typedef struct StepDeviation {
  int decision;
  int choice; /* 0 is the default */
} StepDeviation;

typedef enum StepMode {
  STEP_BY_LIST,     /* of deviations */
  STEP_DEVIATE,     /* `count` times, at decisions drawn from about `length` */
  STEP_BY_PRIORITY, /* random ones, which change `count` times (as in PCT) */
} StepMode;

typedef struct StepPlan {
  StepMode mode;
  int count;
  StepDeviation list[STEP_DEVIATIONS_MAX]; /* of STEP_BY_LIST, in order */
  uint64_t seed;                           /* of the others */
  int length;
  bool verbose; /* print who runs when */
} StepPlan;

/* What came of it; in memory that outlives the process. */
typedef struct StepTrace {
  int decisions;
  uint32_t hash; /* of who did what */
  int64_t virtual_us;
  int slices; /* waits for the writer that only their time ended; see step_posix.c */
  unsigned char options[STEP_DECISIONS_MAX];
  unsigned char choices[STEP_DECISIONS_MAX];
} StepTrace;

/*
** From here on the calling thread, and each that is started by thread_start() or by the
** core, is stepped.  Not to be ended: the process ends with it.
*/
void step_start(const StepPlan *plan, StepTrace *trace);
bool step_is_on(void);

/* Decide as planned, or not yet: always as by default. */
void step_branch(bool on);

/* What the calling thread is called in a trace. */
void step_name(const char *name);

/*
** Between these nobody else runs, and no point counts: for what the test itself looks
** at.  Nothing may wait meanwhile.
*/
void step_aside(void);
void step_back(void);

/* ---- For what stands in for the system's calls ---- */

/* Another thread may go on here. */
void step_point(const char *what);

/* What a thread waits for. */
typedef enum StepWait { STEP_MUTEX, STEP_CONDITION, STEP_SLEEP, STEP_JOIN } StepWait;

/* Wait until step_wake() says so, or until then; false if it was the time. */
bool step_wait(StepWait kind, const void *object, int64_t until_us);
#define STEP_FOR_EVER INT64_MAX
void step_wake(StepWait kind, const void *object);

/* A thread has waited for the writer in vain, for as long as it does before it looks again. */
void step_note_slice(void);

int64_t step_now_us(void);
void step_sleep_us(int64_t us);

/* A new thread: who will be called so; it calls step_enter() first and step_leave()
** last.  The number is what joins it. */
int step_new_thread(void);
void step_enter(int number);
void step_leave(int number);
void step_join(int number);

/* As pthread_create() and pthread_join(). */
int step_thread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                       void *arg);
int step_thread_join(pthread_t thread, void **result);

#endif /* TEST_STEPPER_H */
