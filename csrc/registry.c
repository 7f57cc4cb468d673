/*
** The registry of streams.  See registry.h.
*/
#include "registry.h"

#include "config.h"
#include "file.h"
#include "parent.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024
#define FAILURES_KEPT 64

static AsyncMutex registry_mutex;

/* Guarded by registry_mutex. */
static AsyncStream *by_path[BUCKETS]; /* those that a path means now */
static AsyncStream *by_id[BUCKETS];   /* all */
static int stream_count;
static int64_t last_id;
static AsyncPast past;
static AsyncFailure failures[FAILURES_KEPT]; /* the latest streams that failed and have gone */
static int failure_count;

void async_registry_init(void) { async_mutex_init(&registry_mutex, ASYNC_RANK_REGISTRY); }

static AsyncStream **path_bucket(const char *path, size_t length) {
  uint32_t hash = 2166136261u; /* FNV-1a */
  for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)path[i]) * 16777619u;
  return &by_path[hash % BUCKETS];
}

/* The stream whose path is the first `length` bytes of `path`. */
static AsyncStream *find(const char *path, size_t length) {
  assert(async_mutex_is_held(&registry_mutex));
  AsyncStream *stream = *path_bucket(path, length);
  for (; stream != NULL; stream = stream->path_next) {
    if (strncmp(stream->path, path, length) == 0 && stream->path[length] == '\0') break;
  }
  if (stream != NULL) stream->references++;
  return stream;
}

AsyncStream *async_registry_find(const char *path) {
  async_mutex_enter(&registry_mutex);
  AsyncStream *stream = find(path, strlen(path));
  async_mutex_leave(&registry_mutex);
  return stream;
}

bool async_registry_has_path(const char *path) {
  bool has = false;
  async_mutex_enter(&registry_mutex);
  for (int i = 0; i < BUCKETS && stream_count > 0 && !has; i++) {
    for (AsyncStream *stream = by_id[i]; stream != NULL && !has; stream = stream->id_next) {
      has = strcmp(stream->path, path) == 0;
    }
  }
  async_mutex_leave(&registry_mutex);
  return has;
}

void async_registry_note_link(const char *path) {
  AsyncStream *stream = async_registry_find(path);
  if (stream == NULL) return;
  stream->is_link = true;
  async_registry_unref(stream);
}

AsyncStream *async_registry_create(const char *path, sqlite3_vfs *parent) {
  async_mutex_enter(&registry_mutex);
  AsyncStream *stream = find(path, strlen(path));
  if (stream == NULL) {
    stream = async_stream_new(path, parent, last_id + 1);
    if (stream != NULL) {
      stream->has_position = async_parent_has_position(parent);
      last_id++;
      AsyncStream **bucket = path_bucket(path, strlen(path));
      stream->path_next = *bucket;
      *bucket = stream;
      stream->id_next = by_id[stream->id % BUCKETS];
      by_id[stream->id % BUCKETS] = stream;
      stream->references = 1;
      stream_count++;
    }
  }
  async_mutex_leave(&registry_mutex);
  return stream;
}

AsyncStream *async_registry_find_owner(const char *path_of_file) {
  AsyncStream *stream = NULL;
  async_mutex_enter(&registry_mutex);
  if (stream_count > 0) {
    size_t owner = async_path_owner_length(path_of_file);
    if (owner > 0) stream = find(path_of_file, owner);
    if (stream == NULL) stream = find(path_of_file, strlen(path_of_file));
  }
  async_mutex_leave(&registry_mutex);
  return stream;
}

/* Under the stream's mutex. */
static bool has_names(const AsyncStream *stream, const char *name) {
  const AsyncNames *names = stream->has_left_path ? stream->names : NULL;
  while (names != NULL && names->journal != name && names->wal != name) names = names->next;
  return names != NULL;
}

AsyncStream *async_registry_find_by_names(const char *name) {
  AsyncStream *found = NULL;
  async_mutex_enter(&registry_mutex);
  for (int i = 0; i < BUCKETS && stream_count > 0 && found == NULL; i++) {
    for (AsyncStream *stream = by_id[i]; stream != NULL && found == NULL;
         stream = stream->id_next) {
      async_mutex_enter(&stream->mutex);
      if (has_names(stream, name)) found = stream;
      async_mutex_leave(&stream->mutex);
    }
  }
  if (found != NULL) found->references++;
  async_mutex_leave(&registry_mutex);
  return found;
}

static void add_watermarks(AsyncWatermark *sum, const AsyncWatermark *watermark) {
  sum->seq += watermark->seq;
  sum->transactions += watermark->transactions;
}

static void unlink_path(AsyncStream *stream) {
  AsyncStream **link = path_bucket(stream->path, strlen(stream->path));
  while (*link != NULL && *link != stream) link = &(*link)->path_next;
  if (*link == stream) *link = stream->path_next;
}

static void note_failure(const AsyncStream *stream) {
  AsyncFailure *failure = &failures[failure_count++ % FAILURES_KEPT];
  failure->id = stream->id;
  failure->code = stream->error.code;
  failure->told = stream->error_told;
  failure->lost = async_stream_lost(stream);
  snprintf(failure->path, sizeof failure->path, "%s", stream->path);
}

