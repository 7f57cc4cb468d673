/*
** A URI that a driver took for the name of a file.  See uriname.h.
*/
#include "uriname.h"

#include "config.h"
#include "host.h"
#include "known.h"
#include "os.h"
#include "path.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

#define SCHEME "file:"
#define PARAMETER "vfs=" SQLITEASYNC_VFSNAME

/* Where a part of the path begins with "file:"; NULL if none does. */
static const char *find_scheme(const char *name) {
  const char *found = strstr(name, SCHEME);
  while (found != NULL && found != name && !async_path_is_separator(found[-1])) {
    found = strstr(found + 1, SCHEME);
  }
  return found;
}

/* True if a query names our VFS. */
static bool names_us(const char *query) {
  size_t length = strlen(PARAMETER);
  while (query != NULL) {
    query++; /* a '?' or a '&' */
    if (strncmp(query, PARAMETER, length) == 0 && strchr("&#", query[length]) != NULL) return true;
    query = strchr(query, '&');
  }
  return false;
}

static void complain(const char *uri) {
  char shown[512];
  char words[1024];
  async_text_printable(uri, shown, sizeof shown);
  snprintf(words, sizeof words,
           "sqlite3async: Cannot open \"%s\": a driver took this URI for the name of a file; "
           "give bun:sqlite the flags 0x46 (READWRITE, CREATE, URI), or call vfs.route(path) "
           "and open the path, as with better-sqlite3, which takes no URI\n",
           shown);
  async_os_complain(words);
  sqlite3_log(SQLITE_CANTOPEN, "%.*s", (int)strlen(words) - 1, words);
}

bool async_uriname_refuses(const char *name) {
  const char *uri = find_scheme(name);
  if (uri == NULL || !names_us(strchr(uri, '?'))) return false;
  /* In a forked child the thread that has the set's mutex may not exist. */
  if (async_forked || async_known_note_complaint(uri)) complain(uri);
  return true;
}
