/*
** Fences.  See fence.h.
*/
#include "fence.h"

#include <assert.h>
#include <stdlib.h>

typedef struct Member {
  AsyncStream *stream; /* NULL once it has left */
  bool arrived;
} Member;

/* Guarded by fence_mutex. */
struct AsyncFence {
  int code; /* of the stream that broke it */
  int count;
  int waiting_for;     /* members that have not arrived */
  int present;         /* members that have not left, and the pusher */
  bool cancelled;      /* it could not be pushed to all: it holds up nobody */
  AsyncStream *waiter; /* a member, the only one that waits, of a one-sided fence; or NULL */
  Member members[];
};

static AsyncMutex fence_mutex;

void async_fence_init(void) { async_mutex_init(&fence_mutex, ASYNC_RANK_FENCE); }

/* The streams cannot end meanwhile: the fence is in their queues, and they
** need this mutex to get past it. */
static void wake_members(AsyncFence *fence) {
  for (int i = 0; i < fence->count; i++) {
    AsyncStream *stream = fence->members[i].stream;
    bool waits = stream != NULL && fence->members[i].arrived;
    if (waits) async_scheduler_wake(&stream->task, ASYNC_WAKE_NOW);
  }
}

static void break_fence(AsyncFence *fence, int code) {
  if (fence->code != SQLITE_OK) return;
  fence->code = code;
  wake_members(fence);
}

static void cancel_fence(AsyncFence *fence) {
  fence->cancelled = true;
  wake_members(fence);
}

static void drop_presence(AsyncFence *fence) {
  assert(fence->present > 0);
  if (--fence->present == 0) free(fence);
}

static AsyncFence *fence_new(int n) {
  AsyncFence *fence = calloc(1, sizeof *fence + (size_t)n * sizeof(Member));
  if (fence == NULL) return NULL;
  fence->waiting_for = n;
  fence->present = 1;
  return fence;
}

static void add_member(AsyncFence *fence, AsyncStream *stream) {
  fence->members[fence->count++].stream = stream;
  fence->present++;
}

/* Under the stream's mutex. */
static int push_op(AsyncStream *stream, AsyncFence *fence, const AsyncFenceOp *before) {
  if (!async_queue_reserve(&stream->queue, 2)) return SQLITE_IOERR_NOMEM;
  int rc = before == NULL ? SQLITE_OK : before->push(stream, before->arg);
  if (rc != SQLITE_OK) return rc;
  AsyncOp *op = async_stream_push(stream, ASYNC_OP_FENCE, NULL, 0);
  assert(op != NULL && "reserved beforehand");
  op->fence = fence;
  add_member(fence, stream);
  return SQLITE_OK;
}

/* Under fence_mutex: the stream's error if it has failed. */
static int push_to(AsyncFence *fence, AsyncStream *stream, const AsyncFenceOp *before) {
  async_mutex_enter(&stream->mutex);
  int rc = async_stream_error_untold(stream);
  if (rc == SQLITE_OK) rc = push_op(stream, fence, before);
  async_stream_leave_and_wake(stream);
  return rc;
}

int async_fence_push(AsyncStream *const *streams, int n, const AsyncFenceOp *before) {
  AsyncFence *fence = fence_new(n);
  if (fence == NULL) return SQLITE_IOERR_NOMEM;
  int rc = SQLITE_OK;
  async_mutex_enter(&fence_mutex);
  for (int i = 0; i < n && rc == SQLITE_OK; i++) {
    rc = push_to(fence, streams[i], i == n - 1 ? before : NULL);
  }
  if (rc != SQLITE_OK) cancel_fence(fence);
  drop_presence(fence);
  async_mutex_leave(&fence_mutex);
  return rc;
}

int async_fence_push_before(AsyncStream *waiter, AsyncStream *const *streams, int n,
                            AsyncFence **fence_out) {
  AsyncFence *fence = fence_new(n + 1);
  if (fence == NULL) return SQLITE_IOERR_NOMEM;
  fence->waiter = waiter;
  async_mutex_enter(&fence_mutex);
  add_member(fence, waiter);
  for (int i = 0; i < n; i++) {
    int rc = push_to(fence, streams[i], NULL);
    if (rc != SQLITE_OK) break_fence(fence, rc);
  }
  drop_presence(fence);
  async_mutex_leave(&fence_mutex);
  *fence_out = fence;
  return SQLITE_OK;
}

static Member *member_of(AsyncFence *fence, const AsyncStream *stream) {
  for (int i = 0; i < fence->count; i++) {
    if (fence->members[i].stream == stream) return &fence->members[i];
  }
  assert(!"the stream has the fence in its queue");
  return NULL;
}

AsyncFenceState async_fence_arrive(AsyncFence *fence, const AsyncStream *stream, int *code) {
  async_mutex_enter(&fence_mutex);
  Member *member = member_of(fence, stream);
  if (!member->arrived) {
    member->arrived = true;
    if (--fence->waiting_for == 0) wake_members(fence);
  }
  AsyncFenceState state = ASYNC_FENCE_CLOSED;
  if (fence->waiter != NULL && fence->waiter != stream) {
    state = ASYNC_FENCE_OPEN;
  } else if (fence->code != SQLITE_OK) {
    state = ASYNC_FENCE_BROKEN;
  } else if (fence->waiting_for == 0 || fence->cancelled) {
    state = ASYNC_FENCE_OPEN;
  }
  *code = fence->code;
  async_mutex_leave(&fence_mutex);
  return state;
}

bool async_fence_waits_for(const AsyncFence *fence, const AsyncStream *stream) {
  async_mutex_enter(&fence_mutex);
  bool waits = false;
  for (int i = 0; i < fence->count && !waits; i++) {
    waits = fence->members[i].stream == stream && !fence->members[i].arrived;
  }
  async_mutex_leave(&fence_mutex);
  return waits;
}

void async_fence_leave(AsyncFence *fence, AsyncStream *stream, int code) {
  async_mutex_enter(&fence_mutex);
  member_of(fence, stream)->stream = NULL;
  bool others_wait = fence->waiting_for > 0 && !fence->cancelled;
  if (code != SQLITE_OK && others_wait) break_fence(fence, code);
  drop_presence(fence);
  async_mutex_leave(&fence_mutex);
}
