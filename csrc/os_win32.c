/*
** The porting layer for Windows.  See os.h.
**
** Slim reader/writer locks and condition variables: both are a pointer in
** size and need no cleaning up.
*/
#if defined(_WIN32)

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN 1
#endif

#include "os.h"

#include <windows.h>

#include <psapi.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(SRWLOCK) <= sizeof(AsyncOsMutex), "AsyncOsMutex is too small");
_Static_assert(sizeof(CONDITION_VARIABLE) <= sizeof(AsyncOsCond), "AsyncOsCond is too small");
_Static_assert(sizeof(HANDLE) <= sizeof(AsyncOsThread), "AsyncOsThread is too small");

/* ---- Mutexes and condition variables ---- */

static SRWLOCK *win32_mutex(AsyncOsMutex *mutex) { return (SRWLOCK *)(void *)mutex->room; }

static CONDITION_VARIABLE *win32_cond(AsyncOsCond *cond) {
  return (CONDITION_VARIABLE *)(void *)cond->room;
}

void async_os_mutex_init(AsyncOsMutex *mutex) { InitializeSRWLock(win32_mutex(mutex)); }

void async_os_mutex_free(AsyncOsMutex *mutex) { (void)mutex; }

void async_os_mutex_enter(AsyncOsMutex *mutex) { AcquireSRWLockExclusive(win32_mutex(mutex)); }

void async_os_mutex_leave(AsyncOsMutex *mutex) { ReleaseSRWLockExclusive(win32_mutex(mutex)); }

void async_os_cond_init(AsyncOsCond *cond) { InitializeConditionVariable(win32_cond(cond)); }

void async_os_cond_free(AsyncOsCond *cond) { (void)cond; }

bool async_os_cond_wait(AsyncOsCond *cond, AsyncOsMutex *mutex, int64_t timeout_us) {
  DWORD timeout_ms = INFINITE;
  if (timeout_us >= 0) {
    int64_t ms = (timeout_us + 999) / 1000;
    timeout_ms = ms < INFINITE ? (DWORD)ms : INFINITE - 1;
  }
  return SleepConditionVariableSRW(win32_cond(cond), win32_mutex(mutex), timeout_ms, 0) != 0;
}

void async_os_cond_broadcast(AsyncOsCond *cond) { WakeAllConditionVariable(win32_cond(cond)); }

/* ---- Threads ---- */

typedef struct ThreadStart {
  void (*main)(void *);
  void *arg;
} ThreadStart;

static DWORD WINAPI thread_main(LPVOID start_arg) {
  ThreadStart start = *(ThreadStart *)start_arg;
  free(start_arg);
  start.main(start.arg);
  return 0;
}

bool async_os_thread_start(AsyncOsThread *thread, void (*main)(void *), void *arg) {
  ThreadStart *start = malloc(sizeof *start);
  if (start == NULL) return false;
  *start = (ThreadStart){.main = main, .arg = arg};
  HANDLE handle = CreateThread(NULL, 0, thread_main, start, 0, NULL);
  if (handle == NULL) {
    free(start);
    return false;
  }
  memcpy(thread->room, &handle, sizeof handle);
  return true;
}

void async_os_thread_join(AsyncOsThread *thread) {
  HANDLE handle;
  memcpy(&handle, thread->room, sizeof handle);
  WaitForSingleObject(handle, INFINITE);
  CloseHandle(handle);
}

static INIT_ONCE once_control = INIT_ONCE_STATIC_INIT;

typedef struct OnceCall {
  void (*init)(void);
} OnceCall;

static BOOL CALLBACK once_main(PINIT_ONCE once, PVOID call, PVOID *context) {
  (void)once;
  (void)context;
  ((OnceCall *)call)->init();
  return TRUE;
}

void async_os_once(void (*init)(void)) {
  OnceCall call = {.init = init};
  InitOnceExecuteOnce(&once_control, once_main, &call, NULL);
}

/* ---- Memory ---- */

