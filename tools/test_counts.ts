/** How many tests passed, read from what the runners write. @module */

/** What a program tells of its tests. */
export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** `12 passed, 0 failed`, and maybe `, 1 skipped` */
export function nativeCounts(output: string): Counts {
  const line = output.match(/^\d+ passed, \d+ failed(, \d+ skipped)?$/gm)?.at(-1) ?? "";
  return {
    passed: count(line, "passed"),
    failed: count(line, "failed"),
    skipped: count(line, "skipped"),
  };
}

/** `ok | 12 passed (3 steps) | 0 failed | 1 ignored (2s)` */
export function denoCounts(output: string): Counts {
  const line = output.match(/^(?:ok|FAILED) \| .*$/gm)?.at(-1) ?? "";
  return {
    passed: count(line, "passed"),
    failed: count(line, "failed"),
    skipped: count(line, "ignored"),
  };
}

/** ` 12 pass`, ` 1 skip` and ` 0 fail`, each on a line of its own */
export function bunCounts(output: string): Counts {
  const lines = output.match(/^ *\d+ (?:pass|skip|fail)$/gm)?.slice(-3).join("\n") ?? "";
  return {
    passed: count(lines, "pass"),
    failed: count(lines, "fail"),
    skipped: count(lines, "skip"),
  };
}

/** `ℹ pass 12`, `ℹ fail 0`, `ℹ cancelled 0` and `ℹ skipped 1`, each on a line of its own */
export function nodeCounts(output: string): Counts {
  const countOf = (word: string) => {
    return Number(output.match(new RegExp(`^ℹ ${word} (\\d+)$`, "m"))?.[1] ?? 0);
  };
  return {
    passed: countOf("pass"),
    failed: countOf("fail") + countOf("cancelled"),
    skipped: countOf("skipped"),
  };
}

/** The number before a word, 0 if it isn't there. */
function count(text: string, word: string): number {
  return Number(text.match(new RegExp(`(\\d+) ${word}`))?.[1] ?? 0);
}