bool async_registry_has_failure(void) {
  bool has = false;
  async_mutex_enter(&registry_mutex);
  for (int i = 0; i < failure_count && i < FAILURES_KEPT; i++) has = has || !failures[i].told;
  async_mutex_leave(&registry_mutex);
  return has;
}

bool async_registry_take_failure(const char *path, AsyncFailure *failure) {
  bool found = false;
  async_mutex_enter(&registry_mutex);
  for (int i = 0; i < failure_count && i < FAILURES_KEPT && !found; i++) {
    bool meant = path == NULL || strcmp(failures[i].path, path) == 0;
    if (!meant || failures[i].told) continue;
    failures[i].told = found = true;
    *failure = failures[i];
  }
  async_mutex_leave(&registry_mutex);
  return found;
}

/* Nobody needs the stream any more: take it out of the list. */
static void unlink_stream(AsyncStream *stream) {
  unlink_path(stream);
  AsyncStream **link = &by_id[stream->id % BUCKETS];
  while (*link != stream) link = &(*link)->id_next;
  *link = stream->id_next;
  stream_count--;

  async_stats_add(&past.stats, &stream->stats);
  add_watermarks(&past.pushed, &stream->pushed);
  add_watermarks(&past.applied, &stream->applied);
  add_watermarks(&past.durable, &stream->durable);
  /* Nothing is lost of what was cut off, or deleted by its owner. */
  bool lost = stream->error.code != SQLITE_OK && !stream->cut_off && !stream->is_deleted;
  if (lost) note_failure(stream);
}

/* Under the stream's mutex: nobody refers to it any more; does it end here? */
static bool ends_now(AsyncStream *stream) {
  return stream->references == 0 && async_stream_is_drained(stream) &&
         async_scheduler_forget(&stream->task) && async_scheduler_forget(&stream->sync_task);
}

void async_registry_forget_path(AsyncStream *stream) {
  async_mutex_enter(&registry_mutex);
  unlink_path(stream);
  async_mutex_leave(&registry_mutex);
}

bool async_registry_regain_path(AsyncStream *stream) {
  async_mutex_enter(&registry_mutex);
  AsyncStream **bucket = path_bucket(stream->path, strlen(stream->path));
  AsyncStream *other = *bucket;
  while (other != NULL && strcmp(other->path, stream->path) != 0) other = other->path_next;
  if (other == NULL) {
    stream->path_next = *bucket;
    *bucket = stream;
    async_mutex_enter(&stream->mutex);
    stream->moved = stream->has_left_path = false;
    async_mutex_leave(&stream->mutex);
  }
  async_mutex_leave(&registry_mutex);
  return other == NULL || other == stream;
}

/* A stream that failed is of the past for its path once it is closed: who opens
** the database now gets a new one. */
static void forget_path_if_failed(AsyncStream *stream) {
  if (stream->error.code != SQLITE_OK && stream->handles == 0) unlink_path(stream);
}

/* Free a stream that was taken out of the list. */
static void end_stream(AsyncStream *stream) {
  async_file_forget_all(stream);
  async_stream_free(stream);
}

/*
** Under the stream's mutex: the last commits are made durable before the stream ends.  If only
** the folder is left to be synced, that has time until maxDelayMs asks for it: others may close
** databases in the same folder, or open this one again.
*/
static void note_last_flush(AsyncStream *stream) {
  bool is_file = stream->queue.head == NULL && stream->files.newest == NULL;
  if (!is_file || stream->error.code != SQLITE_OK || async_config.max_delay_ms == 0) {
    stream->flush_wanted = stream->pushed.seq;
  } else if (stream->unsynced_since_us == 0) {
    stream->unsynced_since_us = async_os_now_us();
  }
}

void async_registry_unref(AsyncStream *stream) {
  async_mutex_enter(&registry_mutex);
  assert(stream->references > 0);
  stream->references--;
  async_mutex_enter(&stream->mutex);
  forget_path_if_failed(stream);
  bool end = ends_now(stream);
  bool wake = false;
  if (stream->references == 0 && !async_stream_is_drained(stream)) {
    note_last_flush(stream);
    async_stream_arm_sync(stream);
    wake = !stream->awake;
    stream->awake = true;
  }
  async_mutex_leave(&stream->mutex);
  if (end) unlink_stream(stream);
  if (wake) async_scheduler_wake(&stream->task, ASYNC_WAKE_SOON);
  async_mutex_leave(&registry_mutex);
  if (end) end_stream(stream);
}

/* Under the mutex: is nothing to be done by a task that has ended its run as if there were?  What
** the sync task is asked for meanwhile it is woken for. */
static bool is_idle(const AsyncStream *stream, const AsyncTask *task) {
  bool is_ops = task == &stream->task;
  return !is_ops || stream->error.code != SQLITE_OK || stream->queue.head == NULL;
}

