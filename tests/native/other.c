/*
** Another process.  See other.h.
*/
#include "other.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 10000
#define SQL_MAX 400
#define REPLY_MAX 4000

static bool read_all(int fd, char *buf, size_t n) {
  while (n > 0) {
    ssize_t got = read(fd, buf, n);
    if (got <= 0) return false;
    buf += got;
    n -= (size_t)got;
  }
  return true;
}

/* By plain SQLite; "open" and "close" are no SQL. */
static _Noreturn void serve(const char *path, int from, int to) {
  static sqlite3 *db;
  char sql[SQL_MAX];
  while (read_all(from, sql, SQL_MAX)) {
    alarm(60);
    char reply[REPLY_MAX] = "";
    if (strcmp(sql, "open") == 0) {
      db = open_plain(path);
    } else if (strcmp(sql, "close") == 0) {
      snprintf(reply, sizeof reply, "%d", sqlite3_close(db));
    } else {
      char *text = query_text(db, sql);
      snprintf(reply, sizeof reply, "%s", text);
      sqlite3_free(text);
    }
    CHECK(write(to, reply, REPLY_MAX) == REPLY_MAX);
    alarm(0);
  }
  _exit(0);
}

Other other_start(const char *path) {
  int there[2];
  int back[2];
  CHECK(pipe(there) == 0 && pipe(back) == 0);
  fflush(stdout);
  int pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    close(there[1]);
    close(back[0]);
    serve(path, there[0], back[1]);
  }
  close(there[0]);
  close(back[1]);
  return (Other){pid, there[1], back[0]};
}

/* Let it do something; the reply lives until the next call. */
const char *tell(const Other *other, const char *what) {
  static char reply[REPLY_MAX];
  char sql[SQL_MAX] = "";
  snprintf(sql, sizeof sql, "%s", what);
  CHECK(write(other->to, sql, SQL_MAX) == SQL_MAX);
  CHECK(read_all(other->from, reply, REPLY_MAX));
  return reply;
}

void other_end(const Other *other) {
  close(other->to);
  CHECK_EQ(process_wait(other->pid, WAIT_MS), 0);
  close(other->from);
}
