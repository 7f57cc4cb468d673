/*
** Signals, for POSIX systems.  See os.h.
**
** WHAT: the signals that a supervisor, a terminal or a reloader sends to end a
** process, and that do end it if nobody catches them.  SIGUSR1 is none of them:
** the runtimes open their debugger at it.
**
** HOW: the handler does one write() to a pipe, the only thing that is safe there.
** A thread of ours reads it, drains, and then does what the signal would have done
** without us: it ends the process, or calls the handler that was there before.  If
** somebody has put a handler over ours since, and calls ours from it, then that
** handler decides, and ours only drains.
**
** RULES:
** 1. A signal that the process ignores stays ignored.
** 2. A handler of the program's or of the runtime's is never taken away.  One that
**    was there first is called after the drain.  If the caller does not want that, this
**    holds only for one that the system forgets when it calls it: Bun, which takes its
**    handlers off with their last listener, does not do so when they are below ours, and
**    the signal would do nothing then.  Any other handler has the signal for itself.
** 3. Whoever takes such a handler off sets the default action, for it knows nothing of
**    ours.  So we look from time to time, and put ours back where the default is.
** 4. The default action does nothing to process 1 of a container, so there a
**    signal without a handler is left alone.
**
** LOCKS: `busy` guards the previous actions.  The watching thread has it for as long
** as it does what a signal does; nobody else waits for it.
*/
#if !defined(_WIN32)

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#if defined(__APPLE__) && !defined(_DARWIN_C_SOURCE)
#define _DARWIN_C_SOURCE 1
#endif

#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

typedef struct Watched {
  int number;
  struct sigaction previous; /* what the signal does after the drain; under `busy` */
} Watched;

/* In the order of os.h. */
static Watched watched[] = {
    {.number = SIGTERM}, {.number = SIGINT},  {.number = SIGHUP},
    {.number = SIGQUIT}, {.number = SIGUSR2},
};
#define WATCHED_COUNT ((int)(sizeof watched / sizeof watched[0]))

/* Set once, when signals are watched for the first time. */
static int signal_pipe[2] = {-1, -1};
static void (*before_signal)(bool may_live);
static void (*after_signal)(void);
static pthread_t watch_thread;
static pid_t watch_process;

static atomic_bool watching;
#define NEVER (-1)
static _Atomic int64_t look_us = NEVER; /* when to look again what has become of our handlers */
static atomic_int busy;                 /* 0: nobody is */

/* A look takes five system calls, of a tenth of a microsecond or two. */
#define LOOK_EVERY_US 10000
/* What a signal that ends the process may take for it. */
#define EFFECT_US 1000000
/* The same, where a handler only wakes a thread that ends the process (Deno's). */
#define HANDLER_US 20000
#define BUSY_POLL_US 200

/* What goes through the pipe: the number, and whether the signal is all ours. */
#define BYTE_ON_TOP 0x80

/* A mutex could be waited for; this one is not. */
static bool try_begin(void) {
  if (atomic_fetch_add(&busy, 1) == 0) return true;
  atomic_fetch_sub(&busy, 1);
  return false;
}

static void end(void) { atomic_fetch_sub(&busy, 1); }

static void on_signal(int number);

static bool is_handled_by(const struct sigaction *action, void (*handler)(int)) {
  return !(action->sa_flags & SA_SIGINFO) && action->sa_handler == handler;
}

static bool is_default(const struct sigaction *action) { return is_handled_by(action, SIG_DFL); }

/* The system forgets it when it calls it. */
static bool is_for_once(const struct sigaction *action) {
  return (action->sa_flags & (int)SA_RESETHAND) != 0;
}

static void on_signal(int number) {
  int saved = errno;
  if (getpid() != watch_process) {
    /* A child has inherited the handler, but the thread is its parent's. */
    signal(number, SIG_DFL);
    raise(number);
  } else if (!pthread_equal(pthread_self(), watch_thread)) {
    struct sigaction current;
    bool on_top = sigaction(number, NULL, &current) == 0 && is_handled_by(&current, on_signal);
    unsigned char byte = (unsigned char)(on_top ? number | BYTE_ON_TOP : number);
    ssize_t written = write(signal_pipe[1], &byte, 1);
    (void)written;
  } /* else: a handler that we passed it on to has passed it back */
  errno = saved;
}

/* ---- Putting handlers in place; with `busy` ---- */

static void put_handler(Watched *signal) {
  struct sigaction ours;
  struct sigaction replaced;
  memset(&ours, 0, sizeof ours);
  ours.sa_handler = on_signal;
  ours.sa_flags = SA_RESTART;
  sigemptyset(&ours.sa_mask);
  if (sigaction(signal->number, &ours, &replaced) != 0) return;
  if (!is_handled_by(&replaced, on_signal)) signal->previous = replaced;
}

static void put_all_handlers(bool over_handlers) {
  for (int i = 0; i < WATCHED_COUNT; i++) {
    struct sigaction current;
    if (sigaction(watched[i].number, NULL, &current) != 0) continue;
    if (is_handled_by(&current, SIG_IGN)) continue;
    if (is_default(&current) ? watch_process == 1 : !over_handlers && !is_for_once(&current)) {
      continue;
    }
    put_handler(&watched[i]);
  }
}

