/*
** The recording parent VFS.  See recorder.h.
*/
#include "recorder.h"

#include "folder_sync.h"
#include "harness.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_NONE (-1)

typedef struct RecorderFile {
  sqlite3_file base;
  sqlite3_file *real;
  int index; /* RECORD_NONE: not recorded */
} RecorderFile;

typedef int (*OpenDirectory)(const char *path, int *descriptor);

static sqlite3_vfs *real_vfs;
static OpenDirectory open_directory;
static bool powersafe = true;
static _Atomic int sync_ms; /* how long one takes */
static void (*sync_hook)(void *arg);
static void *sync_arg;

/* Guards what follows, and is held during what changes a file or a name. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static Recording recording;
static int record_room;
static int file_room;
static char folder[300];

/* What this thread is at that may sync the folder next. */
static _Thread_local Record pending;
static _Thread_local bool is_pending;

static void enter(void) { pthread_mutex_lock(&mutex); }
static void leave(void) { pthread_mutex_unlock(&mutex); }

/* ---- The log; under the mutex ---- */

/* The part of a path behind the recorded folder, or NULL if it is not in there. */
static const char *inner_path(const char *path) {
  size_t length = strlen(folder);
  if (length == 0 || strncmp(path, folder, length) != 0) return NULL;
  if (path[length] == '\0') return "";
  return path[length] == '/' ? path + length + 1 : NULL;
}

static void append(const Record *record) {
  if (recording.count == record_room) {
    record_room = record_room * 2 + 1000;
    recording.records = realloc(recording.records, (size_t)record_room * sizeof(Record));
    CHECK(recording.records != NULL);
  }
  recording.records[recording.count++] = *record;
}

static void append_name(RecordKind kind, int file, const char *inner) {
  Record record = {.kind = kind, .file = file};
  snprintf(record.path, sizeof record.path, "%s", inner);
  append(&record);
}

static int new_file(const char *inner) {
  if (recording.file_count == file_room) {
    file_room = file_room * 2 + 100;
    recording.files = realloc(recording.files, (size_t)file_room * sizeof(RecordedFile));
    CHECK(recording.files != NULL);
  }
  RecordedFile *file = &recording.files[recording.file_count];
  memset(file, 0, sizeof *file);
  snprintf(file->path, sizeof file->path, "%s", inner);
  return recording.file_count++;
}

/* Which file the name means after what has been recorded. */
static int find_file(const char *inner) {
  for (int i = recording.count - 1; i >= 0; i--) {
    const Record *record = &recording.records[i];
    bool names = record->kind == RECORD_CREATE || record->kind == RECORD_DELETE;
    if (!names || strcmp(record->path, inner) != 0) continue;
    return record->kind == RECORD_CREATE ? record->file : RECORD_NONE;
  }
  for (int i = 0; i < recording.file_count; i++) {
    const RecordedFile *file = &recording.files[i];
    if (file->was_there && strcmp(file->path, inner) == 0) return i;
  }
  return RECORD_NONE;
}

static void sync_folder_of(const char *inner) {
  Record record = {.kind = RECORD_SYNC_FOLDER, .file = RECORD_NONE, .covers = recording.count};
  const char *slash = strrchr(inner, '/');
  snprintf(record.path, sizeof record.path, "%.*s", slash == NULL ? 0 : (int)(slash - inner),
           inner);
  append(&record);
}

/* ---- Beginning ---- */

static void load(const char *path, const char *inner) {
  FILE *in = fopen(path, "rb");
  CHECK(in != NULL);
  RecordedFile *file = &recording.files[new_file(inner)];
  file->was_there = true;
  CHECK(fseek(in, 0, SEEK_END) == 0);
  file->size = ftell(in);
  rewind(in);
  file->bytes = malloc((size_t)file->size + 1);
  CHECK(file->bytes != NULL && fread(file->bytes, 1, (size_t)file->size, in) == (size_t)file->size);
  fclose(in);
}

static void load_folder(const char *path) {
  DIR *dir = opendir(path);
  CHECK(dir != NULL);
  struct dirent *entry;
  while ((entry = readdir(dir)) != NULL) {
    char inner[600];
    struct stat about;
    if (entry->d_name[0] == '.') continue;
    snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
    CHECK(stat(inner, &about) == 0);
    if (S_ISDIR(about.st_mode)) {
      load_folder(inner);
    } else {
      load(inner, inner_path(inner));
    }
  }
  closedir(dir);
}

static void forget_records(int from) {
  for (int i = from; i < recording.count; i++) free(recording.records[i].data);
  recording.count = from;
}

void recorder_begin(const char *path) {
  enter();
  forget_records(0);
  for (int i = 0; i < recording.file_count; i++) free(recording.files[i].bytes);
  recording.file_count = 0;
  snprintf(folder, sizeof folder, "%s", path);
  if (path[0] != '\0') load_folder(path);
  leave();
}

