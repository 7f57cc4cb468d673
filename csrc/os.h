/*
** The porting layer: all that this module needs of an operating system and
** that C11 and the parent VFS do not give.  os_posix.c and os_win32.c
** implement it and are the only files that include the system's headers.
**
** Mutexes and threads are wrapped once more in mutex.h, which knows the lock
** order; nothing else uses the async_os_mutex functions.
*/
#ifndef ASYNC_OS_H
#define ASYNC_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for the system's own objects; the implementation asserts it is enough. */
typedef union AsyncOsMutex {
  uint64_t align;
  unsigned char room[64];
} AsyncOsMutex;
typedef union AsyncOsCond {
  uint64_t align;
  unsigned char room[64];
} AsyncOsCond;
typedef union AsyncOsThread {
  uint64_t align;
  unsigned char room[16];
} AsyncOsThread;

void async_os_mutex_init(AsyncOsMutex *mutex);
void async_os_mutex_free(AsyncOsMutex *mutex);
void async_os_mutex_enter(AsyncOsMutex *mutex);
void async_os_mutex_leave(AsyncOsMutex *mutex);

void async_os_cond_init(AsyncOsCond *cond);
void async_os_cond_free(AsyncOsCond *cond);
/* Wait at most timeout_us (< 0: without bound).  False if the time ran out. */
bool async_os_cond_wait(AsyncOsCond *cond, AsyncOsMutex *mutex, int64_t timeout_us);
void async_os_cond_broadcast(AsyncOsCond *cond);

/* Start a thread that runs main(arg), with all signals blocked. */
bool async_os_thread_start(AsyncOsThread *thread, void (*main)(void *), void *arg);
void async_os_thread_join(AsyncOsThread *thread);

/* Run init() once in the life of the process, however many threads ask.  There is only one
** such function: a second one would not be run. */
void async_os_init_once(void (*init)(void));

/*
** n bytes of zeroed memory, straight from the system and, where it can do that,
** all backed at once: touching them later costs no page faults.  NULL if
** there is none.
*/
void *async_os_pages_new(size_t n);
void async_os_pages_free(void *pages, size_t n);

/* Microseconds of a clock that never goes back. */
int64_t async_os_now_us(void);
void async_os_sleep_us(int64_t us);

/*
** Make the names in a file's folder durable.  SQLite's VFS interface can do
** this only together with a deletion, and a flush needs it after one.
** Returns 0 or the system's error number; 0 also if this user may not, or if
** the file system cannot.  ASYNC_OS_NOT_TRIED: nothing was synced yet, for want of a
** descriptor or of memory, so it can be tried again.
*/
#define ASYNC_OS_NOT_TRIED (-1)
int async_os_sync_directory(const char *path_of_file);

/* What a system call failed for that others have used up and may give back. */
typedef enum AsyncOsShortage {
  ASYNC_OS_SHORTAGE_NONE,
  ASYNC_OS_SHORTAGE_SPACE, /* on the disk, or in the user's quota */
  ASYNC_OS_SHORTAGE_DESCRIPTORS,
  ASYNC_OS_SHORTAGE_MEMORY,
} AsyncOsShortage;
/* What this error number, as of the parent's xGetLastError, says. */
AsyncOsShortage async_os_shortage(int error_number);

/* Create a file, which must not exist, and remove it again: the system's error number, or 0. */
int async_os_try_to_create(const char *path);

/* Which file a name means, and how it was left; all zero if there is none.  The system may not tell
** device and inode. */
typedef struct AsyncOsFileState {
  uint64_t device;
  uint64_t inode;
  int64_t size;
  int64_t written_ns; /* when it was last written to, by the system's clock */
} AsyncOsFileState;
AsyncOsFileState async_os_file_state(const char *path);

/* Is that file, which this process has open, under no name any more? */
bool async_os_is_deleted(AsyncOsFileState file);
/* Delete that file, which this process has open, under whatever name it has now, if the system
** knows that name. */
void async_os_delete_open(AsyncOsFileState file);

/*
** The first of at most ASYNC_OS_FIND_MAX files that is found open in this process, by whatever way;
** -1 if none is.  On Windows: in any process.
*/
#define ASYNC_OS_FIND_MAX 64
int async_os_find_open_here(const char *const *paths, int count);
static inline bool async_os_is_open_here(const char *path) {
  return async_os_find_open_here(&path, 1) >= 0;
}
#if defined(_WIN32)
#define ASYNC_OS_IS_OPEN_BY_US false /* it may be another process */
#else
#define ASYNC_OS_IS_OPEN_BY_US true
#endif
bool async_os_is_directory(const char *path);
/* Is there nothing of that name, not even a link that leads nowhere? */
bool async_os_is_absent(const char *path);

/*
** Run handler at exit() and at quick_exit(), where the system has both; on Windows
** also at the end of a process whose exit() knows nothing of us.  That end has killed
** all threads but one when libraries are told of it.  See os_win32.c.
*/
void async_os_at_exit(void (*handler)(void));
/* Is this such an end?  Nobody runs but the handler: what others were at stays undone. */
bool async_os_is_last_thread(void);
/*
** Between these two the process does not come to such an end: who ends it waits.  For what
** cannot be done anew if it is left half done: a file that was opened by a thread that is
** dead can never be closed, and on Windows not be deleted.  They do not nest, and none of our
** mutexes may be held.  Elsewhere they do nothing.
*/
void async_os_block_exit(void);
void async_os_unblock_exit(void);
/* Of every fork(): run before() on the thread that forks, then in_parent() and in_child(). */
void async_os_on_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void));

/*
** At each of the signals SIGTERM, SIGINT, SIGHUP, SIGQUIT and SIGUSR2 that the process does
** not ignore: run before() on a thread of its own, then let the signal do what it would have
** done without us, and if the process lives on run after().  before() is told whether it
** may live on: then somebody else has a handler.  (On Windows: at console events; there
** after() is run at once, for nobody hears of the effect.)
**
** over_handlers: also where somebody has a handler that stays in force; else that one has the
** signal for itself.  Called again, it puts handlers back as async_os_keep_signals() does.
** False if the system gives no thread.
*/
bool async_os_watch_signals(void (*before)(bool may_live), void (*after)(void), bool over_handlers);
void async_os_unwatch_signals(void);
/*
** Where the default action is in force again, because somebody's handler was put over ours and
** then taken off, put ours back.  Cheap: called more often, it looks every 10 ms.  None of our
** mutexes need be held.
*/
void async_os_keep_signals(void);
/* Bit i is set if the process ignores the i-th of these signals, in the order given above. */
int async_os_ignored_signals(void);

/* A symbol of the process that loaded us, or NULL. */
void *async_os_symbol(const char *name);

/* One line to stderr, without stdio's buffers. */
void async_os_complain(const char *line);

#endif /* ASYNC_OS_H */
