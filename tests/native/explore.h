/*
** Exploring the interleavings of a small history: it is run again and again, each time in
** a forked process on a disk in memory, under another schedule of the stepper.
**
** First without a deviation from the default, then with each single one, then with each
** pair of them, and so on as far as the budget goes; if there are more than that, then
** with as many drawn at random, half of them as deviations, half as random priorities.
**
** A run fails if anything the history CHECKs does not hold, if an assertion of the core
** does not, if there is a deadlock, if a thread that waits for the writer is not woken but
** looks again after a while by itself, or if it takes longer in virtual time than the
** history should.  Its schedule is printed, and
**
**     SCHEDULE=HISTORY/12.1,57.2 zig-out/native-tests/explore_test
**
** runs just that one, telling who runs when; with the same build, for with gcc there are
** other points (step_atomics.c).
*/
#ifndef TEST_EXPLORE_H
#define TEST_EXPLORE_H

#include "database.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct History {
  const char *name;      /* without spaces and slashes */
  void (*prepare)(void); /* makes databases, with plain SQLite; or NULL */
  void (*run)(void);     /* in each process, under the stepper */
  /* A run must not take more virtual time than this; a wake-up that is lost costs a
  ** slice of polling or lasts for ever. */
  int64_t time_max_us;
  int schedules; /* of the default run; of the full one, many times as many */
  /* The writer is stopped, halted or stuck: who waits for it may have to look again. */
  bool slices_pass;
} History;

/* Explore; fails the test with the first schedule that does not hold. */
void explore(const History *history);

/* ---- For histories ---- */

/* Start a thread, and wait for it. */
typedef struct ExploreThread ExploreThread;
ExploreThread *explore_thread(const char *name, void (*run)(void *), void *arg);
void explore_join(ExploreThread *thread);

/* The path of a database on the disk in memory. */
const char *explore_path(const char *name);

/* A connection by plain SQLite, as another process's. */
sqlite3 *open_foreign(const char *path);

/* With plain SQLite: a database with a table t(a) that is empty. */
void make_table(const char *path, const char *journal_mode);

/* The library on the disk in memory, running, with nothing that comes by the clock. */
void explore_setup(void);

/* A connection through us that waits when the database is busy. */
sqlite3 *open_patient(const char *path);

/*
** Look at a database, and at `other` (or NULL) that is attached to it as "other", as
** plain SQLite finds them after a power cut now, or after a crash of the process:
** integrity_check must find nothing.  The number that the SQL gives.
*/
int64_t number_after_power_cut(const char *path, const char *other, const char *sql);
int64_t number_after_crash(const char *path, const char *other, const char *sql);

/* Close the library; no stream may be left then.  The code of closing, or it must be
** SQLITE_OK. */
int explore_close_all_code(void);
void explore_close_all(void);

#endif /* TEST_EXPLORE_H */
