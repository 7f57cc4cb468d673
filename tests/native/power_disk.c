/*
** What a power cut may leave.  See power_disk.h.
*/
#include "power_disk.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512
/* What was not synced, is mostly among so many records. */
#define RECENT 60

/* Bytes with a size, and with what was done to them since they were synced. */
typedef struct DiskFile {
  unsigned char *bytes;
  int64_t size;
  int64_t room;
  int *changes; /* positions in the log */
  int count;
  int change_room;
} DiskFile;

typedef struct Name {
  char path[RECORDER_PATH_MAX];
  int file;
} Name;

struct Disk {
  const Recording *recording;
  DiskKind kind;
  int position;
  DiskFile *files;
  int file_count;
  Name names[IMAGE_FILES_MAX]; /* durable */
  int name_count;
  int *name_changes; /* positions in the log */
  int name_change_count;
  int name_change_room;
};

static const Record *record_at(const Disk *disk, int position) {
  return &disk->recording->records[position];
}

/* ---- Content ---- */

static void reserve(unsigned char **bytes, int64_t *room, int64_t size) {
  if (size <= *room) return;
  *room = size * 2 + SECTOR;
  *bytes = realloc(*bytes, (size_t)*room);
  CHECK(*bytes != NULL);
}

static void apply(DiskFile *file, const Record *record) {
  int64_t end = record->kind == RECORD_WRITE ? record->offset + record->n : record->offset;
  if (end > file->size) {
    reserve(&file->bytes, &file->room, end);
    memset(file->bytes + file->size, 0, (size_t)(end - file->size));
    file->size = end;
  }
  if (record->kind == RECORD_WRITE) {
    memcpy(file->bytes + record->offset, record->data, (size_t)record->n);
  } else {
    file->size = end;
  }
}

/* What was done to it before a position is durable. */
static void sync_file(Disk *disk, DiskFile *file, int covers) {
  int done = 0;
  while (done < file->count && file->changes[done] < covers) {
    apply(file, record_at(disk, file->changes[done++]));
  }
  file->count -= done;
  if (done > 0) memmove(file->changes, file->changes + done, (size_t)file->count * sizeof(int));
}

static int *grown(int *list, int count, int *room) {
  if (count < *room) return list;
  *room = *room * 2 + 16;
  list = realloc(list, (size_t)*room * sizeof(int));
  CHECK(list != NULL);
  return list;
}

/* ---- Names ---- */

static void apply_name(Name *names, int *count, const Record *record) {
  int i = 0;
  while (i < *count && strcmp(names[i].path, record->path) != 0) i++;
  if (record->kind == RECORD_DELETE) {
    if (i < *count) names[i] = names[--*count];
    return;
  }
  if (i == *count) {
    CHECK(*count < IMAGE_FILES_MAX);
    snprintf(names[(*count)++].path, RECORDER_PATH_MAX, "%s", record->path);
  }
  names[i].file = record->file;
}

static bool is_in_folder(const char *path, const char *folder) {
  size_t length = strlen(folder);
  if (length == 0) return strchr(path, '/') == NULL;
  return strncmp(path, folder, length) == 0 && path[length] == '/';
}

static void sync_folder(Disk *disk, const Record *sync) {
  int left = 0;
  for (int i = 0; i < disk->name_change_count; i++) {
    int position = disk->name_changes[i];
    const Record *record = record_at(disk, position);
    if (position < sync->covers && is_in_folder(record->path, sync->path)) {
      apply_name(disk->names, &disk->name_count, record);
    } else {
      disk->name_changes[left++] = position;
    }
  }
  disk->name_change_count = left;
}

/* ---- Following the log ---- */

Disk *disk_new(const Recording *recording, DiskKind kind) {
  Disk *disk = calloc(1, sizeof *disk);
  CHECK(disk != NULL);
  disk->recording = recording;
  disk->kind = kind;
  disk->file_count = recording->file_count;
  disk->files = calloc((size_t)recording->file_count + 1, sizeof(DiskFile));
  CHECK(disk->files != NULL);
  for (int i = 0; i < recording->file_count; i++) {
    const RecordedFile *file = &recording->files[i];
    if (!file->was_there) continue;
    reserve(&disk->files[i].bytes, &disk->files[i].room, file->size);
    if (file->size > 0) memcpy(disk->files[i].bytes, file->bytes, (size_t)file->size);
    disk->files[i].size = file->size;
    snprintf(disk->names[disk->name_count].path, RECORDER_PATH_MAX, "%s", file->path);
    disk->names[disk->name_count++].file = i;
  }
  return disk;
}

