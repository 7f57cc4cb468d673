/*
** Clients.  See client.h.
*/
#include "client.h"

#include "closing.h"
#include "config.h"
#include "registry.h"

#include <stdlib.h>

/* From this version on SQLite has client data. */
#define OLDEST_WITH_CLIENT_DATA 3044000

struct AsyncClient {
  sqlite3 *db;
  AsyncHandle *handles;
  int level; /* as in a handle */
};

/* ---- The level of commits ---- */

/* The handle of the connection's main database, if that is ours; else this one. */
static AsyncHandle *main_of(AsyncHandle *handle) {
  if (handle->is_shared_cache || handle->db == NULL) return handle;
  sqlite3_file *file = NULL;
  int rc = sqlite3_file_control(*handle->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
  bool ours = rc == SQLITE_OK && file != NULL && file->pMethods == handle->base.pMethods;
  return ours ? (AsyncHandle *)file : handle;
}

static int *own_level(AsyncHandle *handle) {
  return handle->client != NULL ? &handle->client->level : &main_of(handle)->level;
}

int async_client_level(AsyncHandle *handle) {
  if (handle->lock.is_checkpointer) return SQLITEASYNC_COMMIT_QUEUED;
  int own = *own_level(handle);
  return own == ASYNC_LEVEL_UNSET ? (int)async_config.commit : own;
}

void async_client_set_level(AsyncHandle *handle, int level) { *own_level(handle) = level; }

/* ---- Its end ---- */

/* True if it was the last one. */
static bool note_abandoned(AsyncHandle *handle) {
  async_mutex_enter(&handle->stream->mutex);
  bool is_last = !handle->is_abandoned && async_closing_note_abandon(handle->stream);
  handle->is_abandoned = true;
  async_mutex_leave(&handle->stream->mutex);
  return is_last;
}

void async_client_abandon(AsyncHandle *handle) {
  if (async_forked || !async_handle_is_connection(handle)) return;
  /* And those of attached databases, if it is known which they are. */
  if (handle->client != NULL) handle = handle->client->handles;
  for (; handle != NULL; handle = handle->client == NULL ? NULL : handle->client_next) {
    note_abandoned(handle);
  }
}

void async_client_release_abandoned(void) {
  AsyncStream **streams = async_registry_all();
  for (AsyncStream **stream = streams; streams != NULL && *stream != NULL; stream++) {
    async_mutex_enter(&(*stream)->mutex);
    bool is_abandoned = (*stream)->connections == 0 && (*stream)->abandoned > 0;
    async_mutex_leave(&(*stream)->mutex);
    if (is_abandoned) async_closing_release(*stream);
  }
  async_registry_unref_all(streams);
}

#if SQLITE_VERSION_NUMBER < OLDEST_WITH_CLIENT_DATA

void async_client_note(AsyncHandle *handle) { (void)handle; }

void async_client_forget(AsyncHandle *handle) { (void)handle; }

#else

#define KEY "sqlite3async"

/* The program's last use of this database through the connection. */
static void end(AsyncHandle *handle) {
  if (note_abandoned(handle)) async_closing_release(handle->stream);
}

/* From here on SQLite keeps errors for itself, as of the last checkpoint. */
static void note_ending(AsyncHandle *handle) {
  async_mutex_enter(&handle->stream->mutex);
  handle->is_ending = true;
  handle->knew_error = handle->stream->error_told;
  async_mutex_leave(&handle->stream->mutex);
}

/* The connection is being closed: is it about to become a zombie? */
static void note_close(void *arg) {
  AsyncClient *client = arg;
  bool lives_on = !async_forked && sqlite3_next_stmt(client->db, NULL) != NULL;
  AsyncHandle *next;
  for (AsyncHandle *handle = client->handles; handle != NULL; handle = next) {
    next = handle->client_next;
    handle->client = NULL;
    handle->level = client->level;
    if (!async_forked) note_ending(handle);
    if (lives_on) end(handle);
  }
  free(client);
}

static AsyncClient *client_of(sqlite3 *db) {
  AsyncClient *client = sqlite3_get_clientdata(db, KEY);
  if (client != NULL) return client;
  client = calloc(1, sizeof *client);
  if (client == NULL) return NULL;
  client->db = db;
  client->level = ASYNC_LEVEL_UNSET;
  /* If it fails it has destroyed the client. */
  return sqlite3_set_clientdata(db, KEY, client, note_close) == SQLITE_OK ? client : NULL;
}

void async_client_note(AsyncHandle *handle) {
  if (!async_handle_is_connection(handle) || handle->client != NULL) return;
  if (handle->is_shared_cache) return; /* its end is not that of one connection */
  if (sqlite3_libversion_number() < OLDEST_WITH_CLIENT_DATA) return;
  AsyncClient *client = client_of(*handle->db);
  if (client == NULL) return; /* without memory, a zombie keeps its lock */
  handle->client = client;
  handle->client_next = client->handles;
  client->handles = handle;
}

void async_client_forget(AsyncHandle *handle) {
  if (handle->client == NULL) return;
  AsyncHandle **link = &handle->client->handles;
  while (*link != handle) link = &(*link)->client_next;
  *link = handle->client_next;
  handle->client = NULL;
}

#endif /* SQLITE_VERSION_NUMBER */
