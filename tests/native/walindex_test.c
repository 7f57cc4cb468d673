/*
** The shared wal-index: its regions, its locks, what the checkpointer may do
** and others not, and how it is given up and taken back.
*/
#include "database.h"
#include "os.h"
#include "walindex.h"

#include <string.h>

#define SIZE 32768
#define SHARED SQLITE_SHM_SHARED
#define EXCLUSIVE SQLITE_SHM_EXCLUSIVE
#define READ_1 (ASYNC_WAL_READ_0 + 1)

static AsyncWalIndex index_;
static AsyncShmUser one;
static AsyncShmUser two;
static AsyncShmUser three;
static AsyncShmUser checkpointer = {.is_checkpointer = true};

static void *map(AsyncShmUser *user, int region, bool extend) {
  void volatile *address = &index_;
  CHECK_EQ(async_walindex_map(&index_, user, region, SIZE, extend, &address), SQLITE_OK);
  return (void *)address;
}

static void setup(void) {
  async_setup();
  async_walindex_init(&index_);
  AsyncShmUser *users[] = {&one, &two, &three, &checkpointer};
  for (int i = 0; i < 4; i++) map(users[i], 0, true);
}

static void finish(void) {
  AsyncShmUser *users[] = {&one, &two, &three, &checkpointer};
  for (int i = 0; i < 4; i++) async_walindex_unmap(&index_, users[i]);
  async_walindex_free(&index_);
}

static int lock(AsyncShmUser *user, int first, int n, int kind) {
  return async_walindex_lock(&index_, user, first, n, SQLITE_SHM_LOCK | kind);
}

static void unlock(AsyncShmUser *user, int first, int n, int kind) {
  int rc = async_walindex_lock(&index_, user, first, n, SQLITE_SHM_UNLOCK | kind);
  CHECK_EQ(rc, SQLITE_OK);
}

/* ---- Regions ---- */

static bool is_zero(const unsigned char *region) {
  for (int i = 0; i < SIZE; i++) {
    if (region[i] != 0) return false;
  }
  return true;
}

static void regions_are_shared_zeroed_and_never_move(void) {
  async_walindex_init(&index_);
  CHECK(!async_walindex_is_mapped(&index_));
  CHECK(map(&one, 0, false) == NULL);
  CHECK(map(&one, 3, false) == NULL);
  unsigned char *first = map(&one, 0, true);
  CHECK(first != NULL && is_zero(first));
  CHECK(async_walindex_is_mapped(&index_));
  memset(first, 7, SIZE);
  for (int i = 1; i < 100; i++) {
    CHECK(map(&two, i, false) == NULL);
    CHECK(is_zero(map(&one, i, true)));
  }
  CHECK(map(&two, 0, false) == first && map(&one, 0, true) == first);
  CHECK(map(&two, 99, false) == map(&one, 99, true));
  CHECK_EQ(first[SIZE - 1], 7);
  async_walindex_unmap(&index_, &one);
  CHECK(map(&two, 0, false) == first);
  async_walindex_unmap(&index_, &two);
  async_walindex_unmap(&index_, &two); /* twice does no harm */
  CHECK(!async_walindex_is_mapped(&index_));
  CHECK(map(&two, 0, false) == NULL); /* gone with the last */
  CHECK(is_zero(map(&two, 0, true)));
  async_walindex_unmap(&index_, &two);
  async_walindex_free(&index_);
}

/* ---- Locks ---- */