static void put_handlers_back(void) {
  if (watch_process == 1) return;
  for (int i = 0; i < WATCHED_COUNT; i++) {
    Watched *signal = &watched[i];
    struct sigaction current;
    if (sigaction(signal->number, NULL, &current) != 0 || !is_default(&current)) continue;
    put_handler(signal);
    /* Somebody was faster: it has the signal for itself, as it would have a moment later. */
    if (!is_default(&signal->previous)) sigaction(signal->number, &signal->previous, NULL);
  }
}

static void look_now(void) {
  if (!try_begin()) return;
  look_us = async_os_now_us() + LOOK_EVERY_US;
  put_handlers_back();
  end();
}

void async_os_keep_signals(void) {
  int64_t due_us = look_us;
  if (due_us != NEVER && async_os_now_us() >= due_us) look_now();
}

/* ---- The watching thread ---- */

static void call_handler(int number, const struct sigaction *previous) {
  if (previous->sa_flags & SA_SIGINFO) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = number;
    previous->sa_sigaction(number, &info, NULL);
  } else {
    previous->sa_handler(number);
  }
}

/*
** What the system does, too: it forgets a handler that is for one time (Node's)
** before the call, and what a handler raises is delivered when it returns.
** That is how many let the signal end the process.
*/
static void pass_on(Watched *signal) {
  struct sigaction to_call = signal->previous;
  struct sigaction ours;
  struct sigaction left;
  sigset_t set;
  int number = signal->number;
  if (is_default(&to_call)) {
    sigaction(number, &to_call, NULL);
    kill(getpid(), number);
    async_os_sleep_us(EFFECT_US); /* not everywhere it has taken effect by now */
    return;
  }
  if (is_for_once(&to_call)) {
    memset(&signal->previous, 0, sizeof signal->previous); /* SIG_DFL */
    sigaction(number, &signal->previous, &ours);
  }
  call_handler(number, &to_call);
  sigemptyset(&set);
  sigaddset(&set, number);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  /* It lives on. */
  if (is_for_once(&to_call) && sigaction(number, NULL, &left) == 0 && is_default(&left)) {
    sigaction(number, &ours, NULL);
  } else {
    async_os_sleep_us(HANDLER_US);
  }
}

static Watched *find(int number) {
  int i = 0;
  while (watched[i].number != number) i++;
  return &watched[i];
}

static void act_on(int number, bool on_top) {
  Watched *signal = find(number);
  bool drains = watching;
  bool may_live = !on_top || (!is_default(&signal->previous) && !is_for_once(&signal->previous));
  if (drains) before_signal(may_live);
  if (on_top) pass_on(signal);
  if (drains) after_signal();
}

static void watch_main(void *arg) {
  (void)arg;
  for (;;) {
    unsigned char byte;
    ssize_t got = read(signal_pipe[0], &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got != 1) return;
    while (!try_begin()) async_os_sleep_us(BUSY_POLL_US);
    act_on(byte & ~BYTE_ON_TOP, (byte & BYTE_ON_TOP) != 0);
    end();
  }
}

/* ---- Control ---- */

static bool start_watching(bool over_handlers) {
  watch_process = getpid();
  if (pipe(signal_pipe) != 0) return false;
  fcntl(signal_pipe[0], F_SETFD, FD_CLOEXEC);
  fcntl(signal_pipe[1], F_SETFD, FD_CLOEXEC);
  AsyncOsThread thread;
  if (!async_os_thread_start(&thread, watch_main, NULL)) {
    close(signal_pipe[0]);
    close(signal_pipe[1]);
    signal_pipe[0] = signal_pipe[1] = -1;
    return false;
  }
  watch_thread = *(pthread_t *)(void *)thread.room;
  pthread_detach(watch_thread);
  watching = true;
  busy = 1; /* it is free: no signal has come, and nobody looks yet */
  put_all_handlers(over_handlers);
  end();
  return true;
}

bool async_os_watch_signals(void (*before)(bool may_live), void (*after)(void),
                            bool over_handlers) {
  before_signal = before;
  after_signal = after;
  if (signal_pipe[0] < 0 && !start_watching(over_handlers)) return false;
  watching = true;
  look_now();
  return true;
}

/* The handlers stay, for others may have put theirs on top; they only pass on. */
void async_os_unwatch_signals(void) {
  watching = false;
  look_us = NEVER;
}

int async_os_ignored_signals(void) {
  int ignored = 0;
  for (int i = 0; i < WATCHED_COUNT; i++) {
    struct sigaction current;
    if (sigaction(watched[i].number, NULL, &current) != 0) continue;
    if (is_handled_by(&current, SIG_IGN)) ignored |= 1 << i;
  }
  return ignored;
}

#endif /* !_WIN32 */

/* A translation unit must not be empty. */
typedef int async_os_posix_signals_is_not_empty;
