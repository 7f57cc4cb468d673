/*
** Super-journals.  See super.h.
*/
#include "super.h"

#include "fence.h"
#include "flush.h"
#include "registry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Attached databases of one connection, the main one included; SQLite's
** compile-time limit for SQLITE_MAX_ATTACHED is 125. */
#define MEMBERS_MAX 128

/* Used by the one connection whose transaction it is; no lock. */
struct AsyncSuper {
  AsyncStream *members[MEMBERS_MAX]; /* with a reference each; the home stream first */
  int count;
  bool foreign; /* a journal named is not one of ours */
};

bool async_super_is_name(const char *path) {
  size_t length = async_file_owner_length(path);
  return length > 0 && strncmp(path + length, "-mj", 3) == 0;
}

void async_super_free(AsyncSuper *super) {
  if (super == NULL) return;
  for (int i = 0; i < super->count; i++) async_registry_release(super->members[i]);
  free(super);
}

static AsyncSuper *super_of(AsyncFile *file) {
  if (file->super == NULL) {
    file->super = calloc(1, sizeof *file->super);
    if (file->super == NULL) return NULL;
    async_registry_retain(file->stream);
    file->super->members[0] = file->stream;
    file->super->count = 1;
  }
  return file->super;
}

/* Takes over the caller's reference. */
static void add_member(AsyncSuper *super, AsyncStream *stream) {
  for (int i = 0; i < super->count; i++) {
    if (super->members[i] == stream) {
      async_registry_release(stream);
      return;
    }
  }
  assert(super->count < MEMBERS_MAX);
  super->members[super->count++] = stream;
}

int async_super_note_names(AsyncFile *file, const char *names, int n) {
  AsyncSuper *super = super_of(file);
  if (super == NULL) return SQLITE_NOMEM;
  const char *end = names + n;
  while (names < end) {
    const char *zero = memchr(names, '\0', (size_t)(end - names));
    AsyncStream *stream = NULL;
    if (zero != NULL && super->count < MEMBERS_MAX) stream = async_registry_find_owner(names);
    if (stream != NULL) {
      add_member(super, stream);
    } else {
      super->foreign = true;
    }
    if (zero == NULL) break;
    names = zero + 1;
  }
  return SQLITE_OK;
}

int async_super_fence_sync(AsyncFile *file) {
  AsyncSuper *super = file->super;
  if (super == NULL) return SQLITE_OK;
  int rc = async_fence_push(super->members, super->count);
  if (rc == SQLITE_OK && super->foreign) rc = async_flush_stream(file->stream, -1);
  return rc;
}

/*
** The super-journal of a transaction that did not begin in this process: a
** connection is rolling a hot journal back and found it to be no longer
** named.  Which streams' rollbacks that depends on we don't know, so it may
** be any.
*/
static int delete_fenced_by_all(AsyncStream *home, const char *path, int sync_directory) {
  AsyncStream **streams = async_registry_all();
  if (streams == NULL) return SQLITE_NOMEM;
  int count = 0;
  while (streams[count] != NULL) count++;
  AsyncStream **usable = malloc((size_t)(count + 1) * sizeof(AsyncStream *));
  int rc = usable == NULL ? SQLITE_NOMEM : SQLITE_OK;
  int n = 0;
  for (int i = 0; i < count && usable != NULL; i++) {
    async_mutex_enter(&streams[i]->mutex);
    if (streams[i]->error.code == SQLITE_OK) usable[n++] = streams[i];
    async_mutex_leave(&streams[i]->mutex);
  }
  if (rc == SQLITE_OK) rc = async_fence_push(usable, n);
  if (rc == SQLITE_OK) rc = async_file_delete(home, path, sync_directory);
  if (rc == SQLITE_OK) rc = async_fence_push(usable, n);
  free(usable);
  async_registry_release_all(streams);
  return rc;
}

int async_super_delete(AsyncStream *home, const char *path, int sync_directory) {
  async_mutex_enter(&home->mutex);
  AsyncFile *file = async_file_find(home, path);
  AsyncSuper *super = file == NULL ? NULL : file->super;
  /* Ours from here on, so that the file may end meanwhile. */
  if (super != NULL) file->super = NULL;
  async_mutex_leave(&home->mutex);
  if (super == NULL) return delete_fenced_by_all(home, path, sync_directory);

  int rc = async_fence_push(super->members, super->count);
  if (rc == SQLITE_OK) rc = async_file_delete(home, path, sync_directory);
  if (rc == SQLITE_OK) rc = async_fence_push(super->members, super->count);
  if (rc == SQLITE_OK && super->foreign) rc = async_flush_stream(home, -1);
  async_super_free(super);
  return rc;
}

int async_super_sync_child(AsyncStream *child, const char *super) {
  AsyncStream *home = async_registry_find_owner(super);
  bool ours = false;
  if (home != NULL) {
    async_mutex_enter(&home->mutex);
    ours = async_file_find(home, super) != NULL;
    async_mutex_leave(&home->mutex);
    async_registry_release(home);
  }
  return ours ? SQLITE_OK : async_flush_stream(child, -1);
}
