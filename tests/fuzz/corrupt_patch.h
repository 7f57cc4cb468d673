/*
** Corrupting an image: changes of the bytes, the sizes and the names of its files, with
** an eye to what SQLite reads first.
*/
#ifndef TEST_CORRUPT_PATCH_H
#define TEST_CORRUPT_PATCH_H

#include "corrupt_images.h"
#include "fuzz.h"

/*
** A copy of the image with the changes that the input asks for, up to `most`.  Names it
** puts into journals are of files in the folder, or of `outside`.
*/
void corrupt_copy(Image *copy, const Image *image, FuzzInput *input, int most, const char *folder,
                  const char *outside);

#endif /* TEST_CORRUPT_PATCH_H */
