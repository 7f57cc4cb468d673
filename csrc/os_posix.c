/*
** The porting layer for POSIX systems: Linux and macOS.  See os.h.  On others
** SQLite's unix VFS reads and writes with lseek(), which threads cannot share.
**
** Clocks: condition variables wait on the monotonic clock, so that a change
** of the wall clock neither hangs nor hurries anybody.  macOS cannot set a
** condition variable's clock but has a wait by relative time instead.
*/
#if !defined(_WIN32)

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#if defined(__APPLE__) && !defined(_DARWIN_C_SOURCE)
#define _DARWIN_C_SOURCE 1
#endif

#include "os.h"

#include <assert.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(AsyncOsMutex), "AsyncOsMutex is too small");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(AsyncOsCond), "AsyncOsCond is too small");
_Static_assert(sizeof(pthread_t) <= sizeof(AsyncOsThread), "AsyncOsThread is too small");

/* ---- Mutexes and condition variables ---- */

static pthread_mutex_t *posix_mutex(AsyncOsMutex *mutex) {
  return (pthread_mutex_t *)(void *)mutex->room;
}

static pthread_cond_t *posix_cond(AsyncOsCond *cond) {
  return (pthread_cond_t *)(void *)cond->room;
}

/* These calls fail only on misuse, which is a bug of ours. */
static void must(int error) {
  assert(error == 0);
  (void)error;
}

/* Those that committers meet at are held for no longer than a copy of 64 KiB takes, mostly for
** less than a system call takes: so who finds one held looks again a few times before it sleeps,
** and then who leaves it need not wake anybody. */
void async_os_mutex_init(AsyncOsMutex *mutex) {
  pthread_mutexattr_t attributes;
  must(pthread_mutexattr_init(&attributes));
#if defined(__GLIBC__)
  must(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP));
#endif
  must(pthread_mutex_init(posix_mutex(mutex), &attributes));
  must(pthread_mutexattr_destroy(&attributes));
}

void async_os_mutex_free(AsyncOsMutex *mutex) { must(pthread_mutex_destroy(posix_mutex(mutex))); }

void async_os_mutex_enter(AsyncOsMutex *mutex) { must(pthread_mutex_lock(posix_mutex(mutex))); }

void async_os_mutex_leave(AsyncOsMutex *mutex) { must(pthread_mutex_unlock(posix_mutex(mutex))); }

void async_os_cond_init(AsyncOsCond *cond) {
  pthread_condattr_t attributes;
  must(pthread_condattr_init(&attributes));
#if !defined(__APPLE__)
  must(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
#endif
  must(pthread_cond_init(posix_cond(cond), &attributes));
  must(pthread_condattr_destroy(&attributes));
}

void async_os_cond_free(AsyncOsCond *cond) { must(pthread_cond_destroy(posix_cond(cond))); }

bool async_os_cond_wait(AsyncOsCond *cond, AsyncOsMutex *mutex, int64_t timeout_us) {
  if (timeout_us < 0) {
    must(pthread_cond_wait(posix_cond(cond), posix_mutex(mutex)));
    return true;
  }
  struct timespec time;
#if defined(__APPLE__)
  time.tv_sec = (time_t)(timeout_us / 1000000);
  time.tv_nsec = (long)(timeout_us % 1000000) * 1000;
  int error = pthread_cond_timedwait_relative_np(posix_cond(cond), posix_mutex(mutex), &time);
#else
  int64_t until_us = async_os_now_us() + timeout_us;
  time.tv_sec = (time_t)(until_us / 1000000);
  time.tv_nsec = (long)(until_us % 1000000) * 1000;
  int error = pthread_cond_timedwait(posix_cond(cond), posix_mutex(mutex), &time);
#endif
  assert(error == 0 || error == ETIMEDOUT);
  return error == 0;
}

void async_os_cond_broadcast(AsyncOsCond *cond) { must(pthread_cond_broadcast(posix_cond(cond))); }

/* ---- Threads ---- */

typedef struct ThreadStart {
  void (*main)(void *);
  void *arg;
} ThreadStart;

static void *thread_main(void *start_arg) {
  ThreadStart start = *(ThreadStart *)start_arg;
  free(start_arg);
#if defined(SCHED_BATCH)
  /* Linux: when it is woken it does not push the thread that woke it off its
  ** processor, which else costs that one several times what a commit takes. */
  struct sched_param param = {0};
  int policy = SCHED_OTHER;
  pthread_getschedparam(pthread_self(), &policy, &param);
  if (policy == SCHED_OTHER) pthread_setschedparam(pthread_self(), SCHED_BATCH, &param);
#endif
  start.main(start.arg);
  return NULL;
}

bool async_os_thread_start(AsyncOsThread *thread, void (*main)(void *), void *arg) {
  ThreadStart *start = malloc(sizeof *start);
  if (start == NULL) return false;
  *start = (ThreadStart){.main = main, .arg = arg};

  /* Signals belong to the threads of the program we are a guest in. */
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create((pthread_t *)(void *)thread->room, NULL, thread_main, start);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error != 0) free(start);
  return error == 0;
}

