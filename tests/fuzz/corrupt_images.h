/*
** Small sets of files, as a crash or a copy may have left them, to be corrupted by the
** corrupt target.  Plain SQLite makes them, anew in each process; no stored files.
*/
#ifndef TEST_CORRUPT_IMAGES_H
#define TEST_CORRUPT_IMAGES_H

#include <stddef.h>

#define IMAGE_FILES 6
#define IMAGES 9
#define IMAGE_NAME_MAX 40

typedef struct ImageFile {
  char name[IMAGE_NAME_MAX]; /* in the folder; "": there is no such file */
  size_t size;
  unsigned char *bytes; /* from malloc */
} ImageFile;

typedef struct Image {
  ImageFile files[IMAGE_FILES]; /* in the order of their names */
} Image;

/* The images; made in `folder`, whose path stands in some of them. */
const Image *corrupt_images(const char *folder);

/* Read the files of a folder, but for wal-indexes; give them back. */
void corrupt_image_read(Image *image, const char *folder);
void corrupt_image_free(Image *image);

/* Put the files, and nothing else, into the folder. */
void corrupt_image_write(const Image *image, const char *folder);

ImageFile *corrupt_image_find(Image *image, const char *suffix);

#endif /* TEST_CORRUPT_IMAGES_H */
