/*
** A database, its journal and its WAL against arrays of bytes, through the methods
** that SQLite calls.  Whatever is queued, applied, deleted and made again: each read
** gives what the arrays say, and in the end so does the disk.
**
** A name has a content, and so has each open file: of a journal that was deleted
** while open, and made again, they differ.  Of a content two stretches are written
** to, one at the start and one beyond 4 GiB; elsewhere are zeros.
*/
#include "fuzz.h"

#include "database.h"
#include "registry.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STRETCH 81920
#define FAR_START (INT64_C(5) << 30)
#define READ_MAX 70000
#define ROLES 3
#define HANDLES 6 /* two for each role */
#define CONTENTS 16

typedef struct Content {
  int64_t size;
  bool used;
  unsigned char near[STRETCH];
  unsigned char far[STRETCH];
} Content;

typedef struct Name {
  int flag; /* of SQLITE_OPEN_... */
  const char *path;
  Content *content; /* NULL: there is no such file */
} Name;

typedef struct Handle {
  sqlite3_file *file; /* NULL: not open */
  Content *content;
  bool read_only;
  int64_t next; /* where its last write ended */
} Handle;

const FuzzTarget fuzz_target = {"overlay", 900};

static sqlite3_vfs *vfs;
static Content contents[CONTENTS];
static Name names[ROLES] = {
    {.flag = SQLITE_OPEN_MAIN_DB}, {.flag = SQLITE_OPEN_MAIN_JOURNAL}, {.flag = SQLITE_OPEN_WAL}};
static Handle handles[HANDLES];
static int lock_level;  /* of handle 0 */
static int chunk;       /* SQLITE_FCNTL_CHUNK_SIZE of the database, or 0 */
static unsigned writes; /* so far: each has bytes of its own */

static Name *name_of(const Handle *handle) { return &names[(handle - handles) / 2]; }
static bool is_database(const Handle *handle) { return name_of(handle) == &names[0]; }
/* The parent makes the file longer, by what it likes, when it is given hints. */
static bool may_be_longer(const Handle *handle) { return chunk != 0 && is_database(handle); }

/* ---- The model ---- */

static Content *content_new(void) {
  for (int i = 0; i < CONTENTS; i++) {
    if (contents[i].used) continue;
    memset(&contents[i], 0, sizeof contents[i]);
    contents[i].used = true;
    return &contents[i];
  }
  FAIL("more contents than names and handles");
}

static void content_let_go(Content *content) {
  bool needed = false;
  for (int i = 0; i < ROLES; i++) needed = needed || names[i].content == content;
  for (int i = 0; i < HANDLES; i++) needed = needed || handles[i].content == content;
  content->used = needed;
}

/* Where the stretch's part of [offset, offset + n) is: its first byte, and how many. */
static unsigned char *part_of(Content *content, int64_t offset, int n, int *skip, int *length) {
  bool far = offset + n > FAR_START;
  int64_t start = far ? FAR_START : 0;
  int64_t from = offset > start ? offset : start;
  int64_t to = offset + n < start + STRETCH ? offset + n : start + STRETCH;
  *skip = (int)(from - offset);
  *length = to > from ? (int)(to - from) : 0;
  return (far ? content->far : content->near) + (from - start);
}

static void model_write(Content *content, const unsigned char *data, int64_t offset, int n) {
  int skip;
  int length;
  unsigned char *part = part_of(content, offset, n, &skip, &length);
  CHECK(skip == 0 && length == n);
  memcpy(part, data, (size_t)n);
  if (offset + n > content->size) content->size = offset + n;
}

static void model_truncate(Content *content, int64_t size) {
  if (size < STRETCH) memset(content->near + size, 0, (size_t)(STRETCH - size));
  int64_t far = size > FAR_START ? size - FAR_START : 0;
  if (far < STRETCH) memset(content->far + far, 0, (size_t)(STRETCH - far));
  content->size = size;
}

/* What is not in the file reads as zeros, for so do the arrays. */
static void model_read(Content *content, unsigned char *out, int64_t offset, int n) {
  int skip;
  int length;
  const unsigned char *part = part_of(content, offset, n, &skip, &length);
  memset(out, 0, (size_t)n);
  memcpy(out + skip, part, (size_t)length);
}

/* ---- Comparing ---- */

static void check_size(Handle *handle) {
  sqlite3_int64 size = -1;
  CHECK_EQ(handle->file->pMethods->xFileSize(handle->file, &size), SQLITE_OK);
  if (may_be_longer(handle)) {
    CHECK(size >= handle->content->size);
  } else {
    CHECK_EQ(size, handle->content->size);
  }
}

