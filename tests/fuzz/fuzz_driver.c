/*
** Runs a fuzz target without coverage: the corpus that is kept, then inputs that are
** random or changed from the corpus.  Linked with one NAME_fuzz.c.
**
**     NAME_fuzz_test           both; from the checkout's folder
**     NAME_fuzz_test FILE...   these inputs
**
** An input that fails is put to zig-out/fuzz/NAME-failed.
*/
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define CORPUS_MAX 400

typedef struct Bytes {
  size_t size;
  uint8_t data[FUZZ_INPUT_MAX];
} Bytes;

static char **given; /* files; ends with NULL */
static Bytes *corpus;
static int corpus_count;
/* The input under way, and how many came before it; the process that started the test looks at
** them after a crash. */
typedef struct Current {
  Bytes input;
  int before;
} Current;
static Current *current;

static bool read_input(const char *path, Bytes *bytes) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return false;
  bytes->size = fread(bytes->data, 1, sizeof bytes->data, file);
  fclose(file);
  return true;
}

static void run_input(const Bytes *bytes) {
  current->input = *bytes;
  /* A copy of just that size, so that the address sanitizer sees its end. */
  uint8_t *data = malloc(bytes->size + 1);
  CHECK(data != NULL);
  memcpy(data, bytes->data, bytes->size);
  LLVMFuzzerTestOneInput(data, bytes->size);
  free(data);
  current->before++;
}

static int by_name(const struct dirent **left, const struct dirent **right) {
  return strcmp((*left)->d_name, (*right)->d_name);
}

static int is_input(const struct dirent *entry) { return entry->d_name[0] != '.'; }

/* Read the corpus; run each input of it if that is wanted. */
static void read_corpus(bool run) {
  char folder[200];
  snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", fuzz_target.name);
  struct dirent **entries = NULL;
  int n = scandir(folder, &entries, is_input, by_name);
  if (n <= 0) FAIL("no corpus at %s: run me in the checkout's folder", folder);
  CHECK(n <= CORPUS_MAX);
  corpus = calloc((size_t)n, sizeof *corpus);
  CHECK(corpus != NULL);
  for (corpus_count = 0; corpus_count < n; corpus_count++) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, entries[corpus_count]->d_name);
    CHECK(read_input(path, &corpus[corpus_count]));
    if (run) printf("# %s\n", entries[corpus_count]->d_name);
    if (run) run_input(&corpus[corpus_count]);
    free(entries[corpus_count]);
  }
  free(entries);
}

/* ---- Random inputs ---- */

static void make_random(Random *random, Bytes *bytes) {
  bytes->size = (size_t)random_below(random, random_one_in(random, 4) ? FUZZ_INPUT_MAX : 300);
  random_fill(random, bytes->data, bytes->size);
}

static void change_at_random(Random *random, Bytes *bytes) {
  if (bytes->size == 0) return;
  size_t at = (size_t)random_below(random, (int)bytes->size);
  size_t n = 1 + (size_t)random_below(random, 16);
  if (n > bytes->size - at) n = bytes->size - at;
  const Bytes *other = &corpus[random_below(random, corpus_count)];
  switch (random_below(random, 5)) {
  case 0:
    bytes->data[at] ^= (uint8_t)(1 << random_below(random, 8));
    break;
  case 1:
    random_fill(random, bytes->data + at, n);
    break;
  case 2: /* cut out */
    memmove(bytes->data + at, bytes->data + at + n, bytes->size - at - n);
    bytes->size -= n;
    break;
  case 3: /* repeat */
    if (bytes->size + n > sizeof bytes->data) break;
    memmove(bytes->data + at + n, bytes->data + at, bytes->size - at);
    bytes->size += n;
    break;
  default: /* go on like another one */
    if (other->size <= at) break;
    memcpy(bytes->data + at, other->data + at, other->size - at);
    bytes->size = other->size;
    break;
  }
}

/* ---- The tests ---- */

static void the_corpus_passes(void) { read_corpus(true); }

static void random_inputs_pass(void) {
  static Bytes bytes;
  read_corpus(false);
  Random random = random_new(0);
  current->before = 0;
  for (int i = 0; i < fuzz_target.runs * test_scale(); i++) {
    if (random_one_in(&random, 3)) {
      make_random(&random, &bytes);
    } else {
      bytes = corpus[random_below(&random, corpus_count)];
      for (int k = random_below(&random, 8); k >= 0; k--) change_at_random(&random, &bytes);
    }
    run_input(&bytes);
  }
}

static void the_given_inputs_pass(void) {
  static Bytes bytes;
  for (char **path = given; *path != NULL; path++) {
    printf("# %s\n", *path);
    CHECK(read_input(*path, &bytes));
    run_input(&bytes);
  }
}

static void keep_failed(void) {
  char path[200];
  mkdir("zig-out/fuzz", 0777);
  snprintf(path, sizeof path, "zig-out/fuzz/%s-failed", fuzz_target.name);
  FILE *file = fopen(path, "wb");
  if (file == NULL) return;
  fwrite(current->input.data, 1, current->input.size, file);
  fclose(file);
  printf("# the input that failed, after %d others: %s_fuzz_test %s\n", current->before,
         fuzz_target.name, path);
}

int main(int argc, char **argv) {
  current = mmap(NULL, sizeof *current, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (current == MAP_FAILED) return 2;
  given = argv + 1;
  int result =
      argc > 1 ? run_tests((TestCase[]){TEST(the_given_inputs_pass), {0}})
               : run_tests((TestCase[]){TEST(the_corpus_passes), TEST(random_inputs_pass), {0}});
  if (result != 0 && argc == 1) keep_failed();
  return result;
}
