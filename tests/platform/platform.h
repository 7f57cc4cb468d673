/*
** What the test of the shared library needs of a system, for POSIX and for Windows.
*/
#ifndef TEST_PLATFORM_H
#define TEST_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

int64_t now_ms(void);
void sleep_ms(int ms);

/* A new folder for temporary files; its path ends in no slash. */
const char *make_folder(void);
/* Remove a file that nobody has open. */
bool remove_file(const char *path);
void remove_folder(void);

typedef struct Thread {
  uint64_t handle;
} Thread;
Thread thread_start(void (*run)(void *), void *arg);
void thread_join(Thread thread);

/*
** Run this program again with further arguments, its stderr in a file; the exit code, or
** -1 if it had to be killed after timeout_ms.
*/
int run_again(const char *const *args, const char *stderr_path, int timeout_ms);

/* Ways to end a process besides exit() and the return of main(). */
_Noreturn void end_quickly(int code);
_Noreturn void end_without_handlers(int code);

/* A function of the shared library, which is loaded. */
void *library_function(const char *library, const char *name);

#endif /* TEST_PLATFORM_H */
