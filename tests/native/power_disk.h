/*
** What a power cut may leave of the files that were recorded (recorder.h).
**
** A disk follows the log: for each file it knows what is durable, and what was
** done to it since; and the same for the names.  A cut decides for each sector of
** 512 bytes which of its states since the last sync is on disk, for each file which
** of its sizes, and for each creation and deletion that no sync of the folder
** covers whether it happened.  So writes are torn and reordered between syncs;
** within a sector later bytes are not there without earlier ones, for it is written
** as it was at some moment.  A sync of a file does not make its name durable.  What
** a file was enlarged by and not written to is zeros, or, now and then, garbage.
**
** A truncation happens as a whole or not at all, and so what was written behind it.
** And one order is kept: a truncation is not there without the truncations and the
** deletions before it.  File systems with a journal keep it, and SQLite relies on it:
** a database that shrinks is truncated when its journal has been deleted, and if that
** came back it would not have all that was cut off.
**
** Beyond random cuts there are four that find most: all or nothing of the content,
** with all or nothing of the names.
*/
#ifndef TEST_POWER_DISK_H
#define TEST_POWER_DISK_H

#include "harness.h"
#include "recorder.h"

/* So many cuts are the same at every point. */
#define CUTS_FIXED 4
/* One of them: everything is there, as when only the process has ended. */
#define CUT_NOTHING_LOST 3

typedef struct ImageFile {
  char path[RECORDER_PATH_MAX];
  unsigned char *bytes;
  int64_t size;
  int64_t room;
} ImageFile;

#define IMAGE_FILES_MAX 40

/* The files of the recorded folder as they are after a cut. */
typedef struct Image {
  ImageFile files[IMAGE_FILES_MAX];
  int count;
} Image;

typedef struct Disk Disk;

typedef enum DiskKind {
  DISK_USUAL,
  DISK_GENTLE, /* writes to a file are done in order; files still don't wait for each other */
  DISK_LOOSE,  /* truncations don't wait for what was before */
} DiskKind;

/* As it was when the recording began. */
Disk *disk_new(const Recording *recording, DiskKind kind);
void disk_free(Disk *disk);

/* The next record has happened.  False if it changes nothing that a cut may leave. */
bool disk_advance(Disk *disk);
int disk_position(const Disk *disk);

/*
** Where a process can die so that the next one has a chance: not between a deletion and
** the sync of the folder that belongs to it.  A power cut could undo a super-journal's
** deletion, which the next process has acted upon, and could not know to be unsynced.
*/
int disk_behind_call(const Recording *recording, int position);

/*
** The cut of this number at this point: the first CUTS_FIXED are what is said above,
** further ones random, by `seed`.  The image's memory is used again.
*/
void disk_cut(const Disk *disk, int number, uint64_t seed, Image *image);

uint64_t image_hash(const Image *image);
/* Put the files in a folder instead of all files that are there. */
void image_write(const Image *image, const char *folder);
void image_free(Image *image);

#endif /* TEST_POWER_DISK_H */