void recorder_rewind(int position) {
  enter();
  forget_records(position);
  leave();
}

const Recording *recorder_recording(void) { return &recording; }

int recorder_position(void) {
  enter();
  int position = recording.count;
  leave();
  return position;
}

void recorder_note(int note, int which, int number) {
  Record record = {
      .kind = RECORD_NOTE, .file = RECORD_NONE, .n = note, .which = which, .number = number};
  enter();
  append(&record);
  leave();
}

void recorder_set_powersafe(bool is) { powersafe = is; }
void recorder_set_sync_ms(int ms) { sync_ms = ms; }

void recorder_on_sync(void (*hook)(void *arg), void *arg) {
  sync_hook = hook;
  sync_arg = arg;
}

void recorder_print(int position, int how_many) {
  static const char *const kinds[] = {"write",  "truncate", "create",     "delete",
                                      "  sync", "note",     "sync folder"};
  for (int i = position - how_many < 0 ? 0 : position - how_many; i < position; i++) {
    const Record *record = &recording.records[i];
    const char *name = record->file >= 0 ? recording.files[record->file].path : record->path;
    int kind = record->kind == RECORD_NOTE          ? 5
               : record->kind == RECORD_SYNC_FOLDER ? 6
                                                    : (int)record->kind;
    if (record->kind == RECORD_NOTE) {
      printf("#  %5d note %d: database %d, number %d\n", i, record->n, record->which,
             record->number);
    } else {
      printf("#  %5d %s \"%s\" (file %d) @%lld %d\n", i, kinds[kind], name, record->file,
             (long long)record->offset, record->n);
    }
  }
}

/* ---- Syncs of folders ---- */

/* What this thread is at is done, and belongs in the log before what comes now. */
static void settle_pending(void) {
  if (is_pending) append(&pending);
  is_pending = false;
}

static int recording_open_directory(const char *path, int *descriptor) {
  int rc = open_directory(path, descriptor);
  enter();
  const char *inner = inner_path(path);
  if (rc == SQLITE_OK && inner != NULL) {
    settle_pending();
    sync_folder_of(inner);
  }
  leave();
  return rc;
}

/* The core has synced the folder. */
static int sync_folder(const char *synced, int descriptor) {
  int rc = fsync(descriptor);
  if (rc != 0) return rc;
  enter();
  const char *inner = inner_path(synced);
  if (inner != NULL) {
    char inside[RECORDER_PATH_MAX];
    snprintf(inside, sizeof inside, "%s%s", inner, inner[0] == '\0' ? "" : "/");
    sync_folder_of(inside);
  }
  leave();
  return rc;
}

/* ---- Methods of files ---- */

static RecorderFile *recorder_file(sqlite3_file *base) { return (RecorderFile *)base; }
static sqlite3_file *real_of(sqlite3_file *base) { return recorder_file(base)->real; }

static int file_close(sqlite3_file *base) {
  int rc = real_of(base)->pMethods->xClose(real_of(base));
  free(real_of(base));
  base->pMethods = NULL;
  return rc;
}

static int file_read(sqlite3_file *base, void *buf, int n, sqlite3_int64 offset) {
  return real_of(base)->pMethods->xRead(real_of(base), buf, n, offset);
}

static int file_write(sqlite3_file *base, const void *data, int n, sqlite3_int64 offset) {
  int index = recorder_file(base)->index;
  enter();
  int rc = real_of(base)->pMethods->xWrite(real_of(base), data, n, offset);
  if (rc == SQLITE_OK && index != RECORD_NONE) {
    Record record = {.kind = RECORD_WRITE, .file = index, .n = n, .offset = offset};
    record.data = malloc((size_t)n);
    CHECK(record.data != NULL);
    memcpy(record.data, data, (size_t)n);
    append(&record);
  }
  leave();
  return rc;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size) {
  int index = recorder_file(base)->index;
  enter();
  int rc = real_of(base)->pMethods->xTruncate(real_of(base), size);
  Record record = {.kind = RECORD_TRUNCATE, .file = index, .offset = size};
  if (rc == SQLITE_OK && index != RECORD_NONE) append(&record);
  leave();
  return rc;
}

