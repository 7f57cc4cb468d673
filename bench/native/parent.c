/*
** A VFS that notes what passes through it.  See parent.h.
*/
#include "parent.h"

#include "bench.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef enum NoteKind {
  NOTE_OPEN,
  NOTE_CLOSE,
  NOTE_WRITE,
  NOTE_TRUNCATE,
  NOTE_SYNC,
  NOTE_DELETE,
  NOTE_SYNC_FOLDER,
} NoteKind;

typedef struct Note {
  NoteKind kind;
  bool journal; /* else the database */
  int length;
  int64_t offset; /* in the file */
  size_t payload; /* offset in recorder.bytes */
} Note;

/* No lock: one thread at a time works with files while this records. */
static struct {
  ParentMode mode;
  Note *notes;
  size_t count, room;
  unsigned char *bytes;
  size_t bytes_count, bytes_room;
} recorder;

typedef struct ParentFile {
  sqlite3_file base;
  bool journal;
  sqlite3_file *real; /* behind this struct */
} ParentFile;

/* ---- Noting ---- */

static void *grow(void *memory, size_t *room, size_t needed, size_t item) {
  if (needed <= *room) return memory;
  *room = needed * 2;
  memory = realloc(memory, *room * item);
  if (memory == NULL) bench_fail("out of memory");
  return memory;
}

static Note *note(NoteKind kind, bool journal) {
  static Note ignored;
  if (recorder.mode != PARENT_RECORD) return &ignored;
  recorder.notes = grow(recorder.notes, &recorder.room, recorder.count + 1, sizeof(Note));
  Note *added = &recorder.notes[recorder.count++];
  *added = (Note){.kind = kind, .journal = journal};
  return added;
}

static void note_write(bool journal, const void *data, int n, int64_t offset) {
  if (recorder.mode != PARENT_RECORD) return;
  size_t end = recorder.bytes_count + (size_t)n;
  recorder.bytes = grow(recorder.bytes, &recorder.bytes_room, end, 1);
  memcpy(recorder.bytes + recorder.bytes_count, data, (size_t)n);
  Note *added = note(NOTE_WRITE, journal);
  added->length = n;
  added->offset = offset;
  added->payload = recorder.bytes_count;
  recorder.bytes_count = end;
}

void parent_set_mode(ParentMode mode) { recorder.mode = mode; }

ParentRecord parent_record(void) {
  ParentRecord record = {.ops = (int64_t)recorder.count, .bytes = (int64_t)recorder.bytes_count};
  for (size_t i = 0; i < recorder.count; i++) record.syncs += recorder.notes[i].kind == NOTE_SYNC;
  return record;
}

void parent_forget_record(void) { recorder.count = recorder.bytes_count = 0; }

/* ---- The methods that are noted ---- */

static ParentFile *of(sqlite3_file *base) { return (ParentFile *)base; }

static int file_close(sqlite3_file *base) {
  ParentFile *file = of(base);
  note(NOTE_CLOSE, file->journal);
  return file->real->pMethods->xClose(file->real);
}

static int file_write(sqlite3_file *base, const void *data, int n, sqlite3_int64 offset) {
  ParentFile *file = of(base);
  if (recorder.mode == PARENT_DISCARD) return SQLITE_OK;
  note_write(file->journal, data, n, offset);
  return file->real->pMethods->xWrite(file->real, data, n, offset);
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size) {
  ParentFile *file = of(base);
  if (recorder.mode == PARENT_DISCARD) return SQLITE_OK;
  note(NOTE_TRUNCATE, file->journal)->offset = size;
  return file->real->pMethods->xTruncate(file->real, size);
}

static int file_sync(sqlite3_file *base, int flags) {
  ParentFile *file = of(base);
  if (recorder.mode == PARENT_DISCARD || recorder.mode == PARENT_UNSYNCED) return SQLITE_OK;
  note(NOTE_SYNC, file->journal);
  return file->real->pMethods->xSync(file->real, flags);
}

/* ---- The others ---- */

