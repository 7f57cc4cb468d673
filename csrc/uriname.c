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

/* The first query that names our VFS; NULL if none does. */
static const char *find_query(const char *name) {
  const char *query = strchr(name, '?');
  while (query != NULL && !names_us(query)) query = strchr(query + 1, '?');
  return query;
}

/* What was given as a URI: from a part of the path on that begins with "file:", or, if a driver has
** taken that away, the last part before the query. */
static const char *start_of_uri(const char *name, const char *query) {
  const char *start = name;
  for (const char *at = name; at < query; at++) {
    bool begins = at == name || async_path_is_separator(at[-1]);
    if (begins && strncmp(at, SCHEME, strlen(SCHEME)) == 0) return at;
    if (begins) start = at;
  }
  return start;
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
  const char *query = find_query(name);
  if (query == NULL) return false;
  const char *uri = start_of_uri(name, query);
  /* In a forked child the thread that has the set's mutex may not exist. */
  if (async_forked || async_known_note_complaint(uri)) complain(uri);
  return true;
}
