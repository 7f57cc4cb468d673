/*
** A file over a real parent, stepped: what is read, known and done while ops
** are queued.
*/
#include "api.h"
#include "database.h"
#include "file.h"
#include "registry.h"
#include "testvfs.h"
#include "writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATABASE_FLAGS (SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_DB)
#define JOURNAL_FLAGS (SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_JOURNAL)

static AsyncStream *stream;
static AsyncFile *file; /* the database */
static const char *journal_path;

static void setup(void) {
  async_setup();
  const char *path = sqlite3_create_filename(test_path("x.db"), "", "", 0, NULL);
  stream = async_registry_create(path, async_api_parent());
  CHECK(stream != NULL);
  int flags = 0;
  CHECK_EQ(async_file_open_database(stream, path, DATABASE_FLAGS, &file, &flags), SQLITE_OK);
  sqlite3_free_filename(path);
  journal_path = test_path("x.db-journal");
}

static void finish(void) {
  async_file_close(file);
  async_registry_unref(stream);
  step_all();
  CHECK(async_registry_find(test_path("x.db")) == NULL);
}

static void write_text(AsyncFile *to, int64_t offset, const char *text) {
  CHECK_EQ(async_file_write(to, text, (int)strlen(text), offset), SQLITE_OK);
}

/* Zeros are shown as dots. */
static const char *read_text(AsyncFile *from, int64_t offset, int n, int wanted_code) {
  static char text[200];
  memset(text, '?', sizeof text);
  CHECK_EQ(async_file_read(from, text, n, offset), wanted_code);
  for (int i = 0; i < n; i++) {
    if (text[i] == '\0') text[i] = '.';
  }
  text[n] = '\0';
  return text;
}

static int64_t size_of(AsyncFile *of) {
  int64_t size = -1;
  CHECK_EQ(async_file_size(of, &size), SQLITE_OK);
  return size;
}

/* As vfs.c answers xAccess. */
static bool exists(const char *path) {
  int result = -1;
  if (async_file_knows(stream, path, &result)) return result != 0;
  sqlite3_vfs *parent = async_api_parent();
  CHECK_EQ(parent->xAccess(parent, path, SQLITE_ACCESS_EXISTS, &result), SQLITE_OK);
  return result != 0;
}

static AsyncFile *open_journal(int flags) {
  AsyncFile *journal = NULL;
  int out = 0;
  CHECK_EQ(async_file_open_journal(stream, journal_path, flags, &journal, &out), SQLITE_OK);
  return journal;
}

/* ---- Reading ---- */

static void a_read_joins_the_queue_and_the_disk(void) {
  setup();
  write_text(file, 0, "on disk, all of it");
  step_all();
  write_text(file, 3, "DISK");
  CHECK_TEXT(read_text(file, 0, 18, SQLITE_OK), "on DISK, all of it");
  CHECK_TEXT(read_text(file, 3, 4, SQLITE_OK), "DISK");
  CHECK_TEXT(read_text(file, 9, 12, SQLITE_IOERR_SHORT_READ), "all of it...");
  CHECK_TEXT(read_text(file, 100, 4, SQLITE_IOERR_SHORT_READ), "....");
  step_all();
  CHECK_TEXT(read_text(file, 0, 18, SQLITE_OK), "on DISK, all of it");
  finish();
}

static void a_read_that_the_queue_covers_leaves_the_disk_alone(void) {
  setup();
  write_text(file, 0, "0123456789");
  step_all();
  write_text(file, 2, "abcd");
  testvfs_reset();
  CHECK_TEXT(read_text(file, 2, 4, SQLITE_OK), "abcd");
  CHECK_EQ(testvfs_count(ON_READ, NULL), 0);
  CHECK_TEXT(read_text(file, 1, 4, SQLITE_OK), "1abc");
  CHECK_EQ(testvfs_count(ON_READ, NULL), 1);
  step_all();
  finish();
}

static void a_gap_behind_the_end_reads_as_zeros(void) {
  setup();
  write_text(file, 0, "ab");
  write_text(file, 6, "gh");
  CHECK_EQ(size_of(file), 8);
  CHECK_TEXT(read_text(file, 0, 8, SQLITE_OK), "ab....gh");
  step_all();
  CHECK_TEXT(read_text(file, 0, 8, SQLITE_OK), "ab....gh");
  finish();
}

