/*
** What the process has once.  See init.h.
*/
#include "init.h"

#include "api.h"
#include "arena.h"
#include "barrier.h"
#include "doorbell.h"
#include "event.h"
#include "exit.h"
#include "known.h"
#include "napi.h"
#include "notify.h"
#include "registry.h"
#include "router.h"
#include "scheduler.h"

static void init_once(void) {
  async_api_init();
  async_registry_init();
  async_barrier_init();
  async_scheduler_init();
  async_doorbell_init();
  async_event_init();
  async_napi_init();
  async_notify_init();
  async_arena_init_spares();
  async_router_init();
  async_known_init();
  async_exit_init();
}

void async_init(void) { async_os_init_once(init_once); }
