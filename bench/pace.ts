/** Commits at a pace, with no timer and no system call in between. @module */

/**
 * Do something so many times, so many a second or as fast as it goes. Waiting
 * for the next one's time is spinning, so that nothing but the work itself makes
 * system calls; what comes late is made up for at once.
 */
export function paced(times: number, perSecond: number, work: (time: number) => void): void {
  if (perSecond === Infinity) {
    for (let time = 0; time < times; time++) work(time);
    return;
  }
  const startMs = performance.now();
  for (let time = 0; time < times; time++) {
    const dueMs = startMs + time / perSecond * 1000;
    while (performance.now() < dueMs) { /* spin */ }
    work(time);
  }
}
