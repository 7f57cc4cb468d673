/*
** Waking JavaScript.  See notify.c.
*/
#ifndef ASYNC_NOTIFY_H
#define ASYNC_NOTIFY_H

#ifndef SQLITE_CORE
#include "napi.h"
#endif

/* Call once, before any other function of this module. */
void async_notify_init(void);

/*
** Tell every environment that waits or listens to look again: a requested
** flush was reached, a stream failed, or an event was published.  What there
** is to see must be visible to other threads before the call.
**
** Any thread, also one that JavaScript has called.  Costs one atomic load
** while nobody is interested.  Enters ASYNC_RANK_NOTIFY, and the runtime's own
** locks below it; best called with no other mutex held.
*/
void async_notify(void);

#ifndef SQLITE_CORE
/* The addon's function subscribe().  An environment's thread. */
NapiValue async_notify_subscribe(NapiEnv env, NapiCall call);
#endif

#endif /* ASYNC_NOTIFY_H */
