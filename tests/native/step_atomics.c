/*
** Points of the stepper at C11 atomics, with no hook in the core.
**
** build.zig compiles the core of the native tests with the thread sanitizer's
** instrumentation of atomics, and of nothing else, but does not link its runtime: these
** stand in for it.  Flags, which threads set for each other without a lock, are a byte; a
** thread may be stopped before each access, and at each barrier of the wal-index.  The
** parameters are eight bytes: nobody waits for one to change.
**
** In builds with the sanitizer itself, and by gcc, none of this is there; then every
** unlock is a point instead (step_posix.c).
*/
#include "config.h"
#include "stepper.h"

#ifdef STEP_ATOMICS

#define ORDER __ATOMIC_SEQ_CST

void __tsan_init(void);
void __tsan_init(void) {}

static void flag_point(const volatile void *at, const char *what) {
  if (at != &async_forked) step_point(what);
}

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order) {
  (void)order;
  step_point("barrier");
  __atomic_thread_fence(ORDER);
}

#define NO_POINT(at, what) (void)0

/* The calls that the compiler makes for what the core does with atomics of these sizes. */
#define ATOMIC(bits, POINT)                                                                        \
  uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *at, int order);         \
  uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *at, int order) {        \
    (void)order;                                                                                   \
    POINT(at, "read a flag");                                                                      \
    return __atomic_load_n(at, ORDER);                                                             \
  }                                                                                                \
  void __tsan_atomic##bits##_store(volatile uint##bits##_t *at, uint##bits##_t value, int order);  \
  void __tsan_atomic##bits##_store(volatile uint##bits##_t *at, uint##bits##_t value, int order) { \
    (void)order;                                                                                   \
    POINT(at, "write a flag");                                                                     \
    __atomic_store_n(at, value, ORDER);                                                            \
  }                                                                                                \
  uint##bits##_t __tsan_atomic##bits##_fetch_add(volatile uint##bits##_t *at,                      \
                                                 uint##bits##_t value, int order);                 \
  uint##bits##_t __tsan_atomic##bits##_fetch_add(volatile uint##bits##_t *at,                      \
                                                 uint##bits##_t value, int order) {                \
    (void)order;                                                                                   \
    return __atomic_fetch_add(at, value, ORDER);                                                   \
  }                                                                                                \
  uint##bits##_t __tsan_atomic##bits##_fetch_sub(volatile uint##bits##_t *at,                      \
                                                 uint##bits##_t value, int order);                 \
  uint##bits##_t __tsan_atomic##bits##_fetch_sub(volatile uint##bits##_t *at,                      \
                                                 uint##bits##_t value, int order) {                \
    (void)order;                                                                                   \
    return __atomic_fetch_sub(at, value, ORDER);                                                   \
  }

ATOMIC(8, flag_point)
ATOMIC(32, NO_POINT)
ATOMIC(64, NO_POINT)

#endif /* STEP_ATOMICS */

/* A translation unit must not be empty. */
typedef int step_atomics_is_not_empty;
