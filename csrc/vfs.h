/*
** The VFS "sqlite3async".
*/
#ifndef ASYNC_VFS_H
#define ASYNC_VFS_H

#include "host.h"

#include <stdbool.h>

int async_vfs_register(sqlite3_vfs *parent, bool is_default);
void async_vfs_unregister(void);

/* The registered VFS object, for the router. */
sqlite3_vfs *async_vfs(void);

/*
** Fill in what both our VFSs hand on to their parent as it is: everything but
** the name, and xOpen, xDelete and xAccess.  pAppData becomes the parent.
*/
void async_vfs_derive(sqlite3_vfs *vfs, sqlite3_vfs *parent);

#endif /* ASYNC_VFS_H */
