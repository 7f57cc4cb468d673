/*
** The runtime of JavaScript.  See napi_runtime.h.
*/
#include "napi_runtime.h"

#include "harness.h"

#include <string.h>

#define VALUES_MAX 80
#define ARGUMENTS_MAX 3

struct NapiOpaqueCall {
  size_t count;
  NapiValue values[ARGUMENTS_MAX];
  const void *data;
};

struct NapiOpaqueThreadsafe {
  bool alive;
  int queued;
  NapiCallJs call;
  void *context;
  NapiFinalize finalize;
  void *finalized;
};

static char environment;
#define ENV ((NapiEnv)(void *)&environment)

static RuntimeValue values[VALUES_MAX]; /* those that are valid now */
static int value_count;
static int exported_count;
static void *made_data;
static struct NapiOpaqueThreadsafe threadsafe;
static void (*hook)(void *);
static void *hook_arg;
static int woken;

static NapiValue new_value(Kind kind, double number) {
  CHECK(value_count < VALUES_MAX);
  values[value_count] = (RuntimeValue){kind, number};
  return (NapiValue)(void *)&values[value_count++];
}

static RuntimeValue value_of(NapiValue value) {
  for (int i = 0; i < value_count; i++) {
    if ((void *)value == &values[i]) return values[i];
  }
  FAIL("%p is no value", (void *)value);
}

/* ---- What fails ---- */

enum { OK, FAILURE = 9, PENDING_EXCEPTION = 10 }; /* NapiStatus */

static RuntimeFailing failing;
static int fail_at;
static int calls;
static int failures;
static bool pending;

void runtime_fail(RuntimeFailing how, int n) {
  failing = how;
  fail_at = n;
  calls = failures = 0;
}

int runtime_failures(void) { return failures; }

static NapiStatus enter(void) {
  calls++;
  bool fails = calls == fail_at;
  if (failing == RUNTIME_FROM_THERE_ON) fails = fail_at > 0 && calls >= fail_at;
  if (!fails) return pending ? PENDING_EXCEPTION : OK;
  failures++;
  pending = pending || failing == RUNTIME_PENDING;
  return FAILURE;
}

/* Each function of Node-API begins so. */
#define ENTER(as_it_must_be)                                                                       \
  do {                                                                                             \
    CHECK(as_it_must_be);                                                                          \
    NapiStatus status = enter();                                                                   \
    if (status != OK) return status;                                                               \
  } while (0)

/* ---- Node-API ---- */

static NapiStatus create(NapiEnv env, Kind kind, NapiValue *result) {
  ENTER(env == ENV);
  *result = new_value(kind, 0);
  return OK;
}

static NapiStatus create_function(NapiEnv env, const char *name, size_t length,
                                  NapiCallback callback, void *data, NapiValue *result) {
  CHECK(strlen(name) == length && callback != NULL);
  made_data = data;
  return create(env, FUNCTION, result);
}

static NapiStatus set_named_property(NapiEnv env, NapiValue object, const char *name,
                                     NapiValue value) {
  (void)name;
  ENTER(env == ENV && value_of(object).kind == OBJECT && value_of(value).kind == FUNCTION);
  exported_count++;
  return OK;
}

static NapiStatus get_cb_info(NapiEnv env, NapiCall call, size_t *count, NapiValue *arguments,
                              NapiValue *self, void **data) {
  ENTER(env == ENV && *count >= call->count && self == NULL);
  memcpy(arguments, call->values, call->count * sizeof *arguments);
  *count = call->count;
  if (data != NULL) *data = (void *)call->data;
  return OK;
}

static NapiStatus type_of(NapiEnv env, NapiValue value, int *type) {
  ENTER(env == ENV);
  *type = value_of(value).kind == FUNCTION ? NAPI_FUNCTION : 0;
  return OK;
}

static NapiStatus get_value_double(NapiEnv env, NapiValue value, double *result) {
  ENTER(env == ENV);
  if (value_of(value).kind != NUMBER) return FAILURE;
  *result = value_of(value).number;
  return OK;
}

static NapiStatus get_value_bigint_int64(NapiEnv env, NapiValue value, int64_t *result,
                                         bool *lossless) {
  ENTER(env == ENV);
  if (value_of(value).kind != BIGINT) return FAILURE;
  *result = 0;
  *lossless = true;
  return OK;
}

static NapiStatus get_typedarray_info(NapiEnv env, NapiValue value, int *type, size_t *length,
                                      void **array, NapiValue *buffer, size_t *offset) {
  static int64_t room[2];
  ENTER(env == ENV && buffer == NULL && offset == NULL);
  Kind kind = value_of(value).kind;
  if (kind != BYTES && kind != BIGINTS) return FAILURE;
  *type = kind == BYTES ? NAPI_UINT8_ARRAY : NAPI_BIGINT64_ARRAY;
  *length = kind == BYTES ? sizeof room : 2;
  *array = memset(room, 0, sizeof room);
  return OK;
}

static NapiStatus get_undefined(NapiEnv env, NapiValue *result) {
  return create(env, UNDEFINED, result);
}

static NapiStatus create_int32(NapiEnv env, int32_t number, NapiValue *result) {
  (void)number;
  return create(env, NUMBER, result);
}

static NapiStatus create_bigint_int64(NapiEnv env, int64_t number, NapiValue *result) {
  (void)number;
  return create(env, BIGINT, result);
}

static NapiStatus create_string_utf8(NapiEnv env, const char *text, size_t length,
                                     NapiValue *result) {
  CHECK_EQ(strlen(text), length);
  return create(env, TEXT, result);
}

