/*
** Power cuts: what was synced is on disk, and of what was not, any part.  The
** database is then sound, a whole prefix of the transactions, and has at least
** those that were called durable.
**
** A parent VFS remembers for each file what the last sync has made of it and
** what has been done to it since.  A cut makes files of the first and of any part
** of the second.  Names are durable at once, which real ones are not; what the
** folder's syncs are worth is not tested here.
*/
#include "beside.h"
#include "checkpoint.h"
#include "database.h"
#include "flush.h"
#include "registry.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 400
#define SECTOR 512
#define TRANSACTIONS 12

/* ---- The disk ---- */

typedef struct Change {
  struct Change *next;
  int64_t offset; /* of a write; or the size after a truncation (n < 0) */
  int n;
  unsigned char data[];
} Change;

typedef struct Image {
  unsigned char *bytes;
  int64_t size;
} Image;

typedef struct Disk {
  char path[300];
  bool gone;
  Image durable;
  Change *first;
  Change **last;
  int64_t noted;  /* how many changes there were, */
  int64_t synced; /* and how many of them are in `durable` */
} Disk;

typedef struct PowerFile {
  sqlite3_file base;
  sqlite3_file *real;
  Disk *disk; /* NULL: of no interest */
} PowerFile;

static sqlite3_vfs *real_vfs;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static Disk *disks[FILES_MAX];
static int disk_count;
static int sync_ms; /* how long one takes */

static void enter(void) { pthread_mutex_lock(&mutex); }
static void leave(void) { pthread_mutex_unlock(&mutex); }

static void resize(Image *image, int64_t size) {
  image->bytes = realloc(image->bytes, (size_t)size + 1);
  CHECK(image->bytes != NULL);
  if (size > image->size) memset(image->bytes + image->size, 0, (size_t)(size - image->size));
  image->size = size;
}

static void write_part(Image *image, const Change *change, int from, int to) {
  int64_t end = change->offset + to;
  if (end > image->size) resize(image, end);
  memcpy(image->bytes + change->offset + from, change->data + from, (size_t)(to - from));
}

static void apply(Image *image, const Change *change) {
  if (change->n < 0) {
    resize(image, change->offset);
  } else {
    write_part(image, change, 0, change->n);
  }
}

static void load(Image *image, const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return;
  unsigned char buf[4096];
  size_t n;
  while ((n = fread(buf, 1, sizeof buf, file)) > 0) {
    int64_t at = image->size;
    resize(image, at + (int64_t)n);
    memcpy(image->bytes + at, buf, n);
  }
  fclose(file);
}

/* The file of that name, or a new one. */
static Disk *find_disk(const char *path) {
  for (int i = 0; i < disk_count; i++) {
    if (!disks[i]->gone && strcmp(disks[i]->path, path) == 0) return disks[i];
  }
  CHECK(disk_count < FILES_MAX);
  Disk *disk = calloc(1, sizeof *disk);
  CHECK(disk != NULL);
  snprintf(disk->path, sizeof disk->path, "%s", path);
  disk->last = &disk->first;
  load(&disk->durable, path);
  disks[disk_count++] = disk;
  return disk;
}

static void free_first(Disk *disk) {
  Change *change = disk->first;
  disk->first = change->next;
  free(change);
  if (disk->first == NULL) disk->last = &disk->first;
}

static void forget_disks(void) {
  for (int i = 0; i < disk_count; i++) {
    while (disks[i]->first != NULL) free_first(disks[i]);
    free(disks[i]->durable.bytes);
    free(disks[i]);
  }
  disk_count = 0;
}

static void note(PowerFile *file, int64_t offset, const void *data, int n) {
  if (file->disk == NULL) return;
  Change *change = malloc(sizeof *change + (n > 0 ? (size_t)n : 0));
  CHECK(change != NULL);
  *change = (Change){.offset = offset, .n = n};
  if (n > 0) memcpy(change->data, data, (size_t)n);
  *file->disk->last = change;
  file->disk->last = &change->next;
  file->disk->noted++;
}

/* ---- The VFS ---- */

static PowerFile *power_file(sqlite3_file *base) { return (PowerFile *)base; }
static sqlite3_file *real_of(sqlite3_file *base) { return power_file(base)->real; }

