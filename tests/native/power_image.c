/*
** What plain SQLite finds in an image.  See power_image.h.
*/
#include "power_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VFS_NAME "image"
#define REGIONS_MAX 64

typedef struct MemoryFile {
  sqlite3_file base;
  ImageFile *file;
  ImageFile own; /* of a temporary file */
  void *regions[REGIONS_MAX];
} MemoryFile;

/* What the VFS works on. */
static Image *image;
static const char *folder;

/* ---- Methods of files ---- */

static ImageFile *file_of(sqlite3_file *base) { return ((MemoryFile *)base)->file; }

static int memory_shm_unmap(sqlite3_file *base, int delete_file) {
  (void)delete_file;
  void **regions = ((MemoryFile *)base)->regions;
  for (int i = 0; i < REGIONS_MAX; i++) {
    free(regions[i]);
    regions[i] = NULL;
  }
  return SQLITE_OK;
}

static int memory_close(sqlite3_file *base) {
  memory_shm_unmap(base, 0);
  free(((MemoryFile *)base)->own.bytes);
  return SQLITE_OK;
}

static int memory_read(sqlite3_file *base, void *buf, int n, sqlite3_int64 offset) {
  const ImageFile *file = file_of(base);
  int64_t there = file->size > offset ? file->size - offset : 0;
  if (there > n) there = n;
  if (there > 0) memcpy(buf, file->bytes + offset, (size_t)there);
  if (there == n) return SQLITE_OK;
  memset((unsigned char *)buf + there, 0, (size_t)(n - there));
  return SQLITE_IOERR_SHORT_READ;
}

static void resize(ImageFile *file, int64_t size) {
  if (size > file->room) {
    file->room = size * 2;
    file->bytes = realloc(file->bytes, (size_t)file->room);
    CHECK(file->bytes != NULL);
  }
  if (size > file->size) memset(file->bytes + file->size, 0, (size_t)(size - file->size));
  file->size = size;
}

static int memory_write(sqlite3_file *base, const void *buf, int n, sqlite3_int64 offset) {
  ImageFile *file = file_of(base);
  if (offset + n > file->size) resize(file, offset + n);
  memcpy(file->bytes + offset, buf, (size_t)n);
  return SQLITE_OK;
}

static int memory_truncate(sqlite3_file *base, sqlite3_int64 size) {
  resize(file_of(base), size);
  return SQLITE_OK;
}

static int memory_size(sqlite3_file *base, sqlite3_int64 *size) {
  *size = file_of(base)->size;
  return SQLITE_OK;
}

static int memory_sync(sqlite3_file *base, int flags) {
  (void)base;
  (void)flags;
  return SQLITE_OK;
}
static int memory_lock(sqlite3_file *base, int level) {
  (void)base;
  (void)level;
  return SQLITE_OK;
}
static int memory_check_reserved_lock(sqlite3_file *base, int *reserved) {
  (void)base;
  *reserved = 0;
  return SQLITE_OK;
}
static int memory_control(sqlite3_file *base, int op, void *arg) {
  (void)base;
  (void)op;
  (void)arg;
  return SQLITE_NOTFOUND;
}
static int memory_sector_size(sqlite3_file *base) {
  (void)base;
  return 512;
}
static int memory_characteristics(sqlite3_file *base) {
  (void)base;
  return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int memory_shm_map(sqlite3_file *base, int region, int size, int extend,
                          void volatile **address) {
  void **regions = ((MemoryFile *)base)->regions;
  CHECK(region < REGIONS_MAX);
  if (regions[region] == NULL && extend) regions[region] = calloc(1, (size_t)size);
  *address = regions[region];
  return SQLITE_OK;
}
static int memory_shm_lock(sqlite3_file *base, int first, int n, int flags) {
  (void)base;
  (void)first;
  (void)n;
  (void)flags;
  return SQLITE_OK;
}
static void memory_shm_barrier(sqlite3_file *base) { (void)base; }

static const sqlite3_io_methods memory_methods = {
    .iVersion = 2,
    .xClose = memory_close,
    .xRead = memory_read,
    .xWrite = memory_write,
    .xTruncate = memory_truncate,
    .xSync = memory_sync,
    .xFileSize = memory_size,
    .xLock = memory_lock,
    .xUnlock = memory_lock,
    .xCheckReservedLock = memory_check_reserved_lock,
    .xFileControl = memory_control,
    .xSectorSize = memory_sector_size,
    .xDeviceCharacteristics = memory_characteristics,
    .xShmMap = memory_shm_map,
    .xShmLock = memory_shm_lock,
    .xShmBarrier = memory_shm_barrier,
    .xShmUnmap = memory_shm_unmap,
};

/* ---- Methods of the VFS ---- */

static ImageFile *find_file(const char *path) {
  size_t length = strlen(folder);
  CHECK(strncmp(path, folder, length) == 0 && path[length] == '/');
  for (int i = 0; i < image->count; i++) {
    if (strcmp(image->files[i].path, path + length + 1) == 0) return &image->files[i];
  }
  return NULL;
}

static int memory_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags,
                       int *out) {
  (void)vfs;
  MemoryFile *file = (MemoryFile *)base;
  memset(file, 0, sizeof *file);
  file->file = path == NULL ? &file->own : find_file(path);
  if (file->file == NULL) {
    if (!(flags & SQLITE_OPEN_CREATE)) return SQLITE_CANTOPEN;
    CHECK(image->count < IMAGE_FILES_MAX);
    file->file = &image->files[image->count++];
    file->file->size = 0;
    snprintf(file->file->path, RECORDER_PATH_MAX, "%s", path + strlen(folder) + 1);
  }
  if (out != NULL) *out = flags;
  file->base.pMethods = &memory_methods;
  return SQLITE_OK;
}

