/*
** A slow disk for whole programs, to be put before them by LD_PRELOAD: each sync takes as
** many milliseconds longer as SLOW_SYNC_MS in the environment says, 50 if it says nothing.
** The data goes to the system as fast as ever, so that SIGKILL takes none that was written.
**
** The calls are made by number, not found by name: there is nothing to prepare, so any
** thread may come first.  bench/extension/slow.c slows one SQLite down; this is for what
** must not be told apart from a program as it is.
*/
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLOW_SYNC_MS 50

int fsync(int fd);
int fdatasync(int fd);
int sync_file_range(int fd, int64_t offset, int64_t n, unsigned flags);

static void wait_for_the_disk(void) {
  const char *text = getenv("SLOW_SYNC_MS");
  int64_t ms = text != NULL ? strtol(text, NULL, 10) : SLOW_SYNC_MS;
  struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
  while (ms > 0 && nanosleep(&left, &left) != 0) continue;
}

int fsync(int fd) {
  wait_for_the_disk();
  return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
  wait_for_the_disk();
  return (int)syscall(SYS_fdatasync, fd);
}

int sync_file_range(int fd, int64_t offset, int64_t n, unsigned flags) {
  wait_for_the_disk();
  return (int)syscall(SYS_sync_file_range, fd, offset, n, flags);
}
