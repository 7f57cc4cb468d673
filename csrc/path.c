/*
** Names.  See path.h.
*/
#include "path.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* "-mj" and nine hexadecimal digits, the third from the end being "9": see
** vdbeCommit() in SQLite's vdbeaux.c. */
#define SUPER_SUFFIX_LENGTH 12

static bool ends_with(const char *path, size_t length, const char *suffix) {
  size_t n = strlen(suffix);
  return length > n && memcmp(path + length - n, suffix, n) == 0;
}

bool async_path_is_super_journal(const char *path) {
  size_t length = strlen(path);
  if (length <= SUPER_SUFFIX_LENGTH) return false;
  const char *suffix = path + length - SUPER_SUFFIX_LENGTH;
  if (memcmp(suffix, "-mj", 3) != 0 || suffix[9] != '9') return false;
  for (int i = 3; i < SUPER_SUFFIX_LENGTH; i++) {
    if (!isxdigit((unsigned char)suffix[i])) return false;
  }
  return true;
}

size_t async_path_owner_length(const char *path) {
  size_t length = strlen(path);
  if (ends_with(path, length, "-journal")) return length - strlen("-journal");
  if (ends_with(path, length, "-wal")) return length - strlen("-wal");
  if (async_path_is_super_journal(path)) return length - SUPER_SUFFIX_LENGTH;
  return 0;
}

AsyncRole async_path_role(const char *database, const char *path) {
  assert(strncmp(path, database, strlen(database)) == 0);
  const char *suffix = path + strlen(database);
  if (*suffix == '\0') return ASYNC_ROLE_DATABASE;
  if (strcmp(suffix, "-journal") == 0) return ASYNC_ROLE_JOURNAL;
  if (strcmp(suffix, "-wal") == 0) return ASYNC_ROLE_WAL;
  return ASYNC_ROLE_SUPER_JOURNAL;
}

char *async_path_copy(const char *path, bool with_parameters) {
  size_t size = strlen(path) + 1;
  if (with_parameters) {
    while (path[size] != '\0') {
      size += strlen(path + size) + 1;
      size += strlen(path + size) + 1;
    }
  }
  char *block = calloc(1, 4 + size + 4);
  if (block == NULL) return NULL;
  memcpy(block + 4, path, size);
  return block + 4;
}

void async_path_free(char *path) {
  if (path != NULL) free(path - 4);
}
