/*
** The files and names of the disk in memory.  See memdisk_names.h.
*/
#include "memdisk_names.h"

#include "harness.h"
#include "stepper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int test_stat(const char *path, struct stat *out);

MemDisk mem_live;
MemDisk *mem_used = &mem_live;
int mem_open_files;
static bool takes_stat;
static int64_t changes;
static uint64_t last_number;

/* ---- Files ---- */

void mem_resize(Bytes *bytes, int64_t size) {
  if (size > bytes->room) {
    bytes->room = size * 2;
    bytes->at = realloc(bytes->at, (size_t)bytes->room);
    CHECK(bytes->at != NULL);
  }
  if (size > bytes->size) memset(bytes->at + bytes->size, 0, (size_t)(size - bytes->size));
  bytes->size = size;
}

void mem_copy(Bytes *to, const Bytes *from) {
  mem_resize(to, from->size);
  if (from->size > 0) memcpy(to->at, from->at, (size_t)from->size);
}

void mem_end_if_unused(Inode *inode) {
  if (inode == NULL || inode->handles > 0 || inode->links > 0) return;
  free(inode->now.at);
  free(inode->synced.at);
  free(inode);
}

Inode *mem_inode_new(void) {
  Inode *inode = calloc(1, sizeof *inode);
  CHECK(inode != NULL);
  inode->number = ++last_number;
  mem_touch(inode);
  return inode;
}

void mem_touch(Inode *inode) { inode->changed = ++changes; }

int memdisk_open_files(void) { return mem_open_files; }

/* ---- Names ---- */

void mem_link(Inode **link, Inode *inode) {
  Inode *before = *link;
  if (before == inode) return;
  if (inode != NULL) inode->links++;
  *link = inode;
  if (before == NULL) return;
  before->links--;
  mem_end_if_unused(before);
}

Name *mem_find(MemDisk *disk, const char *path) {
  for (int i = 0; i < disk->count; i++) {
    if (strcmp(disk->names[i].path, path) == 0) return &disk->names[i];
  }
  CHECK(disk->count < NAMES_MAX && strlen(path) < NAME_LENGTH_MAX);
  Name *name = &disk->names[disk->count++];
  snprintf(name->path, sizeof name->path, "%s", path);
  return name;
}

/* ---- Disks ---- */

static MemDisk *copy_disk(bool after_power_cut) {
  MemDisk *copy = calloc(1, sizeof *copy);
  CHECK(copy != NULL);
  for (int i = 0; i < mem_live.count; i++) {
    const Name *name = &mem_live.names[i];
    const Inode *from = after_power_cut ? name->durable : name->now;
    if (from == NULL) continue;
    Name *to = mem_find(copy, name->path);
    mem_link(&to->now, mem_inode_new());
    mem_copy(&to->now->now, after_power_cut ? &from->synced : &from->now);
  }
  return copy;
}

MemDisk *memdisk_after_power_cut(void) { return copy_disk(true); }

MemDisk *memdisk_after_crash(void) { return copy_disk(false); }

void memdisk_free(MemDisk *disk) {
  for (int i = 0; i < disk->count; i++) {
    mem_link(&disk->names[i].now, NULL);
    mem_link(&disk->names[i].durable, NULL);
  }
  free(disk);
}

void memdisk_use(MemDisk *disk) { mem_used = disk == NULL ? &mem_live : disk; }

void mem_sync_names(void) {
  for (int i = 0; i < mem_live.count; i++) {
    mem_link(&mem_live.names[i].durable, mem_live.names[i].now);
  }
}

void memdisk_sync_all(void) {
  mem_sync_names();
  for (int i = 0; i < mem_live.count; i++) {
    Inode *inode = mem_live.names[i].now;
    if (inode != NULL) mem_copy(&inode->synced, &inode->now);
  }
}

/* ---- The owner of the files ---- */

bool memdisk_has(const char *path) { return mem_find(&mem_live, path)->now != NULL; }

void memdisk_unlink(const char *path) {
  step_point("the owner unlinks");
  mem_link(&mem_find(&mem_live, path)->now, NULL);
}

void memdisk_rename(const char *from, const char *to) {
  step_point("the owner renames");
  Name *old_name = mem_find(&mem_live, from);
  Name *new_name = mem_find(&mem_live, to);
  mem_link(&new_name->now, old_name->now);
  mem_link(&new_name->durable, new_name->now);
  mem_link(&old_name->now, NULL);
  mem_link(&old_name->durable, NULL);
}

/* ---- stat() ---- */

void mem_take_stat(void) { takes_stat = true; }

int test_stat(const char *path, struct stat *out) {
  if (!takes_stat || !step_is_on()) return stat(path, out);
  step_point("look at a name");
  const Inode *inode = mem_find(mem_used, path)->now;
  if (inode == NULL) return stat(path, out); /* a folder, or nothing */
  memset(out, 0, sizeof *out);
  out->st_dev = 1;
  out->st_ino = (ino_t)inode->number;
  out->st_size = (off_t)inode->now.size;
  out->st_mtim.tv_sec = (time_t)inode->changed;
  return 0;
}
