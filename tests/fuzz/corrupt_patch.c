/*
** See corrupt_patch.h.
**
** Formats: https://sqlite.org/fileformat2.html, sections 1.3, 3 and 4.
*/
#include "corrupt_patch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROWTH_MAX 8192

static uint32_t get32(const unsigned char *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put32(unsigned char *bytes, uint32_t value) {
  for (int i = 0; i < 4; i++) bytes[i] = (unsigned char)(value >> (24 - 8 * i));
}

static void resize(ImageFile *file, size_t size, int fill) {
  unsigned char *bytes = realloc(file->bytes, size + 1);
  CHECK(bytes != NULL);
  if (size > file->size) memset(bytes + file->size, fill, size - file->size);
  file->bytes = bytes;
  file->size = size;
}

/* ---- Fields ---- */

/* Where something stands, at the start of a database, a journal or a WAL. */
static const struct {
  int offset;
  int size;
} fields[3][16] = {
    {{16, 2},
     {18, 1},
     {19, 1},
     {20, 1},
     {21, 1},
     {22, 1},
     {23, 1},
     {24, 4},
     {28, 4},
     {32, 4},
     {36, 4},
     {40, 4},
     {44, 4},
     {52, 4},
     {56, 4},
     {92, 4}},
    {{0, 4},
     {4, 4},
     {8, 4},
     {12, 4},
     {16, 4},
     {20, 4},
     {24, 4},
     {8, 4},
     {16, 4},
     {20, 4},
     {24, 4},
     {0, 1},
     {512, 4},
     {11, 1},
     {19, 1},
     {516, 4}},
    {{0, 4},
     {4, 4},
     {8, 4},
     {12, 4},
     {16, 4},
     {20, 4},
     {24, 4},
     {28, 4},
     {32, 4},
     {36, 4},
     {40, 4},
     {44, 4},
     {48, 4},
     {52, 4},
     {3, 1},
     {10, 2}},
};

static int kind_of(const ImageFile *file) {
  if (strstr(file->name, "-journal") != NULL) return 1;
  return strstr(file->name, "-wal") != NULL ? 2 : 0;
}

static uint32_t odd_value(FuzzInput *input) {
  static const uint32_t values[] = {
      0,          1,          2,          3,          8,          12,         16,         31,
      32,         255,        256,        511,        512,        1000,       1024,       4096,
      32768,      65535,      65536,      65537,      131072,     0x377f0682, 0x377f0683, 3007000,
      0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 0xd9d505f9, 0x20a163d7};
  int i = fuzz_byte(input);
  if (i < 60) return values[i % 30];
  return (uint32_t)i << 8 | (uint32_t)fuzz_byte(input);
}

static void change_field(ImageFile *file, FuzzInput *input) {
  int i = fuzz_below(input, 16);
  int kind = kind_of(file);
  uint32_t value = odd_value(input);
  size_t offset = (size_t)fields[kind][i].offset;
  int size = fields[kind][i].size;
  if (offset + 4 > file->size) return;
  unsigned char bytes[4];
  put32(bytes, value);
  memcpy(file->bytes + offset, bytes + 4 - size, (size_t)size);
}

/* ---- Checksums: to get past them ---- */

static void wal_sum(bool big_endian, const unsigned char *data, size_t n, uint32_t *sum) {
  for (size_t i = 0; i + 8 <= n; i += 8) {
    uint32_t words[2];
    for (size_t k = 0; k < 2; k++) {
      uint32_t word = get32(data + i + 4 * k);
      words[k] = big_endian ? word : __builtin_bswap32(word);
    }
    sum[0] += words[0] + sum[1];
    sum[1] += words[1] + sum[0];
  }
}

static void mend_wal(ImageFile *file, const unsigned char *header_salts) {
  if (file->size < 32) return;
  unsigned char *bytes = file->bytes;
  bool big_endian = (bytes[3] & 1) != 0;
  uint32_t sum[2] = {0, 0};
  wal_sum(big_endian, bytes, 24, sum);
  put32(bytes + 24, sum[0]);
  put32(bytes + 28, sum[1]);
  size_t page = get32(bytes + 8);
  if (page < 8 || page > 65536) return;
  for (size_t at = 32; at + 24 + page <= file->size; at += 24 + page) {
    memcpy(bytes + at + 8, header_salts, 8);
    wal_sum(big_endian, bytes + at, 8, sum);
    wal_sum(big_endian, bytes + at + 24, page, sum);
    put32(bytes + at + 16, sum[0]);
    put32(bytes + at + 20, sum[1]);
  }
}

/* Of a rollback journal: a page's sum is of every 200th byte, from its end. */
static void mend_journal(ImageFile *file) {
  if (file->size < 28) return;
  unsigned char *bytes = file->bytes;
  size_t sector = get32(bytes + 20);
  size_t page = get32(bytes + 24);
  if (page < 512 || page > 65536 || sector < 32 || sector > 65536) return;
  for (size_t at = sector; at + page + 8 <= file->size; at += page + 8) {
    uint32_t sum = get32(bytes + 12);
    for (long i = (long)page - 200; i > 0; i -= 200) sum += bytes[at + 4 + (size_t)i];
    put32(bytes + at + 4 + page, sum);
  }
}

static void mend(ImageFile *file) {
  if (kind_of(file) == 1) mend_journal(file);
  if (kind_of(file) == 2 && file->size >= 32) mend_wal(file, file->bytes + 16);
}

/* ---- Names ---- */

/*
** End a journal by a super-journal's name: page number, name, its length, the sum of
** its bytes, and the journal's magic.
*/
static void name_super(ImageFile *file, FuzzInput *input, const char *folder, const char *outside) {
  static const char *const names[] = {
      "x.db-mj012345908", "x.db", "x.db-journal", "y.db", "y.db-journal",
      "x.db-wal",         "",     "missing"};
  static const unsigned char magic[] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
  char name[700];
  int choice = fuzz_below(input, 12);
  snprintf(name, sizeof name, "%s/%s", folder, names[choice % 8]);
  if (choice >= 8) snprintf(name, sizeof name, "%s", outside);
  size_t n = strlen(name);
  size_t at = file->size;
  int lie = fuzz_below(input, 8);
  uint32_t length = lie == 0 ? odd_value(input) : (uint32_t)n;
  uint32_t sum = 0;
  for (size_t i = 0; i < n; i++) sum += (uint32_t)(signed char)name[i];
  resize(file, at + 4 + n + 16, 0);
  put32(file->bytes + at, 0x40000000 / 512 + 1);
  memcpy(file->bytes + at + 4, name, n);
  put32(file->bytes + at + 4 + n, length);
  put32(file->bytes + at + 8 + n, lie == 1 ? sum + 1 : sum);
  memcpy(file->bytes + at + 12 + n, magic, sizeof magic);
}

static void rename_file(Image *image, ImageFile *file, FuzzInput *input) {
  static const char *const names[] = {"x.db-journal", "x.db-wal", "y.db-journal", "y.db-wal",
                                      "x.db-mj012345908"};
  const char *name = names[fuzz_below(input, 5)];
  for (int i = 0; i < IMAGE_FILES; i++) {
    if (strcmp(image->files[i].name, name) == 0) return;
  }
  snprintf(file->name, sizeof file->name, "%s", name);
}

static void forget_file(ImageFile *file) {
  free(file->bytes);
  *file = (ImageFile){0};
}

/* ---- The changes ---- */

static void change_bytes(ImageFile *file, FuzzInput *input) {
  size_t at = (size_t)fuzz_below(input, 0x10000);
  int n = 1 + fuzz_below(input, 8);
  for (int i = 0; i < n; i++) {
    unsigned char byte = (unsigned char)fuzz_byte(input);
    if (at + (size_t)i < file->size) file->bytes[at + (size_t)i] = byte;
  }
}

static void change_file(Image *image, ImageFile *file, FuzzInput *input, const char *folder,
                        const char *outside) {
  switch (fuzz_below(input, 10)) {
  case 0:
  case 1:
  case 2:
    change_field(file, input);
    break;
  case 3:
    change_bytes(file, input);
    break;
  case 4: { /* cut off */
    size_t size = (size_t)fuzz_below(input, 0x10000);
    if (size < file->size) resize(file, size, 0);
    break;
  }
  case 5: /* cut off a little */
    resize(file, file->size - (size_t)fuzz_byte(input) * 8 % (file->size + 1), 0);
    break;
  case 6: {
    int fill = fuzz_byte(input);
    size_t more = (size_t)fuzz_below(input, GROWTH_MAX);
    if (file->size < 200000) resize(file, file->size + more, fill);
    break;
  }
  case 7:
    mend(file);
    break;
  case 8:
    if (kind_of(file) == 1) {
      name_super(file, input, folder, outside);
    } else if (fuzz_below(input, 2)) {
      rename_file(image, file, input);
    } else {
      forget_file(file);
    }
    break;
  default: /* mend it after the next change */
    change_field(file, input);
    mend(file);
    break;
  }
}

void corrupt_copy(Image *copy, const Image *image, FuzzInput *input, int most, const char *folder,
                  const char *outside) {
  *copy = *image;
  for (int i = 0; i < IMAGE_FILES; i++) {
    ImageFile *file = &copy->files[i];
    if (file->name[0] == '\0') continue;
    file->bytes = malloc(file->size + 1);
    CHECK(file->bytes != NULL);
    memcpy(file->bytes, image->files[i].bytes, file->size);
  }
  for (int i = 0; i < most && input->left > 0; i++) {
    ImageFile *file = &copy->files[fuzz_below(input, IMAGE_FILES)];
    if (file->name[0] == '\0') file = &copy->files[0];
    if (file->name[0] != '\0') change_file(copy, file, input, folder, outside);
  }
}
