/*
** The files and names of the disk in memory: memdisk.c's own, apart from its methods.
*/
#ifndef TEST_MEMDISK_NAMES_H
#define TEST_MEMDISK_NAMES_H

#include "memdisk.h"

#define NAMES_MAX 64
#define NAME_LENGTH_MAX 300

typedef struct MemHandle MemHandle;

typedef struct Bytes {
  unsigned char *at;
  int64_t size;
  int64_t room;
} Bytes;

/* A file, with or without a name. */
typedef struct Inode {
  Bytes now;
  Bytes synced;
  uint64_t number;
  int64_t changed; /* a time of its own, which moves with each change */
  int handles;
  int links; /* names that mean it, now or after a power cut */
  bool syncing;
  bool lossy; /* a sync has failed: what it was about is never written, whoever asks */
  int shared;
  MemHandle *reserved; /* or above; NULL if nobody */
} Inode;

typedef struct Name {
  char path[NAME_LENGTH_MAX];
  Inode *now;
  Inode *durable;
} Name;

struct MemDisk {
  Name names[NAMES_MAX];
  int count;
};

extern MemDisk mem_live;
extern MemDisk *mem_used; /* by connections from here on */
extern int mem_open_files;

void mem_resize(Bytes *bytes, int64_t size);
void mem_copy(Bytes *to, const Bytes *from);
Inode *mem_inode_new(void);
void mem_end_if_unused(Inode *inode);
/* Note that it was changed. */
void mem_touch(Inode *inode);

/* Let a name mean a file, or nothing. */
void mem_link(Inode **link, Inode *inode);
/* The name, which may mean nothing. */
Name *mem_find(MemDisk *disk, const char *path);
/* All names become durable. */
void mem_sync_names(void);

/* In place of the core's stat(), once this was called. */
void mem_take_stat(void);

#endif /* TEST_MEMDISK_NAMES_H */