static int memory_delete(sqlite3_vfs *vfs, const char *path, int sync_directory) {
  (void)vfs;
  (void)sync_directory;
  ImageFile *file = find_file(path);
  if (file == NULL) return SQLITE_IOERR_DELETE_NOENT;
  file->path[0] = '\0'; /* who has it open goes on with it */
  return SQLITE_OK;
}

static int memory_access(sqlite3_vfs *vfs, const char *path, int flags, int *result) {
  (void)vfs;
  const ImageFile *file = find_file(path);
  *result = file != NULL && (flags != SQLITE_ACCESS_EXISTS || file->size > 0);
  return SQLITE_OK;
}

static int memory_full_pathname(sqlite3_vfs *vfs, const char *path, int n, char *out) {
  (void)vfs;
  sqlite3_snprintf(n, out, "%s", path);
  return SQLITE_OK;
}

static void register_vfs(void) {
  static sqlite3_vfs vfs;
  if (vfs.zName != NULL) return;
  vfs = *sqlite3_vfs_find("unix");
  vfs.szOsFile = (int)sizeof(MemoryFile);
  vfs.pNext = NULL;
  vfs.zName = VFS_NAME;
  vfs.xOpen = memory_open;
  vfs.xDelete = memory_delete;
  vfs.xAccess = memory_access;
  vfs.xFullPathname = memory_full_pathname;
  CHECK_EQ(sqlite3_vfs_register(&vfs, 0), SQLITE_OK);
}

/* ---- Content ---- */

static uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
  return hash ^ (hash >> 29);
}

static uint64_t mix_value(uint64_t hash, sqlite3_stmt *statement, int column) {
  const unsigned char *bytes = sqlite3_column_blob(statement, column);
  int n = sqlite3_column_bytes(statement, column);
  hash = mix(hash, (uint64_t)sqlite3_column_type(statement, column) + ((uint64_t)n << 8));
  for (int i = 0; i < n; i += 8) {
    uint64_t word = 0;
    memcpy(&word, bytes + i, n - i < 8 ? (size_t)(n - i) : 8);
    hash = mix(hash, word);
  }
  return hash;
}

static void set_fault(Found *found, sqlite3 *db, const char *what) {
  snprintf(found->fault, sizeof found->fault, "%s: %s (%d)", what, sqlite3_errmsg(db),
           sqlite3_extended_errcode(db));
}

/* Mix all rows into the hash; the first column of the first one is *number. */
static bool mix_rows(sqlite3 *db, const char *schema, const char *format, int64_t *number,
                     Found *found) {
  char sql[200];
  snprintf(sql, sizeof sql, format, schema);
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  int rows = 0;
  while (rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
    if (rows++ == 0 && number != NULL) *number = sqlite3_column_int64(statement, 0);
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
      found->hash = mix_value(found->hash, statement, i);
    }
  }
  if (rc == SQLITE_OK) rc = sqlite3_reset(statement);
  if (rc != SQLITE_OK) set_fault(found, db, sql);
  sqlite3_finalize(statement);
  return rc == SQLITE_OK;
}

static void check_integrity_of(sqlite3 *db, const char *schema, Found *found) {
  char sql[100];
  snprintf(sql, sizeof sql, "PRAGMA %s.integrity_check(1)", schema);
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_step(statement);
  if (rc != SQLITE_ROW) {
    set_fault(found, db, "integrity_check");
  } else if (strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0) {
    snprintf(found->fault, sizeof found->fault, "integrity_check: %.150s",
             (const char *)sqlite3_column_text(statement, 0));
  }
  sqlite3_finalize(statement);
}

void find_content(sqlite3 *db, const char *schema, bool check, Found *found) {
  memset(found, 0, sizeof *found);
  int64_t tables = 0;
  int64_t k = 0;
  const char *list = "SELECT count(*), group_concat(sql ORDER BY name) FROM \"%s\".sqlite_schema";
  if (!mix_rows(db, schema, list, &tables, found)) return;
  if (tables > 0) {
    if (!mix_rows(db, schema, "SELECT k FROM \"%s\".meta", &k, found)) return;
    if (!mix_rows(db, schema, "SELECT a, k, b FROM \"%s\".t ORDER BY a", NULL, found)) return;
  }
  found->k = (int)k;
  if (check) check_integrity_of(db, schema, found);
}

void image_find(Image *the_image, const char *the_folder, const char *file, Found *found) {
  register_vfs();
  image = the_image;
  folder = the_folder;
  char path[700];
  snprintf(path, sizeof path, "%s/%s", folder, file);
  sqlite3 *db = NULL;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  CHECK_EQ(sqlite3_open_v2(path, &db, flags, VFS_NAME), SQLITE_OK);
  sqlite3_extended_result_codes(db, 1);
  find_content(db, "main", true, found);
  CHECK_EQ(sqlite3_close(db), SQLITE_OK);
}
