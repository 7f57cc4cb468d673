/*
** The disk in memory.  See memdisk.h.
*/
#include "memdisk_names.h"

#include "folder_sync.h"
#include "harness.h"
#include "stepper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct MemHandle {
  sqlite3_file base;
  MemDisk *disk;
  Inode *inode;
  const Name *name;
  bool syncs_name;
  bool deletes;
  int level;
  int64_t position; /* with memdisk_has_positions() */
};

static struct {
  MemCall call;
  const char *end;
  int nth;
  int code;
} fault;
static bool full;
static int64_t sync_us;
static bool has_positions;

/* ---- The folder ---- */

static bool ends_with(const char *text, const char *end) {
  size_t n = strlen(text);
  size_t m = strlen(end);
  return n >= m && strcmp(text + n - m, end) == 0;
}

static int sync_folder(const char *folder, int descriptor) {
  (void)folder;
  if (!step_is_on()) return fsync(descriptor);
  step_point("sync the folder");
  if (sync_us > 0) step_sleep_us(sync_us);
  mem_sync_names();
  return 0;
}

/* ---- What goes wrong ---- */

void memdisk_fail(MemCall call, const char *end, int nth, int code) {
  fault.call = call;
  fault.end = end;
  fault.nth = nth;
  fault.code = code;
}

void memdisk_full(bool on) { full = on; }

void memdisk_sync_takes_us(int64_t us) { sync_us = us; }

static int obey(MemCall call, const char *path, const char *what) {
  if (mem_used != &mem_live) return SQLITE_OK;
  step_point(what);
  if (full && call == MEM_WRITE) return SQLITE_FULL;
  bool meant = fault.nth > 0 && fault.call == call && ends_with(path, fault.end);
  return meant && --fault.nth == 0 ? fault.code : SQLITE_OK;
}

/* ---- Methods of files ---- */

static MemHandle *handle_of(sqlite3_file *base) { return (MemHandle *)base; }

static void lower(MemHandle *handle, int level) {
  Inode *inode = handle->inode;
  if (handle->level <= level) return;
  if (inode->reserved == handle) inode->reserved = NULL;
  if (level == SQLITE_LOCK_NONE && handle->level >= SQLITE_LOCK_SHARED) inode->shared--;
  handle->level = level;
}

static int file_close(sqlite3_file *base) {
  MemHandle *handle = handle_of(base);
  if (handle->disk == &mem_live) step_point("close");
  lower(handle, SQLITE_LOCK_NONE);
  handle->inode->handles--;
  if (handle->disk == &mem_live) mem_open_files--;
  mem_end_if_unused(handle->inode);
  base->pMethods = NULL;
  return SQLITE_OK;
}

/* Where a read or a write that was asked for at offset takes place. */
static int64_t seek(MemHandle *handle, int64_t offset) {
  if (!has_positions) return offset;
  handle->position = offset;
  step_point("have sought");
  return handle->position;
}

static int file_read(sqlite3_file *base, void *buf, int n, sqlite3_int64 offset) {
  MemHandle *handle = handle_of(base);
  step_point("read");
  offset = seek(handle, offset);
  const Bytes *bytes = &handle->inode->now;
  int64_t there = bytes->size - offset;
  if (there < 0) there = 0;
  if (there > n) there = n;
  if (there > 0) memcpy(buf, bytes->at + offset, (size_t)there);
  memset((char *)buf + there, 0, (size_t)(n - there));
  return there == n ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *base, const void *buf, int n, sqlite3_int64 offset) {
  MemHandle *handle = handle_of(base);
  int rc = obey(MEM_WRITE, handle->name->path, "write");
  if (rc != SQLITE_OK) return rc;
  offset = seek(handle, offset);
  Bytes *bytes = &handle->inode->now;
  if (offset + n > bytes->size) mem_resize(bytes, offset + n);
  memcpy(bytes->at + offset, buf, (size_t)n);
  mem_touch(handle->inode);
  return SQLITE_OK;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size) {
  MemHandle *handle = handle_of(base);
  int rc = obey(MEM_TRUNCATE, handle->name->path, "truncate");
  if (rc == SQLITE_OK) mem_resize(&handle->inode->now, size);
  if (rc == SQLITE_OK) mem_touch(handle->inode);
  return rc;
}

