/*
** A parent VFS for tests: "unix", but what it is asked for can be seen, made
** to fail, delayed or held.  Register it, and initialize sqlite3async with
** the parent "test".
**
** A rule says which operations on which files it is about; rules are tried
** in the order in which they were made.  Everything may be called by any
** thread.
**
** The name in a rule or a count is a part of the path; with "$" at its end it
** is how the path ends: "x.db" means x.db-wal, too, and "x.db$" does not.
*/
#ifndef TEST_TESTVFS_H
#define TEST_TESTVFS_H

#include "sqlite3.h"

#include <stdbool.h>

/* Sets of operations. */
#define ON_OPEN 1u
#define ON_READ 2u
#define ON_WRITE 4u
#define ON_TRUNCATE 8u
#define ON_SYNC 16u
#define ON_DELETE 32u
#define ON_CLOSE 64u
#define ON_LOCK 128u
#define ON_UNLOCK 256u
#define ON_ACCESS 512u
#define ON_FILE_SIZE 1024u
#define ON_CONTROL 2048u
#define ON_CHECK_RESERVED 4096u
#define ON_SYNC_DIRECTORY 8192u /* by the porting layer; the path is the folder's */
/* What a writer does. */
#define ON_CHANGE (ON_OPEN | ON_WRITE | ON_TRUNCATE | ON_SYNC | ON_DELETE)

#define TESTVFS_NAME "test"

void testvfs_register(void);

/* Forget all rules and counts; whoever is held goes on. */
void testvfs_reset(void);

/*
** Let `after` operations of the set on files with `name` in their path
** (NULL: any) pass, then make `times` of them (< 0: all) fail with code,
** doing nothing but to close.  os_error is what xGetLastError() says then.
*/
void testvfs_fail(unsigned set, const char *name, int after, int times, int code, int os_error);
/* The same, but of the bytes of a write the first half is written. */
void testvfs_fail_halfway(unsigned set, const char *name, int after, int times, int code,
                          int os_error);
/* How many have failed so. */
int testvfs_failures(void);

/* Files that are open. */
int testvfs_open_files(void);

void testvfs_delay(unsigned set, const char *name, int ms);

/*
** Hold the next such operation: a read when it has its bytes, the question whether a file
** has moved when it has its answer, anything else before it is done.  testvfs_wait_held() returns once one is held, and
** testvfs_release() lets it go on.
*/
void testvfs_hold(unsigned set, const char *name);
void testvfs_wait_held(void);
void testvfs_release(void);

/*
** Call hook after each operation of ON_CHANGE that was done, on its thread;
** no other thread does anything by name, or changes a file, meanwhile.
*/
void testvfs_on_change(void (*hook)(void *arg), void *arg);

/* How many operations of the set on such files were done since the reset. */
int testvfs_count(unsigned set, const char *name);

/*
** The operations of ON_CHANGE and ON_CLOSE that were done since the reset: a
** line for each, "write x.db 4096 @0".  To be freed.
*/
char *testvfs_log(void);

#endif /* TEST_TESTVFS_H */
