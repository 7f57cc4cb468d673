/** The house limits that no other tool holds: on the length of lines, and on C. @module */

import { cFiles, filesIn } from "./files.ts";

const MAX_COLUMNS = 100;
const MAX_FILE_LINES = 500;
const MAX_FUNCTION_LINES = 70;

/** What C outside of the porting layer may include: the language's headers, not a system's. */
const PORTABLE_HEADERS = new Set([
  ...["assert.h", "ctype.h", "float.h", "inttypes.h", "limits.h", "stdalign.h", "stdarg.h"],
  ...["stdatomic.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h"],
]);

/** A line for each place that is over a limit. */
export function limitViolations(): string[] {
  const folders = [
    ".",
    "ffi",
    "tests",
    "tests/helpers",
    "tests/suites",
    "bench",
    "examples",
    "tools",
  ];
  const otherFiles = ["run", "build.zig", ...folders.flatMap((folder) => filesIn(folder, ".ts"))];
  return [
    ...otherFiles.flatMap((path) => lineViolations(path, readLines(path))),
    ...cFiles().flatMap((path) => cViolations(path, readLines(path))),
  ];
}

function readLines(path: string): string[] {
  return Deno.readTextFileSync(path).trimEnd().split("\n");
}

function lineViolations(path: string, lines: string[]): string[] {
  return [...lines.entries()]
    .map(([index, line]) => ({ number: index + 1, columns: [...line].length }))
    .filter(({ columns }) => columns > MAX_COLUMNS)
    .map(({ number, columns }) =>
      `${path}:${number}: ${columns} columns, the limit is ${MAX_COLUMNS}`
    );
}

function cViolations(path: string, lines: string[]): string[] {
  const violations = lineViolations(path, lines);
  if (lines.length > MAX_FILE_LINES) {
    violations.push(`${path}: ${lines.length} lines, the limit is ${MAX_FILE_LINES}`);
  }
  const isPortable = path.startsWith("csrc/") && !/\/os_\w+\.c$/.test(path);
  for (const [index, line] of lines.entries()) {
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