void disk_free(Disk *disk) {
  for (int i = 0; i < disk->file_count; i++) {
    free(disk->files[i].bytes);
    free(disk->files[i].changes);
  }
  free(disk->files);
  free(disk->name_changes);
  free(disk);
}

int disk_behind_call(const Recording *recording, int position) {
  bool within = position > 0 && position < recording->count &&
                recording->records[position - 1].kind == RECORD_DELETE &&
                recording->records[position].kind == RECORD_SYNC_FOLDER;
  return within ? position + 1 : position;
}

int disk_position(const Disk *disk) { return disk->position; }

bool disk_advance(Disk *disk) {
  int position = disk->position++;
  const Record *record = record_at(disk, position);
  DiskFile *file = record->file >= 0 ? &disk->files[record->file] : NULL;
  switch (record->kind) {
  case RECORD_WRITE:
  case RECORD_TRUNCATE:
    file->changes = grown(file->changes, file->count, &file->change_room);
    file->changes[file->count++] = position;
    return true;
  case RECORD_CREATE:
  case RECORD_DELETE:
    disk->name_changes =
        grown(disk->name_changes, disk->name_change_count, &disk->name_change_room);
    disk->name_changes[disk->name_change_count++] = position;
    return true;
  case RECORD_SYNC:
    sync_file(disk, file, record->covers);
    return true;
  case RECORD_SYNC_FOLDER:
    sync_folder(disk, record);
    return true;
  case RECORD_NOTE:
    return true; /* from here on more may be demanded */
  }
  return false;
}

/* ---- Cuts ---- */

typedef enum Choice {
  CHOOSE_NOTHING,
  CHOOSE_ALL,
  CHOOSE_MOMENT, /* all as it was at some moment; the write that follows is torn */
#define CHOICES_GENTLE 3
  CHOOSE_WRITES,  /* each whole or not at all */
  CHOOSE_SECTORS, /* each as it was at some moment */
  CHOOSE_PART,    /* all up to some place, or from there on */
#define CHOICES 6
} Choice;

/* How many of a file's changes each of its sectors has seen. */
typedef struct Seen {
  int *sectors;
  int64_t count;
  int size; /* and its size */
} Seen;

static int64_t sector_after(int64_t end) { return (end + SECTOR - 1) / SECTOR; }

/* The sectors that a change touches, of a file that never was larger than `most`. */
static void touched(const Record *record, int64_t most, int64_t *from, int64_t *to) {
  *from = record->offset / SECTOR;
  *to = sector_after(record->kind == RECORD_WRITE ? record->offset + record->n : most);
}

static void choose_writes(const Disk *disk, const DiskFile *file, int64_t most, Random *random,
                          Seen *seen) {
  int kept_of_8 = 1 + random_below(random, 7);
  for (int i = 0; i < file->count; i++) {
    if (random_below(random, 8) >= kept_of_8) continue;
    int64_t from;
    int64_t to;
    touched(record_at(disk, file->changes[i]), most, &from, &to);
    for (int64_t s = from; s < to; s++) seen->sectors[s] = i + 1;
    seen->size = i + 1;
  }
  if (random_one_in(random, 3)) seen->size = random_below(random, file->count + 1);
}

static void choose_moment(const Disk *disk, const DiskFile *file, int64_t most, Random *random,
                          Seen *seen) {
  int moment = random_below(random, file->count + 1);
  for (int64_t s = 0; s < seen->count; s++) seen->sectors[s] = moment;
  seen->size = moment;
  if (moment == file->count || disk->kind == DISK_GENTLE) return;
  int64_t from;
  int64_t to;
  touched(record_at(disk, file->changes[moment]), most, &from, &to);
  for (int64_t s = from; s < to; s++) seen->sectors[s] += random_below(random, 2);
  seen->size += random_below(random, 2);
}

static void choose_part(const DiskFile *file, Random *random, Seen *seen) {
  int64_t from = 0;
  int64_t to = seen->count;
  int64_t *end = random_one_in(random, 2) ? &from : &to;
  *end = random_below(random, (int)seen->count);
  for (int64_t s = from; s < to; s++) seen->sectors[s] = file->count;
  seen->size = file->count;
}

