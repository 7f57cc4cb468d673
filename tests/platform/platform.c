/*
** POSIX and Windows.  See platform.h.
*/
#define _GNU_SOURCE 1

#include "platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Start {
  void (*run)(void *);
  void *arg;
} Start;

static Start *new_start(void (*run)(void *), void *arg) {
  Start *start = malloc(sizeof *start);
  if (start == NULL) abort();
  *start = (Start){run, arg};
  return start;
}

static void run_start(void *arg) {
  Start start = *(Start *)arg;
  free(arg);
  start.run(start.arg);
}

static char folder[300];

#if defined(_WIN32)

#include <windows.h>

int64_t now_ms(void) { return (int64_t)GetTickCount64(); }

void sleep_ms(int ms) { Sleep((DWORD)ms); }

const char *make_folder(void) {
  char base[200];
  GetTempPathA(sizeof base, base);
  /* The number of a process is soon another one's. */
  for (int i = 0; i < 1000; i++) {
    snprintf(folder, sizeof folder, "%ssqlite3async-%lu-%d", base, GetCurrentProcessId(), i);
    if (CreateDirectoryA(folder, NULL)) return folder;
  }
  abort();
}

bool remove_file(const char *path) { return DeleteFileA(path) != 0; }

void remove_folder(void) {
  char path[700];
  WIN32_FIND_DATAA found;
  snprintf(path, sizeof path, "%s\\*", folder);
  HANDLE search = FindFirstFileA(path, &found);
  while (search != INVALID_HANDLE_VALUE) {
    snprintf(path, sizeof path, "%s\\%s", folder, found.cFileName);
    if (found.cFileName[0] != '.') DeleteFileA(path);
    if (!FindNextFileA(search, &found)) break;
  }
  FindClose(search);
  RemoveDirectoryA(folder);
}

static DWORD WINAPI thread_main(LPVOID arg) {
  run_start(arg);
  return 0;
}

Thread thread_start(void (*run)(void *), void *arg) {
  HANDLE handle = CreateThread(NULL, 0, thread_main, new_start(run, arg), 0, NULL);
  if (handle == NULL) abort();
  return (Thread){(uint64_t)(uintptr_t)handle};
}

void thread_join(Thread thread) {
  WaitForSingleObject((HANDLE)(uintptr_t)thread.handle, INFINITE);
  CloseHandle((HANDLE)(uintptr_t)thread.handle);
}

int run_again(const char *const *args, const char *stderr_path, int timeout_ms) {
  char program[400];
  char line[2000];
  GetModuleFileNameA(NULL, program, sizeof program);
  int length = snprintf(line, sizeof line, "\"%s\"", program);
  for (; *args != NULL; args++) {
    length += snprintf(line + length, sizeof line - (size_t)length, " \"%s\"", *args);
  }
  SECURITY_ATTRIBUTES inherited = {sizeof inherited, NULL, TRUE};
  HANDLE out = CreateFileA(stderr_path, GENERIC_WRITE, FILE_SHARE_READ, &inherited, CREATE_ALWAYS,
                           FILE_ATTRIBUTE_NORMAL, NULL);
  STARTUPINFOA startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES};
  startup.hStdError = out;
  startup.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
  PROCESS_INFORMATION process;
  if (!CreateProcessA(program, line, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &process)) abort();
  CloseHandle(out);
  DWORD code = (DWORD)-1;
  if (WaitForSingleObject(process.hProcess, (DWORD)timeout_ms) != WAIT_OBJECT_0) {
    TerminateProcess(process.hProcess, code);
    WaitForSingleObject(process.hProcess, INFINITE);
  }
  GetExitCodeProcess(process.hProcess, &code);
  CloseHandle(process.hThread);
  CloseHandle(process.hProcess);
  return (int)code;
}

_Noreturn void end_quickly(int code) { quick_exit(code); }

/* No handler of the C library's; those of libraries that are loaded run. */
_Noreturn void end_without_handlers(int code) {
  ExitProcess((UINT)code);
  abort();
}

void *library_function(const char *library, const char *name) {
  FARPROC found = GetProcAddress(GetModuleHandleA(library), name);
  void *function;
  memcpy(&function, &found, sizeof function);
  return function;
}

#else

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv);

int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void sleep_ms(int ms) {
  struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

const char *make_folder(void) {
  const char *base = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/sqlite3async-XXXXXX", base == NULL ? "/tmp" : base);
  if (mkdtemp(folder) == NULL) abort();
  return folder;
}

bool remove_file(const char *path) { return unlink(path) == 0; }

void remove_folder(void) {
  char path[700];
  DIR *dir = opendir(folder);
  struct dirent *entry;
  while (dir != NULL && (entry = readdir(dir)) != NULL) {
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    if (entry->d_name[0] != '.') unlink(path);
  }
  if (dir != NULL) closedir(dir);
  rmdir(folder);
}

static void *thread_main(void *arg) {
  run_start(arg);
  return NULL;
}

_Static_assert(sizeof(pthread_t) <= sizeof(uint64_t), "Thread is too small");

Thread thread_start(void (*run)(void *), void *arg) {
  pthread_t handle;
  Thread thread = {0};
  if (pthread_create(&handle, NULL, thread_main, new_start(run, arg)) != 0) abort();
  memcpy(&thread.handle, &handle, sizeof handle);
  return thread;
}

void thread_join(Thread thread) {
  pthread_t handle;
  memcpy(&handle, &thread.handle, sizeof handle);
  pthread_join(handle, NULL);
}

/* By fork(): under an emulator the program's own file cannot be executed.  So this must
** come before the library is loaded, or the child has its parent's. */
int run_again(const char *const *args, const char *stderr_path, int timeout_ms) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    int fd = open(stderr_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0) abort();
    char *argv[10] = {"child"};
    int argc = 1;
    for (; args[argc - 1] != NULL && argc < 9; argc++) {
      argv[argc] = (char *)(uintptr_t)args[argc - 1];
    }
    exit(main(argc, argv));
  }
  int status = 0;
  int64_t until_ms = now_ms() + timeout_ms;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (now_ms() > until_ms) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      return -1;
    }
    sleep_ms(5);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

_Noreturn void end_quickly(int code) { quick_exit(code); }

_Noreturn void end_without_handlers(int code) { _exit(code); }

void *library_function(const char *library, const char *name) {
  void *handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
  return handle == NULL ? NULL : dlsym(handle, name);
}

#endif