void async_os_thread_join(AsyncOsThread *thread) {
  must(pthread_join(*(pthread_t *)(void *)thread->room, NULL));
}

static pthread_once_t once_control = PTHREAD_ONCE_INIT;

void async_os_init_once(void (*init)(void)) { must(pthread_once(&once_control, init)); }

/* ---- Memory ---- */

void *async_os_pages_new(size_t n) {
  int flags = MAP_PRIVATE | MAP_ANON;
#if defined(MAP_POPULATE)
  flags |= MAP_POPULATE;
#endif
  void *pages = mmap(NULL, n, PROT_READ | PROT_WRITE, flags, -1, 0);
  return pages == MAP_FAILED ? NULL : pages;
}

void async_os_pages_free(void *pages, size_t n) { munmap(pages, n); }

/* ---- Time ---- */

int64_t async_os_now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void async_os_sleep_us(int64_t us) {
  struct timespec left = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

/* ---- Files ---- */

int async_os_sync_directory(const char *path_of_file) {
  /* Not from malloc: for want of memory nothing that is committed may be lost. */
  char folder[PATH_MAX];
  const char *slash = strrchr(path_of_file, '/');
  size_t length = slash == NULL ? 0 : (size_t)(slash - path_of_file);
  if (length + 2 > sizeof folder) return ENAMETOOLONG;
  memcpy(folder, path_of_file, length);
  folder[length] = '\0';
  if (length == 0) strcpy(folder, slash == NULL ? "." : "/");

  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EINTR)) {
    return ASYNC_OS_NOT_TRIED;
  }
  /* A folder that its owner has removed has no names to sync.  And a user who may write to a
  ** folder but not read it cannot sync it; SQLite's own VFS cannot either. */
  if (fd < 0) return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : errno;
  int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  /* Some file systems cannot sync a folder; there is nothing more to do on them. */
  return error == EINVAL ? 0 : error;
}

AsyncOsShortage async_os_shortage(int error_number) {
  switch (error_number) {
  case ENOSPC:
#if defined(EDQUOT)
  case EDQUOT:
#endif
    return ASYNC_OS_SHORTAGE_SPACE;
  case EMFILE:
  case ENFILE:
    return ASYNC_OS_SHORTAGE_DESCRIPTORS;
  case ENOMEM:
    return ASYNC_OS_SHORTAGE_MEMORY;
  default:
    return ASYNC_OS_SHORTAGE_NONE;
  }
}

int async_os_try_to_create(const char *path) {
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return errno;
  close(fd);
  return unlink(path) == 0 ? 0 : errno;
}

AsyncOsFileState async_os_file_state(const char *path) {
  struct stat file;
  if (stat(path, &file) != 0) return (AsyncOsFileState){0};
#if defined(__APPLE__)
  struct timespec written = file.st_mtimespec;
#else
  struct timespec written = file.st_mtim;
#endif
  return (AsyncOsFileState){.device = (uint64_t)file.st_dev,
                            .inode = (uint64_t)file.st_ino,
                            .size = file.st_size,
                            .written_ns = (int64_t)written.tv_sec * 1000000000 + written.tv_nsec};
}

