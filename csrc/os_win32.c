/*
** The porting layer for Windows.  See os.h.
**
** Slim reader/writer locks and condition variables: both are a pointer in
** size and need no cleaning up.
**
** The process's end.  exit() of the C library's DLL runs handlers while all
** threads live.  But the runtimes have a C library of their own linked in, whose
** exit() knows nothing of ours.  All that is left then is ExitProcess(): it kills
** every other thread, wherever that may be, and calls DllMain() on the last one, under
** the loader's lock.  Files can be written there, for SQLite and the heap still work
** (ExitProcess() holds the heap's lock while it kills).  What a writer was at is done
** again.  But a file that it was opening or deleting could have been left open for good;
** that it is killed there is prevented, by async_os_block_exit().  And a mutex that a dead
** thread was in is never left.  So from then on nobody waits for anything: who finds
** a mutex held, or would sleep until it is woken, jumps back to DllMain(), which tells
** that the drain was given up.
*/
#if defined(_WIN32)

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN 1
#endif

#include "os.h"

#include <windows.h>

#include <corecrt_startup.h>
#include <psapi.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(SRWLOCK) <= sizeof(AsyncOsMutex), "AsyncOsMutex is too small");
_Static_assert(sizeof(CONDITION_VARIABLE) <= sizeof(AsyncOsCond), "AsyncOsCond is too small");
_Static_assert(sizeof(HANDLE) <= sizeof(AsyncOsThread), "AsyncOsThread is too small");

/* Set when the other threads are dead; then give_up leads out of what cannot go on. */
static bool last_thread;
static jmp_buf give_up;

bool async_os_is_last_thread(void) { return last_thread; }

/* ---- Mutexes and condition variables ---- */

static SRWLOCK *win32_mutex(AsyncOsMutex *mutex) { return (SRWLOCK *)(void *)mutex->room; }

static CONDITION_VARIABLE *win32_cond(AsyncOsCond *cond) {
  return (CONDITION_VARIABLE *)(void *)cond->room;
}

void async_os_mutex_init(AsyncOsMutex *mutex) { InitializeSRWLock(win32_mutex(mutex)); }

void async_os_mutex_free(AsyncOsMutex *mutex) { (void)mutex; }

void async_os_mutex_enter(AsyncOsMutex *mutex) {
  if (!last_thread) {
    AcquireSRWLockExclusive(win32_mutex(mutex));
  } else if (!TryAcquireSRWLockExclusive(win32_mutex(mutex))) {
    longjmp(give_up, 1);
  }
}

void async_os_mutex_leave(AsyncOsMutex *mutex) { ReleaseSRWLockExclusive(win32_mutex(mutex)); }

void async_os_cond_init(AsyncOsCond *cond) { InitializeConditionVariable(win32_cond(cond)); }

void async_os_cond_free(AsyncOsCond *cond) { (void)cond; }

bool async_os_cond_wait(AsyncOsCond *cond, AsyncOsMutex *mutex, int64_t timeout_us) {
  if (last_thread) longjmp(give_up, 1);
  DWORD timeout_ms = INFINITE;
  if (timeout_us >= 0) {
    int64_t ms = (timeout_us + 999) / 1000;
    timeout_ms = ms < INFINITE ? (DWORD)ms : INFINITE - 1;
  }
  return SleepConditionVariableSRW(win32_cond(cond), win32_mutex(mutex), timeout_ms, 0) != 0;
}

void async_os_cond_broadcast(AsyncOsCond *cond) {
  if (!last_thread) WakeAllConditionVariable(win32_cond(cond));
}

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

void async_os_init_once(void (*init)(void)) {
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

AsyncOsShortage async_os_shortage(int error_number) {
  switch (error_number) {
  case ERROR_DISK_FULL:
  case ERROR_HANDLE_DISK_FULL:
    return ASYNC_OS_SHORTAGE_SPACE;
  case ERROR_TOO_MANY_OPEN_FILES:
    return ASYNC_OS_SHORTAGE_DESCRIPTORS;
  case ERROR_NOT_ENOUGH_MEMORY:
  case ERROR_OUTOFMEMORY:
    return ASYNC_OS_SHORTAGE_MEMORY;
  default:
    return ASYNC_OS_SHORTAGE_NONE;
  }
}

static WCHAR *wide_path(const char *path) {
  int length = MultiByteToWideChar(CP_UTF8, 0, path, -1, NULL, 0);
  WCHAR *wide = length > 0 ? malloc((size_t)length * sizeof(WCHAR)) : NULL;
  if (wide != NULL) MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, length);
  return wide;
}

