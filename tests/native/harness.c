/*
** The harness.  See harness.h.
*/
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEST_TIMEOUT_S 240
#define SKIPPED 77 /* the exit code of a child */

static uint64_t run_seed;
static char folder[256];
static bool in_this_process;
static const char *running; /* of the test that is running */

/*
** SQLite's own: it looks at the number of the process without a lock, and at the hash
** tables of the wal-index, which others clear by memset() meanwhile.  The rest of what it
** does with the wal-index is in tsan-ignore.txt.
*/
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) {
  return "race:unixRandomness\nrace:unixOpen\nrace:walFindFrame\n";
}

/* ---- Failing ---- */

_Noreturn void test_fail(const char *file, int line, const char *format, ...) {
  char words[2000];
  va_list args;
  va_start(args, format);
  vsnprintf(words, sizeof words, format, args);
  va_end(args);
  printf("# %s:%d: %s\n", file, line, words);
  fflush(stdout);
  if (in_this_process) abort();
  _exit(1); /* without handlers: a queue may be stuck */
}

void test_check_equal(const char *file, int line, const char *got_text, int64_t got,
                      const char *wanted_text, int64_t wanted) {
  if (got == wanted) return;
  test_fail(file, line, "%s is %lld, not %s (%lld)", got_text, (long long)got, wanted_text,
            (long long)wanted);
}

void test_check_text(const char *file, int line, const char *what, const char *got,
                     const char *wanted) {
  if (got != NULL && strcmp(got, wanted) == 0) return;
  test_fail(file, line, "%s is \"%s\", not \"%s\"", what, got == NULL ? "(null)" : got, wanted);
}

void test_skip(const char *format, ...) {
  va_list args;
  va_start(args, format);
  printf("# skipped: ");
  vprintf(format, args);
  printf("\n");
  va_end(args);
  fflush(stdout);
  exit(in_this_process ? 0 : SKIPPED);
}

/* ---- Folders ---- */

const char *test_folder(void) { return folder; }

