/*
** The log of the parent VFS.  See testlog.h.
*/
#include "testlog.h"

#include "harness.h"
#include "testvfs.h"

#include <stdlib.h>
#include <string.h>

Log *log_now(void) {
  Log *log = calloc(1, sizeof *log);
  CHECK(log != NULL);
  log->text = testvfs_log();
  char *place = NULL;
  for (char *line = strtok_r(log->text, "\n", &place); line != NULL;
       line = strtok_r(NULL, "\n", &place)) {
    CHECK(log->count < LINES_MAX);
    log->lines[log->count++] = line;
  }
  return log;
}

void log_free(Log *log) {
  free(log->text);
  free(log);
}

bool line_is(const Log *log, int i, const char *start) {
  return i >= 0 && i < log->count && strncmp(log->lines[i], start, strlen(start)) == 0;
}

int line_of(const Log *log, const char *start, int from) {
  for (int i = from; i < log->count; i++) {
    if (line_is(log, i, start)) return i;
  }
  return -1;
}

int last_line_of(const Log *log, const char *start) {
  int found = -1;
  for (int i = 0; i < log->count; i++) {
    if (line_is(log, i, start)) found = i;
  }
  return found;
}

int count_lines(const Log *log, const char *start) {
  int count = 0;
  for (int i = 0; i < log->count; i++) count += line_is(log, i, start) ? 1 : 0;
  return count;
}
