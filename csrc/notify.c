/*
** Waking JavaScript from the writer's thread.
**
** A flush that was awaited becomes durable on a native thread; the promise
** must be settled on the thread of the JavaScript environment that waits for
** it.  This file is the bridge, a part of the Node-API addon that this same
** shared library is (addon.c): its function subscribe(wake) ties a JavaScript
** function to a "threadsafe function" of the environment.  A wake carries no
** data.  JavaScript then asks sqlite3async_durable() and sqlite3async_event()
** what happened.
**
**
**   subscribe(wake: () => void): (interest: number) => void
**
**     The function returned says how much the environment cares:
**       0  idle       never woken, doesn't keep the process alive
**       1  listening  woken; doesn't keep the process alive
**       2  waiting    woken; keeps the process alive
**
** Invariants
**
**   1. A wake that comes after the environment turned interested, and after
**      its last look, is never lost: wake_pending is cleared *before*
**      JavaScript looks.  At most one wake an environment is on its way.
**   2. async_notify() never touches a threadsafe function after its
**      environment began to end.  A Worker may be terminated at any moment, so
**      a subscription is unlinked in the environment's cleanup hook and, where
**      a runtime runs that first, in the function's finalizer.  The cleanup
**      hook is added after the threadsafe function was created, because hooks
**      run in reverse order and the runtime adds one of its own there.
**   3. A subscription is freed when both have run.  In a runtime that runs
**      only one of them it is leaked: some 100 bytes a Worker.
**
** Locks.  ASYNC_RANK_NOTIFY guards the list, and in each subscription what is
** marked so.  It is held while a threadsafe function is called, which is what
** invariant 2 needs; the runtime's own lock comes after it.  So no callback of
** the runtime that may hold that lock enters ours: the finalizer does so only
** if the cleanup hook has not run, that is, while the environment is alive.
**
** Who may call: async_notify() any thread, the rest the environments' threads.
**
** In a process without Node-API this file does nothing.  Linked into a C
** program (SQLITE_CORE) there is no JavaScript to wake.
*/
#include "notify.h"

#ifdef SQLITE_CORE

void async_notify_init(void) {}

void async_notify(void) {}

#else

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mutex.h"

/* ---- Subscriptions ---- */

typedef enum Interest { INTEREST_IDLE, INTEREST_LISTENING, INTEREST_WAITING } Interest;

typedef struct Subscription {
  NapiThreadsafe wake;           /* set once */
  Interest interest;             /* NOTIFY */
  bool wake_pending;             /* NOTIFY: a wake is on its way */
  struct Subscription *next;     /* NOTIFY */
  struct Subscription *previous; /* NOTIFY */
  bool linked;                   /* the environment's thread alone */
  int ends_to_come;              /* the environment's thread alone: hook, finalizer */
} Subscription;

static AsyncMutex notify_mutex;
static atomic_int interested_count; /* written under NOTIFY: subscriptions not idle */
static Subscription *subscriptions; /* NOTIFY */

void async_notify_init(void) { async_mutex_init(&notify_mutex, ASYNC_RANK_NOTIFY); }

void async_notify(void) {
  if (async_os_is_last_thread()) return; /* the environments are dead */
  if (atomic_load(&interested_count) == 0) return;
  async_mutex_enter(&notify_mutex);
  for (Subscription *each = subscriptions; each != NULL; each = each->next) {
    if (each->interest == INTEREST_IDLE || each->wake_pending) continue;
    each->wake_pending =
        async_napi.call_threadsafe_function(each->wake, NULL, NAPI_NONBLOCKING) == 0;
  }
  async_mutex_leave(&notify_mutex);
}

static void link_subscription(Subscription *subscription) {
  async_mutex_enter(&notify_mutex);
  subscription->next = subscriptions;
  if (subscriptions != NULL) subscriptions->previous = subscription;
  subscriptions = subscription;
  async_mutex_leave(&notify_mutex);
  subscription->linked = true;
}

static void unlink_subscription(Subscription *subscription) {
  if (!subscription->linked) return;
  subscription->linked = false;
  async_mutex_enter(&notify_mutex);
  if (subscription->next != NULL) subscription->next->previous = subscription->previous;
  if (subscription->previous != NULL) {
    subscription->previous->next = subscription->next;
  } else {
    subscriptions = subscription->next;
  }
  if (subscription->interest != INTEREST_IDLE) atomic_fetch_sub(&interested_count, 1);
  async_mutex_leave(&notify_mutex);
}

