/*
** Handles.  See handle.h.
*/
#include "handle.h"

bool async_handle_is_connection(const AsyncHandle *handle) {
  return handle->file->role == ASYNC_ROLE_DATABASE && !handle->lock.is_checkpointer;
}