static void check_read(Handle *handle, int64_t offset, int n) {
  static unsigned char got[READ_MAX];
  static unsigned char wanted[READ_MAX];
  if (offset < 0) offset = 0;
  if (n > READ_MAX) n = READ_MAX;
  bool whole = offset + n <= handle->content->size;
  memset(got, 0xaa, (size_t)n);
  model_read(handle->content, wanted, offset, n);
  int rc = handle->file->pMethods->xRead(handle->file, got, n, offset);
  bool may_be_whole = whole || may_be_longer(handle);
  if (rc != SQLITE_OK || !may_be_whole) CHECK_EQ(rc, whole ? SQLITE_OK : SQLITE_IOERR_SHORT_READ);
  if (memcmp(got, wanted, (size_t)n) == 0) return;
  int at = 0;
  while (got[at] == wanted[at]) at++;
  FAIL("byte %lld of %s is %d, not %d", (long long)(offset + at), name_of(handle)->path, got[at],
       wanted[at]);
}

static void check_whole(Handle *handle) {
  check_size(handle);
  for (int64_t at = 0; at < STRETCH && at <= handle->content->size; at += READ_MAX) {
    check_read(handle, at, READ_MAX);
  }
  if (handle->content->size > FAR_START) check_read(handle, FAR_START - 10, READ_MAX);
}

static void check_disk(const Name *name) {
  static unsigned char got[STRETCH];
  int fd = open(name->path, O_RDONLY);
  Content *content = name->content;
  CHECK((fd >= 0) == (content != NULL));
  if (fd < 0) return;
  struct stat stat;
  CHECK(fstat(fd, &stat) == 0);
  if (chunk == 0 || name != &names[0]) CHECK_EQ(stat.st_size, content->size);
  CHECK(stat.st_size >= content->size);
  memset(got, 0, sizeof got);
  CHECK(pread(fd, got, STRETCH, 0) >= 0);
  CHECK(memcmp(got, content->near, STRETCH) == 0);
  memset(got, 0, sizeof got);
  CHECK(pread(fd, got, STRETCH, FAR_START) >= 0);
  CHECK(memcmp(got, content->far, STRETCH) == 0);
  close(fd);
}

/* ---- Opening, closing, deleting ---- */

static void open_handle(Handle *handle, int more_flags) {
  Name *name = name_of(handle);
  int flags = name->flag | (more_flags & SQLITE_OPEN_READONLY ? 0 : SQLITE_OPEN_READWRITE);
  sqlite3_file *file = calloc(1, (size_t)vfs->szOsFile);
  CHECK(file != NULL);
  int out = 0;
  int rc = vfs->xOpen(vfs, name->path, file, flags | more_flags, &out);
  bool created = name->content == NULL && (more_flags & SQLITE_OPEN_CREATE);
  if (name->content == NULL && !created) {
    CHECK_EQ(rc & 0xff, SQLITE_CANTOPEN);
    free(file);
    return;
  }
  CHECK_EQ(rc, SQLITE_OK);
  CHECK(file->pMethods != NULL);
  if (created) name->content = content_new();
  *handle = (Handle){.file = file,
                     .content = name->content,
                     .read_only = (more_flags & SQLITE_OPEN_READONLY) != 0};
  if (may_be_longer(handle)) file->pMethods->xFileControl(file, SQLITE_FCNTL_CHUNK_SIZE, &chunk);
}

static void close_handle(Handle *handle) {
  if (handle->file == NULL) return;
  Content *content = handle->content;
  CHECK_EQ(handle->file->pMethods->xClose(handle->file), SQLITE_OK);
  free(handle->file);
  *handle = (Handle){0};
  content_let_go(content);
  if (handle == &handles[0]) lock_level = SQLITE_LOCK_NONE;
  /* A journal without its database is not for us: vfs.c. */
  if (!is_database(handle) || handles[0].file != NULL || handles[1].file != NULL) return;
  for (int i = 2; i < HANDLES; i++) close_handle(&handles[i]);
}

static void toggle(FuzzInput *input, Handle *handle) {
  static const int flags[] = {SQLITE_OPEN_CREATE, SQLITE_OPEN_CREATE, SQLITE_OPEN_READONLY, 0};
  int more_flags = flags[fuzz_below(input, 4)];
  if (handle->file != NULL) {
    const Handle *other = handle == &handles[0] ? &handles[1] : &handles[0];
    if (is_database(handle) && other->file == NULL) {
      for (int i = 2; i < HANDLES; i++) close_handle(&handles[i]);
    }
    close_handle(handle);
  } else if (is_database(handle)) {
    open_handle(handle, SQLITE_OPEN_CREATE);
  } else if (handles[0].file != NULL || handles[1].file != NULL) {
    open_handle(handle, more_flags);
  }
}

