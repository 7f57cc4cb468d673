/*
** Scenarios: small histories to be run again and again, each time with
** another fault.
**
** A scenario prepares a folder by plain SQLite, once; each run works on a copy
** of it, with a second database in another folder beside it.  Every
** transaction is made in a model, too, so that what is found on disk can be
** told: it must be the content after one of them.
**
** A run goes so: open both, do the script, flush, look at the disk as it would
** be after a crash, close, look again, then open the databases through the VFS
** again, with no fault any more, and commit.  Who injects the fault says when
** it begins, and whether there was any, by the hooks.
**
** What must hold whatever fails:
**
**   1. On disk is a whole transaction's content, of all databases the same one,
**      and none before the last one that a flush has reported durable.
**   2. If it is not the last one that was committed, somebody was told.
**   3. A stream that failed gives its code to whoever asks, until it is closed.
**   4. The other database has everything.
**   5. Afterwards nothing is left: no stream, no memory.
**   6. Opened again, the database works.
*/
#ifndef TEST_SCENARIO_H
#define TEST_SCENARIO_H

#include "harness.h"

typedef struct Scenario {
  const char *name;
  void (*prepare)(void);
  void (*script)(void);
  bool two;        /* databases that share transactions */
  bool has_thread; /* a writer's thread runs; otherwise the test steps */
  /* What a close leaves is looked at, also by another process: with a thread. */
  bool leaves_files;
} Scenario;

extern const Scenario scenarios[]; /* ended by one without a name */

/* The scenario of this name; NULL if there is none. */
const Scenario *scenario_find(const char *name);

/* For main(): a test for each scenario, and some more (ended by one without a name). */
int scenario_run_tests(void (*run)(void), const TestCase *more);

/* Is this one of all injections to be made, in a run that makes one in n of them? */
bool scenario_chooses(int one_in);
/* Of a scenario that takes longer, so many times fewer. */
int scenario_thins(const Scenario *scenario);

/* The folder of the databases that faults are for, and what their paths have in them. */
#define SCENARIO_FOLDER "live"
#define SCENARIO_PATHS "/live"
#define SCENARIO_CODES_MAX 64

typedef struct Outcome {
  int codes[SCENARIO_CODES_MAX]; /* all that calls gave, but SQLITE_OK */
  int code_count;
  int stream_code; /* with which a stream of the scenario failed; or SQLITE_OK */
  int other_code;  /* the first one of the other database */
  bool flushed;    /* the flush after the script gave SQLITE_OK */
  bool told;       /* somebody got a code, or would get one with the next flush */
} Outcome;

typedef struct Hooks {
  void (*begin)(void *arg);  /* from here on faults may come */
  int (*end)(void *arg);     /* no more of them; how many there were */
  void (*before)(void *arg); /* called before each statement of the script; or NULL */
  void (*after)(void *arg);  /* and after it */
  void (*settle)(void *arg); /* called after all that can be applied was; or NULL */
  void *arg;
  bool may_hit_other; /* a fault may be the other database's, too */
} Hooks;

/* With leaves_files: is nothing open here, and has another process the database at once? */
void scenario_look_as_other(void);

/* Prepare one, in this process. */
void scenario_prepare(const Scenario *scenario);

/* Run it; eager: all is applied after each statement, otherwise later.  Returns the
** number of faults. */
int scenario_run(const Scenario *scenario, bool eager, const Hooks *hooks, Outcome *outcome);

/* Words for what is being done now, told if the test fails. */
void scenario_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* FAIL(), with those words. */
#define SCENARIO_FAIL(...) (scenario_tell(), FAIL(__VA_ARGS__))
void scenario_tell(void);

#endif /* TEST_SCENARIO_H */
