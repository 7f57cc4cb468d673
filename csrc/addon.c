/*
** The library as a Node-API addon: what a JavaScript runtime finds in it when
** it loads the file with process.dlopen().
**
**   Deno, Node  call the library's functions through it and are woken by it,
**   Bun         is woken by it (notify.c); it calls by its own foreign-function
**               interface, which is cheaper there.
**
** The functions' table below is the addon's interface, and the same as that of
** ffi/symbols.ts: one line each.  What JavaScript passes is checked, so that no
** number of arguments and no value of theirs makes C read or write where it
** may not: a TypeError says which argument was wrong.
**
** All state here is constant.  Each environment (the main thread, a Worker)
** gets functions of its own, as often as it loads the file.
*/
#ifndef SQLITE_CORE

#include "api.h"
#include "init.h"
#include "napi.h"
#include "notify.h"
#include "sqlite3async.h"

#include <stdio.h>
#include <string.h>

#if defined(_WIN32)
#define NAPI_EXPORT __declspec(dllexport)
#else
#define NAPI_EXPORT __attribute__((visibility("default")))
#endif

/* ---- The table ---- */

#define PARAMETERS_MAX 3

typedef struct Argument {
  int32_t i32;
  int64_t i64;
  void *array;
  size_t length; /* of the array */
} Argument;

/*
** Parameters, a letter each:
**
**   i  a whole number of 32 bits
**   l  a whole number of 64 bits, as a number or a BigInt
**   t  a text: a Uint8Array with a NUL in it
**   o  room for text: a Uint8Array.  The next argument is how much of it to use
**   n  one number to read or write: a BigInt64Array, not empty
**   p  room for pairs: a BigInt64Array.  The next argument is how many to use
*/
#define CALL_ ()
#define CALL_i (a[0].i32)
#define CALL_l (a[0].i64)
#define CALL_t (a[0].array)
#define CALL_il (a[0].i32, a[1].i64)
#define CALL_in (a[0].i32, a[1].array)
#define CALL_oi (a[0].array, a[1].i32)
#define CALL_ti (a[0].array, a[1].i32)
#define CALL_noi (a[0].array, a[1].array, a[2].i32)
#define CALL_toi (a[0].array, a[1].array, a[2].i32)
#define CALL_tpi (a[0].array, a[1].array, a[2].i32)

/* RESULT(its name, its parameters) */
#define FUNCTIONS(I32, I64)                                                                        \
  I32(sqlite3async_version, )                                                                      \
  I32(sqlite3async_errmsg, oi)                                                                     \
  I32(sqlite3async_set, il)                                                                        \
  I32(sqlite3async_get, in)                                                                        \
  I32(sqlite3async_prepare, ti)                                                                    \
  I32(sqlite3async_start, )                                                                        \
  I32(sqlite3async_stop, i)                                                                        \
  I32(sqlite3async_drain, )                                                                        \
  I32(sqlite3async_ending, )                                                                       \
  I32(sqlite3async_close, i)                                                                       \
  I32(sqlite3async_release_closed, )                                                               \
  I32(sqlite3async_close_by_force, i)                                                              \
  I32(sqlite3async_route, t)                                                                       \
  I32(sqlite3async_unroute, t)                                                                     \
  I32(sqlite3async_exclude, t)                                                                     \
  I32(sqlite3async_flush, ti)                                                                      \
  I32(sqlite3async_release, ti)                                                                    \
  I32(sqlite3async_flush_begin, tpi)                                                               \
  I64(sqlite3async_durable, l)                                                                     \
  I32(sqlite3async_status, toi)                                                                    \
  I32(sqlite3async_databases, oi)                                                                  \
  I32(sqlite3async_is_open, t)                                                                     \
  I32(sqlite3async_event, noi)

typedef struct Function {
  const char *name;
  const char *parameters;
  bool is_wide; /* the result has 64 bits */
  int64_t (*call)(const Argument *a);
} Function;

#define DEFINE(name, parameters)                                                                   \
  static int64_t call_##name(const Argument *a) {                                                  \
    (void)a;                                                                                       \
    return name CALL_##parameters;                                                                 \
  }
FUNCTIONS(DEFINE, DEFINE)

#define NARROW(name, parameters) {#name, #parameters, false, call_##name},
#define WIDE(name, parameters) {#name, #parameters, true, call_##name},
static const Function functions[] = {FUNCTIONS(NARROW, WIDE)};

/* ---- Checking arguments ---- */

static const char *wanted(char letter) {
  switch (letter) {
  case 'i':
    return "a whole number of 32 bits";
  case 'l':
    return "a whole number of 64 bits, as a number or a BigInt";
  case 't':
    return "a Uint8Array with a text that ends in a NUL";
  case 'o':
    return "a Uint8Array, at least as long as the next argument says";
  case 'n':
    return "a BigInt64Array that is not empty";
  default:
    return "a BigInt64Array, at least twice as long as the next argument says";
  }
}

/* 2 to the power of 53: up to here a number is exact. */
#define NUMBER_MAX 9007199254740992.0

