/** The names of the project's files. @module */

/** The sorted paths of a folder's files that end in one of the suffixes; none without a folder. */
export function filesIn(folder: string, ...suffixes: string[]): string[] {
  try {
    return [...Deno.readDirSync(folder)]
      .filter((entry) => entry.isFile && suffixes.some((suffix) => entry.name.endsWith(suffix)))
      .map((entry) => `${folder}/${entry.name}`)
      .sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Our C files: the core, all tests in C, the fuzz targets and the native benchmarks. */
export function cFiles(): string[] {
  const tests = ["native", "hosts", "fuzz", "platform", "platform/wine", "preload"];
  const folders = ["csrc", ...tests.map((name) => `tests/${name}`), "bench/native"];
  return folders.flatMap((folder) => filesIn(folder, ".c", ".h"));
}