static void each_slot_has_many_SHARED_or_one_EXCLUSIVE(void) {
  setup();
  for (int i = 0; i < SQLITE_SHM_NLOCK; i++) {
    CHECK_EQ(lock(&one, i, 1, SHARED), SQLITE_OK);
    CHECK_EQ(lock(&one, i, 1, SHARED), SQLITE_OK); /* it has it already */
    CHECK_EQ(lock(&two, i, 1, SHARED), SQLITE_OK);
    CHECK_EQ(lock(&three, i, 1, EXCLUSIVE), SQLITE_BUSY);
    unlock(&one, i, 1, SHARED);
    CHECK_EQ(lock(&three, i, 1, EXCLUSIVE), SQLITE_BUSY);
    unlock(&two, i, 1, SHARED);
    CHECK_EQ(lock(&three, i, 1, EXCLUSIVE), SQLITE_OK);
    CHECK_EQ(lock(&one, i, 1, SHARED), SQLITE_BUSY);
    CHECK_EQ(lock(&one, i, 1, EXCLUSIVE), SQLITE_BUSY);
    unlock(&one, i, 1, EXCLUSIVE); /* of another's lock: nothing */
    CHECK_EQ(lock(&one, i, 1, SHARED), SQLITE_BUSY);
    unlock(&three, i, 1, EXCLUSIVE);
    CHECK_EQ(lock(&one, i, 1, EXCLUSIVE), SQLITE_OK);
    unlock(&one, i, 1, EXCLUSIVE);
  }
  finish();
}

static void a_range_is_had_as_a_whole_or_not_at_all(void) {
  setup();
  CHECK_EQ(lock(&one, 5, 1, SHARED), SQLITE_OK);
  CHECK_EQ(lock(&two, 4, 4, EXCLUSIVE), SQLITE_BUSY);
  CHECK_EQ(lock(&three, 4, 1, EXCLUSIVE), SQLITE_OK);
  CHECK_EQ(lock(&three, 6, 2, EXCLUSIVE), SQLITE_OK);
  unlock(&three, 4, 4, EXCLUSIVE); /* the range, though it has not all of it */
  unlock(&one, 5, 1, SHARED);
  CHECK_EQ(lock(&two, 0, SQLITE_SHM_NLOCK, EXCLUSIVE), SQLITE_OK);
  unlock(&two, 1, 3, EXCLUSIVE);
  for (int i = 0; i < SQLITE_SHM_NLOCK; i++) {
    bool is_free = i >= 1 && i < 4;
    CHECK_EQ(lock(&one, i, 1, SHARED), is_free ? SQLITE_OK : SQLITE_BUSY);
  }
  unlock(&one, 1, 3, SHARED);
  unlock(&two, 0, SQLITE_SHM_NLOCK, EXCLUSIVE);
  CHECK_EQ(lock(&one, 0, SQLITE_SHM_NLOCK, EXCLUSIVE), SQLITE_OK);
  finish();
}

static void unmapping_gives_all_locks_back(void) {
  setup();
  CHECK_EQ(lock(&one, 0, 1, EXCLUSIVE), SQLITE_OK);
  CHECK_EQ(lock(&one, 5, 1, SHARED), SQLITE_OK);
  CHECK_EQ(lock(&two, 5, 1, SHARED), SQLITE_OK);
  async_walindex_unmap(&index_, &one);
  CHECK_EQ(lock(&three, 0, 1, EXCLUSIVE), SQLITE_OK);
  CHECK_EQ(lock(&three, 5, 1, EXCLUSIVE), SQLITE_BUSY);
  async_walindex_unmap(&index_, &two);
  CHECK_EQ(lock(&three, 5, 1, EXCLUSIVE), SQLITE_OK);
  finish();
}

/* Against a table of what should be. */
static void any_requests_keep_the_rules(void) {
  setup();
  Random random = random_new(0);
  AsyncShmUser *users[] = {&one, &two, &three};
  int held[3][SQLITE_SHM_NLOCK] = {{0}}; /* 0, SHARED or EXCLUSIVE */
  for (int step = 0; step < 20000; step++) {
    int user = random_below(&random, 3);
    int first = random_below(&random, SQLITE_SHM_NLOCK);
    int kind = random_one_in(&random, 2) ? SHARED : EXCLUSIVE;
    int n = kind == SHARED ? 1 : 1 + random_below(&random, SQLITE_SHM_NLOCK - first);
    if (random_one_in(&random, 2)) {
      unlock(users[user], first, n, kind);
      for (int i = first; i < first + n; i++) held[user][i] = 0;
      continue;
    }
    bool own = false; /* SQLite does not ask for what would change a lock it has */
    bool may = true;
    for (int i = first; i < first + n; i++) {
      own = own || held[user][i] != 0;
      for (int k = 0; k < 3; k++) {
        bool clash = kind == EXCLUSIVE ? held[k][i] != 0 : held[k][i] == EXCLUSIVE;
        if (k != user && clash) may = false;
      }
    }
    if (own) continue;
    CHECK_EQ(lock(users[user], first, n, kind), may ? SQLITE_OK : SQLITE_BUSY);
    for (int i = first; may && i < first + n; i++) held[user][i] = kind;
  }
  finish();
}