static void ensure_open(Handle *handle) {
  if (handles[0].file == NULL && handles[1].file == NULL) {
    open_handle(&handles[0], SQLITE_OPEN_CREATE);
  }
  if (handle->file == NULL) open_handle(handle, SQLITE_OPEN_CREATE);
}

static void delete_name(Name *name, int sync_directory) {
  if (name == &names[0] || (handles[0].file == NULL && handles[1].file == NULL)) return;
  int rc = vfs->xDelete(vfs, name->path, sync_directory);
  /* If nothing is known of the name, the writer will see that there is nothing to delete. */
  if (name->content != NULL || rc != SQLITE_IOERR_DELETE_NOENT) CHECK_EQ(rc, SQLITE_OK);
  Content *content = name->content;
  name->content = NULL;
  if (content != NULL) content_let_go(content);
}

static void check_access(const Name *name) {
  int there = -1;
  CHECK_EQ(vfs->xAccess(vfs, name->path, SQLITE_ACCESS_EXISTS, &there), SQLITE_OK);
  bool is_empty = name->content == NULL || name->content->size == 0; /* as good as not there */
  if (chunk == 0 || name != &names[0]) CHECK_EQ(there, !is_empty);
}

/* ---- Writing ---- */

static int length_of_write(FuzzInput *input) {
  switch (fuzz_below(input, 6)) {
  case 0:
    return 1 + fuzz_below(input, 24);
  case 1:
    return 512;
  case 2:
    return 4096;
  case 3:
    return 24;
  case 4:
    return 1 + fuzz_below(input, 9000);
  default:
    return 60000 + fuzz_below(input, 10000); /* more than fits in one op */
  }
}

static int64_t place(FuzzInput *input, const Handle *handle) {
  int where = fuzz_byte(input);
  int64_t start = where >= 240 && !may_be_longer(handle) ? FAR_START : 0;
  switch (where % 5) {
  case 0:
    return start + fuzz_below(input, STRETCH / 4096) * 4096;
  case 1:
    return start + fuzz_below(input, STRETCH / 512) * 512;
  case 2:
    return handle->content->size;
  case 3:
    return handle->next;
  default:
    return start + fuzz_below(input, STRETCH);
  }
}

static void write_some(FuzzInput *input, Handle *handle) {
  static unsigned char data[READ_MAX];
  int64_t offset = place(input, handle);
  int64_t start = offset >= FAR_START ? FAR_START : 0;
  int64_t room = start + STRETCH - offset;
  int n = length_of_write(input);
  if (offset + n == 1) n = 2; /* the unix VFS says that a file of one byte is empty */
  if (n > room) n = (int)room;
  if (n <= 0 || handle->read_only) return;
  writes++;
  for (int i = 0; i < n; i++) data[i] = (unsigned char)((writes * 29 + (unsigned)i * 7) | 1);
  CHECK_EQ(handle->file->pMethods->xWrite(handle->file, data, n, offset), SQLITE_OK);
  model_write(handle->content, data, offset, n);
  memset(data, 0xee, (size_t)n); /* the caller's memory is the caller's */
  handle->next = offset + n;
  check_read(handle, offset - 50, n + 100);
}

static void truncate_some(FuzzInput *input, Handle *handle) {
  int64_t size = place(input, handle);
  int part = fuzz_byte(input);
  if (part % 8 == 0) size = 0;
  if (part % 2 == 1 && handle->content->size <= STRETCH) size = handle->content->size * part / 256;
  if (size == 1) size = 2;                         /* see write_some() */
  if (may_be_longer(handle)) size -= size % chunk; /* or the parent keeps more */
  if (handle->read_only) return;
  CHECK_EQ(handle->file->pMethods->xTruncate(handle->file, size), SQLITE_OK);
  model_truncate(handle->content, size);
  check_size(handle);
  check_read(handle, size - 50, 100);
}

/* ---- Locks, syncs, hints ---- */

