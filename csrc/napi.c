/*
** Finding Node-API.  See napi.h.
*/
#include "napi.h"

#ifdef SQLITE_CORE

void async_napi_init(void) {}

#else

#include <string.h>

#include "os.h"

#define NAPI_FUNCTION(name) {"napi_" #name, offsetof(AsyncNapi, name)}
static const struct {
  const char *name;
  size_t offset;
} napi_functions[] = {
    NAPI_FUNCTION(create_function),
    NAPI_FUNCTION(set_named_property),
    NAPI_FUNCTION(get_cb_info),
    NAPI_FUNCTION(get_value_int32),
    NAPI_FUNCTION(get_value_double),
    NAPI_FUNCTION(get_value_bigint_int64),
    NAPI_FUNCTION(get_typedarray_info),
    NAPI_FUNCTION(get_undefined),
    NAPI_FUNCTION(create_int32),
    NAPI_FUNCTION(create_bigint_int64),
    NAPI_FUNCTION(create_string_utf8),
    NAPI_FUNCTION(call_function),
    NAPI_FUNCTION(throw_error),
    NAPI_FUNCTION(throw_type_error),
    NAPI_FUNCTION(add_env_cleanup_hook),
    NAPI_FUNCTION(create_threadsafe_function),
    NAPI_FUNCTION(call_threadsafe_function),
    NAPI_FUNCTION(ref_threadsafe_function),
    NAPI_FUNCTION(unref_threadsafe_function),
};

#define FUNCTION_COUNT (sizeof napi_functions / sizeof napi_functions[0])
_Static_assert(FUNCTION_COUNT * sizeof(void (*)(void)) == sizeof(AsyncNapi),
               "a function of AsyncNapi is not looked up");

AsyncNapi async_napi;
static bool found;

void async_napi_init(void) {
  AsyncNapi all;
  for (size_t i = 0; i < FUNCTION_COUNT; i++) {
    void *symbol = async_os_symbol(napi_functions[i].name);
    if (symbol == NULL) return;
    memcpy((char *)&all + napi_functions[i].offset, &symbol, sizeof symbol);
  }
  async_napi = all;
  found = true;
}

bool async_napi_found(void) { return found; }

#endif /* SQLITE_CORE */