static NapiStatus call_function(NapiEnv env, NapiValue self, NapiValue function, size_t count,
                                const NapiValue *arguments, NapiValue *result) {
  CHECK(count == 0 && arguments == NULL && result == NULL);
  ENTER(env == ENV && value_of(self).kind == UNDEFINED && value_of(function).kind == FUNCTION);
  woken++;
  return OK;
}

static NapiStatus throw_error(NapiEnv env, const char *code, const char *words) {
  ENTER(env == ENV && code == NULL && words[0] != '\0');
  pending = true;
  return OK;
}

static NapiStatus add_env_cleanup_hook(NapiEnv env, void (*run)(void *), void *arg) {
  ENTER(env == ENV);
  hook = run;
  hook_arg = arg;
  return OK;
}

static NapiStatus create_threadsafe_function(NapiEnv env, NapiValue function, NapiValue resource,
                                             NapiValue name, size_t queue_max, size_t threads,
                                             void *finalized, NapiFinalize finalize, void *context,
                                             NapiCallJs call, NapiThreadsafe *result) {
  CHECK(resource == NULL && queue_max == 0 && threads == 1 && !threadsafe.alive);
  ENTER(env == ENV && value_of(function).kind == FUNCTION && value_of(name).kind == TEXT);
  threadsafe = (struct NapiOpaqueThreadsafe){true, 0, call, context, finalize, finalized};
  *result = &threadsafe;
  return OK;
}

static NapiStatus call_threadsafe_function(NapiThreadsafe function, void *data, int mode) {
  CHECK(function == &threadsafe && threadsafe.alive && data == NULL && mode == NAPI_NONBLOCKING);
  bool threw = pending; /* another thread neither sees that nor leaves one */
  pending = false;
  NapiStatus status = enter();
  pending = threw;
  if (status == OK) threadsafe.queued++;
  return status;
}

static NapiStatus hold_or_not(NapiEnv env, NapiThreadsafe function) {
  ENTER(env == ENV && function == &threadsafe && threadsafe.alive);
  return OK;
}

#define ENTRY(name, function) {"napi_" #name, (void (*)(void))function}
static const struct {
  const char *name;
  void (*function)(void);
} api[] = {
    ENTRY(create_function, create_function),
    ENTRY(set_named_property, set_named_property),
    ENTRY(get_cb_info, get_cb_info),
    ENTRY(typeof, type_of),
    ENTRY(get_value_double, get_value_double),
    ENTRY(get_value_bigint_int64, get_value_bigint_int64),
    ENTRY(get_typedarray_info, get_typedarray_info),
    ENTRY(get_undefined, get_undefined),
    ENTRY(create_int32, create_int32),
    ENTRY(create_bigint_int64, create_bigint_int64),
    ENTRY(create_string_utf8, create_string_utf8),
    ENTRY(call_function, call_function),
    ENTRY(throw_error, throw_error),
    ENTRY(throw_type_error, throw_error),
    ENTRY(add_env_cleanup_hook, add_env_cleanup_hook),
    ENTRY(create_threadsafe_function, create_threadsafe_function),
    ENTRY(call_threadsafe_function, call_threadsafe_function),
    ENTRY(ref_threadsafe_function, hold_or_not),
    ENTRY(unref_threadsafe_function, hold_or_not),
};
static const char *lacking;

void runtime_lacks(const char *name) { lacking = name; }

void *runtime_symbol(const char *name) {
  void *symbol = NULL;
  if (lacking != NULL && strcmp(name, lacking) == 0) return NULL;
  for (size_t i = 0; i < sizeof api / sizeof api[0]; i++) {
    if (strcmp(name, api[i].name) == 0) memcpy(&symbol, &api[i].function, sizeof symbol);
  }
  return symbol;
}

/* ---- What JavaScript does ---- */

static void __attribute__((noinline)) fill_stack(void) {
  volatile unsigned char room[8192];
  for (size_t i = 0; i < sizeof room; i++) room[i] = 0xaa;
}

int runtime_load(NapiValue (*load)(NapiEnv env, NapiValue exports)) {
  value_count = exported_count = 0;
  NapiValue exports = new_value(OBJECT, 0);
  fill_stack();
  CHECK(load(ENV, exports) == exports);
  pending = false;
  return exported_count;
}

RuntimeResult runtime_call(NapiCallback callback, const void *data, int count,
                           const RuntimeValue *arguments) {
  struct NapiOpaqueCall call = {.count = (size_t)count, .data = data};
  value_count = 0;
  for (int i = 0; i < count; i++)
    call.values[i] = new_value(arguments[i].kind, arguments[i].number);
  int before = failures;
  fill_stack();
  NapiValue value = callback(ENV, &call);
  RuntimeResult result = {.threw = pending, .met_failure = failures > before};
  if (value != NULL) result.kind = value_of(value).kind;
  pending = false;
  return result;
}

void *runtime_made_data(void) { return made_data; }

int runtime_deliver(void) {
  int before = woken;
  CHECK(threadsafe.queued <= 1);
  for (; threadsafe.queued > 0; threadsafe.queued--) {
    value_count = 0;
    NapiValue function = new_value(FUNCTION, 0);
    fill_stack();
    threadsafe.call(ENV, function, threadsafe.context, NULL);
    pending = false;
  }
  return woken - before;
}

static void run_hook(void) {
  if (hook != NULL) hook(hook_arg);
  hook = NULL;
}

void runtime_end(bool hook_first) {
  if (hook_first) run_hook();
  if (threadsafe.queued > 0) threadsafe.call(NULL, NULL, threadsafe.context, NULL);
  if (threadsafe.alive) threadsafe.finalize(ENV, threadsafe.finalized, NULL);
  threadsafe = (struct NapiOpaqueThreadsafe){0};
  run_hook();
}
