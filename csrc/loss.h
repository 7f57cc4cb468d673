/*
** Telling on stderr that committed transactions were lost: where no call is left
** that could return a code.
*/
#ifndef ASYNC_LOSS_H
#define ASYNC_LOSS_H

#include <stdint.h>

/* when: "exit", "close"; path: of the database; why: in words. */
void async_loss_tell(const char *when, int64_t lost, const char *path, const char *why);

#endif /* ASYNC_LOSS_H */