/* What is written meanwhile does not count, and nothing does before it is done. */
static void sync_inode(Inode *inode) {
  Bytes begun = {0};
  mem_copy(&begun, &inode->now);
  if (sync_us > 0 && mem_used == &mem_live) step_sleep_us(sync_us);
  step_point("synced");
  Bytes *old = inode->lossy ? &begun : &inode->synced;
  free(old->at);
  if (!inode->lossy) inode->synced = begun;
}

static int file_sync(sqlite3_file *base, int flags) {
  (void)flags;
  MemHandle *handle = handle_of(base);
  Inode *inode = handle->inode;
  if (inode->syncing) FAIL("two threads sync %s at once", handle->name->path);
  inode->syncing = true;
  int rc = obey(MEM_SYNC, handle->name->path, "sync");
  if (rc != SQLITE_OK) inode->lossy = true;
  if (rc == SQLITE_OK) sync_inode(inode);
  inode->syncing = false;
  if (rc != SQLITE_OK) return rc;
  Name *name = mem_find(handle->disk, handle->name->path);
  if (handle->syncs_name && name->now == inode) mem_link(&name->durable, inode);
  return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size) {
  *size = handle_of(base)->inode->now.size;
  return SQLITE_OK;
}

static int raise(MemHandle *handle, int level) {
  Inode *inode = handle->inode;
  bool other = inode->reserved != NULL && inode->reserved != handle;
  if (level == SQLITE_LOCK_SHARED) {
    if (other && inode->reserved->level >= SQLITE_LOCK_PENDING) return SQLITE_BUSY;
    inode->shared++;
  } else {
    if (other) return SQLITE_BUSY;
    inode->reserved = handle;
    if (level == SQLITE_LOCK_EXCLUSIVE && inode->shared > 1) {
      handle->level = SQLITE_LOCK_PENDING;
      return SQLITE_BUSY;
    }
  }
  handle->level = level;
  return SQLITE_OK;
}

static int file_lock(sqlite3_file *base, int level) {
  MemHandle *handle = handle_of(base);
  step_point("lock the file");
  return handle->level >= level ? SQLITE_OK : raise(handle, level);
}

static int file_unlock(sqlite3_file *base, int level) {
  step_point("unlock the file");
  lower(handle_of(base), level);
  return SQLITE_OK;
}

static int file_check_reserved_lock(sqlite3_file *base, int *reserved) {
  *reserved = handle_of(base)->inode->reserved != NULL;
  return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int op, void *arg) {
  if (op == SQLITE_FCNTL_LOCKSTATE) {
    *(int *)arg = handle_of(base)->level;
    return SQLITE_OK;
  }
  if (op == SQLITE_FCNTL_SIZE_HINT && has_positions) {
    step_point("make room");
    seek(handle_of(base), *(sqlite3_int64 *)arg); /* as unix does, to write a byte there */
    return SQLITE_OK;
  }
  if (op != SQLITE_FCNTL_HAS_MOVED) return SQLITE_NOTFOUND;
  const MemHandle *handle = handle_of(base);
  step_point("ask whether it has moved");
  *(int *)arg = mem_find(handle->disk, handle->name->path)->now != handle->inode;
  return SQLITE_OK;
}

static int file_sector_size(sqlite3_file *base) {
  (void)base;
  return 512;
}

static int file_device_characteristics(sqlite3_file *base) {
  (void)base;
  return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_device_characteristics,
};

