/*
** Waking JavaScript from the writer's thread.
**
** A flush that was awaited becomes durable on a native thread; the promise
** must be settled on the thread of the JavaScript environment that waits for
** it.  This file is the bridge, a Node-API addon inside this same shared
** library: Deno and Bun (and Node) load it with process.dlopen(), and its one
** function subscribe(wake) ties a JavaScript function to a "threadsafe
** function" of the environment.  A wake carries no data.  JavaScript then asks
** sqlite3async_durable() and sqlite3async_event() what happened.
**
** The addon's interface:
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
** All napi_* functions are looked up at run time, and the few prototypes are
** declared here: neither Node's headers nor an import library is needed, and
** in a process without Node-API this file does nothing.  Linked into a C
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

#if defined(_WIN32)
#define NAPI_EXPORT __declspec(dllexport)
#else
#define NAPI_EXPORT __attribute__((visibility("default")))
#endif

/* ---- The part of Node-API that is used here, version 8 ---- */

typedef struct NapiEnvironment *NapiEnv;
typedef struct NapiOpaqueValue *NapiValue;
typedef struct NapiOpaqueCall *NapiCall;
typedef struct NapiOpaqueThreadsafe *NapiThreadsafe;
typedef int NapiStatus; /* 0: ok */

typedef NapiValue (*NapiCallback)(NapiEnv env, NapiCall call);
typedef void (*NapiFinalize)(NapiEnv env, void *data, void *hint);
typedef void (*NapiCallJs)(NapiEnv env, NapiValue function, void *context, void *data);

enum { NAPI_VERSION_WANTED = 8, NAPI_NONBLOCKING = 0 };

static struct {
  NapiStatus (*create_function)(NapiEnv, const char *, size_t, NapiCallback, void *, NapiValue *);
  NapiStatus (*set_named_property)(NapiEnv, NapiValue, const char *, NapiValue);
  NapiStatus (*get_cb_info)(NapiEnv, NapiCall, size_t *, NapiValue *, NapiValue *, void **);
  NapiStatus (*get_value_int32)(NapiEnv, NapiValue, int32_t *);
  NapiStatus (*get_undefined)(NapiEnv, NapiValue *);
  NapiStatus (*create_string_utf8)(NapiEnv, const char *, size_t, NapiValue *);
  NapiStatus (*call_function)(NapiEnv, NapiValue, NapiValue, size_t, const NapiValue *,
                              NapiValue *);
  NapiStatus (*throw_error)(NapiEnv, const char *, const char *);
  NapiStatus (*add_env_cleanup_hook)(NapiEnv, void (*)(void *), void *);
  NapiStatus (*create_threadsafe_function)(NapiEnv, NapiValue, NapiValue, NapiValue, size_t, size_t,
                                           void *, NapiFinalize, void *, NapiCallJs,
                                           NapiThreadsafe *);
  NapiStatus (*call_threadsafe_function)(NapiThreadsafe, void *, int);
  NapiStatus (*ref_threadsafe_function)(NapiEnv, NapiThreadsafe);
  NapiStatus (*unref_threadsafe_function)(NapiEnv, NapiThreadsafe);
} napi;

#define NAPI_FUNCTION(name) {"napi_" #name, offsetof(__typeof__(napi), name)}
static const struct {
  const char *name;
  size_t offset;
} napi_functions[] = {
    NAPI_FUNCTION(create_function),
    NAPI_FUNCTION(set_named_property),
    NAPI_FUNCTION(get_cb_info),
    NAPI_FUNCTION(get_value_int32),
    NAPI_FUNCTION(get_undefined),
    NAPI_FUNCTION(create_string_utf8),
    NAPI_FUNCTION(call_function),
    NAPI_FUNCTION(throw_error),
    NAPI_FUNCTION(add_env_cleanup_hook),
    NAPI_FUNCTION(create_threadsafe_function),
    NAPI_FUNCTION(call_threadsafe_function),
    NAPI_FUNCTION(ref_threadsafe_function),
    NAPI_FUNCTION(unref_threadsafe_function),
};

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
static atomic_bool initialized;
static atomic_int interested_count; /* written under NOTIFY: subscriptions not idle */
static Subscription *subscriptions; /* NOTIFY */
static bool napi_resolved;          /* NOTIFY */

void async_notify_init(void) {
  async_mutex_init(&notify_mutex, ASYNC_RANK_NOTIFY);
  atomic_store(&initialized, true);
}