/* ---- The checkpointer ---- */

typedef struct Request {
  AsyncShmUser *user;
  int slot;
  int kind;
  int code;
  int64_t took_ms;
  _Atomic bool done;
} Request;

static void *make_request(void *arg) {
  Request *request = arg;
  int64_t start_ms = now_ms();
  request->code = lock(request->user, request->slot, 1, request->kind);
  request->took_ms = now_ms() - start_ms;
  request->done = true;
  return NULL;
}

static void a_request_waits_for_the_checkpointer_and_interrupts_it(void) {
  setup();
  CHECK_EQ(lock(&checkpointer, ASYNC_WAL_CHECKPOINT, 1, EXCLUSIVE), SQLITE_OK);
  CHECK(!index_.interrupted);
  Request request = {&one, ASYNC_WAL_CHECKPOINT, EXCLUSIVE, -1, 0, false};
  Thread thread = thread_start(make_request, &request);
  while (!index_.interrupted) sleep_ms(1);
  sleep_ms(20);
  CHECK(!request.done);
  unlock(&checkpointer, ASYNC_WAL_CHECKPOINT, 1, EXCLUSIVE);
  thread_join(thread);
  CHECK_EQ(request.code, SQLITE_OK);
  /* Among users nobody waits; nor does the checkpointer for them. */
  CHECK_EQ(lock(&two, ASYNC_WAL_CHECKPOINT, 1, EXCLUSIVE), SQLITE_BUSY);
  CHECK_EQ(lock(&checkpointer, ASYNC_WAL_CHECKPOINT, 1, EXCLUSIVE), SQLITE_BUSY);
  finish();
}

static void a_checkpoint_by_hand_waits_for_the_checkpointers_reading(void) {
  setup();
  CHECK_EQ(lock(&checkpointer, READ_1, 1, SHARED), SQLITE_OK);
  CHECK_EQ(lock(&one, READ_1, 1, EXCLUSIVE), SQLITE_BUSY); /* one that makes no checkpoint */
  CHECK_EQ(lock(&one, ASYNC_WAL_CHECKPOINT, 1, EXCLUSIVE), SQLITE_OK);
  Request request = {&one, READ_1, EXCLUSIVE, -1, 0, false};
  Thread thread = thread_start(make_request, &request);
  sleep_ms(20);
  CHECK(!request.done);
  unlock(&checkpointer, READ_1, 1, SHARED);
  thread_join(thread);
  CHECK_EQ(request.code, SQLITE_OK);
  unlock(&one, READ_1, 1, EXCLUSIVE);
  CHECK_EQ(lock(&checkpointer, READ_1, 1, SHARED), SQLITE_OK);
  CHECK_EQ(lock(&two, READ_1, 1, SHARED), SQLITE_OK);
  CHECK_EQ(lock(&one, READ_1, 1, EXCLUSIVE), SQLITE_BUSY); /* a user is in the way, too */
  finish();
}

static AsyncShmUser *writer(void) {
  async_mutex_enter(&index_.mutex);
  AsyncShmUser *user = index_.exclusive[ASYNC_WAL_WRITE];
  async_mutex_leave(&index_.mutex);
  return user;
}

static bool is_closer_waiting(void) {
  async_mutex_enter(&index_.mutex);
  bool waits = index_.closer != NULL;
  async_mutex_leave(&index_.mutex);
  return waits;
}

