/*
** xFileControl: what SQLite, PRAGMAs and programs ask of an open file.
*/
#ifndef ASYNC_FILECONTROL_H
#define ASYNC_FILECONTROL_H

#include "handle.h"

/* As xFileControl. */
int async_filecontrol(sqlite3_file *base, int op, void *arg);

#endif /* ASYNC_FILECONTROL_H */
