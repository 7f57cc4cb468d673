/*
** Barriers.  See barrier.h.
*/
#include "barrier.h"

#include <assert.h>
#include <stdlib.h>

typedef struct Member {
  AsyncStream *stream; /* NULL once it has left */
  bool arrived;
} Member;

/* Guarded by barrier_mutex. */
struct AsyncBarrier {
  int code; /* of the stream that broke it */
  int count;
  int waiting_for;     /* members that have not arrived */
  int present;         /* members that have not left, and the pusher */
  bool cancelled;      /* it could not be pushed to all: it holds up nobody */
  AsyncStream *waiter; /* a member, the only one that waits, of a one-sided barrier; or NULL */
  Member members[];
};

static AsyncMutex barrier_mutex;

void async_barrier_init(void) { async_mutex_init(&barrier_mutex, ASYNC_RANK_BARRIER); }

/* The streams cannot end meanwhile: the barrier is in their queues, and they
** need this mutex to get past it. */
static void wake_members(AsyncBarrier *barrier) {
  for (int i = 0; i < barrier->count; i++) {
    AsyncStream *stream = barrier->members[i].stream;
    bool waits = stream != NULL && barrier->members[i].arrived;
    if (waits) async_scheduler_wake(&stream->task, ASYNC_WAKE_NOW);
  }
}

static void break_barrier(AsyncBarrier *barrier, int code) {
  if (barrier->code != SQLITE_OK) return;
  barrier->code = code;
  wake_members(barrier);
}

static void cancel_barrier(AsyncBarrier *barrier) {
  barrier->cancelled = true;
  wake_members(barrier);
}

static void drop_presence(AsyncBarrier *barrier) {
  assert(barrier->present > 0);
  if (--barrier->present == 0) free(barrier);
}

static AsyncBarrier *barrier_new(int n) {
  AsyncBarrier *barrier = calloc(1, sizeof *barrier + (size_t)n * sizeof(Member));
  if (barrier == NULL) return NULL;
  barrier->waiting_for = n;
  barrier->present = 1;
  return barrier;
}

static void add_member(AsyncBarrier *barrier, AsyncStream *stream) {
  barrier->members[barrier->count++].stream = stream;
  barrier->present++;
}

/* Under the stream's mutex. */
static int push_op(AsyncStream *stream, AsyncBarrier *barrier, const AsyncBarrierOp *before) {
  if (!async_queue_reserve(&stream->queue, 2)) return SQLITE_IOERR_NOMEM;
  int rc = before == NULL ? SQLITE_OK : before->push(stream, before->arg);
  if (rc != SQLITE_OK) return rc;
  AsyncOp *op = async_stream_push(stream, ASYNC_OP_BARRIER, NULL, 0);
  assert(op != NULL && "reserved beforehand");
  op->barrier = barrier;
  add_member(barrier, stream);
  return SQLITE_OK;
}

/* Under barrier_mutex: the stream's error if it has failed. */
static int push_to(AsyncBarrier *barrier, AsyncStream *stream, const AsyncBarrierOp *before) {
  async_mutex_enter(&stream->mutex);
  int rc = async_stream_error_untold(stream);
  if (rc == SQLITE_OK) rc = push_op(stream, barrier, before);
  async_stream_leave_and_wake(stream);
  return rc;
}

int async_barrier_push(AsyncStream *const *streams, int n, const AsyncBarrierOp *before) {
  AsyncBarrier *barrier = barrier_new(n);
  if (barrier == NULL) return SQLITE_IOERR_NOMEM;
  int rc = SQLITE_OK;
  async_mutex_enter(&barrier_mutex);
  for (int i = 0; i < n && rc == SQLITE_OK; i++) {
    rc = push_to(barrier, streams[i], i == n - 1 ? before : NULL);
  }
  if (rc != SQLITE_OK) cancel_barrier(barrier);
  drop_presence(barrier);
  async_mutex_leave(&barrier_mutex);
  return rc;
}

int async_barrier_push_before(AsyncStream *waiter, AsyncStream *const *streams, int n,
                              AsyncBarrier **barrier_out) {
  AsyncBarrier *barrier = barrier_new(n + 1);
  if (barrier == NULL) return SQLITE_IOERR_NOMEM;
  barrier->waiter = waiter;
  async_mutex_enter(&barrier_mutex);
  add_member(barrier, waiter);
  for (int i = 0; i < n; i++) {
    int rc = push_to(barrier, streams[i], NULL);
    if (rc != SQLITE_OK) break_barrier(barrier, rc);
  }
  drop_presence(barrier);
  async_mutex_leave(&barrier_mutex);
  *barrier_out = barrier;
  return SQLITE_OK;
}

static Member *member_of(AsyncBarrier *barrier, const AsyncStream *stream) {
  for (int i = 0; i < barrier->count; i++) {
    if (barrier->members[i].stream == stream) return &barrier->members[i];
  }
  assert(!"the stream has the barrier in its queue");
  return NULL;
}

AsyncBarrierState async_barrier_arrive(AsyncBarrier *barrier, const AsyncStream *stream,
                                       int *code) {
  async_mutex_enter(&barrier_mutex);
  Member *member = member_of(barrier, stream);
  if (!member->arrived) {
    member->arrived = true;
    if (--barrier->waiting_for == 0) wake_members(barrier);
  }
  AsyncBarrierState state = ASYNC_BARRIER_CLOSED;
  if (barrier->waiter != NULL && barrier->waiter != stream) {
    state = ASYNC_BARRIER_OPEN;
  } else if (barrier->code != SQLITE_OK) {
    state = ASYNC_BARRIER_BROKEN;
  } else if (barrier->waiting_for == 0 || barrier->cancelled) {
    state = ASYNC_BARRIER_OPEN;
  }
  *code = barrier->code;
  async_mutex_leave(&barrier_mutex);
  return state;
}

bool async_barrier_waits_for(const AsyncBarrier *barrier, const AsyncStream *stream) {
  async_mutex_enter(&barrier_mutex);
  bool waits = false;
  for (int i = 0; i < barrier->count && !waits; i++) {
    waits = barrier->members[i].stream == stream && !barrier->members[i].arrived;
  }
  async_mutex_leave(&barrier_mutex);
  return waits;
}

void async_barrier_leave(AsyncBarrier *barrier, AsyncStream *stream, int code) {
  async_mutex_enter(&barrier_mutex);
  member_of(barrier, stream)->stream = NULL;
  bool others_wait = barrier->waiting_for > 0 && !barrier->cancelled;
  if (code != SQLITE_OK && others_wait) break_barrier(barrier, code);
  drop_presence(barrier);
  async_mutex_leave(&barrier_mutex);
}
