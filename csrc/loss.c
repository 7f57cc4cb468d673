/*
** Telling of losses.  See loss.h.
*/
#include "loss.h"

#include "os.h"
#include "text.h"

#include <stdio.h>

#define LINE_MAX_LENGTH 1200

void async_loss_tell(const char *when, int64_t lost, const char *path, const char *why) {
  char line[LINE_MAX_LENGTH];
  char shown[1001];
  async_text_printable(path, shown, sizeof shown);
  snprintf(line, sizeof line,
           "sqlite3async: %s: %lld committed transactions of %s were not written: %s\n", when,
           (long long)lost, shown, why);
  async_os_complain(line);
}