static void it_gets_the_WRITE_lock_when_the_last_transaction_ends(void) {
  setup();
  CHECK_EQ(lock(&one, READ_1, 1, SHARED), SQLITE_OK);
  CHECK_EQ(lock(&one, ASYNC_WAL_WRITE, 1, EXCLUSIVE), SQLITE_OK);
  CHECK_EQ(lock(&two, READ_1 + 1, 1, SHARED), SQLITE_OK);
  Request request = {&checkpointer, ASYNC_WAL_WRITE, EXCLUSIVE, -1, 0, false};
  Thread thread = thread_start(make_request, &request);
  while (!is_closer_waiting()) sleep_ms(1);
  unlock(&one, ASYNC_WAL_WRITE, 1, EXCLUSIVE);
  unlock(&one, READ_1, 1, SHARED);
  CHECK(writer() == NULL);
  unlock(&two, READ_1 + 1, 1, SHARED);
  CHECK(writer() == &checkpointer); /* at once, whoever runs next */
  thread_join(thread);
  CHECK_EQ(request.code, SQLITE_OK);

  /* Who begins now waits, unless he needs nothing from the WAL, and is to look again; who is told
  ** so has no lock. */
  Request reader = {&one, READ_1, SHARED, -1, 0, false};
  Request newest = {&two, ASYNC_WAL_READ_0, SHARED, -1, 0, false};
  Thread waiting = thread_start(make_request, &reader);
  make_request(&newest); /* hangs if it waits, too */
  sleep_ms(20);
  CHECK(!reader.done);
  unlock(&checkpointer, ASYNC_WAL_WRITE, 1, EXCLUSIVE);
  thread_join(waiting);
  CHECK_EQ(reader.code, SQLITE_BUSY);
  CHECK_EQ(newest.code, SQLITE_OK); /* it reads the database alone: that is right in any case */
  CHECK_EQ(one.shared, 0);
  CHECK_EQ(lock(&one, READ_1, 1, SHARED), SQLITE_OK);
  finish();
}

static void it_gives_up_after_a_while_with_a_reader_in_the_way(void) {
  setup();
  CHECK_EQ(lock(&one, READ_1, 1, SHARED), SQLITE_OK);
  Request request = {&checkpointer, ASYNC_WAL_WRITE, EXCLUSIVE, -1, 0, false};
  make_request(&request);
  CHECK_EQ(request.code, SQLITE_BUSY);
  CHECK(request.took_ms >= 20 && request.took_ms < 2000);
  unlock(&one, READ_1, 1, SHARED);
  CHECK(writer() == NULL); /* it does not come later */
  CHECK_EQ(lock(&one, ASYNC_WAL_WRITE, 1, EXCLUSIVE), SQLITE_OK);
  unlock(&one, ASYNC_WAL_WRITE, 1, EXCLUSIVE);
  /* Interrupted it does not wait at all. */
  CHECK_EQ(lock(&one, READ_1, 1, SHARED), SQLITE_OK);
  async_walindex_interrupt(&index_);
  make_request(&request);
  CHECK_EQ(request.code, SQLITE_BUSY);
  CHECK(request.took_ms < 20);
  finish();
}

/* ---- Giving up ---- */

#define WORDS 12

static void sum_up(uint32_t *words) {
  uint32_t s0 = 0;
  uint32_t s1 = 0;
  for (int i = 0; i < 10; i += 2) {
    s0 += words[i] + s1;
    s1 += words[i + 1] + s0;
  }
  words[10] = s0;
  words[11] = s1;
}

/* As SQLite does when it recovers the index of an empty WAL. */
static void recover(uint32_t *header) {
  CHECK_EQ(lock(&one, ASYNC_WAL_WRITE, 1, EXCLUSIVE), SQLITE_OK);
  memset(header, 0, 2 * WORDS * sizeof *header);
  header[0] = 3007000;
  header[2] = 1; /* the change counter */
  ((unsigned char *)header)[12] = 1;
  sum_up(header);
  memcpy(header + WORDS, header, WORDS * sizeof *header);
  unlock(&one, ASYNC_WAL_WRITE, 1, EXCLUSIVE);
}

