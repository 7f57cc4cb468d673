/*
** What libFuzzer's main() calls first.
*/
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  test_begin();
  return 0;
}
