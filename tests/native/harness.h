/*
** The harness of the native tests: each test is a function that runs in a
** process of its own, with a folder of its own, so that a failure or a crash
** of one says nothing about the next.
**
**     static void merges_neighbours(void) { CHECK_EQ(2 + 2, 4); }
**     int main(void) { return run_tests((TestCase[]){TEST(merges_neighbours), {0}}); }
**
** In the environment:
**   SEED=N   repeat a run of random tests, which print their seed
**   TEST=T   run only the tests with T in their name, in this process (for debuggers)
**   SQLITE3ASYNC_TEST_FULL=1   random tests run for longer
*/
#ifndef TEST_HARNESS_H
#define TEST_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TestCase {
  const char *name; /* underscores are shown as spaces; NULL ends a list */
  void (*run)(void);
} TestCase;

#define TEST(function) {#function, function}

/* Run all, a line for each; the result is for main() to return. */
int run_tests(const TestCase *tests);

/* For a program with another main(): what follows is a test, until the process ends. */
void test_begin(void);

/* A test that fails ends there, from any thread. */
#define CHECK(condition)                                                                           \
  do {                                                                                             \
    if (!(condition)) test_fail(__FILE__, __LINE__, "%s", #condition);                             \
  } while (0)
#define CHECK_EQ(got, wanted)                                                                      \
  test_check_equal(__FILE__, __LINE__, #got, (int64_t)(got), #wanted, (int64_t)(wanted))
#define CHECK_TEXT(got, wanted) test_check_text(__FILE__, __LINE__, #got, (got), (wanted))
#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

/* The test has no meaning here; it counts as neither passed nor failed. */
#define SKIP(...) test_skip(__VA_ARGS__)
_Noreturn void test_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

_Noreturn void test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void test_check_equal(const char *file, int line, const char *got_text, int64_t got,
                      const char *wanted_text, int64_t wanted);
void test_check_text(const char *file, int line, const char *what, const char *got,
                     const char *wanted);

/* The test's own folder; removed with all that is in it when the test ends. */
const char *test_folder(void);
/* A path in it.  The text lives until 16 further calls. */
const char *test_path(const char *name);

/* The name of the test that is running: for functions that are several tests. */
const char *test_name(void);

/* Is this a build in which all takes many times as long? */
bool test_is_sanitized(void);

/* How much longer random tests shall run: 1, or 10 in a full run. */
int test_scale(void);

/* Wait until it holds; fail if that takes longer than timeout_ms. */
#define WAIT_FOR(timeout_ms, condition)                                                            \
  do {                                                                                             \
    int64_t until_ms = now_ms() + (timeout_ms);                                                    \
    while (!(condition)) {                                                                         \
      if (now_ms() > until_ms) FAIL("in vain: %s", #condition);                                    \
      sleep_ms(1);                                                                                 \
    }                                                                                              \
  } while (0)

/* ---- Numbers that look random ---- */

typedef struct Random {
  uint64_t state;
} Random;

/* The seed of the run plus `offset`. */
Random random_new(uint64_t offset);
uint64_t random_next(Random *random);
/* 0 .. n - 1 */
int random_below(Random *random, int n);
bool random_one_in(Random *random, int n);
void random_fill(Random *random, void *out, size_t n);

/* ---- Time, threads, processes ---- */

int64_t now_ms(void);
void sleep_ms(int ms);

typedef struct Thread {
  uint64_t handle;
} Thread;
Thread thread_start(void *(*run)(void *), void *arg);
void thread_join(Thread thread);

/* Run a function in a forked process; its result is the exit code. */
int process_start(int (*run)(void *), void *arg);
/* Wait for it; its exit code, or minus the signal that ended it.  Fails the
** test if that takes longer than timeout_ms. */
int process_wait(int pid, int timeout_ms);

/* What a file holds, ended by a zero; to be freed. */
char *file_text(const char *path);

/* Was it built with the thread sanitizer? */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_THREAD_SANITIZER true
#endif
#endif
#ifndef HAS_THREAD_SANITIZER
#define HAS_THREAD_SANITIZER false
#endif

#endif /* TEST_HARNESS_H */