static int power_close(sqlite3_file *base) {
  int rc = real_of(base)->pMethods->xClose(real_of(base));
  free(real_of(base));
  base->pMethods = NULL;
  return rc;
}
static int power_read(sqlite3_file *base, void *buf, int n, sqlite3_int64 offset) {
  return real_of(base)->pMethods->xRead(real_of(base), buf, n, offset);
}
static int power_write(sqlite3_file *base, const void *data, int n, sqlite3_int64 offset) {
  enter();
  int rc = real_of(base)->pMethods->xWrite(real_of(base), data, n, offset);
  note(power_file(base), offset, data, n);
  leave();
  return rc;
}
static int power_truncate(sqlite3_file *base, sqlite3_int64 size) {
  enter();
  int rc = real_of(base)->pMethods->xTruncate(real_of(base), size);
  note(power_file(base), size, NULL, -1);
  leave();
  return rc;
}

/* What was written before it begins is durable when it ends. */
static int power_sync(sqlite3_file *base, int flags) {
  (void)flags;
  Disk *disk = power_file(base)->disk;
  if (disk == NULL) return SQLITE_OK;
  enter();
  int64_t upto = disk->noted;
  leave();
  if (sync_ms > 0) sleep_ms(sync_ms);
  enter();
  while (disk->synced < upto) {
    apply(&disk->durable, disk->first);
    free_first(disk);
    disk->synced++;
  }
  leave();
  return SQLITE_OK;
}
static int power_size(sqlite3_file *base, sqlite3_int64 *size) {
  return real_of(base)->pMethods->xFileSize(real_of(base), size);
}
static int power_lock(sqlite3_file *base, int level) {
  return real_of(base)->pMethods->xLock(real_of(base), level);
}
static int power_unlock(sqlite3_file *base, int level) {
  return real_of(base)->pMethods->xUnlock(real_of(base), level);
}
static int power_check_reserved(sqlite3_file *base, int *reserved) {
  return real_of(base)->pMethods->xCheckReservedLock(real_of(base), reserved);
}
static int power_control(sqlite3_file *base, int op, void *arg) {
  return real_of(base)->pMethods->xFileControl(real_of(base), op, arg);
}
static int power_sector(sqlite3_file *base) {
  return real_of(base)->pMethods->xSectorSize(real_of(base));
}
static int power_characteristics(sqlite3_file *base) {
  return real_of(base)->pMethods->xDeviceCharacteristics(real_of(base));
}

static const sqlite3_io_methods power_methods = {1,
                                                 power_close,
                                                 power_read,
                                                 power_write,
                                                 power_truncate,
                                                 power_sync,
                                                 power_size,
                                                 power_lock,
                                                 power_unlock,
                                                 power_check_reserved,
                                                 power_control,
                                                 power_sector,
                                                 power_characteristics,
                                                 NULL,
                                                 NULL,
                                                 NULL,
                                                 NULL,
                                                 NULL,
                                                 NULL};

static int power_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *out) {
  (void)vfs;
  PowerFile *file = power_file(base);
  memset(file, 0, sizeof *file);
  file->real = calloc(1, (size_t)real_vfs->szOsFile);
  CHECK(file->real != NULL);
  enter();
  bool named = path != NULL && !(flags & SQLITE_OPEN_DELETEONCLOSE);
  if (named) file->disk = find_disk(path); /* as it is before it is opened */
  int rc = real_vfs->xOpen(real_vfs, path, file->real, flags, out);
  leave();
  if (rc != SQLITE_OK) free(file->real);
  if (rc == SQLITE_OK) file->base.pMethods = &power_methods;
  return rc;
}

static int power_delete(sqlite3_vfs *vfs, const char *path, int sync_directory) {
  (void)vfs;
  enter();
  int rc = real_vfs->xDelete(real_vfs, path, sync_directory);
  if (rc == SQLITE_OK) find_disk(path)->gone = true;
  leave();
  return rc;
}

static void setup(void) {
  static sqlite3_vfs vfs;
  real_vfs = sqlite3_vfs_find("unix");
  vfs = *real_vfs;
  vfs.szOsFile = (int)sizeof(PowerFile);
  vfs.pNext = NULL;
  vfs.zName = "power";
  vfs.xOpen = power_open;
  vfs.xDelete = power_delete;
  CHECK_EQ(sqlite3_vfs_register(&vfs, 0), SQLITE_OK);
  CHECK_EQ(sqlite3async_initialize("power", 0), SQLITE_OK);
}

/* ---- The cut ---- */

static void apply_torn(Image *image, const Change *change, Random *random) {
  for (int from = 0; from < change->n;) {
    int to = from + SECTOR - (int)((change->offset + from) % SECTOR);
    if (to > change->n) to = change->n;
    if (random_one_in(random, 2)) write_part(image, change, from, to);
    from = to;
  }
}

