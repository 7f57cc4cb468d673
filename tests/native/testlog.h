/*
** The log of the parent VFS in tests (testvfs.h), line by line.
*/
#ifndef TEST_TESTLOG_H
#define TEST_TESTLOG_H

#include <stdbool.h>

#define LINES_MAX 2000

typedef struct Log {
  char *text;
  char *lines[LINES_MAX];
  int count;
} Log;

Log *log_now(void);
void log_free(Log *log);

bool line_is(const Log *log, int i, const char *start);
/* The first line from `from` on that begins so; -1 if there is none. */
int line_of(const Log *log, const char *start, int from);
int last_line_of(const Log *log, const char *start);
int count_lines(const Log *log, const char *start);

#endif /* TEST_TESTLOG_H */