/* One of the two signs that the environment ends. */
static void end_subscription(Subscription *subscription) {
  unlink_subscription(subscription);
  if (--subscription->ends_to_come == 0) free(subscription);
}

static void on_environment_cleanup(void *subscription) { end_subscription(subscription); }

static void on_wake_finalized(NapiEnv env, void *subscription, void *hint) {
  (void)env;
  (void)hint;
  end_subscription(subscription);
}

/* The wake arrives on the environment's thread.  env is NULL when it ends. */
static void on_wake(NapiEnv env, NapiValue function, void *context, void *data) {
  (void)data;
  if (env == NULL || function == NULL) return;
  Subscription *subscription = context;
  async_mutex_enter(&notify_mutex);
  subscription->wake_pending = false;
  async_mutex_leave(&notify_mutex);

  NapiValue receiver;
  if (async_napi.get_undefined(env, &receiver) != 0) return;
  /* It throws nothing: see ffi/wake.ts. */
  async_napi.call_function(env, receiver, function, 0, NULL, NULL);
}

/* ---- The two JavaScript functions ---- */

/* (interest: number): void */
static NapiValue js_set_interest(NapiEnv env, NapiCall call) {
  size_t count = 1;
  NapiValue argument = NULL;
  void *data = NULL;
  double wanted = -1;
  if (async_napi.get_cb_info(env, call, &count, &argument, NULL, &data) != 0) return NULL;
  if (count != 1 || async_napi.get_value_double(env, argument, &wanted) != 0 ||
      (wanted != INTEREST_IDLE && wanted != INTEREST_LISTENING && wanted != INTEREST_WAITING)) {
    async_napi.throw_type_error(env, NULL, "interest must be 0, 1 or 2");
    return NULL;
  }
  Subscription *subscription = data;
  if (!subscription->linked) return NULL;
  Interest interest = (Interest)wanted;

  async_mutex_enter(&notify_mutex);
  Interest before = subscription->interest;
  subscription->interest = interest;
  int change = (interest != INTEREST_IDLE) - (before != INTEREST_IDLE);
  atomic_fetch_add(&interested_count, change);
  async_mutex_leave(&notify_mutex);

  bool held = before == INTEREST_WAITING;
  bool hold = interest == INTEREST_WAITING;
  if (hold && !held) async_napi.ref_threadsafe_function(env, subscription->wake);
  if (held && !hold) async_napi.unref_threadsafe_function(env, subscription->wake);
  return NULL;
}

/* (wake: () => void): (interest: number) => void */
NapiValue async_notify_subscribe(NapiEnv env, NapiCall call) {
  size_t count = 1;
  NapiValue wake = NULL;
  int type = -1;
  if (async_napi.get_cb_info(env, call, &count, &wake, NULL, NULL) != 0) return NULL;
  if (count != 1 || async_napi.type_of(env, wake, &type) != 0 || type != NAPI_FUNCTION) {
    async_napi.throw_type_error(env, NULL, "subscribe: argument 1 must be a function");
    return NULL;
  }
  Subscription *subscription = calloc(1, sizeof *subscription);
  if (subscription == NULL) {
    async_napi.throw_error(env, NULL, "out of memory");
    return NULL;
  }
  subscription->ends_to_come = 2;

  NapiValue name;
  if (async_napi.create_string_utf8(env, "sqlite3async", strlen("sqlite3async"), &name) != 0 ||
      async_napi.create_threadsafe_function(env, wake, NULL, name, 0, 1, subscription,
                                            on_wake_finalized, subscription, on_wake,
                                            &subscription->wake) != 0) {
    free(subscription);
    async_napi.throw_error(env, NULL, "subscribe: the runtime refused a threadsafe function");
    return NULL;
  }
  async_napi.unref_threadsafe_function(env, subscription->wake);
  if (async_napi.add_env_cleanup_hook(env, on_environment_cleanup, subscription) != 0) {
    /* Not linked, for the finalizer alone would come late; it only frees. */
    subscription->ends_to_come = 1;
    async_napi.throw_error(env, NULL, "subscribe: the runtime refused a cleanup hook");
    return NULL;
  }
  link_subscription(subscription);

  NapiValue set_interest = NULL;
  async_napi.create_function(env, "setInterest", strlen("setInterest"), js_set_interest,
                             subscription, &set_interest);
  return set_interest;
}

#endif /* SQLITE_CORE */
