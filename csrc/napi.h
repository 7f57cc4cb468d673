/*
** The part of Node-API that is used here: how C talks to a JavaScript
** environment, in Node, Deno and Bun alike.
**
** It is a stable binary interface.  The few types and prototypes are declared
** here and the functions looked up at run time, so neither Node's headers nor
** an import library is needed, and the same library loads into a process that
** has no Node-API.  Linked into a C program (SQLITE_CORE) there is none of it.
*/
#ifndef ASYNC_NAPI_H
#define ASYNC_NAPI_H

#ifndef SQLITE_CORE

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct NapiOpaqueEnvironment *NapiEnv; /* the main thread's or a Worker's */
typedef struct NapiOpaqueValue *NapiValue;     /* valid until the call ends */
typedef struct NapiOpaqueCall *NapiCall;
typedef struct NapiOpaqueThreadsafe *NapiThreadsafe;
typedef int NapiStatus; /* 0: ok */

typedef NapiValue (*NapiCallback)(NapiEnv env, NapiCall call);
typedef void (*NapiFinalize)(NapiEnv env, void *data, void *hint);
typedef void (*NapiCallJs)(NapiEnv env, NapiValue function, void *context, void *data);

/* The version of the interface that has all of this. */
#define NAPI_VERSION_WANTED 8

enum { NAPI_NONBLOCKING = 0 };
enum { NAPI_FUNCTION = 7 };                             /* of values */
enum { NAPI_UINT8_ARRAY = 1, NAPI_BIGINT64_ARRAY = 9 }; /* of typed arrays */

/* Each function is named napi_*; type_of is napi_typeof.  All are NULL if
** async_napi_found() is false. */
typedef struct AsyncNapi {
  NapiStatus (*create_function)(NapiEnv, const char *, size_t, NapiCallback, void *, NapiValue *);
  NapiStatus (*set_named_property)(NapiEnv, NapiValue, const char *, NapiValue);
  NapiStatus (*get_cb_info)(NapiEnv, NapiCall, size_t *, NapiValue *, NapiValue *, void **);
  NapiStatus (*type_of)(NapiEnv, NapiValue, int *);
  NapiStatus (*get_value_double)(NapiEnv, NapiValue, double *);
  NapiStatus (*get_value_bigint_int64)(NapiEnv, NapiValue, int64_t *, bool *);
  NapiStatus (*get_typedarray_info)(NapiEnv, NapiValue, int *, size_t *, void **, NapiValue *,
                                    size_t *);
  NapiStatus (*get_undefined)(NapiEnv, NapiValue *);
  NapiStatus (*create_int32)(NapiEnv, int32_t, NapiValue *);
  NapiStatus (*create_bigint_int64)(NapiEnv, int64_t, NapiValue *);
  NapiStatus (*create_string_utf8)(NapiEnv, const char *, size_t, NapiValue *);
  NapiStatus (*call_function)(NapiEnv, NapiValue, NapiValue, size_t, const NapiValue *,
                              NapiValue *);
  NapiStatus (*throw_error)(NapiEnv, const char *, const char *);
  NapiStatus (*throw_type_error)(NapiEnv, const char *, const char *);
  NapiStatus (*add_env_cleanup_hook)(NapiEnv, void (*)(void *), void *);
  NapiStatus (*create_threadsafe_function)(NapiEnv, NapiValue, NapiValue, NapiValue, size_t, size_t,
                                           void *, NapiFinalize, void *, NapiCallJs,
                                           NapiThreadsafe *);
  NapiStatus (*call_threadsafe_function)(NapiThreadsafe, void *, int);
  NapiStatus (*ref_threadsafe_function)(NapiEnv, NapiThreadsafe);
  NapiStatus (*unref_threadsafe_function)(NapiEnv, NapiThreadsafe);
} AsyncNapi;

/* Set by async_napi_init(), never changed after it. */
extern AsyncNapi async_napi;

#endif /* SQLITE_CORE */

/* Look the functions up.  Call once, before any other function of this module. */
void async_napi_init(void);

#ifndef SQLITE_CORE
/* Does this process have all of them? */
bool async_napi_found(void);
#endif

#endif /* ASYNC_NAPI_H */
