/** The house limits on C that no other tool holds. @module */

import { cFiles } from "./files.ts";

const MAX_COLUMNS = 100;
const MAX_FILE_LINES = 500;
const MAX_FUNCTION_LINES = 70;

/** What a C file outside of the porting layer may include: the language's headers, not a system's. */
const PORTABLE_HEADERS = new Set([
  ...["assert.h", "ctype.h", "float.h", "inttypes.h", "limits.h", "stdalign.h", "stdarg.h"],
  ...["stdatomic.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h"],
]);

/** A line for each place that is over a limit. */
export function limitViolations(): string[] {
  return cFiles().flatMap((path) => violationsIn(path, Deno.readTextFileSync(path).split("\n")));
}

function violationsIn(path: string, lines: string[]): string[] {
  const violations: string[] = [];
  if (lines.length - 1 > MAX_FILE_LINES) {
    violations.push(`${path}: ${lines.length - 1} lines, the limit is ${MAX_FILE_LINES}`);
  }
  const isPortable = path.startsWith("csrc/") && !/\/os_\w+\.c$/.test(path);
  for (const [index, line] of lines.entries()) {
    const columns = [...line].length;
    if (columns > MAX_COLUMNS) {
      violations.push(`${path}:${index + 1}: ${columns} columns, the limit is ${MAX_COLUMNS}`);
    }
    const header = line.match(/^\s*#\s*include\s*<(.+)>/)?.[1];
    if (isPortable && header !== undefined && !PORTABLE_HEADERS.has(header)) {
      violations.push(`${path}:${index + 1}: <${header}> belongs into the porting layer, os_*.c`);
    }
  }
  for (const { line, name, length } of functionsOf(lines)) {
    if (length > MAX_FUNCTION_LINES) {
      violations.push(
        `${path}:${line}: ${name}() has ${length} lines, the limit is ${MAX_FUNCTION_LINES}`,
      );
    }
  }
  return violations;
}

/**
 * The functions of a formatted C file: from a line that starts with a name and leads, maybe lines
 * later, to `) {`, up to the next `}` in the first column.
 */
function* functionsOf(lines: string[]): Generator<{ line: number; name: string; length: number }> {
  let start = -1;
  let body = false;
  for (const [index, line] of lines.entries()) {
    if (!body && /^[A-Za-z_]/.test(line)) start = index;
    if (start >= 0 && !body && /\)\s*\{$/.test(line)) body = true;
    else if (start >= 0 && !body && /[;{}]$/.test(line)) start = -1;
    if (body && line === "}") {
      const name = lines.slice(start, index).join(" ").match(/(\w+)\s*\(/)?.[1] ?? "?";
      yield { line: start + 1, name, length: index - start + 1 };
      body = false;
      start = -1;
    }
  }
}
