/**
 * How long the calling thread has been on a processor.
 *
 * By clock_gettime(), since /proc/thread-self/schedstat lags by up to a tick of the
 * kernel's, and process.threadCpuUsage() of Deno counts in hundredths of a second.
 *
 * @module
 */

/** Of Linux. */
const CLOCK_THREAD_CPUTIME_ID = 3;
const LIBRARY = "libc.so.6";

type ClockGettime = (clock: number, time: BigInt64Array<ArrayBuffer>) => number;

interface BunFfi {
  dlopen(
    path: string,
    symbols: Record<string, { args: string[]; returns: string }>,
  ): { symbols: { clock_gettime: ClockGettime } };
}

async function clockGettime(): Promise<ClockGettime> {
  if ("Deno" in globalThis) {
    const symbols = { clock_gettime: { parameters: ["i32", "buffer"], result: "i32" } } as const;
    return Deno.dlopen(LIBRARY, symbols).symbols.clock_gettime;
  }
  const specifier: string = "bun:ffi";
  const { dlopen } = await import(specifier) as BunFfi;
  const symbols = { clock_gettime: { args: ["i32", "buffer"], returns: "i32" } };
  return dlopen(LIBRARY, symbols).symbols.clock_gettime;
}

/** Gives a function that returns the nanoseconds. A call is a system call. */
export async function openThreadClock(): Promise<() => number> {
  let call: ClockGettime;
  try {
    call = await clockGettime();
  } catch (cause) {
    const message = `Cannot measure a thread's CPU time: there is no clock_gettime in ${LIBRARY}`;
    throw new Error(message, { cause });
  }
  const time = new BigInt64Array(2);
  return () => {
    if (call(CLOCK_THREAD_CPUTIME_ID, time) !== 0) throw new Error("clock_gettime() failed");
    return Number(time[0]) * 1e9 + Number(time[1]);
  };
}