static bool read_i32(NapiEnv env, NapiValue value, int32_t *result) {
  double number;
  if (async_napi.get_value_double(env, value, &number) != 0) return false;
  if (!(number >= INT32_MIN && number <= INT32_MAX)) return false; /* NaN is not, either */
  *result = (int32_t)number;
  return *result == number;
}

static bool read_i64(NapiEnv env, NapiValue value, int64_t *result) {
  bool lossless;
  if (async_napi.get_value_bigint_int64(env, value, result, &lossless) == 0) return lossless;
  double number;
  if (async_napi.get_value_double(env, value, &number) != 0) return false;
  if (!(number >= -NUMBER_MAX && number <= NUMBER_MAX)) return false;
  *result = (int64_t)number;
  return (double)*result == number;
}

static bool read_array(NapiEnv env, NapiValue value, int type_wanted, Argument *result) {
  int type;
  return async_napi.get_typedarray_info(env, value, &type, &result->length, &result->array, NULL,
                                        NULL) == 0 &&
         type == type_wanted;
}

static bool read_argument(NapiEnv env, NapiValue value, char letter, Argument *result) {
  switch (letter) {
  case 'i':
    return read_i32(env, value, &result->i32);
  case 'l':
    return read_i64(env, value, &result->i64);
  case 't':
    return read_array(env, value, NAPI_UINT8_ARRAY, result) && result->length > 0 &&
           memchr(result->array, 0, result->length) != NULL;
  case 'o':
    return read_array(env, value, NAPI_UINT8_ARRAY, result);
  case 'n':
    return read_array(env, value, NAPI_BIGINT64_ARRAY, result) && result->length > 0;
  default:
    return read_array(env, value, NAPI_BIGINT64_ARRAY, result);
  }
}

/* Is the room as large as the argument behind it says? */
static bool is_large_enough(char letter, const Argument *room) {
  if (letter != 'o' && letter != 'p') return true;
  int64_t unit = letter == 'p' ? 2 : 1;
  return (uint64_t)(room[1].i32 * unit) <= room->length; /* below 0 it is huge */
}

/* All of them; false, and a TypeError is pending, if one is wrong. */
static bool read_arguments(NapiEnv env, const Function *function, size_t count,
                           const NapiValue *values, Argument *arguments) {
  char words[200];
  size_t count_wanted = strlen(function->parameters);
  if (count != count_wanted) {
    snprintf(words, sizeof words, "%s: %d arguments, it takes %d", function->name, (int)count,
             (int)count_wanted);
    async_napi.throw_type_error(env, NULL, words);
    return false;
  }
  size_t wrong = count;
  for (size_t i = count; i-- > 0;) {
    if (!read_argument(env, values[i], function->parameters[i], &arguments[i])) wrong = i;
  }
  for (size_t i = 0; i < count && wrong == count; i++) {
    if (!is_large_enough(function->parameters[i], &arguments[i])) wrong = i;
  }
  if (wrong == count) return true;
  snprintf(words, sizeof words, "%s: argument %d must be %s", function->name, (int)wrong + 1,
           wanted(function->parameters[wrong]));
  async_napi.throw_type_error(env, NULL, words);
  return false;
}

/* Every function of the table arrives here. */
static NapiValue call_from_js(NapiEnv env, NapiCall call) {
  NapiValue values[PARAMETERS_MAX];
  Argument arguments[PARAMETERS_MAX] = {0};
  size_t count = PARAMETERS_MAX;
  void *data = NULL;
  if (async_napi.get_cb_info(env, call, &count, values, NULL, &data) != 0) return NULL;
  const Function *function = data;
  if (!read_arguments(env, function, count, values, arguments)) return NULL;
  int64_t result = function->call(arguments);
  NapiValue value = NULL;
  if (function->is_wide) {
    async_napi.create_bigint_int64(env, result, &value);
  } else {
    async_napi.create_int32(env, (int32_t)result, &value);
  }
  return value;
}

/* ---- What the runtime calls when it loads the file ---- */

static void export_function(NapiEnv env, NapiValue exports, const char *name, NapiCallback callback,
                            const void *data) {
  NapiValue function;
  if (async_napi.create_function(env, name, strlen(name), callback, (void *)data, &function) == 0) {
    async_napi.set_named_property(env, exports, name, function);
  }
}

NAPI_EXPORT int32_t node_api_module_get_api_version_v1(void);
NAPI_EXPORT NapiValue napi_register_module_v1(NapiEnv env, NapiValue exports);

int32_t node_api_module_get_api_version_v1(void) { return NAPI_VERSION_WANTED; }

/* Once for each environment, or oftener.  The exports stay empty if the
** process does not have all of Node-API that is wanted. */
NapiValue napi_register_module_v1(NapiEnv env, NapiValue exports) {
  async_init();
  if (!async_napi_found()) return exports;
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    export_function(env, exports, functions[i].name, call_from_js, &functions[i]);
  }
  export_function(env, exports, "subscribe", async_notify_subscribe, NULL);
  return exports;
}

#endif /* SQLITE_CORE */

/* A translation unit must not be empty. */
typedef int async_addon_is_not_empty;
