/*
** Folders and what lies in them, for tests of who may do what to which file:
** the same scene is played by plain SQLite and by ours, each in a folder of its
** own, and what came of it is compared as text.
*/
#ifndef TEST_FOLDER_H
#define TEST_FOLDER_H

#include "database.h"

#include <stdbool.h>
#include <stddef.h>

/* What a user without rights is called, and what files are given to. */
#define NOBODY 65534

/* The user who runs the tests is one whom permissions do not stop. */
bool is_root(void);

/* From here on this process has no more rights than anybody; the test's folder is its
** own.  Nothing happens if it had none before. */
void drop_privileges(void);

void write_file(const char *path, const void *data, size_t n);
bool is_there(const char *path); /* a symbolic link that leads nowhere, too */

/*
** A line for each file: name, type, permissions, owner, group; in the order of the
** names, without "-shm" files, which only plain SQLite has.  To be freed by
** sqlite3_free().
*/
char *folder_text(const char *folder);

/* A scene: played by the VFS in the folder, it adds to the text what came of it. */
typedef struct Scene Scene;
struct Scene {
  const char *vfs;
  const char *folder;
  bool is_async;
  sqlite3_str *text;
  const void *arg;
};
const char *in_folder(const Scene *scene, const char *name);

/* A connection, or NULL; the code is added to the text. */
sqlite3 *scene_open(Scene *scene, const char *name, int flags);
/* Run SQL, with ours apply all that is queued if `steps`; the code is added. */
int scene_exec(Scene *scene, sqlite3 *db, const char *sql);

/*
** Play the scene by plain SQLite and by ours, and fail unless what came of it is the
** same.  async_setup() was called.  With compare_seen() plain SQLite works through the
** test VFS, too, which sees what it does but has no WAL.
*/
void compare(const char *title, void (*play)(Scene *scene), const void *arg);
void compare_seen(const char *title, void (*play)(Scene *scene), const void *arg);

#endif /* TEST_FOLDER_H */
