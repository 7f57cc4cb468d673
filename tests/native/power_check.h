/*
** The checker: at each point of a recording, what a power cut may leave there must be
** what the promises say.
**
**   - plain SQLite can open it, and integrity_check finds nothing;
**   - the content is what it was after some transaction that was begun to be
**     committed by then;
**   - and that is none before the last one that was called durable by then;
**   - a transaction on several databases is in all of them or in none.
**
** An image that was seen before is not looked at again, only compared with what is
** demanded at this point.
*/
#ifndef TEST_POWER_CHECK_H
#define TEST_POWER_CHECK_H

#include "power_image.h"
#include "power_void.h"

#define DATABASES_MAX 2
#define STATES_MAX 400

/* Notes in the log. */
#define NOTE_COMMITTING 1 /* number: of the transaction */
#define NOTE_DURABLE 2    /* of database `which`, its state `number` is from here on */
#define NOTE_RESTART 3    /* the process has died, and another begins */

/*
** The states of the databases.  Transactions have numbers that only grow; a
** database's state is the number of the last one that changed it.
*/
typedef struct States {
  int databases;
  const char *files[DATABASES_MAX]; /* their names in the folder */
  uint64_t hashes[DATABASES_MAX][STATES_MAX];
  bool known[DATABASES_MAX][STATES_MAX];
  bool joint[STATES_MAX]; /* the transaction changed all databases at once */
  bool atomic;            /* and is in all or in none */
} States;

typedef struct Tally {
  int64_t cuts;
  int64_t distinct; /* images */
  int64_t faults;   /* distinct images, at points where they must not be */
  Voids voids;      /* in the histories; not by check_recording() */
} Tally;

typedef struct Check {
  const States *states;
  const char *folder;
  const char *title; /* of the history, for a failure's words */
  int from;          /* position in the log */
  DiskKind disk;
  int points; /* to look at behind a write, about; at all others anyway */
  int cuts;   /* at each point, besides the fixed ones */
  uint64_t seed;
  int explained; /* so many faults are still to be explained at length */
} Check;

/* Databases that are nothing yet, in a folder. */
void states_begin(States *states, const char *folder);

void check_recording(const Check *check, Tally *tally);

/* Forget which images there were. */
void check_free(void);

#endif /* TEST_POWER_CHECK_H */