/* Windows tells only whether somebody, of any process, has the file open: then
** it cannot be opened without sharing. */
static bool is_open(const char *path) {
  WCHAR *wide = wide_path(path);
  if (wide == NULL) return false;
  HANDLE file = CreateFileW(wide, GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
  bool shared = file == INVALID_HANDLE_VALUE && GetLastError() == ERROR_SHARING_VIOLATION;
  if (file != INVALID_HANDLE_VALUE) CloseHandle(file);
  free(wide);
  return shared;
}

int async_os_find_open_here(const char *const *paths, int count) {
  for (int i = 0; i < count; i++) {
    if (is_open(paths[i])) return i;
  }
  return -1;
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

int async_os_try_to_create(const char *path) {
  WCHAR *wide = wide_path(path);
  if (wide == NULL) return ERROR_NOT_ENOUGH_MEMORY;
  HANDLE file = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_NEW,
                            FILE_FLAG_DELETE_ON_CLOSE, NULL);
  int error = file == INVALID_HANDLE_VALUE ? (int)GetLastError() : 0;
  if (file != INVALID_HANDLE_VALUE) CloseHandle(file);
  free(wide);
  return error;
}

/* What is open here cannot be renamed or deleted, so nobody needs to know which file it is. */
AsyncOsFileState async_os_file_state(const char *path) {
  AsyncOsFileState state = {0};
  WCHAR *wide = wide_path(path);
  WIN32_FILE_ATTRIBUTE_DATA data;
  if (wide != NULL && GetFileAttributesExW(wide, GetFileExInfoStandard, &data)) {
    const FILETIME *written = &data.ftLastWriteTime;
    state.size = ((int64_t)data.nFileSizeHigh << 32) | data.nFileSizeLow;
    state.written_ns =
        (int64_t)(((uint64_t)written->dwHighDateTime << 32) | written->dwLowDateTime) * 100;
  }
  free(wide);
  return state;
}

bool async_os_is_deleted(AsyncOsFileState file) {
  (void)file;
  return false;
}

void async_os_delete_open(AsyncOsFileState file) { (void)file; }

/* ---- The process's end ---- */

static void (*exit_handler)(void);

/*
** ExitProcess() is in the loader's lock while it kills, so nobody is killed in there.
** The functions are ntdll.dll's since Windows XP, though in no header; without them
** what is half done at the end is told as lost.
*/
typedef LONG(NTAPI *LockLoader)(ULONG flags, ULONG *disposition, ULONG_PTR *cookie);
typedef LONG(NTAPI *UnlockLoader)(ULONG flags, ULONG_PTR cookie);

static LockLoader lock_loader;
static UnlockLoader unlock_loader;
static ULONG_PTR loader_cookie; /* of the thread that is in the lock */

static void find_loader_lock(void) {
  HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
  FARPROC lock = GetProcAddress(ntdll, "LdrLockLoaderLock");
  FARPROC unlock = GetProcAddress(ntdll, "LdrUnlockLoaderLock");
  if (lock == NULL || unlock == NULL) return;
  memcpy(&lock_loader, &lock, sizeof lock);
  memcpy(&unlock_loader, &unlock, sizeof unlock);
}

void async_os_block_exit(void) {
  ULONG_PTR cookie;
  if (lock_loader != NULL && lock_loader(0, NULL, &cookie) == 0) loader_cookie = cookie;
}

void async_os_unblock_exit(void) {
  if (unlock_loader != NULL) unlock_loader(0, loader_cookie);
}

/* Once, on whichever way the process ends. */
static void run_exit_handler(void) {
  void (*handler)(void) = exit_handler;
  exit_handler = NULL;
  if (handler != NULL) handler();
}

/* The C library's own functions: atexit() of a DLL is run when the threads are dead. */
void async_os_at_exit(void (*handler)(void)) {
  exit_handler = handler;
  find_loader_lock();
  _crt_atexit(run_exit_handler);
  _crt_at_quick_exit(run_exit_handler);
  /* Threads run in here, so whoever unloads us unloads nothing. */
  HMODULE self;
  GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                     (LPCWSTR)(const void *)&exit_handler, &self);
}

#ifndef SQLITE_CORE

BOOL WINAPI DllMain(HINSTANCE module, DWORD reason, LPVOID process_ends);

BOOL WINAPI DllMain(HINSTANCE module, DWORD reason, LPVOID process_ends) {
  (void)module;
  if (reason != DLL_PROCESS_DETACH || process_ends == NULL || exit_handler == NULL) return TRUE;
  last_thread = true;
  if (setjmp(give_up) == 0) {
    run_exit_handler();
  } else {
    async_os_complain("sqlite3async: exit: what was queued may not all be written: a thread was "
                      "ended in the middle of its work\n");
  }
  return TRUE;
}

#endif

/* There is no fork(). */
void async_os_on_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void)) {
  (void)before;
  (void)in_parent;
  (void)in_child;
}

/*
** Console events take the place of signals: the system runs the handler on a
** thread of its own, and ends the process when it returns FALSE.
*/
typedef void (*Handler)(bool may_live);
static _Atomic(Handler) console_handler;
static void (*after_console_event)(void);

/* It may have begun just before it was taken back. */
static BOOL WINAPI on_console_event(DWORD event) {
  (void)event;
  Handler before = console_handler;
  if (before != NULL) {
    before(true);
    after_console_event();
  }
  return FALSE;
}

bool async_os_watch_signals(void (*before)(bool may_live), void (*after)(void),
                            bool over_handlers) {
  (void)over_handlers; /* all are called */
  if (console_handler != NULL) return true;
  after_console_event = after;
  console_handler = before;
  if (SetConsoleCtrlHandler(on_console_event, TRUE)) return true;
  console_handler = NULL;
  return false;
}

void async_os_unwatch_signals(void) {
  if (console_handler == NULL) return;
  SetConsoleCtrlHandler(on_console_event, FALSE);
  console_handler = NULL;
}

/* Handlers of console events are a list: nobody takes ours off. */
void async_os_keep_signals(void) {}

int async_os_ignored_signals(void) { return 0; }

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
