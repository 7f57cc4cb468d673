/*
** Finding Node-API.  See napi.h.
*/
#include "napi.h"

#ifdef SQLITE_CORE

void async_napi_init(void) {}

#else

#include <string.h>

#include "os.h"

#define ENTRY(name) {"napi_" #name, offsetof(AsyncNapi, name)}
static const struct {
  const char *name;
  size_t offset;
} napi_functions[] = {
    ENTRY(create_function),
    ENTRY(set_named_property),
    ENTRY(get_cb_info),
    {"napi_typeof", offsetof(AsyncNapi, type_of)},
    ENTRY(get_value_double),
    ENTRY(get_value_bigint_int64),
    ENTRY(get_typedarray_info),
    ENTRY(get_undefined),
    ENTRY(create_int32),
    ENTRY(create_bigint_int64),
    ENTRY(create_string_utf8),
    ENTRY(call_function),
    ENTRY(throw_error),
    ENTRY(throw_type_error),
    ENTRY(add_env_cleanup_hook),
    ENTRY(create_threadsafe_function),
    ENTRY(call_threadsafe_function),
    ENTRY(ref_threadsafe_function),
    ENTRY(unref_threadsafe_function),
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
