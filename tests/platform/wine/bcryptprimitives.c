/*
** bcryptprimitives.dll for Wine, which lacks it before version 9: Bun takes its
** random numbers from there.  It lies beside the library, for tools/windows.ts,
** and is no part of what is published.
*/
#include <windows.h>

#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T n);

BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T n) { return RtlGenRandom(data, (ULONG)n); }