static void choose(const Disk *disk, const DiskFile *file, int64_t most, Choice choice,
                   Random *random, Seen *seen) {
  int all = choice == CHOOSE_ALL ? file->count : 0;
  for (int64_t s = 0; s < seen->count; s++) seen->sectors[s] = all;
  seen->size = all;
  switch (choice) {
  case CHOOSE_NOTHING:
  case CHOOSE_ALL:
    break;
  case CHOOSE_WRITES:
    choose_writes(disk, file, most, random, seen);
    break;
  case CHOOSE_SECTORS:
    for (int64_t s = 0; s < seen->count; s++) {
      seen->sectors[s] = random_below(random, file->count + 1);
    }
    seen->size = random_below(random, file->count + 1);
    break;
  case CHOOSE_MOMENT:
    choose_moment(disk, file, most, random, seen);
    break;
  case CHOOSE_PART:
    choose_part(file, random, seen);
    break;
  }
}

/* Truncations happen at once, those before `moment` and no others: then nothing that was
** behind it is there; or, if it has not happened, nothing that was put there later. */
static void keep_truncations_whole(const Disk *disk, const DiskFile *file, int moment, Seen *seen) {
  for (int i = 0; i < file->count; i++) {
    const Record *record = record_at(disk, file->changes[i]);
    if (record->kind != RECORD_TRUNCATE) continue;
    bool done = file->changes[i] < moment;
    if (done ? seen->size <= i : seen->size > i) seen->size = done ? i + 1 : i;
    for (int64_t s = record->offset / SECTOR; s < seen->count; s++) {
      if (done ? seen->sectors[s] <= i : seen->sectors[s] > i) seen->sectors[s] = done ? i + 1 : i;
    }
  }
}

static int64_t size_after(const Record *record, int64_t size) {
  if (record->kind == RECORD_TRUNCATE) return record->offset;
  int64_t end = record->offset + record->n;
  return end > size ? end : size;
}

/* The parts of a change that lie in sectors which have seen it. */
static void apply_seen(ImageFile *out, const Record *record, int64_t most, int index,
                       const Seen *seen) {
  bool writes = record->kind == RECORD_WRITE;
  int64_t end = writes ? record->offset + record->n : most;
  for (int64_t at = record->offset; at < end;) {
    int64_t next = (at / SECTOR + 1) * SECTOR;
    if (next > end) next = end;
    if (seen->sectors[at / SECTOR] > index) {
      if (writes)
        memcpy(out->bytes + at, record->data + (at - record->offset), (size_t)(next - at));
      if (!writes) memset(out->bytes + at, 0, (size_t)(next - at));
    }
    at = next;
  }
}

static void add_garbage(const DiskFile *file, ImageFile *out, const Seen *seen, Random *random) {
  for (int64_t s = sector_after(file->size); s < out->size / SECTOR; s++) {
    if (seen->sectors[s] == 0) random_fill(random, out->bytes + s * SECTOR, SECTOR);
  }
}

/* Make of a file what is left of it. */
static void cut_file(const Disk *disk, const DiskFile *file, Choice choice, int truncations,
                     Random *random, ImageFile *out) {
  static int *sectors;
  static int64_t sector_room;
  int64_t most = file->size;
  int64_t size = file->size;
  for (int i = 0; i < file->count; i++) {
    size = size_after(record_at(disk, file->changes[i]), size);
    if (size > most) most = size;
  }
  Seen seen = {.count = sector_after(most) + 1};
  if (seen.count > sector_room) {
    sector_room = seen.count * 2;
    sectors = realloc(sectors, (size_t)sector_room * sizeof(int));
    CHECK(sectors != NULL);
  }
  seen.sectors = sectors;
  choose(disk, file, most, choice, random, &seen);
  keep_truncations_whole(disk, file, truncations, &seen);

  reserve(&out->bytes, &out->room, most + SECTOR);
  if (file->size > 0) memcpy(out->bytes, file->bytes, (size_t)file->size);
  memset(out->bytes + file->size, 0, (size_t)(most - file->size));
  out->size = file->size;
  for (int i = 0; i < file->count; i++) {
    const Record *record = record_at(disk, file->changes[i]);
    if (choice != CHOOSE_NOTHING) apply_seen(out, record, most, i, &seen);
    if (i < seen.size) out->size = size_after(record, out->size);
  }
  bool garbage = choice == CHOOSE_SECTORS && random_one_in(random, 4);
  if (garbage) add_garbage(file, out, &seen, random);
}