static void a_queued_truncation_hides_the_disk(void) {
  setup();
  write_text(file, 0, "0123456789");
  step_all();
  CHECK_EQ(async_file_truncate(file, 4), SQLITE_OK);
  CHECK_EQ(size_of(file), 4);
  CHECK_TEXT(read_text(file, 2, 4, SQLITE_IOERR_SHORT_READ), "23..");
  /* Made longer again, what was cut off stays away. */
  write_text(file, 8, "AB");
  CHECK_EQ(size_of(file), 10);
  CHECK_TEXT(read_text(file, 2, 8, SQLITE_OK), "23....AB");
  CHECK_EQ(step_some(1), 1); /* the truncation */
  CHECK_TEXT(read_text(file, 2, 8, SQLITE_OK), "23....AB");
  step_all();
  CHECK_TEXT(read_text(file, 2, 8, SQLITE_OK), "23....AB");
  finish();
}

static void the_smallest_of_several_truncations_counts(void) {
  setup();
  write_text(file, 0, "0123456789");
  step_all();
  static const int sizes[] = {7, 2, 5, 9};
  for (int i = 0; i < 4; i++) CHECK_EQ(async_file_truncate(file, sizes[i]), SQLITE_OK);
  CHECK_EQ(size_of(file), 9);
  for (int i = 0; i < 5; i++) {
    CHECK_TEXT(read_text(file, 0, 9, SQLITE_OK), "01.......");
    step_some(1);
  }
  finish();
}

typedef struct Model {
  unsigned char bytes[20000];
  int64_t size;
} Model;

static void change_both(Model *model, Random *random) {
  static unsigned char data[3000];
  if (random_one_in(random, 5)) {
    int64_t size = random_below(random, 20000);
    CHECK_EQ(async_file_truncate(file, size), SQLITE_OK);
    if (size < model->size) memset(model->bytes + size, 0, (size_t)(model->size - size));
    model->size = size;
    return;
  }
  int n = 1 + random_below(random, (int)sizeof data);
  int64_t offset = random_below(random, 20000 - n);
  random_fill(random, data, (size_t)n);
  CHECK_EQ(async_file_write(file, data, n, offset), SQLITE_OK);
  memcpy(model->bytes + offset, data, (size_t)n);
  if (offset + n > model->size) model->size = offset + n;
}

static void compare_with(const Model *model, Random *random) {
  static unsigned char out[4000];
  CHECK_EQ(size_of(file), model->size);
  int n = 1 + random_below(random, (int)sizeof out);
  int64_t offset = random_below(random, 20000 - n);
  int rc = async_file_read(file, out, n, offset);
  CHECK_EQ(rc, offset + n > model->size ? SQLITE_IOERR_SHORT_READ : SQLITE_OK);
  CHECK(memcmp(out, model->bytes + offset, (size_t)n) == 0);
}

static void any_history_reads_like_a_plain_file(void) {
  setup();
  static Model model;
  Random random = random_new(0);
  for (int i = 0; i < 20000 * test_scale(); i++) {
    change_both(&model, &random);
    compare_with(&model, &random);
    step_some(random_below(&random, 4));
    compare_with(&model, &random);
  }
  step_all();
  compare_with(&model, &random);
  finish();
}

static void *read_in_thread(void *out) {
  memset(out, '?', 10);
  CHECK_EQ(async_file_read(file, out, 10, 0), SQLITE_OK);
  return NULL;
}

static void a_read_starts_over_when_an_op_it_needs_is_retired(void) {
  setup();
  write_text(file, 0, "0123456789");
  step_all();
  write_text(file, 2, "abcd");
  char out[11] = "";
  testvfs_reset();
  testvfs_hold(ON_READ, "x.db");
  Thread reader = thread_start(read_in_thread, out);
  testvfs_wait_held(); /* it has the old bytes of the disk */
  step_all();          /* and the new ones leave the queue */
  testvfs_release();
  thread_join(reader);
  CHECK_TEXT(out, "01abcd6789");
  CHECK_EQ(testvfs_count(ON_READ, NULL), 2);
  finish();
}

static void a_read_does_not_start_over_for_ops_elsewhere(void) {
  setup();
  write_text(file, 0, "0123456789");
  step_all();
  write_text(file, 20, "x");
  char out[11] = "";
  testvfs_reset();
  testvfs_hold(ON_READ, "x.db");
  Thread reader = thread_start(read_in_thread, out);
  testvfs_wait_held();
  step_all();
  testvfs_release();
  thread_join(reader);
  CHECK_TEXT(out, "0123456789");
  CHECK_EQ(testvfs_count(ON_READ, NULL), 1);
  finish();
}