/* ---- Methods of the VFS ---- */

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *out) {
  (void)vfs;
  MemHandle *handle = handle_of(base);
  memset(handle, 0, sizeof *handle);
  static int temporary;
  char own[40];
  snprintf(own, sizeof own, "temporary-%d", temporary);
  if (path == NULL) temporary++;
  Name *name = mem_find(mem_used, path == NULL ? own : path);
  int rc = obey(MEM_OPEN, name->path, "open");
  if (rc != SQLITE_OK) return rc;
  if (name->now == NULL && !(flags & SQLITE_OPEN_CREATE)) return SQLITE_CANTOPEN;
  if (name->now == NULL) mem_link(&name->now, mem_inode_new());
  handle->disk = mem_used;
  handle->inode = name->now;
  handle->name = name;
  handle->syncs_name = (flags & SQLITE_OPEN_CREATE) && !(flags & SQLITE_OPEN_MAIN_DB);
  handle->inode->handles++;
  if (mem_used == &mem_live) mem_open_files++;
  if (flags & SQLITE_OPEN_DELETEONCLOSE) mem_link(&name->now, NULL);
  base->pMethods = &file_methods;
  if (out != NULL) *out = flags;
  return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_directory) {
  (void)vfs;
  Name *name = mem_find(mem_used, path);
  int rc = obey(MEM_DELETE, path, "delete");
  if (rc != SQLITE_OK) return rc;
  if (name->now == NULL) return SQLITE_IOERR_DELETE_NOENT;
  mem_link(&name->now, NULL);
  if (sync_directory) mem_link(&name->durable, NULL);
  return SQLITE_OK;
}

/* A name that is no file's is a folder. */
static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *result) {
  (void)vfs;
  step_point("look for a name");
  const Inode *inode = mem_find(mem_used, path)->now;
  *result = flags != SQLITE_ACCESS_EXISTS || (inode != NULL && inode->now.size > 0);
  return SQLITE_OK;
}

static int vfs_full_pathname(sqlite3_vfs *vfs, const char *path, int n, char *out) {
  (void)vfs;
  sqlite3_snprintf(n, out, "%s", path);
  return SQLITE_OK;
}

static int vfs_randomness(sqlite3_vfs *vfs, int n, char *out) {
  (void)vfs;
  static unsigned char next;
  for (int i = 0; i < n; i++) out[i] = (char)(next += 37);
  return n;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us) {
  (void)vfs;
  if (step_is_on()) step_sleep_us(us);
  return us;
}

static int vfs_current_time_64(sqlite3_vfs *vfs, sqlite3_int64 *out) {
  (void)vfs;
  *out = INT64_C(212600000000000) + step_now_us() / 1000;
  return SQLITE_OK;
}

static int vfs_get_last_error(sqlite3_vfs *vfs, int n, char *out) {
  (void)vfs;
  if (n > 0) out[0] = '\0';
  return 0;
}

static sqlite3_syscall_ptr vfs_get_system_call(sqlite3_vfs *vfs, const char *name) {
  (void)vfs;
  return strcmp(name, "read") == 0 ? (sqlite3_syscall_ptr)sync_folder : NULL; /* only looked at */
}

static sqlite3_vfs vfs;

void memdisk_has_positions(void) {
  memdisk_register();
  has_positions = true;
  vfs.iVersion = 3;
  vfs.xGetSystemCall = vfs_get_system_call;
}

void memdisk_register(void) {
  if (vfs.zName != NULL) return;
  vfs = *sqlite3_vfs_find("unix"); /* whose other methods are not called */
  vfs.iVersion = 2;
  vfs.szOsFile = (int)sizeof(MemHandle);
  vfs.pNext = NULL;
  vfs.zName = MEMDISK_NAME;
  vfs.xOpen = vfs_open;
  vfs.xDelete = vfs_delete;
  vfs.xAccess = vfs_access;
  vfs.xFullPathname = vfs_full_pathname;
  vfs.xRandomness = vfs_randomness;
  vfs.xSleep = vfs_sleep;
  vfs.xCurrentTimeInt64 = vfs_current_time_64;
  vfs.xGetLastError = vfs_get_last_error;
  CHECK_EQ(sqlite3_vfs_register(&vfs, 0), SQLITE_OK);
  folder_sync_by(sync_folder);
  mem_take_stat();
}
