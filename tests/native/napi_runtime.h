/*
** A runtime with one environment of JavaScript, for the addon's tests: its Node-API can be told
** to fail, and a test does what JavaScript would.
**
** It knows its values, which are valid for one call, and refuses anything else; a function that
** fails writes nothing, and before the addon is called the stack is filled with what is no
** value, no bool and no type.  So what is used without having been written is found.
*/
#ifndef TEST_NAPI_RUNTIME_H
#define TEST_NAPI_RUNTIME_H

#undef SQLITE_CORE /* as in the shared library */
#include "napi.h"

/* ---- What fails ---- */

typedef enum RuntimeFailing {
  RUNTIME_ONCE,
  RUNTIME_PENDING, /* once, with an exception: until JavaScript goes on all others fail, too */
  RUNTIME_FROM_THERE_ON,
} RuntimeFailing;

/* The n-th call of Node-API from now on fails; 0: none. */
void runtime_fail(RuntimeFailing failing, int n);
/* How many were told to fail since then. */
int runtime_failures(void);

/* ---- What JavaScript does ---- */

typedef enum Kind { UNDEFINED, NUMBER, BIGINT, BYTES, BIGINTS, TEXT, FUNCTION, OBJECT } Kind;

typedef struct RuntimeValue {
  Kind kind;
  double number; /* of NUMBER */
} RuntimeValue;

typedef struct RuntimeResult {
  Kind kind;
  bool threw;
  bool met_failure;
} RuntimeResult;

/* Load the addon; how many functions it exports. */
int runtime_load(NapiValue (*load)(NapiEnv env, NapiValue exports));

/* Call a function that the addon has made of this callback and data. */
RuntimeResult runtime_call(NapiCallback callback, const void *data, int count,
                           const RuntimeValue *arguments);

/* The data of the function that was made last. */
void *runtime_made_data(void);

/* Let the wakes arrive that are under way: at most one.  How often JavaScript was called. */
int runtime_deliver(void);

/* End the environment: call the addon's cleanup hook before the finalizer of its threadsafe
** function, or after it.  From then on that function may not be used. */
void runtime_end(bool hook_first);

/* ---- What the addon does ---- */

/* As dlsym(), but for one that the runtime does not have. */
void *runtime_symbol(const char *name);
void runtime_lacks(const char *name);

#endif /* TEST_NAPI_RUNTIME_H */
