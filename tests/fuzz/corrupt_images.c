/*
** See corrupt_images.h.
*/
#include "corrupt_images.h"

#include "database.h"
#include "fuzz.h"
#include "testvfs.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A file that a corrupted header has made longer is not worth reading. */
#define FILE_SIZE_MAX (1 << 20)

/* ---- Folders ---- */

static bool ends_with(const char *name, const char *suffix) {
  size_t length = strlen(name);
  size_t n = strlen(suffix);
  return length >= n && strcmp(name + length - n, suffix) == 0;
}

static int is_kept(const struct dirent *entry) {
  return entry->d_name[0] != '.' && !ends_with(entry->d_name, "-shm");
}

static int by_name(const struct dirent **left, const struct dirent **right) {
  return strcmp((*left)->d_name, (*right)->d_name);
}

static void read_one(ImageFile *file, const char *folder, const char *name) {
  char path[700];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  snprintf(file->name, sizeof file->name, "%s", name);
  FILE *in = fopen(path, "rb");
  struct stat stat;
  CHECK(in != NULL && fstat(fileno(in), &stat) == 0);
  file->size = (size_t)stat.st_size;
  size_t n = file->size < FILE_SIZE_MAX ? file->size : FILE_SIZE_MAX;
  file->bytes = malloc(n + 1);
  CHECK(file->bytes != NULL && fread(file->bytes, 1, n, in) == n);
  fclose(in);
}

void corrupt_image_read(Image *image, const char *folder) {
  struct dirent **entries = NULL;
  int n = scandir(folder, &entries, is_kept, by_name);
  CHECK(n >= 0 && n <= IMAGE_FILES);
  *image = (Image){0};
  for (int i = 0; i < n; i++) {
    read_one(&image->files[i], folder, entries[i]->d_name);
    free(entries[i]);
  }
  free(entries);
}

void corrupt_image_free(Image *image) {
  for (int i = 0; i < IMAGE_FILES; i++) free(image->files[i].bytes);
  *image = (Image){0};
}

void corrupt_image_write(const Image *image, const char *folder) {
  fuzz_empty_folder(folder);
  for (int i = 0; i < IMAGE_FILES; i++) {
    const ImageFile *file = &image->files[i];
    if (file->name[0] == '\0') continue;
    char path[700];
    snprintf(path, sizeof path, "%s/%s", folder, file->name);
    FILE *out = fopen(path, "wb");
    CHECK(out != NULL && fwrite(file->bytes, 1, file->size, out) == file->size);
    fclose(out);
  }
}

ImageFile *corrupt_image_find(Image *image, const char *suffix) {
  for (int i = 0; i < IMAGE_FILES; i++) {
    if (image->files[i].name[0] != '\0' && ends_with(image->files[i].name, suffix)) {
      return &image->files[i];
    }
  }
  return NULL;
}

/* ---- Making them ---- */

static const char *folder;

/* Through "unix", or the test VFS, which shows each step but has no wal-index. */
static sqlite3 *make(const char *vfs, const char *name, int page_size, const char *settings) {
  char path[600];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  sqlite3 *db = NULL;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  CHECK_EQ(sqlite3_open_v2(path, &db, flags, vfs), SQLITE_OK);
  exec(db, "PRAGMA page_size = %d; PRAGMA cache_size = 5; %s", page_size, settings);
  exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE INDEX t_b ON t(b)");
  exec(db, "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 12) INSERT INTO t SELECT i, "
           "printf('%%.*c', 40 * i, 'r' || i) FROM n");
  return db;
}

static void plain_image(Image *image, int page_size, const char *settings) {
  close_database(make("unix", "x.db", page_size, settings));
  corrupt_image_read(image, folder);
}

/* In the midst of a transaction that had to write to the database. */
static void hot_journal_image(Image *image, int page_size, const char *settings) {
  sqlite3 *db = make("unix", "x.db", page_size, settings);
  exec(db, "BEGIN; UPDATE t SET b = b || 'changed'; INSERT INTO t SELECT a + 20, b FROM t");
  exec(db, "PRAGMA cache_spill = 1; PRAGMA shrink_memory; DELETE FROM t WHERE a > 8");
  corrupt_image_read(image, folder);
  exec(db, "ROLLBACK");
  close_database(db);
}

static void wal_image(Image *image, int page_size) {
  sqlite3 *db = make("unix", "x.db", page_size, "PRAGMA journal_mode = WAL");
  exec(db, "PRAGMA wal_checkpoint; UPDATE t SET b = b || 'changed' WHERE a < 5");
  exec(db, "INSERT INTO t SELECT a + 20, b FROM t WHERE a < 4");
  corrupt_image_read(image, folder);
  close_database(db);
}

/* The last state in which the super-journal was there, of a transaction on two. */
static void keep_if_super(void *image) {
  static int depth;
  if (depth > 0) return;
  depth++;
  Image now;
  corrupt_image_read(&now, folder);
  bool has_super = false;
  for (int i = 0; i < IMAGE_FILES; i++) {
    has_super = has_super || strstr(now.files[i].name, "-mj") != NULL;
  }
  if (has_super) {
    corrupt_image_free(image);
    *(Image *)image = now;
  } else {
    corrupt_image_free(&now);
  }
  depth--;
}

static void super_image(Image *image) {
  close_database(make(TESTVFS_NAME, "y.db", 512, ""));
  sqlite3 *db = make(TESTVFS_NAME, "x.db", 512, "PRAGMA synchronous = FULL");
  exec(db, "ATTACH '%s/y.db' AS other", folder);
  exec(db, "BEGIN; UPDATE main.t SET b = 'x' || b; UPDATE other.t SET b = 'y' || b");
  testvfs_reset();
  testvfs_on_change(keep_if_super, image);
  exec(db, "COMMIT");
  testvfs_on_change(NULL, NULL);
  CHECK(image->files[0].name[0] != '\0');
  close_database(db);
}

const Image *corrupt_images(const char *in_folder) {
  static Image images[IMAGES];
  if (folder != NULL) return images;
  folder = in_folder;
  testvfs_register();
  for (int i = 0; i < IMAGES; i++) {
    fuzz_empty_folder(folder);
    sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, 100 + i, NULL);
    switch (i) {
    case 0:
      plain_image(&images[i], 1024, "");
      break;
    case 1:
      plain_image(&images[i], 512, "PRAGMA auto_vacuum = FULL; PRAGMA journal_mode = PERSIST");
      break;
    case 2:
      hot_journal_image(&images[i], 512, "");
      break;
    case 3:
      hot_journal_image(&images[i], 1024, "PRAGMA auto_vacuum = 2; PRAGMA journal_mode = TRUNCATE");
      break;
    case 4:
      wal_image(&images[i], 512);
      break;
    case 5:
      wal_image(&images[i], 4096);
      break;
    case 6:
      plain_image(&images[i], 1024, "PRAGMA journal_mode = WAL");
      break;
    case 7:
      plain_image(&images[i], 65536, "");
      break;
    default:
      super_image(&images[i]);
      break;
    }
  }
  fuzz_empty_folder(folder);
  return images;
}