/* Write to `path` what may be left of the file. */
static void cut_one(const Disk *disk, const char *path, int kept_of_4, Random *random) {
  Image image = {0};
  resize(&image, disk->durable.size);
  if (image.size > 0) memcpy(image.bytes, disk->durable.bytes, (size_t)image.size);
  for (Change *change = disk->first; change != NULL; change = change->next) {
    if (random_below(random, 4) >= kept_of_4) continue;
    if (kept_of_4 < 4 && change->n > SECTOR && random_one_in(random, 4)) {
      apply_torn(&image, change, random);
    } else {
      apply(&image, change);
    }
  }
  FILE *file = fopen(path, "wb");
  CHECK(file != NULL && fwrite(image.bytes, 1, (size_t)image.size, file) == (size_t)image.size);
  CHECK(fclose(file) == 0);
  free(image.bytes);
}

/* Put what is left of the database and its journals into cut.db. */
static void cut(const char *path, Random *random) {
  static const char *const endings[] = {"", "-wal", "-journal"};
  int kept_of_4 = random_below(random, 5); /* nothing that was not synced .. everything */
  enter();
  for (int i = 0; i < 3; i++) {
    char from[400];
    char to[40];
    snprintf(from, sizeof from, "%s%s", path, endings[i]);
    snprintf(to, sizeof to, "cut.db%s", endings[i]);
    remove(test_path(to));
    for (int k = 0; k < disk_count; k++) {
      if (disks[k]->gone || strcmp(disks[k]->path, from) != 0) continue;
      cut_one(disks[k], test_path(to), kept_of_4, random);
    }
  }
  leave();
  remove(test_path("cut.db-shm"));
}

/* ---- Stepped histories ---- */

typedef struct History {
  Random random;
  char path[400];
  sqlite3 *db;
  sqlite3 *other; /* makes checkpoints */
  char *dumps[TRANSACTIONS + 1];
  int committed;
  int not_ours; /* what the status counts besides */
} History;

static void look(History *history) {
  int durable = (int)status_number(history->path, "durable") - history->not_ours;
  cut(history->path, &history->random);
  sqlite3 *copy = open_plain(test_path("cut.db"));
  exec(copy, "PRAGMA synchronous = OFF");
  check_integrity(copy);
  int k = (int)query_int(copy, "SELECT k FROM meta");
  if (k < durable) FAIL("transaction %d was durable, and %d is the last there is", durable, k);
  CHECK(k <= history->committed);
  char *dump = dump_text(copy);
  if (strcmp(dump, history->dumps[k]) != 0) FAIL("transaction %d is there in part", k);
  sqlite3_free(dump);
  close_database(copy);
}

static void run_transaction(History *history, int k) {
  sqlite3 *db = history->db;
  exec(db, "BEGIN");
  for (int i = random_below(&history->random, 4); i >= 0; i--) {
    int key = random_below(&history->random, 100);
    if (random_one_in(&history->random, 4)) {
      exec(db, "DELETE FROM t WHERE a BETWEEN %d AND %d", key, key + 30);
    } else {
      exec(db, "INSERT OR REPLACE INTO t SELECT %d + value, %d, zeroblob(%d) FROM numbers", key, k,
           random_below(&history->random, 700));
    }
  }
  exec(db, "UPDATE meta SET k = %d; COMMIT", k);
  history->committed = k;
  history->dumps[k] = dump_text(db);
}

static void flush_or_checkpoint(History *history) {
  static const char *const modes[] = {"PASSIVE", "FULL", "RESTART", "TRUNCATE"};
  int action = random_below(&history->random, 9);
  if (action < 4) exec(history->other, "PRAGMA wal_checkpoint(%s)", modes[action]);
  if (action == 4) async_checkpoint_step();
  if (action == 5) {
    AsyncStream *stream = async_registry_find(history->path);
    CHECK(async_flush_request(stream) >= 0);
    async_registry_release(stream);
  }
}

static void begin(History *history, const char *mode, const char *level, int page_size) {
  snprintf(history->path, sizeof history->path, "%s", test_path("x.db"));
  remove(history->path);
  sqlite3 *plain = open_plain(history->path);
  exec(plain, "PRAGMA page_size = %d; CREATE TABLE meta(k); INSERT INTO meta VALUES (0)",
       page_size);
  exec(plain, "CREATE TABLE t(a INTEGER PRIMARY KEY, k, b); CREATE TABLE numbers(value)");
  exec(plain, "INSERT INTO numbers VALUES (1), (2), (3), (4), (5)");
  history->dumps[0] = dump_text(plain);
  close_database(plain);
  history->db = open_async(history->path);
  history->other = open_async(history->path);
  exec(history->db, "PRAGMA journal_mode = %s; PRAGMA synchronous = %s", mode, level);
  exec(history->db, "PRAGMA cache_size = 8");
  exec(history->other, "PRAGMA synchronous = %s; SELECT * FROM meta", level);
  history->not_ours = (int)status_number(history->path, "committed");
}