static void a_read_starts_over_when_a_truncation_is_retired(void) {
  setup();
  write_text(file, 0, "0123456789");
  step_all();
  CHECK_EQ(async_file_truncate(file, 5), SQLITE_OK);
  write_text(file, 9, "x");
  char out[11] = "";
  testvfs_hold(ON_READ, "x.db");
  Thread reader = thread_start(read_in_thread, out);
  testvfs_wait_held();
  step_all();
  testvfs_release();
  thread_join(reader);
  CHECK(memcmp(out, "01234\0\0\0\0x", 10) == 0);
  finish();
}

/* ---- Journals ---- */

static void the_writer_opens_a_journal_that_is_made(void) {
  setup();
  testvfs_reset();
  AsyncFile *journal = open_journal(JOURNAL_FLAGS);
  CHECK_EQ(testvfs_count(ON_OPEN, "-journal"), 0);
  CHECK_EQ(size_of(journal), 0);
  write_text(journal, 0, "header");
  CHECK_TEXT(read_text(journal, 0, 6, SQLITE_OK), "header");
  CHECK(access(journal_path, F_OK) != 0);
  step_all();
  CHECK_EQ(testvfs_count(ON_OPEN, "-journal"), 1);
  CHECK_TEXT(read_text(journal, 0, 6, SQLITE_OK), "header");
  async_file_close(journal);
  finish();
}

static void an_empty_journal_does_not_exist(void) {
  setup();
  AsyncFile *journal = open_journal(JOURNAL_FLAGS);
  CHECK(!exists(journal_path));
  write_text(journal, 0, "x");
  CHECK(exists(journal_path));
  CHECK_EQ(async_file_truncate(journal, 0), SQLITE_OK);
  CHECK(!exists(journal_path));
  step_all();
  CHECK(!exists(journal_path));
  async_file_close(journal);
  CHECK(!exists(journal_path));
  finish();
}

static void a_deleted_journal_is_gone_at_once(void) {
  setup();
  AsyncFile *journal = open_journal(JOURNAL_FLAGS);
  write_text(journal, 0, "x");
  step_all();
  CHECK(exists(journal_path));
  async_file_close(journal);
  CHECK_EQ(async_file_delete(stream, journal_path, 0), SQLITE_OK);
  CHECK(!exists(journal_path));
  CHECK(access(journal_path, F_OK) == 0);
  AsyncFile *none = NULL;
  int out = 0;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_MAIN_JOURNAL;
  CHECK_EQ(async_file_open_journal(stream, journal_path, flags, &none, &out), SQLITE_CANTOPEN);
  CHECK_EQ(async_file_delete(stream, journal_path, 0), SQLITE_IOERR_DELETE_NOENT);
  step_all();
  CHECK(access(journal_path, F_OK) != 0);
  CHECK(!exists(journal_path));
  finish();
}

static void who_has_a_deleted_journal_open_reads_on(void) {
  setup();
  AsyncFile *journal = open_journal(JOURNAL_FLAGS);
  write_text(journal, 0, "0123456789");
  async_file_close(journal);
  step_all();
  journal = open_journal(SQLITE_OPEN_READWRITE | SQLITE_OPEN_MAIN_JOURNAL);
  CHECK_EQ(async_file_delete(stream, journal_path, 0), SQLITE_OK);
  CHECK_TEXT(read_text(journal, 2, 4, SQLITE_OK), "2345");
  step_all();
  CHECK_TEXT(read_text(journal, 2, 4, SQLITE_OK), "2345");
  async_file_close(journal);
  finish();
}

static void a_journal_made_again_is_another_file(void) {
  setup();
  for (int i = 0; i < 5; i++) {
    AsyncFile *journal = open_journal(JOURNAL_FLAGS);
    CHECK_EQ(size_of(journal), 0);
    char text[40];
    snprintf(text, sizeof text, "generation %d", i);
    write_text(journal, 0, text);
    CHECK_TEXT(read_text(journal, 0, 12, SQLITE_OK), text);
    async_file_close(journal);
    if (i < 4) CHECK_EQ(async_file_delete(stream, journal_path, 0), SQLITE_OK);
  }
  CHECK(exists(journal_path));
  step_all();
  char *text = file_text(journal_path);
  CHECK_TEXT(text, "generation 4");
  free(text);
  finish();
}