static void change_lock(FuzzInput *input) {
  sqlite3_file *file = handles[0].file;
  static const int levels[] = {SQLITE_LOCK_NONE, SQLITE_LOCK_SHARED, SQLITE_LOCK_RESERVED,
                               SQLITE_LOCK_EXCLUSIVE};
  int level = levels[fuzz_below(input, 4)];
  if (file == NULL) return;
  if (level > lock_level) {
    if (lock_level == SQLITE_LOCK_NONE) {
      CHECK_EQ(file->pMethods->xLock(file, SQLITE_LOCK_SHARED), SQLITE_OK);
    }
    if (level > SQLITE_LOCK_SHARED) CHECK_EQ(file->pMethods->xLock(file, level), SQLITE_OK);
  } else if (level <= SQLITE_LOCK_SHARED) {
    CHECK_EQ(file->pMethods->xUnlock(file, level), SQLITE_OK);
  } else {
    return;
  }
  lock_level = level;
}

static void sync_or_hint(FuzzInput *input, Handle *handle) {
  static const int flags[] = {SQLITE_SYNC_NORMAL, SQLITE_SYNC_FULL,
                              SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY};
  int kind = fuzz_below(input, 5);
  sqlite3_file *file = handle->file;
  if (kind < 3) {
    CHECK_EQ(file->pMethods->xSync(file, flags[kind]), SQLITE_OK);
  } else if (kind == 3 && is_database(handle) && handle->content->size <= STRETCH) {
    sqlite3_int64 hint = handle->content->size + fuzz_below(input, 20000);
    CHECK_EQ(file->pMethods->xFileControl(file, SQLITE_FCNTL_SIZE_HINT, &hint), SQLITE_OK);
  } else if (kind == 4) {
    sqlite3_int64 pairs[20];
    int rc = sqlite3async_flush_begin(NULL, pairs, 10);
    CHECK(rc >= 0 || rc == -SQLITE_MISUSE); /* nobody is at it now, but the request stands */
  }
}

/* ---- The program ---- */

static void run_op(FuzzInput *input) {
  int op = fuzz_byte(input);
  static const int choices[16] = {0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 3, 4, 4, 4, 5};
  Handle *handle = &handles[choices[op / 16]];
  fuzz_tell("op %d on handle %d, %lld bytes", op % 16, choices[op / 16],
            handle->file == NULL ? -1 : (long long)handle->content->size);
  switch (op % 16) {
  case 6:
    step_some(1 + fuzz_below(input, 8));
    if (handle->file != NULL) check_whole(handle);
    return;
  case 7:
    toggle(input, handle);
    return;
  case 8:
    delete_name(name_of(handle), fuzz_below(input, 2));
    return;
  case 9:
    check_access(name_of(handle));
    return;
  case 10:
    change_lock(input);
    return;
  case 11:
    fuzz_step_during_io(1 + fuzz_below(input, 8), 1 + fuzz_below(input, 4));
    return;
  case 12:
    step_all();
    for (int i = 0; i < ROLES; i++) check_disk(&names[i]);
    return;
  default:
    break;
  }
  ensure_open(handle);
  switch (op % 16) {
  case 4:
    truncate_some(input, handle);
    break;
  case 5: {
    int64_t offset = place(input, handle);
    check_read(handle, offset, length_of_write(input));
    break;
  }
  case 13:
    sync_or_hint(input, handle);
    break;
  case 14:
    check_whole(handle);
    break;
  default:
    write_some(input, handle);
    break;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  FuzzInput input = {data, size < FUZZ_INPUT_MAX ? size : FUZZ_INPUT_MAX};
  fuzz_setup();
  vfs = sqlite3_vfs_find(SQLITEASYNC_VFSNAME);
  const char *path = sqlite3_create_filename(test_path("x.db"), test_path("x.db-journal"),
                                             test_path("x.db-wal"), 0, NULL);
  names[0].path = path;
  names[1].path = sqlite3_filename_journal(path);
  names[2].path = sqlite3_filename_wal(path);
  static const int chunks[] = {0, 0, 0, 4096, 16384, 20480};
  chunk = chunks[fuzz_below(&input, 6)];
  open_handle(&handles[0], SQLITE_OPEN_CREATE);
  while (input.left > 0) run_op(&input);

  for (int i = 0; i < HANDLES; i++) {
    if (handles[i].file != NULL) check_whole(&handles[i]);
  }
  for (int i = HANDLES - 1; i >= 0; i--) close_handle(&handles[i]);
  fuzz_drain();
  for (int i = 0; i < ROLES; i++) {
    check_disk(&names[i]);
    if (names[i].content != NULL) names[i].content->used = false;
    names[i].content = NULL;
    unlink(names[i].path);
  }
  sqlite3_free_filename(path);
  return 0;
}
