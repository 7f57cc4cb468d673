/*
** The checker.  See power_check.h.
*/
#include "power_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Images that were seen ---- */

typedef struct Seen {
  uint64_t hash; /* 0: free */
  Found *found;  /* one for each database */
  bool counted;  /* as a fault */
} Seen;

/* A hash table.  One is of a single check, another of all that the process makes. */
typedef struct SeenTable {
  Seen *slots;
  size_t room;
  size_t count;
} SeenTable;

static SeenTable everything;

static Seen *slot_of(const SeenTable *table, uint64_t hash) {
  size_t at = (size_t)hash & (table->room - 1);
  while (table->slots[at].hash != 0 && table->slots[at].hash != hash) {
    at = (at + 1) & (table->room - 1);
  }
  return &table->slots[at];
}

static Seen *find_or_add(SeenTable *table, uint64_t hash, bool *is_new) {
  if (hash == 0) hash = 1;
  if ((table->count + 1) * 2 > table->room) {
    SeenTable larger = {.room = table->room == 0 ? 1024 : table->room * 2, .count = table->count};
    larger.slots = calloc(larger.room, sizeof(Seen));
    CHECK(larger.slots != NULL);
    for (size_t i = 0; i < table->room; i++) {
      const Seen *seen = &table->slots[i];
      if (seen->hash != 0) *slot_of(&larger, seen->hash) = *seen;
    }
    free(table->slots);
    *table = larger;
  }
  Seen *seen = slot_of(table, hash);
  *is_new = seen->hash == 0;
  if (*is_new) table->count++;
  seen->hash = hash;
  return seen;
}

static void free_table(SeenTable *table) {
  for (size_t i = 0; i < table->room; i++) free(table->slots[i].found);
  free(table->slots);
  memset(table, 0, sizeof *table);
}

void check_free(void) { free_table(&everything); }

/* ---- What is demanded ---- */

typedef struct Bounds {
  int durable[DATABASES_MAX]; /* states */
  int latest;                 /* transaction that may be there */
} Bounds;

static void note_bounds(Bounds *bounds, const Record *record) {
  if (record->kind != RECORD_NOTE) return;
  if (record->n == NOTE_COMMITTING) bounds->latest = record->number;
  if (record->n != NOTE_DURABLE) return;
  int *durable = &bounds->durable[record->which];
  if (*durable < record->number) *durable = record->number;
}

static bool judge_one(const States *states, int d, const Found *found, const Bounds *bounds,
                      char *words, size_t room) {
  if (found->fault[0] != '\0') {
    snprintf(words, room, "%s: %s", states->files[d], found->fault);
  } else if (found->k < 0 || found->k > bounds->latest || !states->known[d][found->k]) {
    snprintf(words, room, "%s has transaction %d, and the latest is %d", states->files[d], found->k,
             bounds->latest);
  } else if (states->hashes[d][found->k] != found->hash) {
    snprintf(words, room, "%s has transaction %d in part", states->files[d], found->k);
  } else if (found->k < bounds->durable[d]) {
    snprintf(words, room, "%s has transaction %d at last, and %d was durable", states->files[d],
             found->k, bounds->durable[d]);
  } else {
    return true;
  }
  return false;
}

/* False with words if the image must not be. */
static bool judge(const States *states, const Found *found, const Bounds *bounds, char *words,
                  size_t room) {
  for (int d = 0; d < states->databases; d++) {
    if (!judge_one(states, d, &found[d], bounds, words, room)) return false;
  }
  if (states->databases < 2 || !states->atomic) return true;
  for (int k = 1; k <= bounds->latest; k++) {
    if (!states->joint[k] || (found[0].k >= k) == (found[1].k >= k)) continue;
    snprintf(words, room, "transaction %d is in one database only: they have %d and %d", k,
             found[0].k, found[1].k);
    return false;
  }
  return true;
}

/* ---- Looking ---- */

static void look(const Check *check, Image *image, uint64_t hash, Seen *seen) {
  const States *states = check->states;
  seen->found = calloc(DATABASES_MAX, sizeof(Found));
  CHECK(seen->found != NULL);
  bool reversed = (hash & 1) != 0; /* who is opened first finds the super-journal */
  for (int i = 0; i < states->databases; i++) {
    int d = reversed ? states->databases - 1 - i : i;
    image_find(image, check->folder, states->files[d], &seen->found[d]);
  }
}

static void explain(const Check *check, const Disk *disk, int cut, uint64_t seed,
                    const char *words) {
  static Image image;
  printf("# %s: %s\n#  at %d of the log, cut %d with seed %llu leaves", check->title, words,
         disk_position(disk), cut, (unsigned long long)seed);
  disk_cut(disk, cut, seed, &image);
  for (int i = 0; i < image.count; i++) {
    printf(" \"%s\" (%lld bytes)", image.files[i].path, (long long)image.files[i].size);
  }
  printf("; the log:\n");
  recorder_print(disk_position(disk), 50);
  fflush(stdout);
  image_free(&image);
}

static void check_point(Check *check, const Disk *disk, const Bounds *bounds, SeenTable *table,
                        Tally *tally) {
  static Image image;
  /* A note changes what is demanded, not the disk. */
  const Recording *recording = recorder_recording();
  bool noted = recording->records[disk_position(disk) - 1].kind == RECORD_NOTE;
  for (int cut = 0; cut < CUTS_FIXED + (noted ? 0 : check->cuts); cut++) {
    uint64_t seed = check->seed + (uint64_t)disk_position(disk) * 1000003 + (uint64_t)cut;
    disk_cut(disk, cut, seed, &image);
    uint64_t hash = image_hash(&image);
    tally->cuts++;
    bool is_new;
    find_or_add(&everything, hash, &is_new);
    if (is_new) tally->distinct++;
    Seen *seen = find_or_add(table, hash, &is_new);
    if (is_new) look(check, &image, hash, seen);
    char words[300];
    if (seen->counted || judge(check->states, seen->found, bounds, words, sizeof words)) continue;
    seen->counted = true;
    tally->faults++;
    if (check->explained-- > 0) explain(check, disk, cut, seed, words);
  }
}

static int count_writes(const Recording *recording, int from) {
  int writes = 0;
  for (int i = from; i < recording->count; i++)
    writes += recording->records[i].kind == RECORD_WRITE;
  return writes;
}

void check_recording(const Check *the_check, Tally *tally) {
  Check check = *the_check;
  SeenTable table = {0};
  Bounds bounds = {0};
  const Recording *recording = recorder_recording();
  Disk *disk = disk_new(recording, check.disk);
  Random random = {check.seed};
  int writes = count_writes(recording, check.from);
  while (disk_position(disk) < recording->count) {
    const Record *record = &recording->records[disk_position(disk)];
    note_bounds(&bounds, record);
    disk_advance(disk);
    if (disk_position(disk) < check.from) continue;
    bool one_of_many =
        record->kind == RECORD_WRITE && random_below(&random, writes) >= check.points;
    if (!one_of_many) check_point(&check, disk, &bounds, &table, tally);
  }
  disk_free(disk);
  free_table(&table);
}

void states_begin(States *states, const char *folder) {
  for (int d = 0; d < states->databases; d++) {
    Found found;
    Image nothing = {0};
    image_find(&nothing, folder, states->files[d], &found);
    image_free(&nothing);
    states->known[d][0] = true;
    states->hashes[d][0] = found.hash;
  }
}