void async_notify(void) {
  if (async_os_is_last_thread()) return; /* the environments are dead */
  if (atomic_load(&interested_count) == 0) return;
  async_mutex_enter(&notify_mutex);
  for (Subscription *each = subscriptions; each != NULL; each = each->next) {
    if (each->interest == INTEREST_IDLE || each->wake_pending) continue;
    each->wake_pending = napi.call_threadsafe_function(each->wake, NULL, NAPI_NONBLOCKING) == 0;
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
  if (napi.get_undefined(env, &receiver) != 0) return;
  /* What JavaScript throws is left pending: the runtime reports it. */
  napi.call_function(env, receiver, function, 0, NULL, NULL);
}

/* ---- The addon's two JavaScript functions ---- */

/* (interest: number): void */
static NapiValue js_set_interest(NapiEnv env, NapiCall call) {
  size_t count = 1;
  NapiValue argument = NULL;
  void *data = NULL;
  int32_t wanted;
  if (napi.get_cb_info(env, call, &count, &argument, NULL, &data) != 0) return NULL;
  if (count != 1 || napi.get_value_int32(env, argument, &wanted) != 0 || wanted < INTEREST_IDLE ||
      wanted > INTEREST_WAITING) {
    napi.throw_error(env, NULL, "interest must be 0, 1 or 2");
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
  if (hold && !held) napi.ref_threadsafe_function(env, subscription->wake);
  if (held && !hold) napi.unref_threadsafe_function(env, subscription->wake);
  return NULL;
}

/* (wake: () => void): (interest: number) => void */
static NapiValue js_subscribe(NapiEnv env, NapiCall call) {
  size_t count = 1;
  NapiValue wake = NULL;
  if (napi.get_cb_info(env, call, &count, &wake, NULL, NULL) != 0) return NULL;
  Subscription *subscription = calloc(1, sizeof *subscription);
  if (subscription == NULL) {
    napi.throw_error(env, NULL, "out of memory");
    return NULL;
  }
  subscription->ends_to_come = 2;

  NapiValue name;
  if (napi.create_string_utf8(env, "sqlite3async", strlen("sqlite3async"), &name) != 0 ||
      napi.create_threadsafe_function(env, wake, NULL, name, 0, 1, subscription, on_wake_finalized,
                                      subscription, on_wake, &subscription->wake) != 0) {
    free(subscription);
    napi.throw_error(env, NULL, "subscribe: the runtime refused a threadsafe function");
    return NULL;
  }
  napi.unref_threadsafe_function(env, subscription->wake);
  if (napi.add_env_cleanup_hook(env, on_environment_cleanup, subscription) != 0) {
    /* Not linked: nobody will call it.  The finalizer alone would come late. */
    napi.throw_error(env, NULL, "subscribe: the runtime refused a cleanup hook");
    return NULL;
  }
  link_subscription(subscription);

  NapiValue set_interest = NULL;
  napi.create_function(env, "setInterest", strlen("setInterest"), js_set_interest, subscription,
                       &set_interest);
  return set_interest;
}

/* ---- What the runtime calls when it loads the addon ---- */

static bool resolve_napi(void) {
  async_mutex_enter(&notify_mutex);
  bool resolved = true;
  size_t count = sizeof napi_functions / sizeof napi_functions[0];
  for (size_t i = 0; i < count && !napi_resolved; i++) {
    void *symbol = async_os_symbol(napi_functions[i].name);
    if (symbol == NULL) resolved = false;
    memcpy((char *)&napi + napi_functions[i].offset, &symbol, sizeof symbol);
  }
  napi_resolved = resolved;
  async_mutex_leave(&notify_mutex);
  return resolved;
}

NAPI_EXPORT int32_t node_api_module_get_api_version_v1(void);
NAPI_EXPORT NapiValue napi_register_module_v1(NapiEnv env, NapiValue exports);

int32_t node_api_module_get_api_version_v1(void) { return NAPI_VERSION_WANTED; }

/*
** Once for each environment.  The exports stay empty if the library has not
** been set up, by sqlite3async_prepare(), or if a function is missing.
*/
NapiValue napi_register_module_v1(NapiEnv env, NapiValue exports) {
  if (!atomic_load(&initialized) || !resolve_napi()) return exports;
  NapiValue subscribe;
  if (napi.create_function(env, "subscribe", strlen("subscribe"), js_subscribe, NULL, &subscribe) ==
      0) {
    napi.set_named_property(env, exports, "subscribe", subscribe);
  }
  return exports;
}

#endif /* SQLITE_CORE */
