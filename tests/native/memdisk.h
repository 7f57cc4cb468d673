/*
** A disk in memory, as the VFS "memory": what was written, and of it what a power cut
** would leave, taken strictly: of a file what it was when it was last synced, of a
** name what it meant when it was last made durable.  As in SQLite's unix VFS, the
** first sync of a journal that may have been made makes its name durable, and so do a deletion
** that is to be synced and a sync of the folder.
**
** Other processes: a connection of plain SQLite to this VFS has locks of its own.
**
** Each call that a process would make of the system is a point of the stepper; this is
** for one stepped thread at a time and has no lock.
*/
#ifndef TEST_MEMDISK_H
#define TEST_MEMDISK_H

#include "sqlite3.h"

#include <stdbool.h>
#include <stdint.h>

#define MEMDISK_NAME "memory"

typedef struct MemDisk MemDisk;

/* Register the VFS, with an empty disk. */
void memdisk_register(void);

/* From here on a handle has one position, as with a SQLite for unix that was compiled without
** pread(): a read or a write moves it, and then, at another point, takes place where it is. */
void memdisk_has_positions(void);

/* What a power cut now would leave; to be freed when no connection has it open. */
MemDisk *memdisk_after_power_cut(void);
/* What a crash of the process would leave, with no locks. */
MemDisk *memdisk_after_crash(void);
void memdisk_free(MemDisk *disk);

/* All that is on it now survives a power cut. */
void memdisk_sync_all(void);

/* What names mean to connections from here on: files of this disk, or, NULL, of the
** one in use. */
void memdisk_use(MemDisk *disk);

/* ---- The owner of the files, who has none of them open ---- */

bool memdisk_has(const char *path);
/* At a point; whoever has the file open goes on with it. */
void memdisk_unlink(const char *path);
/* And makes that durable. */
void memdisk_rename(const char *from, const char *to);

/* How many of the disk's files are open, by anybody. */
int memdisk_open_files(void);

/* ---- What goes wrong, or takes time ---- */

typedef enum MemCall { MEM_OPEN, MEM_WRITE, MEM_SYNC, MEM_TRUNCATE, MEM_DELETE } MemCall;

/* (Two threads that sync one file at once fail the test: a system may tell only one of
** them of an error.)
**
** The n-th call from now on (1: the next) of the kind for names that end so fails.  What a
** sync that failed was about no later one writes. */
void memdisk_fail(MemCall call, const char *end, int nth, int code);

/* While it is on, nothing can be written: SQLITE_FULL. */
void memdisk_full(bool on);

/* How long a sync takes. */
void memdisk_sync_takes_us(int64_t us);

#endif /* TEST_MEMDISK_H */
