/*
** Syncs of folders.  The core makes them past the parent VFS, by fsync(); in the native
** tests these calls come here (build.zig), and a parent that wants to see them, or to
** make them fail, says so.  Without one they are the system's.
*/
#ifndef TEST_FOLDER_SYNC_H
#define TEST_FOLDER_SYNC_H

/* As fsync() of the open folder: 0; or -1, with errno set. */
typedef int FolderSync(const char *folder, int descriptor);

/* From now on; NULL: the system's again. */
void folder_sync_by(FolderSync *handler);

#endif /* TEST_FOLDER_SYNC_H */