const char *test_path(const char *name) {
  static _Thread_local char paths[16][512];
  static _Thread_local unsigned next;
  char *path = paths[next++ % 16];
  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

static void remove_all(const char *path) {
  DIR *dir = opendir(path);
  if (dir == NULL) {
    unlink(path);
    return;
  }
  struct dirent *entry;
  while ((entry = readdir(dir)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    char inner[1024];
    snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
    remove_all(inner);
  }
  closedir(dir);
  rmdir(path);
}

/* In memory where that can be: what is tested is the order of syncs, not the disk. */
static void make_folder(void) {
  const char *base = getenv("TMPDIR");
  if (base == NULL) base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  snprintf(folder, sizeof folder, "%s/sqlite3async-XXXXXX", base);
  if (mkdtemp(folder) == NULL) {
    perror(folder);
    exit(2);
  }
}

char *file_text(const char *path) {
  FILE *file = fopen(path, "rb");
  CHECK(file != NULL);
  CHECK(fseek(file, 0, SEEK_END) == 0);
  long size = ftell(file);
  rewind(file);
  char *text = calloc(1, (size_t)size + 1);
  CHECK(text != NULL && fread(text, 1, (size_t)size, file) == (size_t)size);
  fclose(file);
  return text;
}

/* ---- Running ---- */

const char *test_name(void) { return running; }

bool test_is_sanitized(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;
#elif defined(__has_feature)
  return __has_feature(thread_sanitizer) || __has_feature(address_sanitizer);
#else
  return false;
#endif
}

int test_scale(void) { return getenv("SQLITE3ASYNC_TEST_FULL") == NULL ? 1 : 10; }

/* What became of the child: "" or the reason why it failed. */
static void describe(int status, char *reason, size_t room) {
  reason[0] = '\0';
  if (WIFSIGNALED(status)) {
    int number = WTERMSIG(status);
    snprintf(reason, room, " # %s", number == SIGALRM ? "took too long" : strsignal(number));
  } else if (WEXITSTATUS(status) != 0) {
    snprintf(reason, room, " # exit code %d", WEXITSTATUS(status));
  }
}

typedef enum Verdict { PASSED, FAILED, SKIPPED_IT, VERDICTS } Verdict;

static Verdict verdict_of(int status) {
  if (status == 0) return PASSED;
  return WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED ? SKIPPED_IT : FAILED;
}

static Verdict run_test(const TestCase *test, int number) {
  char title[200];
  snprintf(title, sizeof title, "%s", test->name);
  for (char *c = title; *c != '\0'; c++) {
    if (*c == '_') *c = ' ';
  }
  make_folder();
  int64_t start_ms = now_ms();
  int status = 0;
  running = test->name;
  if (in_this_process) {
    test->run();
  } else {
    pid_t pid = fork();
    if (pid == 0) {
      alarm(TEST_TIMEOUT_S);
      test->run();
      fflush(stdout);
      exit(0); /* with handlers: they drain, and look for leaks */
    }
    waitpid(pid, &status, 0);
  }
  remove_all(folder);
  Verdict verdict = verdict_of(status);
  char reason[100] = " # skipped";
  if (verdict != SKIPPED_IT) describe(status, reason, sizeof reason);
  printf("%s %d - %s (%lld ms)%s\n", verdict == FAILED ? "not ok" : "ok", number, title,
         (long long)(now_ms() - start_ms), reason);
  fflush(stdout);
  return verdict;
}

int run_tests(const TestCase *tests) {
  const char *seed = getenv("SEED");
  run_seed =
      seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 1000 + getpid() % 1000;
  const char *only = getenv("TEST");
  in_this_process = only != NULL;
  printf("# SEED=%llu\n", (unsigned long long)run_seed);
  fflush(stdout);
  int counts[VERDICTS] = {0};
  for (int i = 0; tests[i].name != NULL; i++) {
    if (only != NULL && strstr(tests[i].name, only) == NULL) continue;
    counts[run_test(&tests[i], i + 1)]++;
  }
  printf("%d passed, %d failed", counts[PASSED], counts[FAILED]);
  if (counts[SKIPPED_IT] > 0) printf(", %d skipped", counts[SKIPPED_IT]);
  printf("\n");
  return counts[FAILED] == 0 ? 0 : 1;
}

static void remove_folder(void) { remove_all(folder); }

void test_begin(void) {
  in_this_process = true;
  make_folder();
  atexit(remove_folder);
}

/* ---- Numbers that look random: splitmix64 ---- */

Random random_new(uint64_t offset) { return (Random){run_seed + offset}; }

uint64_t random_next(Random *random) {
  uint64_t z = random->state += UINT64_C(0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}

int random_below(Random *random, int n) { return (int)(random_next(random) % (uint64_t)n); }

bool random_one_in(Random *random, int n) { return random_below(random, n) == 0; }

void random_fill(Random *random, void *out, size_t n) {
  unsigned char *bytes = out;
  while (n > 0) {
    uint64_t number = random_next(random);
    size_t piece = n < sizeof number ? n : sizeof number;
    memcpy(bytes, &number, piece);
    bytes += piece;
    n -= piece;
  }
}

/* ---- Time, threads, processes ---- */

int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void sleep_ms(int ms) {
  struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

_Static_assert(sizeof(pthread_t) <= sizeof(uint64_t), "Thread is too small");

Thread thread_start(void *(*run)(void *), void *arg) {
  pthread_t handle;
  CHECK_EQ(pthread_create(&handle, NULL, run, arg), 0);
  Thread thread = {0};
  memcpy(&thread.handle, &handle, sizeof handle);
  return thread;
}

void thread_join(Thread thread) {
  pthread_t handle;
  memcpy(&handle, &thread.handle, sizeof handle);
  CHECK_EQ(pthread_join(handle, NULL), 0);
}

int process_start(int (*run)(void *), void *arg) {
  fflush(stdout);
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) exit(run(arg));
  return pid;
}

int process_wait(int pid, int timeout_ms) {
  int64_t until_ms = now_ms() + timeout_ms;
  int status = 0;
  for (;;) {
    pid_t ended = waitpid(pid, &status, WNOHANG);
    if (ended == pid) break;
    CHECK(ended == 0);
    if (now_ms() > until_ms) {
      kill(pid, SIGKILL);
      FAIL("process %d did not end within %d ms", pid, timeout_ms);
    }
    sleep_ms(2);
  }
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}