/* The names after a cut; kept_of_8: how many of the changes.  *deletions_until: up to
** here in the log all deletions are there. */
static int cut_names(const Disk *disk, int kept_of_8, Random *random, Name *names,
                     int *deletions_until) {
  int count = disk->name_count;
  *deletions_until = INT32_MAX;
  memcpy(names, disk->names, sizeof disk->names);
  for (int i = 0; i < disk->name_change_count; i++) {
    int position = disk->name_changes[i];
    const Record *record = record_at(disk, position);
    if (random_below(random, 8) < kept_of_8) {
      apply_name(names, &count, record);
    } else if (record->kind == RECORD_DELETE && position < *deletions_until) {
      *deletions_until = position;
    }
  }
  return count;
}

/* Up to where in the log truncations have happened. */
static int cut_truncations(const Disk *disk, Choice choice, int deletions_until, Random *random) {
  bool loose = disk->kind == DISK_LOOSE;
  if (loose) choice = (Choice)random_below(random, CHOICES);
  int moment = INT32_MAX;
  if (choice == CHOOSE_NOTHING) moment = 0;
  if (choice > CHOOSE_ALL) moment = disk->position - random_below(random, RECENT);
  return moment > deletions_until && !loose ? deletions_until : moment;
}

void disk_cut(const Disk *disk, int number, uint64_t seed, Image *image) {
  Random random = {seed};
  bool fixed = number < CUTS_FIXED;
  bool alike = fixed || random_one_in(&random, 2); /* one choice for all files */
  static const int kept[] = {0, 4, 4, 8};
  int kept_of_8 = fixed ? (number % 2) * 8 : kept[random_below(&random, 4)];
  Choice choice = number / 2 % 2 == 0 ? CHOOSE_NOTHING : CHOOSE_ALL;
  int choices = disk->kind == DISK_GENTLE ? CHOICES_GENTLE : CHOICES;
  if (!fixed) choice = (Choice)random_below(&random, choices);
  Name names[IMAGE_FILES_MAX];
  int deletions_until;
  image->count = cut_names(disk, kept_of_8, &random, names, &deletions_until);
  Choice sizes = fixed ? choice : (Choice)random_below(&random, CHOICES_GENTLE);
  int truncations = cut_truncations(disk, sizes, deletions_until, &random);
  for (int i = 0; i < image->count; i++) {
    ImageFile *out = &image->files[i];
    snprintf(out->path, sizeof out->path, "%s", names[i].path);
    if (disk->kind == DISK_LOOSE) truncations = cut_truncations(disk, sizes, 0, &random);
    if (!alike) choice = (Choice)random_below(&random, choices);
    cut_file(disk, &disk->files[names[i].file], choice, truncations, &random, out);
  }
}

/* ---- Images ---- */

static uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
  return hash ^ (hash >> 29);
}

static uint64_t hash_bytes(uint64_t hash, const unsigned char *bytes, int64_t n) {
  int64_t at = 0;
  uint64_t word;
  for (; at + 8 <= n; at += 8) {
    memcpy(&word, bytes + at, 8);
    hash = mix(hash, word);
  }
  word = 0;
  memcpy(&word, bytes + at, (size_t)(n - at));
  return mix(hash, word);
}

/* The same in whatever order the files come. */
uint64_t image_hash(const Image *image) {
  uint64_t sum = 0;
  for (int i = 0; i < image->count; i++) {
    const ImageFile *file = &image->files[i];
    uint64_t hash = mix(0, (uint64_t)file->size);
    hash = hash_bytes(hash, (const unsigned char *)file->path, (int64_t)strlen(file->path));
    sum += hash_bytes(hash, file->bytes, file->size);
  }
  return sum;
}

static void remove_files(const char *folder) {
  DIR *dir = opendir(folder);
  CHECK(dir != NULL);
  struct dirent *entry;
  while ((entry = readdir(dir)) != NULL) {
    char path[700];
    struct stat about;
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    CHECK(stat(path, &about) == 0);
    if (S_ISDIR(about.st_mode)) {
      remove_files(path);
    } else {
      CHECK(unlink(path) == 0);
    }
  }
  closedir(dir);
}

void image_write(const Image *image, const char *folder) {
  remove_files(folder);
  for (int i = 0; i < image->count; i++) {
    const ImageFile *file = &image->files[i];
    char path[700];
    snprintf(path, sizeof path, "%s/%s", folder, file->path);
    FILE *out = fopen(path, "wb");
    CHECK(out != NULL && fwrite(file->bytes, 1, (size_t)file->size, out) == (size_t)file->size);
    CHECK(fclose(out) == 0);
  }
}

void image_free(Image *image) {
  for (int i = 0; i < IMAGE_FILES_MAX; i++) free(image->files[i].bytes);
  memset(image, 0, sizeof *image);
}
