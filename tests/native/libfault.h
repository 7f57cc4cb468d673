/*
** Faults of the system: in the native tests the core's calls of malloc() and
** its kin, of mmap() and of pthread_create() come here instead (the list of
** macros is in build.zig and tools/asan.ts), and can be made to fail.  What the
** core has allocated is counted, so that a test can see that nothing leaks.
*/
#ifndef TEST_LIBFAULT_H
#define TEST_LIBFAULT_H

#include <stdbool.h>
#include <stdint.h>

/* Sets of calls. */
#define OF_MEMORY 1u /* malloc, calloc, realloc of the core */
#define OF_PAGES 2u  /* mmap of the core: the chunks of queues */
#define OF_SQLITE 4u /* SQLite's own allocator, once libfault_wrap_sqlite() was called */
#define OF_THREAD 8u /* pthread_create of the core */

/* Let `after` calls of the set pass, then make `times` of them (< 0: all) fail. */
void libfault_fail(unsigned set, int after, int times);
/* No more faults; how many there were. */
int libfault_stop(void);
/* Calls of the set since libfault_fail() was called. */
int libfault_calls(unsigned set);

/* No faults for a while, on this thread: what it does now is the test's own. */
void libfault_suspend(bool on);

/* What the core has allocated and not given back. */
int64_t libfault_live_blocks(void);
int64_t libfault_live_pages(void);

/* Let SQLite's allocations pass through here.  Before SQLite is first used. */
void libfault_wrap_sqlite(void);

/* Use up the spare chunks that the queues share, so that a queue must ask the
** system for pages; and give them back. */
void libfault_take_spares(void);
void libfault_give_spares(void);

#endif /* TEST_LIBFAULT_H */