void *async_os_pages_new(size_t n) {
  return VirtualAlloc(NULL, n, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
}

void async_os_pages_free(void *pages, size_t n) {
  (void)n;
  VirtualFree(pages, 0, MEM_RELEASE);
}

/* ---- Time ---- */

int64_t async_os_now_us(void) {
  LARGE_INTEGER count;
  LARGE_INTEGER per_second;
  QueryPerformanceCounter(&count);
  QueryPerformanceFrequency(&per_second);
  int64_t seconds = count.QuadPart / per_second.QuadPart;
  int64_t rest = count.QuadPart % per_second.QuadPart;
  return seconds * 1000000 + rest * 1000000 / per_second.QuadPart;
}

void async_os_sleep_us(int64_t us) { Sleep((DWORD)((us + 999) / 1000)); }

/* ---- Files ---- */

/* NTFS journals its folders' changes itself; SQLite's own VFS does nothing here either. */
int async_os_sync_directory(const char *path_of_file) {
  (void)path_of_file;
  return 0;
}

bool async_os_is_disk_full(int error_number) {
  return error_number == ERROR_DISK_FULL || error_number == ERROR_HANDLE_DISK_FULL;
}

static WCHAR *wide_path(const char *path) {
  int length = MultiByteToWideChar(CP_UTF8, 0, path, -1, NULL, 0);
  WCHAR *wide = length > 0 ? malloc((size_t)length * sizeof(WCHAR)) : NULL;
  if (wide != NULL) MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, length);
  return wide;
}

/* Windows tells only whether somebody, of any process, has the file open: then
** it cannot be opened without sharing. */
bool async_os_is_open_here(const char *path) {
  WCHAR *wide = wide_path(path);
  if (wide == NULL) return false;
  HANDLE file = CreateFileW(wide, GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
  bool shared = file == INVALID_HANDLE_VALUE && GetLastError() == ERROR_SHARING_VIOLATION;
  if (file != INVALID_HANDLE_VALUE) CloseHandle(file);
  free(wide);
  return shared;
}

bool async_os_is_directory(const char *path) {
  WCHAR *wide = wide_path(path);
  if (wide == NULL) return false;
  DWORD attributes = GetFileAttributesW(wide);
  free(wide);
  return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
}

bool async_os_is_absent(const char *path) {
  WCHAR *wide = wide_path(path);
  if (wide == NULL) return false;
  bool absent =
      GetFileAttributesW(wide) == INVALID_FILE_ATTRIBUTES && GetLastError() == ERROR_FILE_NOT_FOUND;
  free(wide);
  return absent;
}

/* ---- The process's end ---- */

void async_os_at_exit(void (*handler)(void)) { atexit(handler); }

/* There is no fork(). */
void async_os_after_fork(void (*handler)(void)) { (void)handler; }

/*
** Console events take the place of signals: the system runs the handler on a
** thread of its own, and ends the process when it returns FALSE.
*/
static void (*console_handler)(void);

static BOOL WINAPI on_console_event(DWORD event) {
  (void)event;
  console_handler();
  return FALSE;
}

bool async_os_watch_signals(void (*handler)(void)) {
  if (console_handler != NULL) return true;
  console_handler = handler;
  return SetConsoleCtrlHandler(on_console_event, TRUE) != 0;
}

void async_os_unwatch_signals(void) {
  if (console_handler == NULL) return;
  SetConsoleCtrlHandler(on_console_event, FALSE);
  console_handler = NULL;
}

/* ---- The process that loaded us ---- */

/* The program itself first, then every module it has loaded. */
void *async_os_symbol(const char *name) {
  HMODULE modules[256];
  DWORD size = 0;
  void *found = NULL;
  FARPROC symbol = GetProcAddress(GetModuleHandleW(NULL), name);
  if (symbol == NULL &&
      EnumProcessModules(GetCurrentProcess(), modules, (DWORD)sizeof modules, &size)) {
    DWORD count = size / (DWORD)sizeof modules[0];
    if (count > 256) count = 256;
    for (DWORD i = 0; i < count && symbol == NULL; i++) symbol = GetProcAddress(modules[i], name);
  }
  memcpy(&found, &symbol, sizeof found);
  return found;
}

void async_os_complain(const char *line) {
  DWORD written;
  WriteFile(GetStdHandle(STD_ERROR_HANDLE), line, (DWORD)strlen(line), &written, NULL);
}

#endif /* _WIN32 */

/* A translation unit must not be empty. */
typedef int async_os_win32_is_not_empty;
