/*
** What is left to the parent.  See exclude.h.
*/
#include "exclude.h"

#include "path.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct Excluded Excluded;
struct Excluded {
  const Excluded *next;
  char *path; /* with no separator at its end */
  size_t length;
};

/* Written under the mutex of control.h; each is constant once it is in the list. */
static _Atomic(const Excluded *) excluded;

static bool is_separator(char c) { return c == '/' || c == '\\'; }

bool async_exclude_add(char *full) {
  Excluded *added = malloc(sizeof *added);
  if (added == NULL) {
    free(full);
    return false;
  }
  size_t length = strlen(full);
  while (length > 0 && is_separator(full[length - 1])) length--;
  *added = (Excluded){.next = excluded, .path = full, .length = length};
  excluded = added;
  return true;
}

bool async_exclude_has(const char *full) {
  const Excluded *one = excluded;
  if (one == NULL) return false;
  size_t owner = async_path_owner_length(full);
  for (; one != NULL; one = one->next) {
    if (strncmp(full, one->path, one->length) != 0) continue;
    if (one->length == owner || full[one->length] == '\0') return true;
    if (is_separator(full[one->length])) return true;
  }
  return false;
}