static void a_journal_kept_open_is_found_again(void) {
  setup();
  AsyncFile *journal = open_journal(JOURNAL_FLAGS);
  write_text(journal, 0, "kept");
  AsyncFile *again = open_journal(SQLITE_OPEN_READWRITE | SQLITE_OPEN_MAIN_JOURNAL);
  CHECK(again == journal);
  async_file_close(again);
  async_file_close(journal);
  /* All handles are closed and the ops still queued. */
  again = open_journal(SQLITE_OPEN_READWRITE | SQLITE_OPEN_MAIN_JOURNAL);
  CHECK_TEXT(read_text(again, 0, 4, SQLITE_OK), "kept");
  async_file_close(again);
  step_all();
  again = open_journal(SQLITE_OPEN_READWRITE | SQLITE_OPEN_MAIN_JOURNAL);
  CHECK_TEXT(read_text(again, 0, 4, SQLITE_OK), "kept");
  async_file_close(again);
  finish();
}

static void a_journal_is_closed_before_it_is_deleted(void) {
  setup();
  AsyncFile *journal = open_journal(JOURNAL_FLAGS);
  write_text(journal, 0, "x");
  async_file_close(journal);
  CHECK_EQ(async_file_delete(stream, journal_path, 0), SQLITE_OK);
  testvfs_reset();
  step_all();
  char *log = testvfs_log();
  CHECK_TEXT(log, "open x.db-journal\nwrite x.db-journal 1 @0\nclose x.db-journal\n"
                  "delete x.db-journal\n");
  free(log);
  finish();
}

/* As Windows wants it: SQLite has closed it, and it only waits to be synced. */
static void a_journal_that_waits_is_closed_before_it_is_deleted(void) {
  setup();
  AsyncFile *journal = open_journal(JOURNAL_FLAGS);
  write_text(journal, 0, "x");
  step_all();
  async_file_close(journal);
  testvfs_reset();
  CHECK_EQ(async_file_delete(stream, journal_path, 0), SQLITE_OK);
  CHECK(!exists(journal_path));
  journal = open_journal(JOURNAL_FLAGS);
  async_file_close(journal);
  step_all();
  char *log = testvfs_log();
  CHECK_TEXT(log, "close x.db-journal\ndelete x.db-journal\nopen x.db-journal\n"
                  "close x.db-journal\n");
  free(log);
  finish();
}

static void parts_of_a_write_over_65536_bytes_reach_the_disk(void) {
  setup();
  static unsigned char data[200000];
  static unsigned char out[200000];
  Random random = random_new(1);
  random_fill(&random, data, sizeof data);
  testvfs_reset();
  CHECK_EQ(async_file_write(file, data, sizeof data, 7), SQLITE_OK);
  CHECK_EQ(async_file_read(file, out, sizeof out, 7), SQLITE_OK);
  CHECK(memcmp(data, out, sizeof data) == 0);
  step_all();
  CHECK_EQ(testvfs_count(ON_WRITE, NULL), 4); /* 3 * 65536 and a rest */
  CHECK_EQ(async_file_read(file, out, sizeof out, 7), SQLITE_OK);
  CHECK(memcmp(data, out, sizeof data) == 0);
  finish();
}

int main(void) {
  return run_tests((TestCase[]){TEST(a_read_joins_the_queue_and_the_disk),
                                TEST(a_read_that_the_queue_covers_leaves_the_disk_alone),
                                TEST(a_gap_behind_the_end_reads_as_zeros),
                                TEST(a_queued_truncation_hides_the_disk),
                                TEST(the_smallest_of_several_truncations_counts),
                                TEST(any_history_reads_like_a_plain_file),
                                TEST(a_read_starts_over_when_an_op_it_needs_is_retired),
                                TEST(a_read_does_not_start_over_for_ops_elsewhere),
                                TEST(a_read_starts_over_when_a_truncation_is_retired),
                                TEST(the_writer_opens_a_journal_that_is_made),
                                TEST(an_empty_journal_does_not_exist),
                                TEST(a_deleted_journal_is_gone_at_once),
                                TEST(who_has_a_deleted_journal_open_reads_on),
                                TEST(a_journal_made_again_is_another_file),
                                TEST(a_journal_kept_open_is_found_again),
                                TEST(a_journal_is_closed_before_it_is_deleted),
                                TEST(a_journal_that_waits_is_closed_before_it_is_deleted),
                                TEST(parts_of_a_write_over_65536_bytes_reach_the_disk),
                                {0}});
}
