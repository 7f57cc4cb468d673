/*
** What plain SQLite finds in an image: a memory VFS on which it opens it, with its
** own recovery from journals and WALs, and a look at the content.
**
** A history keeps in each database a table meta, whose one row k is the number of
** the last transaction that changed that database.  A database without tables is 0.
*/
#ifndef TEST_POWER_IMAGE_H
#define TEST_POWER_IMAGE_H

#include "power_disk.h"

typedef struct Found {
  int k;
  uint64_t hash;   /* of the whole content */
  char fault[200]; /* "", or what is wrong with it */
} Found;

/*
** What the connection sees of a schema; it must be sound enough to be read.
** check: run integrity_check, too.
*/
void find_content(sqlite3 *db, const char *schema, bool check, Found *found);

/*
** Open a file of the image, as if the folder were at its path, and look.  Recovery
** changes the image.
*/
void image_find(Image *image, const char *folder, const char *file, Found *found);

#endif /* TEST_POWER_IMAGE_H */
