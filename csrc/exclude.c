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

/* Written under the mutex of api.h; each is constant once it is in its list. */
typedef _Atomic(const Excluded *) List;
static List excluded;
static List excepted; /* databases all the same */

static bool add(List *list, char *full) {
  Excluded *added = malloc(sizeof *added);
  if (added == NULL) {
    free(full);
    return false;
  }
  size_t length = strlen(full);
  while (length > 0 && async_path_is_separator(full[length - 1])) length--;
  *added = (Excluded){.next = *list, .path = full, .length = length};
  *list = added;
  return true;
}

bool async_exclude_add(char *full) { return add(&excluded, full); }

bool async_exclude_all_but(char *full) { return add(&excepted, full); }

/* True if it is, or belongs to, a path of the list, or lies below one. */
static bool has(const Excluded *one, const char *full) {
  size_t owner = async_path_owner_length(full);
  for (; one != NULL; one = one->next) {
    if (strncmp(full, one->path, one->length) != 0) continue;
    if (one->length == owner || full[one->length] == '\0') return true;
    if (async_path_is_separator(full[one->length])) return true;
  }
  return false;
}

bool async_exclude_has(const char *full) {
  const Excluded *first = excluded;
  return first != NULL && has(first, full) && !has(excepted, full);
}