/* The number that is_it() gives for one of the process's descriptors, or -1. */
static int find_descriptor(int (*is_it)(int fd, const struct stat *file, const void *arg),
                           const void *arg) {
  DIR *descriptors = opendir("/dev/fd");
  if (descriptors == NULL) return -1;
  int found = -1;
  struct dirent *entry;
  while (found < 0 && (entry = readdir(descriptors)) != NULL) {
    char *end;
    long fd = strtol(entry->d_name, &end, 10);
    struct stat file;
    if (end == entry->d_name || *end != '\0' || fstat((int)fd, &file) != 0) continue;
    found = is_it((int)fd, &file, arg);
  }
  closedir(descriptors);
  return found;
}

typedef struct Wanted {
  struct stat files[ASYNC_OS_FIND_MAX];
  int count;
} Wanted;

static int which_is_wanted(int fd, const struct stat *file, const void *arg) {
  (void)fd;
  const Wanted *wanted = arg;
  for (int i = 0; i < wanted->count; i++) {
    const struct stat *one = &wanted->files[i];
    if (file->st_dev == one->st_dev && file->st_ino == one->st_ino) return i;
  }
  return -1;
}

int async_os_find_open_here(const char *const *paths, int count) {
  Wanted wanted = {.count = count};
  assert(count <= ASYNC_OS_FIND_MAX);
  bool any = false;
  for (int i = 0; i < count; i++) {
    if (stat(paths[i], &wanted.files[i]) != 0) wanted.files[i].st_ino = 0; /* no file's number */
    any = any || wanted.files[i].st_ino != 0;
  }
  return any ? find_descriptor(which_is_wanted, &wanted) : -1;
}

static bool is_file(const struct stat *file, const AsyncOsFileState *wanted) {
  return (uint64_t)file->st_dev == wanted->device && (uint64_t)file->st_ino == wanted->inode;
}

static int is_deleted(int fd, const struct stat *file, const void *arg) {
  (void)fd;
  return is_file(file, arg) && file->st_nlink == 0 ? 0 : -1;
}

bool async_os_is_deleted(AsyncOsFileState file) { return find_descriptor(is_deleted, &file) == 0; }

static int fd_of_file(int fd, const struct stat *file, const void *arg) {
  return is_file(file, arg) ? fd : -1;
}

void async_os_delete_open(AsyncOsFileState file) {
  int fd = find_descriptor(fd_of_file, &file);
  if (fd < 0) return;
  char path[PATH_MAX];
#if defined(__APPLE__)
  bool known = fcntl(fd, F_GETPATH, path) == 0;
#else
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  bool known = length > 0;
  if (known) path[length] = '\0';
#endif
  struct stat found;
  if (known && lstat(path, &found) == 0 && is_file(&found, &file)) unlink(path);
}

bool async_os_is_directory(const char *path) {
  struct stat file;
  return stat(path, &file) == 0 && S_ISDIR(file.st_mode);
}

bool async_os_is_absent(const char *path) {
  struct stat file;
  return lstat(path, &file) != 0 && errno == ENOENT;
}

/* ---- The process's end ---- */

void async_os_at_exit(void (*handler)(void)) {
  atexit(handler);
#if defined(__linux__)
  at_quick_exit(handler);
#endif
}

/* Threads live on while handlers run. */
bool async_os_is_last_thread(void) { return false; }

void async_os_block_exit(void) {}

void async_os_unblock_exit(void) {}

void async_os_on_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void)) {
  pthread_atfork(before, in_parent, in_child);
}

/* ---- The process that loaded us ---- */

void *async_os_symbol(const char *name) { return dlsym(RTLD_DEFAULT, name); }

void async_os_complain(const char *line) {
  size_t length = strlen(line);
  while (length > 0) {
    ssize_t written = write(STDERR_FILENO, line, length);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    line += written;
    length -= (size_t)written;
  }
}

#endif /* !_WIN32 */

/* A translation unit must not be empty. */
typedef int async_os_posix_is_not_empty;
