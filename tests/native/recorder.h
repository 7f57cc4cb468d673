/*
** A recording parent VFS: "unix", and a log of all that it did to the files of
** one folder, in one order for all of them: what power cuts are made of
** (power_disk.h).
**
** It records what "unix" really does.  That matters for the folder: "unix" syncs
** it along with a deletion, if it is told to, and with the first sync of a journal
** that was opened to be created.  It does so by its system call "openDirectory",
** which is replaced by one that says so.  Our own syncs of a folder, which go past
** the VFS, come by folder_sync.h.
**
** It is not all in memory, since then it would have to be what "unix" is: in
** locks, wal-indexes and folders.  The test's folder is in memory anyway.
**
** Names are apart from files: a journal that is deleted and made again is another
** file.  Temporary files and wal-indexes, which nothing of is left after a cut,
** are not recorded.
**
** Any thread may call anything, but for what says otherwise.
*/
#ifndef TEST_RECORDER_H
#define TEST_RECORDER_H

#include "sqlite3.h"

#include <stdbool.h>
#include <stdint.h>

#define RECORDER_NAME "recorder"
#define RECORDER_PATH_MAX 200

typedef enum RecordKind {
  RECORD_WRITE,
  RECORD_TRUNCATE,    /* offset: the new size */
  RECORD_CREATE,      /* the file got its name */
  RECORD_DELETE,      /* its name was taken away */
  RECORD_SYNC,        /* of a file */
  RECORD_SYNC_FOLDER, /* path: the folder */
  RECORD_NOTE,        /* of the test: see recorder_note() */
} RecordKind;

typedef struct Record {
  RecordKind kind;
  int file;   /* index of the file, or -1 */
  int covers; /* of a sync: it is about what stands before this position in the log */
  int n;      /* of a write: bytes; of a note: which */
  int which;  /* of a note: of which database */
  int number; /* of a note: its number */
  int64_t offset;
  unsigned char *data;
  char path[RECORDER_PATH_MAX]; /* of a name or a folder, behind the recorded folder's */
} Record;

/* What a file held when recording began; durable. */
typedef struct RecordedFile {
  char path[RECORDER_PATH_MAX];
  bool was_there;
  unsigned char *bytes;
  int64_t size;
} RecordedFile;

typedef struct Recording {
  Record *records;
  int count;
  RecordedFile *files;
  int file_count;
} Recording;

/* Register the VFS. */
void recorder_register(void);

/*
** Begin a recording of the files in a folder, and in its folders, as they are now;
** what was recorded before is forgotten.  Nothing may be open there.
*/
void recorder_begin(const char *folder);
/* Forget the records from a position on.  The files must be now as they were then,
** and nothing open. */
void recorder_rewind(int position);

/* The recording; constant as long as nothing works on the files. */
const Recording *recorder_recording(void);
int recorder_position(void);

/* Put a note of the test in the log. */
void recorder_note(int note, int which, int number);

/* From now on the device says that writing to a sector may harm its neighbours, or not. */
void recorder_set_powersafe(bool powersafe);
/* Call hook within each sync of a file, when what the sync covers is settled; not within
** those that the hook causes.  NULL: no more.  Only as long as one thread does it all. */
void recorder_on_sync(void (*hook)(void *arg), void *arg);
/* How long a sync takes. */
void recorder_set_sync_ms(int ms);

/* Print the records before a position, a line for each. */
void recorder_print(int position, int how_many);

#endif /* TEST_RECORDER_H */