bool async_registry_end_run(AsyncStream *stream, AsyncTask *task) {
  async_mutex_enter(&registry_mutex);
  async_mutex_enter(&stream->mutex);
  bool idle = is_idle(stream, task);
  bool end = false;
  if (idle) {
    if (task == &stream->task) {
      stream->awake = stream->hurried = false;
    } else {
      stream->sync_armed = false; /* by whoever saw it run */
    }
    async_mutex_enter(&async_scheduler.mutex);
    async_scheduler_finish(task, false, 0);
    async_mutex_leave(&async_scheduler.mutex);
    async_stream_arm_sync(stream);
    end = ends_now(stream);
  }
  async_mutex_leave(&stream->mutex);
  if (end) unlink_stream(stream);
  async_mutex_leave(&registry_mutex);
  if (end) end_stream(stream);
  return idle;
}

AsyncStream **async_registry_all(void) {
  async_mutex_enter(&registry_mutex);
  AsyncStream **streams = calloc((size_t)stream_count + 1, sizeof(AsyncStream *));
  if (streams != NULL) {
    int n = 0;
    for (int i = 0; i < BUCKETS && n < stream_count; i++) {
      for (AsyncStream *stream = by_id[i]; stream != NULL; stream = stream->id_next) {
        stream->references++;
        streams[n++] = stream;
      }
    }
  }
  async_mutex_leave(&registry_mutex);
  return streams;
}

void async_registry_unref_all(AsyncStream **streams) {
  if (streams == NULL) return;
  for (AsyncStream **stream = streams; *stream != NULL; stream++) async_registry_unref(*stream);
  free(streams);
}

int64_t async_registry_durable(int64_t id) {
  int64_t result = INT64_MAX;
  async_mutex_enter(&registry_mutex);
  AsyncStream *stream = by_id[(uint64_t)id % BUCKETS];
  while (stream != NULL && stream->id != id) stream = stream->id_next;
  if (stream != NULL) {
    async_mutex_enter(&stream->mutex);
    int code = async_stream_report_error(stream);
    result = code != SQLITE_OK ? -code : stream->durable.seq;
    async_mutex_leave(&stream->mutex);
  } else {
    for (int i = 0; i < failure_count && i < FAILURES_KEPT; i++) {
      if (failures[i].id != id) continue;
      failures[i].told = true;
      result = -failures[i].code;
    }
  }
  async_mutex_leave(&registry_mutex);
  return result;
}

int async_registry_count(void) {
  async_mutex_enter(&registry_mutex);
  int count = stream_count;
  async_mutex_leave(&registry_mutex);
  return count;
}

AsyncPast async_registry_past(void) {
  async_mutex_enter(&registry_mutex);
  AsyncPast copy = past;
  async_mutex_leave(&registry_mutex);
  return copy;
}

bool async_registry_any(bool (*test)(AsyncStream *)) {
  bool found = false;
  async_mutex_enter(&registry_mutex);
  for (int i = 0; i < BUCKETS && stream_count > 0 && !found; i++) {
    for (AsyncStream *stream = by_id[i]; stream != NULL && !found; stream = stream->id_next) {
      async_mutex_enter(&stream->mutex);
      found = test(stream);
      async_mutex_leave(&stream->mutex);
    }
  }
  async_mutex_leave(&registry_mutex);
  return found;
}

static bool is_in_use(AsyncStream *stream) {
  return stream->handles > 0 || stream->queue.head != NULL || stream->close_queued;
}

bool async_registry_wake_if_queued(void) { return async_registry_any(async_stream_wake_now); }

static bool take_over(AsyncStream *stream) {
  for (AsyncFile *file = stream->files.newest; file != NULL; file = file->older) {
    file->syncing = false;
    file->in_use = 0;
  }
  stream->ops_wait_for_sync = stream->ops_wait_for_flush = stream->sync_waits_for_sync = false;
  stream->directory_syncing = false;
  stream->syncing_since_us = 0;
  stream->by_name = false;
  stream->removing = 0;
  /* Whoever was in there had only called the parent, of which nothing has to be whole. */
  async_mutex_init(&stream->position_mutex, ASYNC_RANK_POSITION);
  async_scheduler_reclaim(&stream->task);
  async_scheduler_reclaim(&stream->sync_task);
  return false;
}

void async_registry_take_over(void) { async_registry_any(take_over); }

static bool note_queued(AsyncStream *stream) {
  stream->exit_wanted = stream->pushed.seq;
  return false;
}

void async_registry_note_queued(void) { async_registry_any(note_queued); }

static bool wake_if_noted(AsyncStream *stream) {
  return async_stream_wake_now(stream) && stream->queue.head->seq <= stream->exit_wanted;
}

bool async_registry_wake_if_noted(void) { return async_registry_any(wake_if_noted); }

static bool rearm(AsyncStream *stream) {
  stream->sync_armed = false;
  async_stream_arm_sync(stream);
  return false;
}

void async_registry_rearm(void) { async_registry_any(rearm); }

bool async_registry_is_in_use(void) { return async_registry_any(is_in_use); }