static void run_history(const char *mode, const char *level, int page_size, uint64_t offset) {
  History *history = calloc(1, sizeof *history);
  CHECK(history != NULL);
  history->random = random_new(offset);
  begin(history, mode, level, page_size);
  for (int k = 1; k <= TRANSACTIONS; k++) {
    run_transaction(history, k);
    if (random_one_in(&history->random, 2)) flush_or_checkpoint(history);
    for (int i = random_below(&history->random, 10); i > 0 && step_some(1) > 0; i--) look(history);
  }
  while (step_some(1) > 0) look(history);
  close_database(history->other);
  close_database(history->db);
  step_all();
  for (int k = 0; k <= TRANSACTIONS; k++) sqlite3_free(history->dumps[k]);
  free(history);
  forget_disks();
}

static void run_histories(const char *mode, const char *level) {
  setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 20000), SQLITE_OK);
  static const int page_sizes[] = {512, 4096};
  for (uint64_t i = 0; i < 8 * (uint64_t)test_scale(); i++) {
    async_beside_set_thread(i % 4 >= 2); /* whom syncs may be owed to */
    run_history(mode, level, page_sizes[i % 2], i * 7919);
  }
}

static void a_WAL_with_NORMAL(void) { run_histories("WAL", "NORMAL"); }
static void a_WAL_with_FULL(void) { run_histories("WAL", "FULL"); }
static void a_journal_with_FULL(void) { run_histories("DELETE", "FULL"); }

/* ---- With threads ---- */

static _Atomic bool stopped;
static _Atomic int committed;

static void *commit_until_stopped(void *path) {
  sqlite3 *db = open_async(path);
  sqlite3_busy_timeout(db, 10000);
  while (!stopped) {
    if (committed % 100 == 0) {
      exec(db, "PRAGMA synchronous = %s", committed % 200 == 0 ? "NORMAL" : "FULL");
    }
    exec(db, "BEGIN; INSERT INTO t(b) VALUES (zeroblob(900)); UPDATE meta SET k = k + 1; COMMIT");
    committed++;
    if (committed % 5 == 0) sleep_ms(1); /* a cut takes its time */
  }
  close_database(db);
  return NULL;
}

/* The checkpointer syncs beside the writer all the while. */
static void a_running_writer_and_its_checkpointer(void) {
  setup();
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_CHECKPOINT_BYTES, 60000), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_DELAY_MS, 10), SQLITE_OK);
  CHECK_EQ(sqlite3async_set(SQLITEASYNC_MAX_QUEUE_BYTES, 500000), SQLITE_OK);
  CHECK_EQ(sqlite3async_start(), SQLITE_OK);
  char path[400];
  snprintf(path, sizeof path, "%s", test_path("x.db"));
  sqlite3 *db = open_async(path);
  exec(db, "PRAGMA journal_mode = WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  exec(db, "CREATE TABLE meta(k); INSERT INTO meta VALUES (0)");
  CHECK_EQ(sqlite3async_flush(path, 10000), SQLITE_OK);
  int not_ours = (int)status_number(path, "committed");
  sync_ms = 1;
  Thread thread = thread_start(commit_until_stopped, path);
  Random random = random_new(0);
  int last = 0;
  for (int i = 0; i < 120 * test_scale(); i++) {
    sleep_ms(random_below(&random, 8));
    int durable = (int)status_number(path, "durable") - not_ours;
    cut(path, &random);
    sqlite3 *copy = open_plain(test_path("cut.db"));
    check_integrity(copy);
    int k = (int)query_int(copy, "SELECT k FROM meta");
    CHECK_EQ(query_int(copy, "SELECT count(*) FROM t"), k);
    if (k < durable) FAIL("transaction %d was durable, and %d is the last there is", durable, k);
    close_database(copy);
    last = k;
  }
  stopped = true;
  thread_join(thread);
  printf("# %d of %d, %lld checkpoints\n", last, committed,
         (long long)status_number(path, "checkpoints"));
  close_database(db);
  CHECK_EQ(sqlite3async_close(10000), SQLITE_OK);
  forget_disks();
}

int main(void) {
  return run_tests((TestCase[]){TEST(a_WAL_with_NORMAL),
                                TEST(a_WAL_with_FULL),
                                TEST(a_journal_with_FULL),
                                TEST(a_running_writer_and_its_checkpointer),
                                {0}});
}
