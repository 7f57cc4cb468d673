/*
** Which paths are known: a set of paths that grows and is never read out.
**
** It keeps a hash of 64 bits of each path.  Once it is full, or memory is out, every path
** counts as known: whoever asks wants to be sure of what was never there.
*/
#ifndef ASYNC_KNOWN_H
#define ASYNC_KNOWN_H

#include <stdbool.h>

/* Once in the process, before anything else. */
void async_known_init(void);

/* The databases that were ever opened through the VFS in this process, by their full paths. */
void async_known_note_open(const char *full);
bool async_known_was_open(const char *full);

/* The names that were complained about.  True the first time, and never once the set is full. */
bool async_known_note_complaint(const char *name);

#endif /* ASYNC_KNOWN_H */