static int file_read(sqlite3_file *base, void *buf, int n, sqlite3_int64 offset) {
  return of(base)->real->pMethods->xRead(of(base)->real, buf, n, offset);
}
static int file_size(sqlite3_file *base, sqlite3_int64 *size) {
  return of(base)->real->pMethods->xFileSize(of(base)->real, size);
}
static int file_lock(sqlite3_file *base, int level) {
  return of(base)->real->pMethods->xLock(of(base)->real, level);
}
static int file_unlock(sqlite3_file *base, int level) {
  return of(base)->real->pMethods->xUnlock(of(base)->real, level);
}
static int file_check_reserved(sqlite3_file *base, int *reserved) {
  return of(base)->real->pMethods->xCheckReservedLock(of(base)->real, reserved);
}
static int file_control(sqlite3_file *base, int op, void *arg) {
  return of(base)->real->pMethods->xFileControl(of(base)->real, op, arg);
}
static int file_sector_size(sqlite3_file *base) {
  return of(base)->real->pMethods->xSectorSize(of(base)->real);
}
static int file_characteristics(sqlite3_file *base) {
  return of(base)->real->pMethods->xDeviceCharacteristics(of(base)->real);
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *out) {
  sqlite3_vfs *real = vfs->pAppData;
  ParentFile *file = of(base);
  *file = (ParentFile){.journal = (flags & SQLITE_OPEN_MAIN_JOURNAL) != 0,
                       .real = (sqlite3_file *)(file + 1)};
  int rc = real->xOpen(real, path, file->real, flags, out);
  if (file->real->pMethods == NULL) return rc;
  file->base.pMethods = &methods;
  if (rc == SQLITE_OK) note(NOTE_OPEN, file->journal);
  return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_folder) {
  sqlite3_vfs *real = vfs->pAppData;
  note(NOTE_DELETE, true);
  if (sync_folder) note(NOTE_SYNC_FOLDER, true);
  return real->xDelete(real, path, recorder.mode != PARENT_UNSYNCED && sync_folder);
}

void parent_register(void) {
  static sqlite3_vfs vfs;
  sqlite3_vfs *real = sqlite3_vfs_find(NULL);
  vfs = *real;
  vfs.zName = PARENT_VFS_NAME;
  vfs.pNext = NULL;
  vfs.pAppData = real;
  vfs.szOsFile = (int)sizeof(ParentFile) + real->szOsFile;
  vfs.xOpen = vfs_open;
  vfs.xDelete = vfs_delete;
  bench_check(sqlite3_vfs_register(&vfs, 0), "sqlite3_vfs_register");
}

/* ---- Doing it again ---- */

typedef struct Replay {
  char *path[2]; /* of the database and its journal */
  int file[2];
  bool is_new[2]; /* made and not synced yet: then the system's VFS syncs the folder too */
  char *folder;
} Replay;

static void sync_folder(const Replay *replay) {
  int folder = open(replay->folder, O_RDONLY);
  if (folder < 0 || fsync(folder) != 0) bench_fail("cannot sync %s", replay->folder);
  close(folder);
}

static bool do_again(Replay *replay, const Note *what) {
  int *file = &replay->file[what->journal];
  bool *is_new = &replay->is_new[what->journal];
  switch (what->kind) {
  case NOTE_OPEN:
    *file = open(replay->path[what->journal], O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    *is_new = what->journal;
    return *file >= 0;
  case NOTE_CLOSE:
    return close(*file) == 0;
  case NOTE_WRITE:
    return pwrite(*file, recorder.bytes + what->payload, (size_t)what->length, what->offset) ==
           what->length;
  case NOTE_TRUNCATE:
    return ftruncate(*file, what->offset) == 0;
  case NOTE_SYNC:
    if (fsync(*file) != 0) return false;
    if (*is_new) sync_folder(replay);
    *is_new = false;
    return true;
  case NOTE_DELETE:
    return unlink(replay->path[1]) == 0;
  case NOTE_SYNC_FOLDER:
    sync_folder(replay);
    return true;
  }
  return false;
}

void parent_replay(const char *path) {
  Replay replay = {.path = {sqlite3_mprintf("%s", path), sqlite3_mprintf("%s-journal", path)},
                   .folder = sqlite3_mprintf("%s", path)};
  *strrchr(replay.folder, '/') = '\0';
  replay.file[0] = open(path, O_RDWR | O_CLOEXEC);
  if (replay.file[0] < 0) bench_fail("cannot open %s", path);
  for (size_t i = 0; i < recorder.count; i++) {
    const Note *what = &recorder.notes[i];
    if (!do_again(&replay, what)) bench_fail("cannot repeat op %zu, kind %d", i, (int)what->kind);
  }
  close(replay.file[0]);
  sqlite3_free(replay.path[0]);
  sqlite3_free(replay.path[1]);
  sqlite3_free(replay.folder);
}