static void it_is_given_up_only_while_nobody_has_a_lock(void) {
  setup();
  for (int i = 0; i < SQLITE_SHM_NLOCK; i++) {
    CHECK_EQ(lock(&two, i, 1, i % 2 == 0 ? SHARED : EXCLUSIVE), SQLITE_OK);
    CHECK(!async_walindex_give_up(&index_));
    CHECK_EQ(lock(&three, (i + 1) % 8, 1, SHARED), SQLITE_OK); /* nothing has changed */
    unlock(&three, (i + 1) % 8, 1, SHARED);
    unlock(&two, i, 1, EXCLUSIVE);
  }
  uint32_t *header = map(&one, 0, true);
  recover(header);
  CHECK(async_walindex_give_up(&index_));
  for (int i = 0; i < 2 * WORDS; i++) CHECK_EQ(header[i], 0);
  for (int i = 0; i < SQLITE_SHM_NLOCK; i++) {
    CHECK_EQ(lock(&one, i, 1, SHARED), SQLITE_LOCKED);
    CHECK_EQ(lock(&one, i, 1, EXCLUSIVE), SQLITE_LOCKED);
  }
  async_walindex_take_back(&index_);
  CHECK_EQ(lock(&one, READ_1, 1, SHARED), SQLITE_OK);
  finish();
}

static void a_header_made_anew_is_none_that_anybody_remembers(void) {
  setup();
  uint32_t *header = map(&one, 0, true);
  recover(header);
  CHECK_EQ(header[2], 1); /* the first time there is nothing to tell apart */
  uint32_t seen[50];
  for (int i = 0; i < 50; i++) {
    seen[i] = header[2];
    for (int k = 0; k < i; k++) CHECK(seen[k] != seen[i]);
    CHECK(async_walindex_give_up(&index_));
    async_walindex_take_back(&index_);
    /* A lock that makes nothing anew changes nothing. */
    CHECK_EQ(lock(&two, ASYNC_WAL_WRITE, 1, EXCLUSIVE), SQLITE_OK);
    unlock(&two, ASYNC_WAL_WRITE, 1, EXCLUSIVE);
    CHECK_EQ(header[2], 0);
    recover(header);
    CHECK(memcmp(header, header + WORDS, WORDS * sizeof *header) == 0);
    uint32_t wanted[WORDS];
    memcpy(wanted, header, sizeof wanted);
    sum_up(wanted);
    CHECK(memcmp(header, wanted, sizeof wanted) == 0);
  }
  uint32_t last = header[2];
  CHECK_EQ(lock(&two, ASYNC_WAL_WRITE, 1, EXCLUSIVE), SQLITE_OK);
  unlock(&two, ASYNC_WAL_WRITE, 1, EXCLUSIVE);
  CHECK_EQ(header[2], last); /* once is enough */
  finish();
}

int main(void) {
  return run_tests((TestCase[]){TEST(regions_are_shared_zeroed_and_never_move),
                                TEST(each_slot_has_many_SHARED_or_one_EXCLUSIVE),
                                TEST(a_range_is_had_as_a_whole_or_not_at_all),
                                TEST(unmapping_gives_all_locks_back),
                                TEST(any_requests_keep_the_rules),
                                TEST(a_request_waits_for_the_checkpointer_and_interrupts_it),
                                TEST(a_checkpoint_by_hand_waits_for_the_checkpointers_reading),
                                TEST(it_gets_the_WRITE_lock_when_the_last_transaction_ends),
                                TEST(it_gives_up_after_a_while_with_a_reader_in_the_way),
                                TEST(it_is_given_up_only_while_nobody_has_a_lock),
                                TEST(a_header_made_anew_is_none_that_anybody_remembers),
                                {0}});
}
