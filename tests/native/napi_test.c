/*
** The addon in a runtime whose Node-API fails, each call in turn.  Whatever fails, nothing
** crashes or leaks, nothing is used that was not written, and nobody is woken who has ended.
**
** The addon's files are compiled here as they are for the shared library: the core that tests
** are linked with has nothing of them.
*/
#define async_napi_init addon_napi_init
#define async_notify_init addon_notify_init
#define async_notify addon_notify
#define async_os_symbol runtime_symbol
#define calloc test_calloc /* see libfault.h */
#define free test_free

#include "napi_runtime.h"

#include "../../csrc/napi.c"

#include "../../csrc/notify.c"

#include "../../csrc/addon.c"

#include "harness.h"
#include "libfault.h"

#define TABLE_COUNT ((int)(sizeof functions / sizeof functions[0]))

static void setup(void) {
  addon_napi_init();
  addon_notify_init();
  CHECK(async_napi_found());
}

static Kind kind_of(char letter) {
  if (letter == 'i') return NUMBER;
  if (letter == 'l') return BIGINT;
  return letter == 't' || letter == 'o' ? BYTES : BIGINTS;
}

/* With what the function takes, which is zeros, and with each argument wrong. */
static void call_from_table(const Function *function) {
  RuntimeValue arguments[PARAMETERS_MAX] = {0};
  int count = (int)strlen(function->parameters);
  for (int i = 0; i < count; i++) arguments[i].kind = kind_of(function->parameters[i]);
  RuntimeResult result = runtime_call(call_from_js, function, count, arguments);
  Kind right = function->is_wide ? BIGINT : NUMBER;
  CHECK_EQ(result.kind, result.met_failure ? UNDEFINED : right);
  CHECK(!result.threw || result.met_failure);
  for (int i = 0; i < count; i++) {
    arguments[i].kind = UNDEFINED;
    result = runtime_call(call_from_js, function, count, arguments);
    CHECK(result.kind == UNDEFINED && (result.threw || result.met_failure));
    arguments[i].kind = kind_of(function->parameters[i]);
  }
}

/* Subscribe, and care more and more; how often it was woken. */
static int be_woken(void) {
  RuntimeValue wake = {.kind = FUNCTION};
  RuntimeResult result = runtime_call(async_notify_subscribe, NULL, 1, &wake);
  CHECK(result.kind == FUNCTION || result.met_failure);
  if (result.kind != FUNCTION) return 0;
  void *subscription = runtime_made_data();
  int woken = 0;
  for (int interest = INTEREST_IDLE; interest <= INTEREST_WAITING; interest++) {
    RuntimeValue value = {NUMBER, interest};
    runtime_call(js_set_interest, subscription, 1, &value);
    for (int i = 0; i < 2; i++) {
      addon_notify();
      addon_notify();
      woken += runtime_deliver();
    }
    if (interest == INTEREST_IDLE) CHECK_EQ(woken, 0);
  }
  addon_notify();
  return woken;
}

/* An environment from the addon's loading on; how often it was woken. */
static int live(bool hook_first) {
  int64_t blocks = libfault_live_blocks();
  int exported = runtime_load(napi_register_module_v1);
  CHECK(exported == TABLE_COUNT + 1 || runtime_failures() > 0);
  for (int i = 0; i < TABLE_COUNT; i++) {
    bool begins = functions[i].call == call_sqlite3async_prepare;
    if (!begins) call_from_table(&functions[i]);
  }
  int woken = be_woken();
  runtime_end(hook_first);
  addon_notify();
  CHECK(subscriptions == NULL && interested_count == 0);
  CHECK_EQ(libfault_live_blocks(), blocks);
  return woken;
}

static void live_and_fail(RuntimeFailing failing) {
  setup();
  for (int order = 0; order < 2; order++) {
    runtime_fail(failing, 0);
    CHECK_EQ(live(order == 0), 4);
    int n = 0;
    do {
      runtime_fail(failing, ++n);
      live(order == 0);
    } while (runtime_failures() > 0);
    CHECK(n > 200);
  }
}

static void each_call_fails(void) { live_and_fail(RUNTIME_ONCE); }
static void each_call_fails_with_an_exception(void) { live_and_fail(RUNTIME_PENDING); }
static void all_fail_from_each_call_on(void) { live_and_fail(RUNTIME_FROM_THERE_ON); }

static void a_wake_that_could_not_be_sent_keeps_no_later_one_away(void) {
  setup();
  RuntimeValue value = {.kind = FUNCTION};
  CHECK_EQ(runtime_call(async_notify_subscribe, NULL, 1, &value).kind, FUNCTION);
  value = (RuntimeValue){NUMBER, INTEREST_LISTENING};
  runtime_call(js_set_interest, runtime_made_data(), 1, &value);
  for (int n = 1; n <= 3; n++) { /* to send it, to make its receiver, to call */
    runtime_fail(RUNTIME_ONCE, n);
    addon_notify();
    CHECK_EQ(runtime_deliver(), 0);
    CHECK_EQ(runtime_failures(), 1);
    addon_notify();
    CHECK_EQ(runtime_deliver(), 1);
  }
}

static void without_memory_subscribe_throws(void) {
  setup();
  RuntimeValue wake = {.kind = FUNCTION};
  libfault_fail(OF_MEMORY, 0, 1);
  CHECK(runtime_call(async_notify_subscribe, NULL, 1, &wake).threw);
  CHECK_EQ(libfault_stop(), 1);
}

static void a_runtime_that_lacks_a_function_finds_no_exports(void) {
  for (size_t i = 0; i < FUNCTION_COUNT; i++) {
    runtime_lacks(napi_functions[i].name);
    addon_napi_init();
    CHECK(!async_napi_found());
    CHECK_EQ(runtime_load(napi_register_module_v1), 0);
  }
  runtime_lacks(NULL);
  setup();
  CHECK_EQ(runtime_load(napi_register_module_v1), TABLE_COUNT + 1);
}

int main(void) {
  return run_tests((TestCase[]){TEST(each_call_fails),
                                TEST(each_call_fails_with_an_exception),
                                TEST(all_fail_from_each_call_on),
                                TEST(a_wake_that_could_not_be_sent_keeps_no_later_one_away),
                                TEST(without_memory_subscribe_throws),
                                TEST(a_runtime_that_lacks_a_function_finds_no_exports),
                                {0}});
}