/* What was written before it begins is durable when it ends. */
static int file_sync(sqlite3_file *base, int flags) {
  int index = recorder_file(base)->index;
  Record record = {.kind = RECORD_SYNC, .file = index, .covers = recorder_position()};
  void (*hook)(void *) = sync_hook;
  if (hook != NULL) {
    sync_hook = NULL;
    hook(sync_arg);
    sync_hook = hook;
  }
  pending = record;
  is_pending = index != RECORD_NONE;
  if (sync_ms > 0) sleep_ms(sync_ms);
  int rc = real_of(base)->pMethods->xSync(real_of(base), flags);
  enter();
  if (rc == SQLITE_OK) settle_pending();
  leave();
  is_pending = false;
  return rc;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size) {
  return real_of(base)->pMethods->xFileSize(real_of(base), size);
}
static int file_lock(sqlite3_file *base, int level) {
  return real_of(base)->pMethods->xLock(real_of(base), level);
}
static int file_unlock(sqlite3_file *base, int level) {
  return real_of(base)->pMethods->xUnlock(real_of(base), level);
}
static int file_check_reserved_lock(sqlite3_file *base, int *reserved) {
  return real_of(base)->pMethods->xCheckReservedLock(real_of(base), reserved);
}
static int file_control(sqlite3_file *base, int op, void *arg) {
  /* Room is made without a change of the size, but for SQLITE_FCNTL_CHUNK_SIZE. */
  return real_of(base)->pMethods->xFileControl(real_of(base), op, arg);
}
static int file_sector_size(sqlite3_file *base) {
  return powersafe ? real_of(base)->pMethods->xSectorSize(real_of(base)) : 4096;
}
static int file_device_characteristics(sqlite3_file *base) {
  int all = real_of(base)->pMethods->xDeviceCharacteristics(real_of(base));
  return powersafe ? all : all & ~SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}
static int file_shm_map(sqlite3_file *base, int region, int size, int extend,
                        void volatile **address) {
  return real_of(base)->pMethods->xShmMap(real_of(base), region, size, extend, address);
}
static int file_shm_lock(sqlite3_file *base, int first, int n, int flags) {
  return real_of(base)->pMethods->xShmLock(real_of(base), first, n, flags);
}
static void file_shm_barrier(sqlite3_file *base) {
  real_of(base)->pMethods->xShmBarrier(real_of(base));
}
static int file_shm_unmap(sqlite3_file *base, int delete_file) {
  return real_of(base)->pMethods->xShmUnmap(real_of(base), delete_file);
}

/* Version 2: no memory mapping, whose writes could not be seen. */
static const sqlite3_io_methods file_methods = {
    .iVersion = 2,
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
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* ---- Methods of the VFS ---- */

/* Under the mutex: the file at this path was opened. */
static int note_open(const char *inner, bool was_there) {
  int index = was_there ? find_file(inner) : RECORD_NONE;
  if (index != RECORD_NONE) return index;
  CHECK(!was_there);
  index = new_file(inner);
  append_name(RECORD_CREATE, index, inner);
  return index;
}

static int recorder_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags,
                         int *out) {
  (void)vfs;
  RecorderFile *file = recorder_file(base);
  *file = (RecorderFile){.index = RECORD_NONE};
  file->real = calloc(1, (size_t)real_vfs->szOsFile);
  CHECK(file->real != NULL);
  enter();
  const char *inner = NULL;
  if (path != NULL && !(flags & SQLITE_OPEN_DELETEONCLOSE)) inner = inner_path(path);
  bool was_there = path != NULL && access(path, F_OK) == 0;
  int rc = real_vfs->xOpen(real_vfs, path, file->real, flags, out);
  if (rc == SQLITE_OK && inner != NULL) file->index = note_open(inner, was_there);
  leave();
  if (rc != SQLITE_OK) free(file->real);
  if (rc == SQLITE_OK) file->base.pMethods = &file_methods;
  return rc;
}

static int recorder_delete(sqlite3_vfs *vfs, const char *path, int sync_directory) {
  (void)vfs;
  enter();
  const char *inner = inner_path(path);
  int index = inner == NULL ? RECORD_NONE : find_file(inner);
  int rc = real_vfs->xDelete(real_vfs, path, 0);
  if (rc == SQLITE_OK && index != RECORD_NONE) append_name(RECORD_DELETE, index, inner);
  leave();
  if (rc != SQLITE_OK || (sync_directory & 1) == 0) return rc;
  /* As it does after a deletion. */
  int descriptor;
  if (recording_open_directory(path, &descriptor) != SQLITE_OK) return SQLITE_OK;
  rc = fsync(descriptor) == 0 ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
  close(descriptor);
  return rc;
}

void recorder_register(void) {
  static sqlite3_vfs vfs;
  if (real_vfs != NULL) return;
  real_vfs = sqlite3_vfs_find("unix");
  CHECK(real_vfs != NULL);
  open_directory = (OpenDirectory)real_vfs->xGetSystemCall(real_vfs, "openDirectory");
  CHECK(open_directory != NULL);
  CHECK_EQ(real_vfs->xSetSystemCall(real_vfs, "openDirectory",
                                    (sqlite3_syscall_ptr)recording_open_directory),
           SQLITE_OK);
  vfs = *real_vfs; /* whose other methods need nothing of their own */
  vfs.szOsFile = (int)sizeof(RecorderFile);
  vfs.pNext = NULL;
  vfs.zName = RECORDER_NAME;
  vfs.xOpen = recorder_open;
  vfs.xDelete = recorder_delete;
  CHECK_EQ(sqlite3_vfs_register(&vfs, 0), SQLITE_OK);
  folder_sync_by(sync_folder);
}
