/*
** Random histories of databases, recorded and checked: through sqlite3async, its
** writer stepped between the statements, or by plain SQLite, which then does the
** same statements.
**
** A history begins with nothing on disk.  Having been checked, it goes on from what
** a power cut has left at some point, or from what is there when only the process has
** died: with hot journals and WALs, and in the latter case with what was not synced.
*/
#ifndef TEST_POWER_HISTORY_H
#define TEST_POWER_HISTORY_H

#include "power_check.h"

typedef enum Attached {
  ATTACHED_NOTHING,
  ATTACHED_BESIDE, /* a second database in the same folder */
  ATTACHED_BELOW,  /* in another folder */
} Attached;

typedef struct Scenario {
  const char *mode;
  const char *level;
  int page_size;
  Attached attached;
  bool company;       /* further connections: one reads, one makes checkpoints */
  bool changes_modes; /* and levels, now and then */
  bool releases;      /* lets another process have the database */
  bool beside;        /* there is a writer to be waited for, and the checkpointer */
  bool voids;         /* checkpoints again and again: the WAL is voided, see csrc/wal.h */
  bool raw;           /* the device is not said to be powersafe */
  DiskKind disk;
  int points;      /* as in Check */
  int cuts;        /* as in Check */
  int actions;     /* in the first part, */
  int later_parts; /* and how often it goes on, with half as many */
} Scenario;

/* Run one of this number, of the seed of the run; explained: as in Check. */
void run_power_history(const Scenario *scenario, bool plain, uint64_t number, int explained,
                       Tally *tally);

#endif /* TEST_POWER_HISTORY_H */
